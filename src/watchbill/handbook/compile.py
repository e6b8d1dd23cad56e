"""compile(files, compiler version) → handbook and findings. Pure: no clock, no network, no database, no files."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from watchbill.handbook.config import FILE, Config
from watchbill.handbook.explicit import read_explicit, validate
from watchbill.handbook.files import Folder, Source
from watchbill.handbook.kinds import ENFORCED
from watchbill.handbook.lock import Lock, Matched, match, parse_lock
from watchbill.handbook.read import Reading, read
from watchbill.incidents.spec import Severity
from watchbill.language.document import Block, parse
from watchbill.language.findings import Finding, finding
from watchbill.language.items import Effect, Item, Unit
from watchbill.language.scope import Scope, references
from watchbill.people.spec import Contact
from watchbill.support.spec import Sla

#: Part of every lock: a changed compiler yields a plan, never a silently changed policy.
VERSION = 1


@dataclass(slots=True)
class Handbook:
    """One workspace's compiled policy."""

    slug: str
    config: Config
    readings: list[Reading] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lock: Lock | None = None
    matched: Matched | None = None


@dataclass(slots=True)
class Kept:
    """One document as it was read, so that an unchanged one is not read again."""

    text: str
    reading: Reading
    items: list[tuple[Item, str, Effect, str | None]]
    outside: list[tuple[str, int]]


@dataclass(slots=True)
class Cache:
    """Documents by path, for a process that compiles a folder again and again. Holds what was read, decides nothing."""

    kept: dict[str, Kept] = field(default_factory=dict)
    told: str = ""
    #: Give back cells and texts after reading: for folders of many megabytes, where nobody renders the documents.
    compact: bool = False
    #: Keep nothing for a next time.
    once: bool = False

    def get(self, source: Source) -> Kept | None:
        """The document as it was read, where its text is the same; its items with the keys they were read with."""
        found = self.kept.get(source.path)
        if found is None or found.text != source.text:
            return None
        for item, key, effect, reason in found.items:
            # Not by attribute: pydantic's bookkeeping for tens of thousands of items would cost more than the rest.
            item.__dict__.update(key=key, effect=effect, reason=reason, state="proposed")
        return found


def compile_folder(folder: Folder, cache: Cache | None = None) -> Handbook:
    """Compiles what :func:`files.load` read."""
    config, findings = Config(), list(folder.findings)
    if folder.config is not None:
        made, found = validate(Config, folder.config, FILE)
        findings += found
        config = cast(Config, made) if made is not None else config
    lock = None
    if folder.lock is not None:
        lock, found = parse_lock(folder.lock)
        findings += found
    return compile_sources(folder.sources, config.slug or folder.name, config, findings, cache, lock)


def compile_sources(
    sources: Iterable[Source],
    slug: str,
    config: Config,
    findings: Iterable[Finding] = (),
    cache: Cache | None = None,
    lock: Lock | None = None,
) -> Handbook:
    """Compiles texts. A ``cache`` spares documents whose text is the same as last time."""
    book = Handbook(slug, config, findings=list(findings))
    cache = cache if cache is not None else Cache()
    told = f"{slug} {config.model_dump_json()}"
    if cache.told != told:
        cache.kept, cache.told = {}, told
    sources = [one for one in sources if not config.excludes(one.path)]
    paths = {source.path for source in sources}
    outside: list[tuple[str, list[tuple[str, int]]]] = []
    for source in sources:
        if source.path.endswith((".yaml", ".yml")):
            items, found = read_explicit(source.text, source.path, 1, slug)
            book.items += items
            book.findings += found
            continue
        kept = cache.get(source)
        if kept is None:
            reading = read_source(source, slug, config)
            items = _joined(reading)
            for item in items:
                item.workspace = slug
            kept = Kept(
                source.text,
                reading,
                [(item, item.key, item.effect, item.reason) for item in items],
                _references(reading),
            )
            if cache.compact:
                reading.compact()
            if not cache.once:
                cache.kept[source.path] = kept
        book.readings.append(kept.reading)
        book.findings += kept.reading.scope.findings
        book.items += [item for item, *_ in kept.items]
        outside.append((source.path, kept.outside))
    _keys(book)
    if lock is not None:
        _accepted(book, lock)
    _agree(book)
    _outside(book, outside, paths)
    _chains(book)
    book.findings = _sorted(book.findings)
    return book


