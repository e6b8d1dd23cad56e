"""What “Can this hub page?” looks at: each look answers reasons, with true counts, and what to do about them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from watchbill.oncall import rules as shifts
from watchbill.oncall.queries import current_schedules, layers_of, overrides_of
from watchbill.paging.ability import Level, Place, Reason, count_of, look, names_few
from watchbill.paging.channels import CARRIERS, KINDS
from watchbill.paging.models import Channel, Delivery, Page, Policy
from watchbill.paging.roster import OWNERS, Entry, roster_of
from watchbill.paging.unanswered import arrived
from watchbill.people.models import ContactMethod, Membership
from watchbill.people.phones import problem_of
from watchbill.runtime.lag import DELIVERIES, due_deliveries, is_gone, lag
from watchbill.runtime.lag import KINDS as KINDS_OF_LAG
from watchbill.signals import silences
from watchbill.signals.heard import ADMINS
from watchbill.signals.matchers import Matcher, read_matchers
from watchbill.signals.unrouted import MOST, Setting, count_by_severity, must_be_heard, setting_of
from watchbill.signals.unrouted import unrouted as unpaged

#: How old the last test of somebody's pages may be.
TEST_SERVES = timedelta(days=30)
AHEAD = timedelta(days=7)
#: Labels that no real alert has: a silence that hides all of these hides everything.
_PROBES = ("q7", "critical", "warning", "Some-Name_9", "10.0.0.1:9100")


@look("the channels")
def channels(place: Place) -> Iterator[Reason]:
    """Whether something carries pages, and whether the last attempt of each went out."""
    rows = list(
        Channel.objects.filter(workspace_id=place.workspace_id, removed_at=None)
        .exclude(kind="selftest")
        .order_by("created_at", "id")
    )
    if not rows:
        yield place.reason(
            "no-channel", "broken", "No channel is set up: no page can leave this hub.", "Set up a channel", "channels"
        )
        return
    carriers = set(CARRIERS.values())
    if not any(one.kind in carriers for one in rows):
        yield place.reason(
            "no-channel",
            "broken",
            "No channel is set up that reaches a person: pages to people do not go out.",
            "Set up e-mail, text messages or notifications of browsers",
            "channels",
        )
    down = [one for one in rows if one.last_problem]
    named = (
        _named_channels(place.workspace_id)
        if any(KINDS[one.kind].target for one in down if one.kind in KINDS)
        else set()
    )
    for one in down:
        kind = KINDS.get(one.kind)
        target = kind is not None and kind.target
        stands_in = not target and any(other.kind == one.kind and not other.last_problem for other in rows)
        level: Any = "broken" if (str(one.id) in named if target else not stands_in) else "warning"
        when = f" at {one.last_problem_at:%Y-%m-%d %H:%M} UTC" if one.last_problem_at else ""
        then = "; another channel of its kind stands in" if stands_in else "; nothing has gone out by it since"
        text = f"The last message by “{one.name}” failed{when}: {one.last_problem[:200].rstrip('.')}{then}."
        yield place.reason("channel-down", level, text, "Look at the channel", "channels")


def _named_channels(workspace_id: UUID) -> set[str]:
    """The channels that the live handbook names itself."""
    rows = Policy.objects.filter(workspace_id=workspace_id, state="live").values_list("steps", "otherwise")
    return {
        str(target["id"])
        for steps, otherwise in rows
        for target in [*(target for step in steps for target in step["targets"]), *(otherwise or [])]
        if target["kind"] == "channel"
    }


@look("the contacts", demo=True)
def contacts(place: Place) -> Iterator[Reason]:
    """Whom the names of the live handbook mean, and by what each is reached."""
    entries = roster_of(place.workspace_id, history=False).entries
    nobody = [one for one in entries if one.problem and one.kind not in ("schedule", "channel", "email")]
    if nobody:
        verb = "means" if len(nobody) == 1 else "mean"
        yield place.reason(
            "unbound-name",
            "broken",
            f"{count_of(len(nobody), 'name')} of the live handbook {verb} nobody: {names_few(one.name for one in nobody)}.",
            "Say whom they mean",
            "oncall_roster",
        )
    if place.demo:
        return
    yield from _reached(place, entries)
    people = {who.id for one in entries for who in one.people}
    wrong = _wrong_phones(people)
    if wrong:
        who = {person.id: person.name for one in entries for person in one.people}
        yield place.reason(
            "invalid-phone",
            "warning",
            f"{count_of(len(wrong), 'person', 'people')} {_have(len(wrong))} a phone number that is not valid: "
            f"{names_few(who[one] for one in wrong)}.",
            "Correct the number",
            "people",
        )


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _reached(place: Place, entries: Iterable[Entry]) -> Iterator[Reason]:
    """Who is paged and has no way to be reached, and who only has unverified ones."""
    lost: dict[UUID, str] = {}
    alone, unverified = False, dict[UUID, str]()
    for entry in entries:
        missing = {one.id: one.name for one in entry.people if not one.methods}
        lost |= missing
        # In a team others hear; a person, and whoever takes their turn, is alone.
        alone |= bool(missing) and (entry.kind != "team" or len(missing) == len(entry.people))
        unverified |= {one.id: one.name for one in entry.people if one.methods and one.problem}
        if entry.problem and entry.kind in ("channel", "email"):
            level: Any = "broken" if entry.kind == "email" or "removed" in entry.problem else ""
            if level:
                text = f"“{entry.name}” reaches nobody: {entry.problem}."
                yield place.reason("unreachable", level, text, "Look at the contacts", "oncall_roster")
    if lost:
        yield place.reason(
            "unreachable",
            "broken" if alone else "warning",
            f"{count_of(len(lost), 'person', 'people')} whom the live handbook pages cannot be reached: {names_few(lost.values())}.",
            "Look at the contacts",
            "oncall_roster",
        )
    if unverified:
        verb = "is" if len(unverified) == 1 else "are"
        yield place.reason(
            "unverified",
            "warning",
            f"{count_of(len(unverified), 'person', 'people')} {verb} paged by contacts that nobody verified: "
            f"{names_few(unverified.values())}.",
            "They verify them under My paging",
            "oncall_roster",
        )


def _wrong_phones(people: Iterable[UUID]) -> list[UUID]:
    """Who of these has a phone number that could not be called."""
    rows = ContactMethod.objects.filter(kind="phone", person_id__in=list(people)).values_list("person_id", "value")
    return list(dict.fromkeys(person_id for person_id, value in rows if problem_of(value)))


@look("the schedules", demo=True)
def schedules(place: Place) -> Iterator[Reason]:
    """Who is on call now and in the next 7 days; a turn of somebody who is not here any more is a gap."""
    rows = list(current_schedules(place.workspace_id, place.at))
    if not rows:
        return
    here = {
        str(one)
        for one in Membership.objects.filter(
            workspace_id=place.workspace_id, ended_at=None, person__active=True
        ).values_list("person_id", flat=True)
    }
    empty, open_now, soon = [], {}, []
    for row in rows:
        layers = layers_of(row.layers)
        overrides = overrides_of(row)
        if not overrides and not any(one.participants for one in layers):
            empty.append(row.name)
            continue
        found = [
            one
            for one in shifts.shifts(layers, overrides, place.at, place.at + AHEAD)
            if not one.who or one.who not in here
        ]
        if found and found[0].start <= place.at:
            open_now[str(row.id)] = (row.name, found[0])
            found = found[1:]
        soon += [(row.name, one) for one in found]
    if empty:
        yield place.reason(
            "empty-schedule",
            "broken",
            f"Nobody takes turns in {names_few(empty)}.",
            "Name its people in the runbook, or bind their names",
            "oncall",
        )
    yield from _gaps(place, open_now, soon, {str(row.id) for row in rows} - set(open_now))


def _gaps(
    place: Place,
    open_now: Mapping[str, tuple[str, shifts.Shift]],
    soon: list[tuple[str, shifts.Shift]],
    covered: set[str],
) -> Iterator[Reason]:
    if open_now:
        alone = _not_stood_in_for(place.workspace_id, set(open_now), covered)
        for level, keys in (("broken", [key for key in open_now if key in alone]), ("warning", [key for key in open_now if key not in alone])):  # fmt: skip
            for key in keys:
                name, shift = open_now[key]
                until = (
                    f"until {shift.end:%Y-%m-%d %H:%M} UTC" if shift.end < place.at + AHEAD else "for the next 7 days"
                )
                more = "" if level == "broken" else "; others of the same step are paged"
                text = f"Nobody is on call in {name} {until}{more}."
                yield place.reason("gap-now", level, text, "Let somebody take over", "oncall")  # type: ignore[arg-type]
    if soon:
        name, first = min(soon, key=lambda one: one[1].start)
        yield place.reason(
            "gap-soon",
            "warning",
            f"{count_of(len(soon), 'gap')} in the next 7 days in {names_few(one for one, _ in soon)}: "
            f"the first from {first.start:%Y-%m-%d %H:%M} UTC, in {name}.",
            "Let somebody take over",
            "oncall",
        )


def _not_stood_in_for(workspace_id: UUID, open_now: set[str], covered: set[str]) -> set[str]:
    """Which of the schedules that nobody is on in leave a step without anybody, or are in no step at all."""
    used, alone = set(), set()
    rows = (
        Policy.objects.filter(workspace_id=workspace_id, state="live")
        .exclude(key=OWNERS)
        .values_list("steps", flat=True)
    )
    for steps in rows:
        for step in steps:
            mine = {str(one["id"]) for one in step["targets"] if one["kind"] == "schedule"} & open_now
            others = any(
                one["kind"] in ("person", "team", "email", "channel") or str(one["id"]) in covered
                for one in step["targets"]
            )
            used |= mine
            alone |= set() if others else mine
    return alone | (open_now - used)


@look("the alerts", demo=True)
def alerts(place: Place) -> Iterator[Reason]:
    """What fires and pages nobody."""
    setting = setting_of(place.workspace_id)
    loud, quiet, told, capped = _unrouted(place.workspace_id, setting)
    if loud:
        total = sum(loud.values())
        if len(loud) == 1:
            severity = next(iter(loud))
            what = f"{total:,} {severity} alert{'s' if total != 1 else ''}".replace("  ", " ")
        else:
            parts = ", ".join(f"{number} {name or 'without a severity'}" for name, number in loud.items())
            what = f"{count_of(total, 'alert')} ({parts})"
        verb = ("fires and pages", "fire and page")[total != 1]
        level, instead = _instead(place, setting, told)
        text = f"{'At least ' if capped else ''}{what} {verb} nobody{instead}."
        yield place.reason("unrouted", level, text, "Make a route", "alerts")
    if quiet:
        verb = ("fires", "fire")[quiet != 1]
        text = f"{count_of(quiet, 'alert')} {verb} without a route; none of them is meant to page."
        yield place.reason("unrouted-quiet", "note", text, "Look at them", "alerts")


#: How long the page about what no route takes may be on its way, in which nobody says yet that it reached nobody.
ON_ITS_WAY = timedelta(minutes=2)
_NO_PAGE = UUID(int=0)


def _instead(place: Place, setting: Setting, told: Mapping[UUID | None, datetime]) -> tuple[Level, str]:
    """Who heard of what pages nobody: by the pages that tell of it (each with the oldest group of it). Broken where nobody could be reached."""
    pages = {one.id: one for one in Page.objects.filter(id__in=[one or _NO_PAGE for one in told])}
    late = [one for one, since in told.items() if one not in pages and place.at - since > ON_ITS_WAY]
    waits = [one for one in pages.values() if one.acknowledged_at is None and place.at - one.started_at > ON_ITS_WAY]
    heard = set(Page.objects.filter(arrived(), id__in=[one.id for one in waits]).values_list("id", flat=True))
    if any(one.id not in heard for one in waits):
        return "broken", "; nobody could be reached about it either"
    if late:
        return "broken", "; nobody was paged about it instead"
    if pages and all(one.acknowledged_at for one in pages.values()) and not set(told) - set(pages):
        return "alarm", "; somebody acknowledged it"
    return (
        "alarm",
        "; the admins are paged instead" if setting.pages == ADMINS else f"; {setting.pages} is paged instead",
    )


def _unrouted(workspace_id: UUID, setting: Setting) -> tuple[dict[str, int], int, dict[UUID | None, datetime], bool]:
    """Groups that fire and page nobody: by severity those that must be heard; how many others; the pages that tell of the former, each with
    since when its oldest fires; and whether there are more than were looked at.

    Where the handbook says with a reason that nobody hears of them, all are others.
    """
    found = unpaged(workspace_id, setting)
    loud = must_be_heard(found, setting)
    counts = {("" if name == "no severity" else name): number for name, number in count_by_severity(loud).items()}
    told: dict[UUID | None, datetime] = {}
    for one in loud:
        told[one.told] = min(one.since, told.get(one.told, one.since))
    return counts, len(found) - len(loud), told, len(found) >= MOST


@look("the silences", demo=True)
def silenced(place: Place) -> Iterator[Reason]:
    """Silences in force; one that hides everything is no silence any more."""
    there = silences.current(place.workspace_id, place.at)
    whole = [(row, end) for row, end in there if _hides_all(read_matchers(row.match))]
    for row, end in whole:
        text = f"A silence holds back every alert until {end:%Y-%m-%d %H:%M} UTC: {row.reason[:120].rstrip('.')}."
        yield place.reason("silenced-all", "broken", text, "End the silence", "silences")
    rest = len(there) - len(whole)
    if rest:
        verb = ("holds", "hold")[rest != 1]
        text = f"{count_of(rest, 'silence')} {verb} alerts back now."
        yield place.reason("silenced", "note", text, "Look at them", "silences")


def _hides_all(matchers: Iterable[Matcher]) -> bool:
    """Whether alerts of whatever labels fit."""
    told = list(matchers)
    return bool(told) and all(one.holds({name.name: probe for name in told}) for probe in _PROBES for one in told)


@look("the last test")
def tested(place: Place) -> Iterator[Reason]:
    """Whether somebody's pages were tested lately, and what came of it."""
    last = (
        Page.objects.filter(workspace_id=place.workspace_id, subject_kind="test", shadow=False).order_by("-id").first()
    )
    if last is None:
        yield place.reason(
            "never-tested", "warning", "Nobody has tested their pages yet.", "Test my pages", "my_paging"
        )
        return
    states = set(Delivery.objects.filter(page=last).values_list("state", flat=True))
    went = Channel.objects.filter(workspace_id=place.workspace_id, last_ok_at__gte=last.started_at).exists()
    if not states & {"sent", "delivered", "waiting", "sending"} and not went:
        yield place.reason(
            "test-failed",
            "broken",
            f"The last test of somebody's pages, at {last.started_at:%Y-%m-%d %H:%M} UTC, reached nobody.",
            "See what came of it, and test again",
            "my_paging",
        )
    elif place.at - last.started_at > TEST_SERVES:
        yield place.reason(
            "test-old",
            "warning",
            f"The last test of somebody's pages is {(place.at - last.started_at).days} days old.",
            "Test my pages",
            "my_paging",
        )


