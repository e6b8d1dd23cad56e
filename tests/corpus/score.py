"""Precision and recall of the recognisers against the labels, with intervals (Wilson, 95 %)."""

import math
from collections import Counter
from pathlib import Path

from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source, decode
from watchbill.language.document import parse
from watchbill.language.inline import plain
from watchbill.language.values.duration import read_deadline
from watchbill.language.values.frequency import read_frequency
from watchbill.language.values.owner import read_owners

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpus" / "documents"
KINDS = ("severity", "contact", "rota", "sla", "duty", "role", "procedure", "troubleshooting", "metadata")
PAGING = ("severity", "contact", "rota", "sla", "duty")


def labels() -> dict[str, list[tuple[int, int, str]]]:
    """Path → (first line, last line, label)."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    current: list[tuple[int, int, str]] = []
    for line in (Path(__file__).parent / "labels.txt").read_text().splitlines():
        if line.startswith("== "):
            current = found.setdefault(line[3:], [])
        elif line.strip():
            where, label = line.split()
            first, _, last = where.partition("-")
            current.append(
                (int(first) if where != "fences" else 0, int(last or first) if where != "fences" else 0, label)
            )
    return found


def named(kind: str | None) -> str:
    """A predicted kind as the labels name kinds; empty for what is none of the nine."""
    return "troubleshooting" if kind == "alert-runbook" else kind if kind in KINDS else ""


def score() -> tuple[dict[str, Counter[str]], list[str]]:
    """Per kind: hits, wrong (predicted, not labelled), missed; and each mistake in words."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    mistakes: list[str] = []
    for path, told in labels().items():
        text = decode((CORPUS / path).read_bytes(), path, [])
        assert text is not None, path
        reading = compile_sources([Source(path, text)], "corpus", Config()).readings[0]
        fences = any(first == 0 for first, _, _ in told)
        exact = {first: label for first, last, label in told if first == last and first}
        ranges = [(first, last) for first, last, label in told if last > first and label == "?"]
        pages = {first for first, label in exact.items() if label in {"alert-runbook", "?"}}
        page_level = 0
        for one in reading.blocks:
            block = one.block
            if block.kind == "heading":
                if page_level and block.level <= page_level:
                    page_level = 0
                if block.line in pages:
                    page_level = block.level
            inside = bool(page_level) and block.line not in exact
            label = exact.get(block.line, "")
            if (
                label == "?"
                or inside
                or any(a <= block.line <= b for a, b in ranges)
                or (fences and block.kind == "fence" and not label)
            ):
                continue
            kind = one.kind if one.state == "compiled" or (one.kind in {"duty", "contact"} and one.items) else None
            guess = named(kind)
            if block.kind == "heading" and not label and kind not in {"severity", "alert-runbook"}:
                continue
            wanted = [named(part) for part in label.split("|")] if label else []
            if guess and guess in wanted:
                counts[guess]["hit"] += 1
                continue
            if guess:
                counts[guess]["wrong"] += 1
                mistakes.append(f"{path[:24]}:{block.line} {block.kind} read as {guess}, is {label or 'none'}")
            if wanted:
                counts[wanted[0]]["missed"] += 1
                if not guess:
                    mistakes.append(f"{path[:24]}:{block.line} {block.kind} missed {label}")
    return counts, mistakes


def values() -> dict[str, tuple[int, int, list[str]]]:
    """Per sort of value (d, f, o): exact, labelled, and each mistake by its place."""
    path, cells = "", {}
    counts = {sort: [0, 0] for sort in "dfo"}
    mistakes: dict[str, list[str]] = {sort: [] for sort in "dfo"}
    for line in (Path(__file__).parent / "values.txt").read_text().splitlines():
        if line.startswith("== "):
            path = line[3:]
            text = decode((CORPUS / path).read_bytes(), path, [])
            tables = [block for block in parse(path, text or "").blocks if block.kind == "table"]
            cells = {row.line: row.cells for table in tables for row in table.rows}
        elif line and not line.startswith("#"):
            where, sort, wanted = line.split()
            number, _, column = where.partition(":")
            text = plain(cells[int(number)][int(column) - 1].raw)
            got = {"d": _deadline, "f": _frequency, "o": _owners}[sort](text)
            counts[sort][0] += got == wanted
            counts[sort][1] += 1
            if got != wanted:
                mistakes[sort].append(f"{path[:30]}:{where} is {wanted}, read as {got}")
    return {sort: (exact, all_, mistakes[sort]) for sort, (exact, all_) in counts.items()}


def _deadline(text: str) -> str:
    read = read_deadline(text)
    if read.named == "immediate":
        return "immediate"
    return f"{read.first.iso}{'b' if read.first.business else ''}" if read.first else "-"


def _frequency(text: str) -> str:
    read = read_frequency(text).value
    if read is None:
        return "-"
    return read.every.iso if read.every else "continuous" if read.continuous else "trigger" if read.trigger else "-"


def _owners(text: str) -> str:
    return "+".join(one.type for one in read_owners(text)) or "-"


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not total:
        return 0.0, 1.0
    z, share = 1.96, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def pooled(counts: dict[str, Counter[str]], kinds: tuple[str, ...]) -> tuple[float, float, int, int, int]:
    """Precision, recall, hits, wrong, missed of some kinds together."""
    hit, wrong, missed = (sum(counts[kind][what] for kind in kinds) for what in ("hit", "wrong", "missed"))
    return hit / max(1, hit + wrong), hit / max(1, hit + missed), hit, wrong, missed


if __name__ == "__main__":
    counts, mistakes = score()
    for name, kinds in [("paging", PAGING), ("all", KINDS), *[(kind, (kind,)) for kind in KINDS]]:
        precision, recall, hit, wrong, missed = pooled(counts, kinds)
        print(
            f"{name:16} precision {precision:.3f} {wilson(hit, hit + wrong)}  recall {recall:.3f} {wilson(hit, hit + missed)}  ({hit} hit, {wrong} wrong, {missed} missed)"
        )
    print("\n".join(mistakes))
    for sort, (exact, total, wrong) in values().items():
        print(f"values {sort}: {exact}/{total} {wilson(exact, total)}")
        print("\n".join(wrong))
