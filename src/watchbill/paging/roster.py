"""The contact roster: whom the names of the live handbook mean, and how each is reached; confirmed as often as the handbook asks.

There is no table: the escalations are the names, the clock `confirm` about ("roster", workspace) is the duty, and who met it
when is its history.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max, Q
from django.urls import reverse

from watchbill.base.actor import SYSTEM_IDS, Actor, system
from watchbill.base.errors import Conflict
from watchbill.clocks import commands as clocks
from watchbill.clocks.models import Clock
from watchbill.clocks.rules import Policy as ClockPolicy
from watchbill.clocks.rules import read_policy
from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.facts.subjects import Shown
from watchbill.ledger.append import canonical
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.oncall.models import Schedule
from watchbill.paging.commands import admins_of, end_about, start, told_once
from watchbill.paging.models import Channel, Delivery, Habit, Policy
from watchbill.paging.rules import Way, ways_of
from watchbill.paging.setup import available
from watchbill.paging.stopped import ways_from
from watchbill.people.models import ContactMethod, Membership, Person, TeamMember, Workspace

#: What the roster's clock and its pages are about, and the clock's kind.
ROSTER, CONFIRM = "roster", "confirm"
#: The escalation that is whoever the handbook makes confirm it.
OWNERS = "roster#owners"
#: The share of its time after which its owners are told that it falls due.
TELL = 80
_HISTORY = 12


@dataclass(frozen=True)
class Reached:
    """A person of the roster: which methods an urgent page goes by, when the last message went there; ``problem`` says why none would."""

    id: UUID
    name: str
    methods: tuple[str, ...]
    last_at: datetime | None
    problem: str = ""


@dataclass(frozen=True)
class Entry:
    """A name of the handbook, what it means now (person, team, schedule, channel, email, none: ``means`` is its name), and which escalations use it."""

    name: str
    kind: str
    means: str
    used: tuple[str, ...]
    people: tuple[Reached, ...] = ()
    problem: str = ""

    @property
    def problems(self) -> list[str]:
        """What is wrong with it and with whom it means."""
        return [
            *([self.problem] if self.problem else []),
            *(f"{one.name}: {one.problem}" for one in self.people if one.problem),
        ]


@dataclass(frozen=True)
class Roster:
    """Every name that a page can go to; ``digest`` changes with what it means or how it is reached, so that one confirms what one saw."""

    entries: tuple[Entry, ...]
    digest: str

    @property
    def problems(self) -> list[str]:
        """What is wrong with any of them."""
        return [problem for one in self.entries for problem in one.problems]


@dataclass(frozen=True)
class Confirmed:
    """Somebody confirmed the roster."""

    at: datetime
    by: UUID | None
    late: bool


def roster_of(workspace_id: UUID, *, history: bool = True) -> Roster:
    """The roster as it stands. For rules and messages; readers use ``access_roster``. Without ``history`` nobody asks when a message
    last went to whom: that reads every message that went out."""
    used: dict[tuple[str, str, str], tuple[Mapping[str, Any], dict[str, None]]] = {}
    for policy in (
        Policy.objects.filter(workspace_id=workspace_id, state="live").exclude(key=OWNERS).order_by("name", "key")
    ):
        for target in _targets(policy):
            mark = (target["kind"], str(target["id"]), _said(target))
            used.setdefault(mark, (target, {}))[1][policy.name.removesuffix(": escalation")] = None
    book = _Book(workspace_id, [target for target, _ in used.values()], history=history)
    entries = sorted(
        (book.entry(target, tuple(names)) for target, names in used.values()), key=lambda one: (not one.problems, one.name.casefold())
    )  # fmt: skip
    # When a message last went there is no part of it: a page in the meantime makes nobody look again.
    told = [
        [one.name, one.kind, one.means, one.problem, [[str(who.id), who.methods, who.problem] for who in one.people]]
        for one in entries
    ]
    digest = hashlib.sha256(canonical(told).encode()).hexdigest()
    return Roster(tuple(entries), digest)


def reaches(workspace_id: UUID, policy: Mapping[str, Any]) -> bool:
    """Whether a stamped escalation reaches anybody: one person with a contact that works here is enough. For rules."""
    targets = [
        *(target for step in policy["steps"] for target in step["targets"]),
        *(policy.get("otherwise") or []),
    ]
    book = _Book(workspace_id, targets, history=False)
    for one in (book.entry(target, ()) for target in targets):
        if any(who.methods for who in one.people) or (one.kind in ("email", "channel") and not one.problem):
            return True
    return False


def _said(target: Mapping[str, Any]) -> str:
    """A target as the runbook names it."""
    return str(target.get("said") or target.get("name") or "")


def _targets(policy: Policy) -> Iterator[Mapping[str, Any]]:
    for step in policy.steps:
        yield from step["targets"]
    yield from policy.otherwise or []


class _Book:
    """The people, teams, schedules and channels of a workspace that some targets mean: one query each."""

    def __init__(self, workspace_id: UUID, targets: Iterable[Mapping[str, Any]], *, history: bool = True) -> None:
        ids: dict[str, list[str]] = {}
        for one in targets:
            ids.setdefault(one["kind"], []).append(str(one["id"]))
        mine = {"workspace_id": workspace_id}
        self.members: dict[str, list[str]] = {}
        for team, person in TeamMember.objects.filter(**mine, team_id__in=ids.get("team", [])).values_list(
            "team_id", "person_id"
        ):
            self.members.setdefault(str(team), []).append(str(person))
        for row in Schedule.objects.filter(**mine, id__in=ids.get("schedule", []), retired_at=None):
            self.members[str(row.id)] = sorted({who for layer in row.layers for who in layer["participants"]})
        self.channels = {
            str(one.id): one for one in Channel.objects.filter(**mine, id__in=ids.get("channel", []), removed_at=None)
        }
        wanted = {*ids.get("person", []), *(one for who in self.members.values() for one in who)}
        here = Membership.objects.filter(**mine, person_id__in=wanted, ended_at=None).values_list(
            "person_id", flat=True
        )
        self.people = {str(one.id): one for one in Person.objects.filter(id__in=list(here), active=True)}
        self.contacts: dict[UUID, list[Way]] = {}
        contacts = list(ContactMethod.objects.filter(person_id__in=list(self.people)).order_by("position", "id"))
        for contact, way in zip(contacts, ways_from(workspace_id, contacts), strict=True):
            self.contacts.setdefault(contact.person_id, []).append(way)
        self.habits = {
            one.person_id: one for one in Habit.objects.filter(**mine, person_id__in=list(self.people), urgency="high")
        }
        sent = Delivery.objects.filter(Q(state="sent") | Q(state="delivered"), **mine, person_id__in=list(self.people))
        self.last = dict(sent.values_list("person_id").annotate(last=Max("sent_at"))) if history else {}
        self.ways = available(workspace_id)

    def entry(self, target: Mapping[str, Any], used: tuple[str, ...]) -> Entry:
        """A target as a line of the roster."""
        kind, name, key = target["kind"], _said(target), str(target["id"])
        means = str(target.get("name") or "")
        if kind == "email":
            there = "email" in self.ways
            return Entry(name, kind, means, used, problem="" if there else "no channel for e-mail is set up here")
        if kind == "channel":
            channel = self.channels.get(key)
            problem = "this channel was removed" if channel is None else channel.last_problem
            return Entry(name, kind, means, used, problem=problem)
        if kind not in ("person", "team", "schedule"):
            return Entry(name, "none", "", used, problem=str(target.get("reason") or "nobody bound this name"))
        whom = [key] if kind == "person" else self.members.get(key, [])
        people = sorted(
            (self._reached(self.people[one]) for one in whom if one in self.people), key=lambda one: one.name.casefold()
        )
        missing = {
            "person": "this person is not here any more",
            "team": "the team has no members",
            "schedule": "nobody takes turns in it",
        }
        return Entry(name, kind, means, used, tuple(people), "" if people else missing[kind])

    def _reached(self, person: Person) -> Reached:
        habit = self.habits.get(person.id)
        plans = ways_of(self.contacts.get(person.id, []), "high", self.ways, habit.steps if habit else ())
        methods = tuple(dict.fromkeys(one.method for one in plans if not one.stage))
        problem = "" if methods else next((one.reason for one in plans if one.reason), "no contact is stored")
        if methods and not any(one.verified for one in self.contacts[person.id]):
            wrong = next((f": {one.problem}" for one in self.contacts[person.id] if one.problem), "")
            problem = f"no contact is verified{wrong}"
        return Reached(person.id, person.name, methods, self.last.get(person.id), problem)


def access_roster(reader: Actor, workspace_id: UUID) -> Roster:
    """The roster for those who may see pages: which methods, never an address."""
    reader.require("page.read", workspace_id)
    return roster_of(workspace_id)


def duty_of(workspace_id: UUID) -> Clock | None:
    """The clock by which it has to be confirmed next; None where the live handbook does not ask. For rules; readers use ``access_duty``."""
    rows = Clock.objects.filter(
        Q(state__in=clocks.OPEN) | Q(state="breached", met_at=None), subject_kind=ROSTER, subject_id=str(workspace_id)
    )
    return rows.filter(workspace_id=workspace_id, kind=CONFIRM).order_by("-id").first()


def access_duty(reader: Actor, workspace_id: UUID) -> tuple[Clock, str, int] | None:
    """That clock, with the file and line of the handbook that ask for it, for those who may see pages."""
    reader.require("page.read", workspace_id)
    clock, asks = duty_of(workspace_id), Policy.objects.filter(workspace_id=workspace_id, key=OWNERS).first()
    return (clock, asks.path, asks.line) if clock is not None and asks is not None else None


def access_confirmed(reader: Actor, workspace_id: UUID) -> list[Confirmed]:
    """Who confirmed it when, the newest first."""
    reader.require("page.read", workspace_id)
    rows = Clock.objects.filter(workspace_id=workspace_id, subject_kind=ROSTER, kind=CONFIRM, met_at__isnull=False)
    # One that was late when the handbook stopped to ask was met by the hub.
    rows = rows.exclude(met_by__in=SYSTEM_IDS.values()).order_by("-met_at")
    return [Confirmed(one.met_at, one.met_by, one.state == "breached") for one in rows[:_HISTORY] if one.met_at]


def keep(workspace_id: UUID, wanted: ClockPolicy | None) -> None:
    """Has it confirmed as often as the live handbook says; None: not at all any more. A part of applying a handbook, which writes the entry."""
    by, about, there = system("worker"), (ROSTER, workspace_id), duty_of(workspace_id)
    common: dict[str, Any] = {"by": by, "workspace_id": workspace_id, "subject": about, "kind": CONFIRM}
    if wanted is None:
        if there is not None:
            (clocks.meet if there.state == "breached" else clocks.cancel)(**common)
            end_about(by=by, workspace_id=workspace_id, subject=about, why="the handbook does not ask for it any more")
    elif there is None:
        clocks.start(**common, policy=wanted)
    elif there.state == "running" and (there.policy["duration"], there.policy["business"]) != (
        wanted.duration,
        wanted.business,
    ):
        clocks.change(**common, policy=wanted)


@command("roster.confirm", needs="roster.confirm", quieter=harmless("it confirms what is there"))
def confirm(*, by: Actor, workspace_id: UUID, seen: str) -> Roster:
    """Confirms that the roster is right as it was ``seen`` (its digest). What is wrong with it goes into the entry; its time begins anew."""
    found, clock = roster_of(workspace_id), duty_of(workspace_id)
    if seen != found.digest:
        raise Conflict("The roster is not what you looked at any more.", hint="Look at it again, then confirm it.")
    if clock is None:
        raise Conflict("The live handbook does not ask for the roster to be confirmed.", hint="Write in it how often: “Confirm the contact roster monthly.”")  # fmt: skip
    about = (ROSTER, workspace_id)
    met = clocks.meet(by=by, workspace_id=workspace_id, subject=about, kind=CONFIRM)
    clocks.start(by=by, workspace_id=workspace_id, subject=about, kind=CONFIRM, policy=read_policy(clock.policy))
    end_about(by=by, workspace_id=workspace_id, subject=about, why="the roster was confirmed")
    people = sorted({str(who.id) for one in found.entries for who in one.people})
    record(
        about,
        detail={
            "digest": found.digest, "names": len(found.entries), "people": people, "problems": len(found.problems),
            "late": met is not None and met.state == "breached",
        },
    )  # fmt: skip
    return found


@subscribe("clock.warned", "paging.roster_due", about=ROSTER)
def falls_due(fact: Fact) -> None:
    """Most of its time is over: who confirms it hears so."""
    if fact.data["percent"] == TELL:
        _tell(fact.workspace_id, "Confirm the contact roster")


@subscribe("clock.breached", "paging.roster_late", about=ROSTER)
def is_late(fact: Fact) -> None:
    """Nobody confirmed it in time: who should have hears so."""
    _tell(fact.workspace_id, "The contact roster was not confirmed in time")


def _tell(workspace_id: UUID, title: str) -> None:
    clock, by, about = duty_of(workspace_id), system("worker"), (ROSTER, workspace_id)
    if clock is None:
        return
    owners = Policy.objects.filter(workspace_id=workspace_id, key=OWNERS).first()
    why = "the handbook has the contact roster confirmed"
    targets = [one for step in owners.steps for one in step["targets"] if one["kind"] != "none"] if owners else []
    targets = targets or admins_of(workspace_id, f"{why}, and names nobody to do it: admins hear of it")
    found = roster_of(workspace_id)
    lines = [
        f"It is due by {clock.due_at:%Y-%m-%d %H:%M} UTC.",
        f"{len(found.entries)} names, {len(found.problems)} problems.",
    ]
    slug = Workspace.objects.filter(id=workspace_id).values_list("slug", flat=True).get()
    end_about(by=by, workspace_id=workspace_id, subject=about, why="it is said anew")
    start(
        by=by, workspace_id=workspace_id, subject=about, title=title, text="\n".join([*lines, *found.problems[:5]]), url=reverse("oncall_roster", args=[slug]),
        policy=told_once("Contact roster", *targets), why=why, urgency="low",
    )  # fmt: skip


def resolve_roster(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """The roster as a subject."""
    if not reader.may("page.read", workspace_id):
        return {}
    return {one: Shown(ROSTER, one, "the contact roster", reverse("oncall_roster", args=[slug])) for one in ids}