def read_source(source: Source, slug: str, config: Config) -> Reading:
    """One document, with its explicit fences."""
    document = parse(source.path, source.text)
    scope = Scope(document, workspace=slug)
    scope.immediate, scope.wait = config.immediate or scope.immediate, config.escalation_wait or scope.wait
    reading = read(document, scope)
    for one in reading.blocks:
        for block in _fences(one.block):
            if block.info.split() != ["yaml", "watchbill"]:
                continue
            items, found = read_explicit(block.raw, source.path, block.line + 1, slug)
            scope.findings += found
            unit = Unit(
                block.line,
                block.end_line,
                "explicit",
                block.raw[:2000],
                "shown",
                "reference",
                items=list(items),
                finding=bool(found),
            )
            if items:
                unit.effect, unit.reason = items[0].effect, None
            if one.block is block:
                one.units = [unit]
            else:
                one.units.append(unit)
    return reading


def _fences(block: Block) -> list[Block]:
    return (
        [block]
        if block.kind == "fence"
        else [fence for top in block.entries for entry in top.walk() for fence in entry.fences]
    )


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(set(findings), key=lambda one: (one.path, one.line, one.column, one.code, one.message))


@lru_cache(maxsize=65536)
def slug_of(text: str) -> str:
    """A short, stable name for a key."""
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return kept[:60].strip("-") or "item"


def _keys(book: Handbook) -> None:
    """Explicit ids as given, once; others minted from kind and name, numbered where they repeat."""
    given: dict[str, Item] = {}
    for item in book.items:
        if item.key:
            first = given.setdefault(item.key, item)
            if first is not item:
                book.findings.append(
                    finding(
                        "WB024",
                        item.source.path,
                        item.source.line,
                        key=item.key,
                        place=f"{first.source.path}:{first.source.line}",
                    )
                )
                item.key = ""
    taken = set(given)
    numbers: dict[str, int] = {}
    for item in book.items:
        if not item.key:
            base = f"{item.kind}/{slug_of(item.name)}"
            number = numbers.get(base, 1)
            key = base if number == 1 else f"{base}-{number}"
            while key in taken:
                number += 1
                key = f"{base}-{number}"
            numbers[base] = number + 1
            taken.add(key)
            item.__dict__["key"] = key


def _accepted(book: Handbook, lock: Lock) -> None:
    """Gives items the keys and states they were accepted with. An item whose reading changed stays what it was accepted
    as: the plan, not the file, changes policy."""
    book.lock, book.matched = lock, match(lock, book.items)
    for old, item in book.matched.pairs:
        item.state = old.state
        if old.state == "ignored":
            item.effect, item.reason = "shown", "ignored by comment"
        elif item.kind in ENFORCED:
            item.effect, item.reason = "enforced", None
        elif item.effect == "proposed":
            # Accepted, and no feature acts on it yet: said as it is.
            item.effect = "later"


def severity_name(name: str) -> str:
    """A severity's name without decoration: “**SEV-1** (critical)”, “Sev1” and “sev 1” are the same."""
    match = re.search(r"\b(sev(?:erity)?|prio(?:rity)?|p|s)[\s_-]?(\d)\b", name, re.I)
    if match:
        return f"{match[1][0].lower()}{match[2]}"
    return re.sub(r"[^a-z]+", " ", name.lower()).strip()


def _agree(book: Handbook) -> None:
    """Severities of the same name: tables of one document are joined, documents that disagree are named."""
    groups: dict[str, list[Severity]] = {}
    for item in book.items:
        if isinstance(item, Severity):
            groups.setdefault(severity_name(item.name), []).append(item)
    order = {path: number for number, path in enumerate(book.config.precedence)}
    for group in groups.values():
        for clock in ("acknowledge", "respond", "resolve", "update"):
            told = [item for item in group if getattr(item, clock) is not None]
            for later in told[1:]:
                first = told[0]
                if getattr(first, clock).model_dump(exclude={"note"}) == getattr(later, clock).model_dump(
                    exclude={"note"}
                ):
                    continue
                if first.source.path in order and later.source.path in order and first.source.path != later.source.path:
                    overruled = max(first, later, key=lambda item: order[item.source.path])
                    if overruled.state == "proposed":
                        overruled.effect, overruled.reason = "shown", "reference"
                    continue
                book.findings.append(
                    finding(
                        "WB109", later.source.path, later.source.line, name=later.name, one=f"{clock} {getattr(later, clock).duration}",
                        place=f"{first.source.path}:{first.source.line}", other=getattr(first, clock).duration,
                    )
                )  # fmt: skip
                break


