"""The compiler: its speed against the raw parse of the same bytes, a large folder, a re-check; the corpus scores."""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from tests.corpus.score import CORPUS, KINDS, PAGING, pooled, score, values, wilson

from bench.house import line
from watchbill.handbook.compile import Cache, compile_folder, compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source, load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "handbooks"


def texts() -> list[str]:
    """Documents to measure with: the corpus where it is, else the examples."""
    folder = CORPUS if CORPUS.is_dir() else EXAMPLES
    return [path.read_text(errors="replace") for path in sorted(folder.rglob("*.md"))]


def altered(text: str, number: int) -> str:
    """The same document with other words, so that nothing that was read before helps."""
    return text.replace(" the ", f" the{number} ").replace(" a ", f" a{number} ").replace(" to ", f" to{number} ")


def measure() -> Iterator[dict[str, Any]]:
    documents = texts()
    yield _rate(documents)
    yield from _folder(documents)
    if CORPUS.is_dir():
        yield from _corpus()


def _rate(documents: list[str]) -> dict[str, Any]:
    parser = MarkdownIt("commonmark").enable("table")
    ratios = []
    for round_ in range(3):
        fresh = [altered(text, round_) for text in documents]
        size = sum(len(text.encode()) for text in fresh)
        begun = time.process_time()
        for text in fresh:
            parser.parse(text)
        raw = size / (time.process_time() - begun)
        begun = time.process_time()
        for number, text in enumerate(fresh):
            compile_sources([Source(f"{number}.md", text)], "bench", Config())
        ratios.append((size / (time.process_time() - begun) / raw, raw))
    ratio, raw = sorted(ratios)[1]
    return line(
        "handbook",
        "compile, one process",
        ratio,
        0.25,
        "more",
        "ratio",
        "markdown-it-py's own parse of the same bytes, bytes/s",
        raw,
    )


_CHECK = "import sys; from watchbill.cli.main import main; main(['check', '--format', 'json', sys.argv[1]])"


def _folder(documents: list[str]) -> Iterator[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory(prefix="watchbill-bench-") as name,
        tempfile.TemporaryDirectory(prefix="watchbill-bench-cache-") as cache_home,
    ):
        folder, size, number = Path(name), 0, 0
        picker = random.Random(1)
        while number < 1000:
            text = ""
            while len(text) < 20_000:
                text += altered(picker.choice(documents), number) + "\n\n"
            text = text[:20_000].rpartition("\n")[0] + "\n"
            (folder / f"{number:04}.md").write_text(text)
            size += len(text.encode())
            number += 1
        # A cache of its own: the first check finds none and writes it, the last one uses it.
        env = {**os.environ, "XDG_CACHE_HOME": cache_home}
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", _CHECK, name], stdout=subprocess.DEVNULL, check=False, env=env)
        what = f"check of 1,000 documents ({size / 1e6:.0f} MB)"
        yield line("handbook", what, time.perf_counter() - begun, 30, "less", "s")
        yield line(
            "handbook",
            f"{what}: memory",
            resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
            400,
            "less",
            "MB",
        )
        cache = Cache(compact=True)
        compile_folder(load(folder), cache)
        times = []
        for turn in range(5):
            (folder / "0500.md").write_text(altered(documents[0], 5000 + turn))
            begun = time.perf_counter()
            compile_folder(load(folder), cache)
            times.append((time.perf_counter() - begun) * 1000)
        yield line(
            "handbook",
            "check again with one of 1,000 documents changed, warm process",
            sorted(times)[2],
            300,
            "less",
            "ms",
        )
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", _CHECK, name], stdout=subprocess.DEVNULL, check=False, env=env)
        yield line(
            "handbook",
            "check again with one of 1,000 documents changed, cold process",
            time.perf_counter() - begun,
            1.5,
            "less",
            "s",
        )


def _corpus() -> Iterator[dict[str, Any]]:
    counts, _ = score()
    wanted = [("kinds that page or gate", PAGING, 0.97, 0.65), ("all nine kinds", KINDS, 0.95, 0.0)]
    wanted += [
        (kind, (kind,), 0.85, 0.4) for kind in KINDS if sum(counts[kind][what] for what in ("hit", "missed")) >= 10
    ]
    for name, kinds, least, reach in wanted:
        precision, recall, hit, wrong, missed = pooled(counts, kinds)
        low, high = wilson(hit, hit + wrong)
        yield line(
            "corpus",
            f"{name}: precision of {hit + wrong} (interval {low:.3f}–{high:.3f})",
            precision,
            least,
            "more",
            "share",
        )
        low, high = wilson(hit, hit + missed)
        yield line(
            "corpus",
            f"{name}: recall of {hit + missed} (interval {low:.3f}–{high:.3f})",
            recall,
            reach,
            "more",
            "share",
        )
    for sort, name, least in (("d", "durations", 0.95), ("f", "frequencies", 0.95), ("o", "owners", 0.9)):
        exact, total, _ = values()[sort]
        low, high = wilson(exact, total)
        what = f"{name}: exact of {total} cells (interval {low:.3f}–{high:.3f})"
        yield line("corpus", what, exact / total, least, "more", "share")


if __name__ == "__main__":
    for one in measure():
        print(json.dumps(one))
