"""What must be known of every item to compare documents: names, keys, clocks, chains. Pure.

Keys, disagreements and circles depend on all documents together; the items themselves on one. A head is the little that the
former needs, so that an unchanged document of a large folder need not be read again to compare it (`shelf.py`).
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from watchbill.incidents.spec import Severity
from watchbill.language.findings import Finding, finding
from watchbill.language.items import Item
from watchbill.language.names import canonical, severity_name
from watchbill.people.spec import Contact
from watchbill.signals.spec import Route

CLOCKS = ("acknowledge", "respond", "resolve", "update")
Clock = tuple[str, bool, str | None]


class Head(msgspec.Struct, array_like=True):
    """An item's kind, name, explicit key and place; a severity's clocks as (duration, business, at least); a contact's chain and severities;
    of a route whom it pages, which severity it gives, and its reason."""

    kind: str
    name: str
    key: str
    line: int
    clocks: dict[str, Clock] = {}
    chain: list[str] = []
    severities: list[str] = []
    path: str = ""
    reason: str = ""


def head_of(item: Item) -> Head:
    """The head of an item."""
    head = Head(item.kind, item.name, item.key, item.source.line, path=item.source.path)
    if isinstance(item, Severity):
        for name in CLOCKS:
            value = getattr(item, name)
            if value is not None:
                head.clocks[name] = (value.duration, value.business, value.at_least)
    elif isinstance(item, Contact):
        head.chain, head.severities = item.chain, item.severities
    elif isinstance(item, Route):
        head.chain, head.severities = [item.pages] if item.pages else [], [item.severity] if item.severity else []
        head.reason = item.because.strip()
    return head


def place(head: Head) -> str:
    """``file:line``."""
    return f"{head.path}:{head.line}"


@lru_cache(maxsize=65536)
def slug_of(text: str) -> str:
    """A short, stable name for a key."""
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return kept[:60].strip("-") or "item"


def mint(heads: Sequence[Head]) -> tuple[list[str], list[Finding]]:
    """The key of each item: explicit ones as given, once; others from kind and name, numbered where they repeat."""
    given: dict[str, Head] = {}
    findings = []
    for head in heads:
        if head.key and given.setdefault(head.key, head) is not head:
            findings.append(finding("WB024", head.path, head.line, key=head.key, place=place(given[head.key])))
    taken = set(given)
    numbers: dict[str, int] = {}
    keys = []
    for head in heads:
        if head.key and given[head.key] is head:
            keys.append(head.key)
            continue
        base = f"{head.kind}/{slug_of(head.name)}"
        number = numbers.get(base, 1)
        key = base if number == 1 else f"{base}-{number}"
        while key in taken:
            number += 1
            key = f"{base}-{number}"
        numbers[base] = number + 1
        taken.add(key)
        keys.append(key)
    return keys, findings


def agree(heads: Sequence[Head], precedence: Sequence[str]) -> tuple[list[Finding], list[int]]:
    """Severities of the same name that say something else about a clock; and those that ``precedence`` overrules, by their number."""
    groups: dict[str, list[int]] = {}
    for number, head in enumerate(heads):
        if head.kind == "severity":
            groups.setdefault(severity_name(head.name), []).append(number)
    order = {path: number for number, path in enumerate(precedence)}
    findings, overruled = [], []
    for group in groups.values():
        for clock in CLOCKS:
            told = [number for number in group if clock in heads[number].clocks]
            for number in told[1:]:
                first, later = heads[told[0]], heads[number]
                if first.clocks[clock] == later.clocks[clock]:
                    continue
                if first.path in order and later.path in order and first.path != later.path:
                    overruled.append(max(told[0], number, key=lambda one: order[heads[one].path]))
                    continue
                findings.append(
                    finding(
                        "WB109", later.path, later.line, name=later.name, one=f"{clock} {later.clocks[clock][0]}", place=place(first),
                        other=first.clocks[clock][0],
                    )
                )  # fmt: skip
                break
    return findings, overruled


def outside(told: Iterable[tuple[str, Sequence[tuple[str, int]]]], inside: set[str]) -> list[Finding]:
    """Documents that are referred to and are not there. ``told`` has each document's path and its (target, line)."""
    findings = []
    for path, targets in told:
        here = posixpath.dirname(path)
        for target, line in targets:
            known = {posixpath.normpath(posixpath.join(here, target)), posixpath.normpath(target.lstrip("/"))}
            if not known & inside:
                findings.append(finding("WB112", path, line, target=target))
    return findings


def routes(heads: Sequence[Head]) -> list[Finding]:
    """Routes that name a severity or an escalation that is not there."""
    levels = {severity_name(head.name): head.name for head in heads if head.kind == "severity"}
    paged = {canonical(head.name): head.name for head in heads if head.kind in ("escalation", "contact")}
    findings = []
    for head in heads:
        if head.kind != "route":
            continue
        for name in head.severities:
            if severity_name(name) not in levels:
                findings.append(
                    finding(
                        "WB115",
                        head.path,
                        head.line,
                        name=name,
                        known=", ".join(levels.values())[:200] or "none is there",
                    )
                )
        for name in head.chain:
            if canonical(name) not in {*paged, "nobody"}:
                findings.append(
                    finding(
                        "WB119",
                        head.path,
                        head.line,
                        name=name,
                        known=", ".join(paged.values())[:200] or "none is there",
                    )
                )
    return findings


def chains(heads: Sequence[Head]) -> list[Finding]:
    """Escalations that come back to where they began; severities that no table has."""
    known = {severity_name(head.name): head.name for head in heads if head.kind == "severity"}
    steps: dict[str, list[tuple[str, Head]]] = {}
    findings = []
    for head in heads:
        if head.kind != "contact":
            continue
        if len(head.chain) == 2 and " → " in head.name:
            steps.setdefault(head.chain[0].lower(), []).append((head.chain[1].lower(), head))
        low = [one.lower() for one in head.chain]
        if len(set(low)) < len(low):
            findings.append(finding("WB116", head.path, head.line, chain=" → ".join(head.chain)))
        for name in head.severities:
            if known and severity_name(name) not in known and severity_name(name)[0] in {key[0] for key in known}:
                findings.append(
                    finding("WB115", head.path, head.line, name=name, known=", ".join(known.values())[:200])
                )
    for start, onward in steps.items():
        for _, head in onward:
            circle = _circle(start, head.chain[1].lower(), steps)
            if circle and start == min(circle):
                findings.append(finding("WB116", head.path, head.line, chain=" → ".join([*circle, circle[0]])))
                break
    return findings


def _circle(start: str, at: str, steps: dict[str, list[tuple[str, Head]]]) -> list[str]:
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