def _joined(reading: Reading) -> list[Item]:
    """The items of a document, severities and SLAs of the same name as one: definitions in one table and clocks in
    another, or several rows for one severity. Where both say something else about a clock they stay two, and a finding names them."""
    found: dict[int, Item] = {}
    known: dict[tuple[str, str, str], Severity | Sla] = {}
    for block in reading.blocks:
        here: set[tuple[str, str, str]] = set()
        for unit in block.units:
            for position, item in enumerate(unit.items):
                if not isinstance(item, Severity | Sla) or item.key:
                    found.setdefault(id(item), item)
                    continue
                sign = (item.kind, severity_name(item.name), item.plan if isinstance(item, Sla) else "")
                first = known.setdefault(sign, item)
                if first is item or not _join(first, item, sign in here):
                    found.setdefault(id(item), item)
                else:
                    unit.items[position] = first
                here.add(sign)
    return list(found.values())


def _join(first: Severity | Sla, item: Severity | Sla, same_block: bool) -> bool:
    """Adds to ``first`` what only ``item`` says. False, and nothing changed, where their clocks disagree in different tables."""
    clocks = ("acknowledge", "respond", "resolve", "update")
    differ = [
        name
        for name in clocks
        if getattr(first, name) and getattr(item, name) and getattr(first, name) != getattr(item, name)
    ]
    if differ and not same_block:
        return False
    for name in (*clocks, "definition", "examples", "channels", "escalate", "hours"):
        if name in type(first).model_fields and name in type(item).model_fields and not getattr(first, name):
            setattr(first, name, getattr(item, name))
    first.off_hours = {**item.off_hours, **first.off_hours}
    if isinstance(first, Severity) and isinstance(item, Severity):
        first.all_hands = first.all_hands or item.all_hands
    return True


def _references(reading: Reading) -> list[tuple[str, int]]:
    """Other documents that a document names, with the line of the first time."""
    found: dict[str, int] = {}
    for one in reading.blocks:
        raws = [(one.block.raw, one.block.line)] if one.block.kind == "paragraph" else []
        raws += [(entry.raw, entry.line) for top in one.block.entries for entry in top.walk()]
        raws += [(cell.raw, row.line) for row in one.block.rows for cell in row.cells]
        for raw, line in raws:
            for target in references(raw):
                path = target.split("#")[0]
                if "<" not in path and "*" not in path:
                    found.setdefault(path, line)
    return list(found.items())


def _outside(book: Handbook, told: list[tuple[str, list[tuple[str, int]]]], inside: set[str]) -> None:
    """Names documents that are referred to and are not there."""
    for path, targets in told:
        here = posixpath.dirname(path)
        for target, line in targets:
            known = {posixpath.normpath(posixpath.join(here, target)), posixpath.normpath(target.lstrip("/"))}
            if not known & inside:
                book.findings.append(finding("WB112", path, line, target=target))


def _chains(book: Handbook) -> None:
    """Escalations that come back to where they began; severities that no table has."""
    known = {severity_name(item.name): item.name for item in book.items if isinstance(item, Severity)}
    steps: dict[str, list[tuple[str, Contact]]] = {}
    for item in book.items:
        if not isinstance(item, Contact):
            continue
        if len(item.chain) == 2 and " → " in item.name:
            steps.setdefault(item.chain[0].lower(), []).append((item.chain[1].lower(), item))
        low = [one.lower() for one in item.chain]
        if len(set(low)) < len(low):
            book.findings.append(finding("WB116", item.source.path, item.source.line, chain=" → ".join(item.chain)))
        for name in item.severities:
            if known and severity_name(name) not in known and severity_name(name)[0] in {key[0] for key in known}:
                book.findings.append(
                    finding(
                        "WB115", item.source.path, item.source.line, name=name, known=", ".join(known.values())[:200]
                    )
                )
    for start, onward in steps.items():
        for _, item in onward:
            circle = _circle(start, item.chain[1].lower(), steps)
            if circle and start == min(circle):
                book.findings.append(
                    finding("WB116", item.source.path, item.source.line, chain=" → ".join([*circle, circle[0]]))
                )
                break


def _circle(start: str, at: str, steps: dict[str, list[tuple[str, Contact]]]) -> list[str]:
    path, seen, stack = [start], {start}, [(at, [start])]
    while stack:
        name, path = stack.pop()
        if name == start:
            return path
        if name in seen:
            continue
        seen.add(name)
        stack += [(onward, [*path, name]) for onward, _ in steps.get(name, [])]
    return []
