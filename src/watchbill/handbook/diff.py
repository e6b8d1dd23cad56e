"""What changed in the texts from one revision to the next, as lines of a page. Pure."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Beyond so many lines a document is compared as a whole: a page is not the place for it.
MOST_LINES = 20_000
#: Lines of differences on one page.
FEED = 1500


@dataclass(slots=True)
class Changed:
    """One document: added, removed or changed; its lines as (sign, text), where the sign is “+”, “-”, “ ” or “@”."""

    path: str
    what: Literal["added", "removed", "changed"]
    lines: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0


def diff_texts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Changed]:
    """The documents that differ, by path, with three lines around each difference."""
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        what: Literal["added", "removed", "changed"] = (
            "added" if old is None else "removed" if new is None else "changed"
        )
        a, b = (old or "").splitlines(), (new or "").splitlines()
        if len(a) + len(b) > MOST_LINES:
            yield Changed(path, what, [("@", f"{len(a):,} lines before, {len(b):,} after")])
            continue
        lines = [
            (line[0] if line[0] in "+-@" else " ", line if line[0] == "@" else line[1:])
            for line in difflib.unified_diff(a, b, lineterm="", n=3)
            if not line.startswith(("---", "+++"))
        ]
        yield Changed(path, what, lines)


def page_of(files: Iterator[Changed], start: int) -> tuple[list[Changed], int | None]:
    """Documents from ``start`` on until a page is full, and where the next page begins. A single one is cut, and says so."""
    found: list[Changed] = []
    size = 0
    for number, one in enumerate(files):
        if number < start:
            continue
        if found and size + len(one.lines) > FEED:
            return found, number
        one.more = max(0, len(one.lines) - FEED)
        one.lines = one.lines[:FEED]
        size += len(one.lines)
        found.append(one)
    return found, None
