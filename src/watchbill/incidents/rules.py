"""Which clocks an incident has, whom it pages, and which runbook goes with it: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbill.clocks.rules import Policy, read_policy
from watchbill.language.names import canonical

#: Clocks that an incident starts, in the order in which a page shows them.
CLOCKS = ("acknowledge", "respond", "update", "resolve")
#: Those that are paused while it waits for somebody else; people still want to hear how it stands.
WAIT = ("respond", "resolve")


def may_wait(state: str, waiting_for: str, running: Iterable[str]) -> bool:
    """Whether an incident's clocks may be paused: somebody sees to it, it does not wait yet, and one runs that can."""
    return state == "acknowledged" and not waiting_for and any(kind in WAIT for kind in running)


#: The words of a clock: what somebody has to do.
WORDS = {
    "acknowledge": "acknowledge", "respond": "begin to work on it", "update": "tell how it stands", "resolve": "resolve", "brief": "brief",
}  # fmt: skip


def clocks_of(severity: Mapping[str, Any], opened_at: datetime) -> dict[str, Policy]:
    """The clocks of a stamped severity for an incident that begins at an instant.

    Outside of business hours its other deadlines count, where it has some. Where it names a response and no acknowledgement,
    the acknowledgement is the first response: one clock, not two.
    """
    found = {kind: read_policy(data) for kind, data in severity.get("clocks", {}).items()}
    other = {kind: read_policy(data) for kind, data in severity.get("off_hours", {}).items()}
    if other:
        calendar = next(iter(other.values())).calendar
        if not calendar.is_open(opened_at):
            found |= other
    if "acknowledge" not in found and "respond" in found:
        found["acknowledge"] = found.pop("respond")
    return {kind: found[kind] for kind in CLOCKS if kind in found}


@dataclass(frozen=True, slots=True)
class Choice:
    """The names by which an escalation is looked up, in their order, and why those."""

    names: tuple[str, ...]
    why: str


def whom(route: Mapping[str, Any], severity: Mapping[str, Any] | None) -> Choice:
    """Whom an incident pages: the route says, else its severity."""
    pages = str(route.get("pages") or "")
    place = f"{route['path']}:{route['line']}" if route.get("path") else ""
    if pages and not place:
        return Choice((canonical(pages),), f"whoever declared it chose {pages}")
    if pages:
        return Choice((canonical(pages),), f"the route “{route.get('name', '')}” ({place}) pages {pages}")
    if severity and severity.get("pages"):
        return Choice(
            tuple(severity["pages"]),
            f"{severity['name']} ({severity.get('path', '')}:{severity.get('line', 0)}) pages by its escalation",
        )
    return Choice((), "neither the route nor the severity says whom to page")


def together(policy: Mapping[str, Any], everyone: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An all-hands escalation: every contact at once in the first step, then the steps as they are."""
    steps = [dict(one) for one in policy.get("steps", [])] or [{"after": 0, "targets": []}]
    known = {(one["kind"], str(one["id"])) for one in steps[0]["targets"]}
    more = []
    for one in everyone:
        mark = (one["kind"], str(one["id"]))
        if mark not in known and one["kind"] != "none":
            known.add(mark)
            more.append({**one, "why": f"all hands: {one.get('why') or one.get('name', '')}"})
    steps[0] = {**steps[0], "targets": [*steps[0]["targets"], *more]}
    return {**policy, "steps": steps}


def guide_for(name: str, guides: Iterable[tuple[str, str, bool]]) -> str | None:
    """The id of the runbook page that goes with an alert's name: its own page; else the symptom with the most words of it.

    ``guides`` are (id, canonical alert or symptom, exact). A symptom needs two words in common, or one long one of a short name.
    """
    wanted = canonical(_spaced(name))
    best: tuple[float, str] | None = None
    words = {word for word in wanted.split() if len(word) > 2}
    for identifier, told, exact in guides:
        if exact and canonical(_spaced(told)) == wanted:
            return identifier
        if exact:
            # The page of another alert.
            continue
        there = {word.strip("()[]{}.,:;!?\"'") for word in canonical(_spaced(told)).split() if len(word) > 2}
        common = words & there
        if not common or (len(common) < 2 and not (len(words) <= 2 and max(map(len, common)) > 5)):
            continue
        score = len(common) / len(words | there)
        if best is None or score > best[0]:
            best = (score, identifier)
    return best[1] if best else None


def _spaced(name: str) -> str:
    """“HighErrorRate” and “high_error_rate” as words."""
    found = ""
    for position, char in enumerate(name.replace("_", " ").replace("-", " ")):
        if char.isupper() and position and not name[position - 1].isupper() and found[-1:] != " ":
            found += " "
        found += char
    return found


def urgency_of(rank: int | None, ranks: Iterable[int]) -> str:
    """Whether an incident wakes people: the least severity of a scale of three and more does not; its messages are quiet ones."""
    worst = max(ranks, default=0)
    return "low" if rank is not None and worst >= 3 and rank == worst else "high"


#: The colour of a severity by its rank: the two worst stand out. Its word stands beside it.
_TONES = {1: "wrong", 2: "notice"}


def tone_of(rank: int) -> str:
    """The colour of a severity in a list; what has no severity has none."""
    return _TONES.get(rank, "info") if rank else "off"