@look("the worker", hub=True, demo=True)
def worker(place: Place) -> Iterator[Reason]:
    """Whether something carries pages out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT worker_age FROM wb_health()")
        age = cursor.fetchone()[0]
    if is_gone(age):
        since = "was ever seen" if age is None else f"has given a sign of life for {_long(age)}"
        text = f"No worker {since}: nothing is sent, and no alert is taken in."
        yield place.reason("no-worker", "broken", text, "Start watchbill serve, or watchbill worker", "overview")


def _long(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


@look("the messages that are due", hub=True)
def deliveries(place: Place) -> Iterator[Reason]:
    """Messages that should have gone out by now; who waits behind their own messages is not late (`runtime/lag.py`)."""
    for one in due_deliveries(place.workspace_id):
        if one.late:
            what = count_of(one.count, KINDS_OF_LAG[one.kind].one, KINDS_OF_LAG[one.kind].many)
            text = f"{what} {_have(one.count)} been due for up to {_long(one.oldest)}."
            level: Any = "broken" if one.stops_all else "warning"
            yield place.reason("late-deliveries", level, text, "See which pages wait", "pages")


@look("the hub's own work", hub=True, demo=True)
def own_work(place: Place) -> Iterator[Reason]:
    """What waits for the worker longer than it should, in the whole hub; messages are this workspace's own matter."""
    for one in lag():
        if one.kind not in DELIVERIES:
            level: Any = "broken" if one.stops_all else "warning"
            yield place.reason("lag", level, f"{one.text}.", one.remedy.rstrip("."), "overview")
