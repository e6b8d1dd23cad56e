"""“Can this hub page?” for one workspace: one function that looks, and a named reason for everything that it found.

Nothing here reads the network. Each look fails alone: what could not be looked at is a reason itself, never an exception and
never silence. A feature above this floor adds its own look, and the codes of its reasons, with ``look``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog
from django.db import transaction
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.ids import HUB
from watchbill.paging.models import Policy
from watchbill.people.models import Workspace
from watchbill.signals.models import Source

log = structlog.get_logger("watchbill.ability")
#: broken: somebody who must hear would not; alarm: something fires that only the admins were paged about; warning: it may come to that;
#: note: worth knowing, no more.
Level = Literal["broken", "alarm", "warning", "note"]
LEVELS: tuple[Level, ...] = ("broken", "alarm", "warning", "note")

#: Every reason: its stable code → what it means; of one level, what others follow from comes first. Features above this floor bring theirs by ``look``. docs/paging.md has the whole table; a test compares.
CODES: dict[str, str] = {
    "no-worker": "no worker has given a sign of life for 30 seconds",
    "could-not-look": "a look failed, so that nobody knows",
    "lag": "work of the hub waits longer than it should",
    "no-channel": "no channel is set up that could carry a page",
    "channel-down": "the last message by a channel failed, and none has gone out by it since",
    "unreachable": "somebody whom the live handbook pages has no contact that works here",
    "unverified": "somebody is paged by contacts that nobody verified",
    "unbound-name": "a name that the live handbook pages means nobody",
    "invalid-phone": "a stored phone number is not a valid one",
    "empty-schedule": "nobody takes turns in a schedule",
    "gap-now": "nobody is on call in a schedule now",
    "gap-soon": "nobody is on call in a schedule at some time of the next 7 days",
    "unrouted": "alerts fire whose severity ought to page, and they page nobody",
    "unrouted-quiet": "alerts fire that no route takes, none of a severity that pages",
    "silenced": "silences are in force",
    "silenced-all": "a silence holds back every alert",
    "never-tested": "nobody has tested their pages yet",
    "test-old": "the last test of somebody's pages is older than 30 days",
    "test-failed": "the last test of somebody's pages reached nobody, and nothing has gone out since",
    "no-sender": "no integration takes alerts in, so that nothing can send one here",
    "sender-clock": "the clock of an integration's sender is wrong, so that its alerts open and end late",
    "unusable-message": "a message of the last day could not be used, whole or in part",
    "late-deliveries": "messages that are due have not gone out",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that keeps the hub from paging, or may. ``fix`` says what to do, ``url`` is the page within the hub where it is done."""

    code: str
    level: Level
    text: str
    fix: str
    url: str


@dataclass(frozen=True)
class Ability:
    """What was found out about a workspace at an instant. ``looked``: the looks that were taken."""

    at: datetime
    demo: bool
    reasons: tuple[Reason, ...]
    looked: tuple[str, ...] = ()

    @property
    def broken(self) -> list[Reason]:
        """What keeps it from paging."""
        return [one for one in self.reasons if one.level == "broken"]

    @property
    def alarms(self) -> list[Reason]:
        """What fires, and reached only those who look after the workspace: it can page, and nothing calms."""
        return [one for one in self.reasons if one.level == "alarm"]

    @property
    def warnings(self) -> list[Reason]:
        """What may come to that."""
        return [one for one in self.reasons if one.level == "warning"]

    @property
    def notes(self) -> list[Reason]:
        """What is worth knowing."""
        return [one for one in self.reasons if one.level == "note"]

    @property
    def can_page(self) -> bool:
        """Whether nothing was found that keeps it from paging. A demo pages nobody."""
        return not self.demo and not self.broken

    @property
    def counts(self) -> dict[str, int]:
        """How many reasons there are of each code."""
        found: dict[str, int] = {}
        for one in self.reasons:
            found[one.code] = found.get(one.code, 0) + 1
        return found


