"""Whether alerts would be heard: a handbook without a route, severities that no route gives, and who hears of the rest. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchbill.handbook.config import FILE, Config
from watchbill.handbook.heads import Head
from watchbill.language.findings import Finding, finding
from watchbill.language.names import canonical, severity_name
from watchbill.signals.heard import ADMINS, NOBODY, counts_as_paging, is_nobody, route_line

#: What a handbook has that is there to be paged by: without any of it, it needs no route.
_PAGED = ("severity", "escalation", "contact", "rota")
#: The label of alerts that the worst severity, the next one … is for, as most senders write it.
_LABELS = ("critical", "error", "warning")
#: States in which an item takes no alert.
_OFF = ("shadow", "ignored")


@dataclass(frozen=True, slots=True)
class Gaps:
    """Which alerts would page nobody whom the handbook names. ``pages``: a route pages. ``unrouted``: the item that wants a route and has none at
    all (WB121). ``ungiven``: the severities that no route gives (WB122), with their place among all."""

    pages: bool
    unrouted: Head | None = None
    ungiven: tuple[tuple[int, Head], ...] = ()


def gaps(there: Sequence[Head], config: Config) -> Gaps:
    """The gaps between items that are live, or would be. None where `unrouted` names nobody, with a reason: that is a decision."""
    paging = [head for head in there if head.kind == "route" and not any(is_nobody(name) for name in head.chain)]
    if config.unrouted.pages == NOBODY:
        return Gaps(bool(paging))
    levels: dict[str, Head] = {}
    for head in there:
        if head.kind == "severity":
            levels.setdefault(severity_name(head.name), head)
    if not paging:
        first = next(iter(levels.values()), None)
        return Gaps(False, first or next((head for head in there if head.kind in _PAGED), None))
    given = {severity_name(name) for head in paging for name in head.severities}
    ungiven = [
        (number, head)
        for number, (name, head) in enumerate(levels.items())
        if name not in given and counts_as_paging(head.name, config.unrouted.quiet)
    ]
    return Gaps(True, None, tuple(ungiven))


def heard(heads: Sequence[Head], config: Config, states: Iterable[str] = ()) -> list[Finding]:
    """The findings about routes of a whole handbook. ``states`` are those of its items, where some were accepted."""
    known = list(states) or ["proposed"] * len(heads)
    there = [head for head, state in zip(heads, known, strict=True) if state not in _OFF]
    whom = _whom(heads)
    routes = [head for head in heads if head.kind == "route"]
    found = [
        finding("WB124", head.path, head.line)
        for head in routes
        if any(is_nobody(name) for name in head.chain) and not head.reason
    ]
    pages = config.unrouted.pages
    if pages not in (ADMINS, NOBODY) and canonical(pages) not in {canonical(name) for name in whom}:
        told = ", ".join(whom) or "none is there"
        found.append(finding("WB125", FILE, config.line_of("unrouted"), name=pages, yaml=told))
    return [*found, *_findings(gaps(there, config), whom, config)]


def of_items(items: Iterable[tuple[str, str, str, int, Mapping[str, Any]]], config: Config) -> list[Finding]:
    """The same of items as they are live, or would be: (kind, name, path, line, data)."""
    return heard(heads_of(items), config)


def heads_of(items: Iterable[tuple[str, str, str, int, Mapping[str, Any]]]) -> list[Head]:
    """The heads of such items, as far as routes need them."""
    return [
        Head(
            kind, name, "", line, path=path, chain=[data["pages"]] if data.get("pages") else [], reason=data.get("because") or "",
            severities=[data["severity"]] if data.get("severity") else [],
        )
        if kind == "route"
        else Head(kind, name, "", line, path=path)
        for kind, name, path, line, data in items
    ]  # fmt: skip


def _findings(found: Gaps, whom: list[str], config: Config) -> list[Finding]:
    first = found.unrouted
    if first is not None:
        but = " but the admins" if config.unrouted.pages == ADMINS else f" but “{config.unrouted.pages}”"
        level = first.name if first.kind == "severity" else ""
        return [finding("WB121", first.path, first.line, but=but, yaml=_suggested(0, level, whom))]
    return [
        finding("WB122", head.path, head.line, name=head.name, yaml=_suggested(number, head.name, whom))
        for number, head in found.ungiven
    ]


def _suggested(number: int, level: str, whom: list[str]) -> str:
    label = _LABELS[number] if number < len(_LABELS) else level.lower()
    return route_line(label, level, whom)


def _whom(heads: Sequence[Head]) -> list[str]:
    """Whom a route can page: escalations, then contacts."""
    named = [head.name for kind in ("escalation", "contact") for head in heads if head.kind == kind]
    return list(dict.fromkeys(named))