@dataclass(frozen=True)
class Place:
    """The workspace that is looked at."""

    workspace_id: UUID
    slug: str
    at: datetime
    demo: bool = False

    def url(self, name: str, *args: object) -> str:
        """The address of a page of this workspace."""
        return reverse(name, args=[self.slug, *args])

    def reason(self, code: str, level: Level, text: str, fix: str, page: str) -> Reason:
        """A reason whose remedy is on one of this workspace's pages."""
        return Reason(code, level, text, fix, self.url(page))


Look = Callable[[Place], Iterable[Reason]]


@dataclass(frozen=True)
class _Registered:
    look: Look
    #: Also in the hub's own workspace, which has no handbook.
    hub: bool
    #: Also in a demo, which sends nothing.
    demo: bool


_LOOKS: dict[str, _Registered] = {}


def look(
    name: str, *, hub: bool = False, demo: bool = False, codes: Mapping[str, str] | None = None
) -> Callable[[Look], Look]:
    """Registers a look under a name that reads well after “could not look at”. ``codes`` are those of its reasons that are not in ``CODES`` yet,
    each with what it means. A code means one thing: one that is taken is refused."""
    for code, words in (codes or {}).items():
        if CODES.setdefault(code, words) != words:
            raise ValueError(f"The code {code} of the look “{name}” is taken: it means “{CODES[code]}”.")

    def register(function: Look) -> Look:
        _LOOKS[name] = _Registered(function, hub, demo)
        return function

    return register


def ability(workspace_id: UUID, at: datetime) -> Ability:
    """Whether a workspace could page somebody now, with every reason against it, the worst first. For rules and messages; readers use
    ``access_ability``. The number of queries does not depend on how much there is."""
    row = Workspace.objects.filter(id=workspace_id).values_list("slug", "demo").first()
    slug, demo = row if row else ("", False)
    place = Place(workspace_id, slug, at, demo)
    wanted = {name: one for name, one in _LOOKS.items() if (one.hub or workspace_id != HUB) and (one.demo or not demo)}
    found = _take({name: one.look for name, one in wanted.items()}, place)
    if demo:
        # Nothing leaves a demo anyway: what would be broken elsewhere is worth a look here.
        found = [replace(one, level="warning") if one.level in ("broken", "alarm") else one for one in found]
    order = {code: number for number, code in enumerate(CODES)}
    # A code that nobody brought is a mistake, and no reason to hide what was found.
    found.sort(key=lambda one: (LEVELS.index(one.level), order.get(one.code, len(order))))
    return Ability(at, demo, tuple(found), tuple(wanted))


def _take(looks: Mapping[str, Look], place: Place) -> list[Reason]:
    """What all looks found: together, which costs one savepoint; each alone, where one of them fails."""
    try:
        with transaction.atomic():
            return [reason for one in looks.values() for reason in one(place)]
    except Exception:
        return [reason for name, one in looks.items() for reason in _alone(name, one, place)]


def _alone(name: str, one: Look, place: Place) -> list[Reason]:
    """What a look found; that it failed, where it did. A savepoint keeps its failure from the others."""
    try:
        with transaction.atomic():
            return list(one(place))
    except Exception as error:
        log.exception("ability.could_not_look", look=name)
        return [
            Reason(
                "could-not-look",
                "broken",
                f"Could not look at {name}: {type(error).__name__}.",
                "Run watchbill doctor on the hub's machine; the hub's log has the whole error.",
                place.url("overview") if place.slug else "/",
            )
        ]


def in_use(workspace_id: UUID) -> bool:
    """Whether anybody counts on it yet: a workspace that is only just being set up alarms nobody."""
    return (
        Policy.objects.filter(workspace_id=workspace_id, state="live").exists()
        or Source.objects.filter(workspace_id=workspace_id, revoked_at=None).exists()
    )


def access_ability(reader: Actor, workspace_id: UUID, at: datetime) -> Ability:
    """The same for those who may see pages: names and counts, never an address."""
    reader.require("page.read", workspace_id)
    return ability(workspace_id, at)


def names_few(names: Iterable[str], most: int = 3) -> str:
    """Some names, and how many more there are."""
    told = list(dict.fromkeys(names))
    more = len(told) - most
    return ", ".join(told[:most]) + (f" and {more} more" if more > 0 else "")


def count_of(number: int, one: str, many: str = "") -> str:
    """“1 person”, “2 people”."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
