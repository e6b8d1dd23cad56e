"""What a batch of arrivals changes: read, weighed and grouped in memory, written with a few set-based statements.

A storm brings thousands of alerts a second, so what has a row per alert goes past the ORM; groups are few.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import structlog
from django.db import connection
from django.db.models import F, Q

from watchbill.base.ids import uuid7
from watchbill.facts.publish import declare, publish_all
from watchbill.runtime.isolation import describe
from watchbill.runtime.now import now
from watchbill.signals import state
from watchbill.signals.matchers import read_matchers
from watchbill.signals.models import Group, GroupEvent, Source
from watchbill.signals.models import Route as Row
from watchbill.signals.rules import (
    LONGEST_REOPEN,
    Incoming,
    Route,
    fingerprint,
    group_key,
    group_labels,
    reopens,
    route_of,
    times,
    title,
    words_of_gap,
)
from watchbill.signals.unrouted import is_decision, pages_nobody, setting_of, words_of

log = structlog.get_logger("watchbill.signals")
OPENED = declare("group.opened", "alerts of a new group fire", "severity")
REOPENED = declare("group.reopened", "alerts of a group that was over a moment ago fire again", "times")
GREW = declare("group.grew", "further alerts of an open group fire", "firing")
RESOLVED = declare("group.resolved", "the last alert of a group is resolved")
ROUTED = declare("group.routed", "another route takes an open group that paged nobody", "key")

_FIND = (
    "SELECT fingerprint, id, group_id, firing, starts_at, ends_at, expires_at, arrival, labels::text, annotations::text, url, seen_at, "
    "heard::text, hold_until "
    "FROM signals_alert WHERE source_id = %s AND fingerprint = ANY(%s) ORDER BY fingerprint FOR UPDATE"
)
_PUT = (
    "INSERT INTO signals_alert (id, group_id, fingerprint, firing, starts_at, ends_at, expires_at, arrival, labels, annotations, url, heard, hold_until, workspace_id, source_id, seen_at) "
    "SELECT i, g, f, x, s, e, p, n, l::jsonb, a::jsonb, u, h::jsonb, w, %b, %b, %b FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::bool[], %b::timestamptz[], "
    "%b::timestamptz[], %b::timestamptz[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[]) "
    "AS t(i, g, f, x, s, e, p, n, l, a, u, h, w) "
    "ON CONFLICT (source_id, fingerprint) DO UPDATE SET group_id = excluded.group_id, firing = excluded.firing, starts_at = excluded.starts_at, "
    "ends_at = excluded.ends_at, expires_at = excluded.expires_at, arrival = excluded.arrival, seen_at = excluded.seen_at, labels = excluded.labels, "
    "annotations = excluded.annotations, url = excluded.url, heard = excluded.heard, hold_until = excluded.hold_until"
)
#: Labels as rows, so that a list of them is found by an index under row-level security; the alert itself has them whole.
_FORGET = (
    "DELETE FROM signals_label USING unnest(%b::uuid[], %b::text[]) AS t(i, l), jsonb_each_text(l::jsonb) AS e(n, v) "
    "WHERE workspace_id = %b AND name = n AND value = left(v, %b) AND alert_id = i"
)
_LABEL = (
    "INSERT INTO signals_label (workspace_id, alert_id, name, value) SELECT %b, i, n, left(v, %b) "
    "FROM unnest(%b::uuid[], %b::text[]) AS t(i, l), jsonb_each_text(l::jsonb) AS e(n, v)"
)
_HELD = "firing right after it was resolved: opens at {:%H:%M} UTC, or when it is repeated, unless it is resolved first"
#: Beyond this nothing is reopened, whatever a route says.
LONGEST = timedelta(seconds=LONGEST_REOPEN)
#: As much of a label's value as can be filtered by: an index entry has an end.
LONGEST_VALUE = 400


@dataclass(slots=True)
class _Alert:
    """An alert as it stands, and as this batch leaves it. Labels and annotations are JSON, as it is stored."""

    id: UUID
    group: UUID | None
    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    expires_at: datetime | None
    arrival: int
    labels: str
    annotations: str
    url: str
    seen_at: datetime
    #: What its senders said (`state.py`), as JSON; none where they say no start, and in rows of the release before.
    told: str | None = None
    hold_until: datetime | None = None
    heard: state.Heard | None = None
    #: How many reports of one arrival were read.
    place: tuple[int, int] = (0, 0)
    #: The labels that its rows have: none while it has none, or while they stay.
    before: str | None = None
    relabelled: bool = False


def take_alerts(
    source: Source, arrivals: Iterable[tuple[int, list[Incoming]]], *, again: bool = False
) -> timedelta | None:
    """The alerts of some arrivals in their order: deduplicated and grouped in memory, then written with a few statements.

    What changes a group is a fact in the same transaction. With ``again`` the hub itself says so: it is no arrival, and newer than what is known.
    Answers how far the sender's clock is ahead, where that shows.
    """
    routes = routes_of(source.workspace_id)
    told = [
        (number, fingerprint(alert), alert, route_of(routes, alert.labels)) for number, alerts in arrivals for alert in alerts
    ]  # fmt: skip
    if not told:
        return None
    keys = {group_key(source.id, alert, route) for _, _, alert, route in told}
    batch = Batch(source, routes, again, {mark for _, mark, *_ in told}, keys)
    for number, mark, alert, route in told:
        batch.take(number, mark, alert, route)
    batch.write()
    return batch.skew


def routes_of(workspace_id: UUID) -> list[Route]:
    """The routes of the live handbook in their order, ready to be asked."""
    found: list[Route] = []
    for one in Row.objects.filter(workspace_id=workspace_id).order_by("position"):
        try:
            match = tuple(read_matchers(one.match))
        except Exception as error:
            # A route that cannot be read takes no alert; all others of its workspace go on.
            log.error("route.unreadable", workspace=str(workspace_id), route=one.key, error=describe(error))
            continue
        pages, group_by = one.pages, tuple(one.group_by)
        found.append(
            Route(
                one.key, one.name, one.state, match, one.severity, pages, group_by, one.path, one.line,
                one.reason, one.reopen_within,
            )
        )  # fmt: skip
    return found


def _as_before(row: _Alert) -> state.Heard:
    """What a row of the release before knows: the last thing that was said."""
    heard = state.Heard()
    if row.arrival:
        until = row.expires_at if row.firing else row.ends_at
        state.hear(
            heard, "", row.firing, state.Report(state.report_number(row.arrival), row.seen_at, row.starts_at, until)
        )
    return heard


def _json(found: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(found)).decode()


class Batch:
    """What is known of the alerts and groups that some arrivals speak of, and what they change."""

    def __init__(self, source: Source, routes: list[Route], again: bool, marks: set[str], keys: set[str]) -> None:
        self.source, self.at, self.routes, self.again = source, now(), routes, again
        self.alerts = self._find(marks)
        rows = Group.objects.select_for_update().filter(workspace_id=source.workspace_id)
        wanted = {one.group for one in self.alerts.values()}
        # What came resolved was never open: it reopens as nothing.
        over = Q(key__in=keys, state="resolved", resolved_at__gt=self.at - LONGEST) & ~Q(resolved_at=F("opened_at"))
        self.groups = {one.id: one for one in rows.filter(Q(key__in=keys, state="open") | Q(id__in=wanted) | over)}
        self.open = {one.key: one for one in self.groups.values() if one.state == "open"}
        gone = [one for one in self.groups.values() if one.resolved_at and one.resolved_at > one.opened_at]
        #: The latest of each key that is over.
        self.over = {one.key: one for one in sorted(gone, key=lambda one: (one.resolved_at or self.at, one.id))}
        self.back: dict[UUID, timedelta] = {}
        #: How far the sender's clock is ahead, where its alerts show it.
        self.skew: timedelta | None = None
        self.changed: dict[UUID, Group] = {}
        self.touched: dict[str, _Alert] = {}
        self.grown: dict[UUID, Group] = {}
        self.rerouted: dict[UUID, Group] = {}
        self.events: list[GroupEvent] = []
        self.news: list[tuple[str, UUID, tuple[str, object], dict[str, object]]] = []

    def _find(self, marks: set[str]) -> dict[str, _Alert]:
        with _cursor() as cursor:
            cursor.execute(_FIND, [self.source.id, sorted(marks)])
            return {row[0]: _Alert(*row[1:]) for row in cursor}

    def take(self, number: int, mark: str, alert: Incoming, route: Route | None) -> None:
        """One alert of one arrival."""
        row = self.alerts.get(mark)
        if row is None and alert.keeps and not alert.firing:
            # All is well with what nobody heard of: nothing to keep.
            return
        fresh = row is None
        if row is None:
            row = _Alert(uuid7(), None, False, self.at, None, None, 0, "{}", "{}", "", self.at, relabelled=True)
        number = row.arrival if self.again else number
        if alert.promise is not None:
            alert = self._by_our_clock(row, number, alert, alert.promise)
        found = self._weigh(row, number, alert, fresh or self.again or mark in self.touched)
        if found is None:
            return
        before = self.groups[row.group] if row.group is not None else None
        if not found.firing:
            group = before or self._over(alert, route)
        elif before is not None and row.firing and (not alert.firing or self._stays(row, before, alert, route)):
            group = before
        else:
            group = self._open(alert, route)
        if found.firing and alert.firing:
            self._reroute(group, alert, route)
        self.changed[group.id] = group
        # What moves to another group is new there: it pages as that group does.
        began = found.firing and (not row.firing or group is not before)
        if row.firing and before is not None:
            before.firing -= 1
        if found.firing:
            group.firing += 1
        if found.held is not None and row.hold_until is None:
            self._say(group, "reported again", _HELD.format(found.held))
        row.group = group.id
        if number >= row.arrival:
            self._tell(row, alert)
            row.arrival = number
        row.firing, row.expires_at, row.hold_until = found.firing, found.until if found.firing else None, found.held
        row.starts_at, row.ends_at = found.starts or alert.starts_at, None if found.firing else found.until
        self.alerts[mark] = self.touched[mark] = row
        if began and group.firing == 1:
            self._begun(group)
        elif began:
            # Said once for all that came together: a storm is one line, and one fact, not thousands.
            self.grown[group.id] = group
        for one in {id(found): found for found in (before, group) if found is not None}.values():
            self._settle(one)

    def _begun(self, group: Group) -> None:
        """The first alert of a group fires: it is new, or was over a moment ago."""
        quiet = self.back.pop(group.id, None)
        if quiet is None:
            self._say(group, "opened", "1 firing")
            self.news.append((OPENED, group.workspace_id, ("group", group.id), {"severity": group.severity}))
        else:
            self._say(
                group,
                "reopened",
                f"it fires again, {words_of_gap(quiet)} after it was over; {times(group.reopened)} by now",
            )
            self.news.append((REOPENED, group.workspace_id, ("group", group.id), {"times": group.reopened}))

    def _by_our_clock(self, row: _Alert, number: int, alert: Incoming, promise: datetime) -> Incoming:
        """What a report with an end means where its sender's clock may be wrong."""
        row.heard = row.heard or (state.load(row.told) if row.told else _as_before(row))
        place = row.place[1] + 1 if row.place[0] == number else 0
        at = alert.received_at or self.at
        mark = state.report_number(number, place)
        found = state.read_promise(row.heard, alert.replica, mark, at, alert.starts_at, promise)
        if found.skew is not None and abs(found.skew) > abs(self.skew or timedelta()):
            self.skew = found.skew
        if found.firing:
            return replace(alert, firing=True, expires_at=found.until, ends_at=None)
        return replace(alert, firing=False, expires_at=None, ends_at=max(found.until, alert.starts_at))

    def _weigh(self, row: _Alert, number: int, alert: Incoming, twice: bool) -> state.Standing | None:
        """How an alert stands after what was said now; None where it was said already, or something newer."""
        if alert.keeps or self.again:
            if number < row.arrival or (number == row.arrival and not twice):
                return None
            if self.again and alert.firing and row.told:
                # Nothing else was said in time: what was held back is believed.
                row.heard = row.heard or state.load(row.told)
                state.believe(row.heard)
            return state.Standing(alert.firing, alert.starts_at, alert.expires_at if alert.firing else alert.ends_at)
        if row.heard is None:
            row.heard = state.load(row.told) if row.told else _as_before(row)
        row.place = (number, row.place[1] + 1) if row.place[0] == number else (number, 0)
        at = alert.received_at or self.at
        until = alert.expires_at if alert.firing else alert.ends_at or at
        report = state.Report(state.report_number(number, row.place[1]), at, alert.starts_at, until)
        state.hear(row.heard, alert.replica, alert.firing, report)
        found = state.judge(row.heard, at)
        held = found.held is not None
        row.heard.group_key, row.heard.group_labels = (alert.group_key, dict(alert.group_labels)) if held else ("", {})
        return found

    def _tell(self, row: _Alert, alert: Incoming) -> None:
        """What is said of an alert. What says only that it is over (a resolve of PagerDuty's) knows nothing else of it."""
        if not alert.firing and row.labels != "{}":
            return
        if not row.relabelled and msgspec.json.decode(row.labels) != alert.labels:
            row.relabelled, row.before = True, row.labels
        row.labels, row.annotations, row.url = _json(alert.labels), _json(alert.annotations), alert.url

    def _open(self, alert: Incoming, route: Route | None) -> Group:
        key = group_key(self.source.id, alert, route)
        group = self.open.get(key)
        if group is None:
            group = self.open[key] = self._again(key, route) or self._new(alert, key, route)
        return group

    def _again(self, key: str, route: Route | None) -> Group | None:
        """The group that was over a moment ago, open again: one that flaps is one, not twenty."""
        group = self.over.get(key)
        if group is None or not reopens(group.route, route.key if route else None, group.resolved_at, self.at):
            return None
        self.back[group.id] = self.at - (group.resolved_at or self.at)
        group.state, group.resolved_at, group.reopened = Group.State.OPEN, None, group.reopened + 1
        return group

    def _stays(self, row: _Alert | None, before: Group, alert: Incoming, route: Route | None) -> bool:
        """Whether what fires already stays in its group, whatever else is said of it now: a summary may count, and nobody is paged twice for that.

        What pages keeps its route and its policy when another handbook is applied. It moves where its labels changed so that another
        route takes it: that one may page others, or anybody at all. A group that pages nobody becomes that route's own (`_reroute`),
        unless this route has a group for it already.
        """
        if row is None or not row.firing or before.state != Group.State.OPEN:
            return False
        if before.route.get("key") == (route.key if route else None):
            return True
        if msgspec.json.decode(row.labels) != alert.labels:
            return False
        return not pages_nobody(before.route) or self.open.get(group_key(self.source.id, alert, route)) in (
            None,
            before,
        )

    def _reroute(self, group: Group, alert: Incoming, route: Route | None) -> None:
        """An open group that pages nobody is taken by the route that fits what fires in it now.

        Of several routes the first of the handbook takes it. One alert that must be heard is enough: a route that says nobody
        takes nothing away from what no route takes.
        """
        fresh = group.id in self.rerouted
        if group.state != Group.State.OPEN or not (pages_nobody(group.route) or fresh):
            return
        if route is None:
            taken: dict[str, object] = {}
            if fresh or not is_decision(group.route):
                return
        elif route.nobody or route.key == group.route.get("key") or (fresh and not self._before(route, group)):
            return
        else:
            taken = route.stamp()
        group.route, group.severity = taken, alert.labels.get("severity", "")[:60]
        self.rerouted[group.id] = group
        if not group._state.adding:
            self._say(group, "routed", words_of(taken, setting_of(group.workspace_id).revision))

    def _before(self, route: Route, group: Group) -> bool:
        """Whether a route stands before the one that has a group."""
        places = {one.key: number for number, one in enumerate(self.routes)}
        return places[route.key] < places.get(group.route.get("key", ""), len(places))

    def _over(self, alert: Incoming, route: Route | None) -> Group:
        """For what was resolved before anybody heard of it: kept, in a group that is over already."""
        group = self._new(alert, group_key(self.source.id, alert, route), route)
        group.state, group.resolved_at = Group.State.RESOLVED, self.at
        self._say(group, "resolved", "it came resolved")
        return group

    def _new(self, alert: Incoming, key: str, route: Route | None) -> Group:
        shadow = route_of(self.routes, alert.labels, "shadow")
        group = Group(
            workspace_id=self.source.workspace_id, source=self.source, key=key, title=title(alert), labels=group_labels(alert, route),
            severity=alert.labels.get("severity", "")[:60], route=route.stamp() if route else {}, shadow=shadow.stamp() if shadow else {},
            opened_at=self.at, changed_at=self.at,
        )  # fmt: skip
        self.groups[group.id] = self.changed[group.id] = group
        return group

    def _settle(self, group: Group) -> None:
        if group.state == "open" and group.firing == 0:
            group.state, group.resolved_at = Group.State.RESOLVED, self.at
            self.open.pop(group.key, None)
            self.over[group.key] = group
            self._say(group, "resolved", "nothing fires any more")
            self.news.append((RESOLVED, group.workspace_id, ("group", group.id), {}))
        self.changed[group.id] = group

    def _say(self, group: Group, what: str, why: str) -> None:
        self.events.append(GroupEvent(workspace_id=group.workspace_id, group=group, at=self.at, what=what, why=why))

    def write(self) -> None:
        """All of it: what ends first, so that its key is free for what opens."""
        for group in self.grown.values():
            if group.state == "open":
                self._say(group, "grew", f"{group.firing} firing")
                self.news.append((GREW, group.workspace_id, ("group", group.id), {"firing": group.firing}))
        for group in self.changed.values():
            group.changed_at = self.at
        old = [group for group in self.changed.values() if not group._state.adding]
        Group.objects.bulk_update(old, ["state", "firing", "reopened", "changed_at", "resolved_at"], batch_size=1000)
        routed = [group for group in old if group.id in self.rerouted]
        Group.objects.bulk_update(routed, ["route", "severity"], batch_size=1000)
        self.news += [
            (ROUTED, one.workspace_id, ("group", one.id), {"key": str(one.route.get("key", ""))}) for one in routed
        ]
        Group.objects.bulk_create((group for group in self.changed.values() if group._state.adding), batch_size=1000)
        self._put()
        GroupEvent.objects.bulk_create(self.events, batch_size=1000)
        publish_all(self.news)

    def _put(self) -> None:
        """The alerts, in the order of their fingerprints, so that two that write the same wait for each other instead of meeting; and their labels."""
        rows = sorted(self.touched.items())
        if not rows:
            return
        workspace_id, found = self.source.workspace_id, [row for _, row in rows]
        columns: list[list[Any]] = [
            [one.id for one in found], [one.group for one in found], [mark for mark, _ in rows], [one.firing for one in found], [one.starts_at for one in found],
            [one.ends_at for one in found], [one.expires_at for one in found], [one.arrival for one in found], [one.labels for one in found],
            [one.annotations for one in found], [one.url for one in found], [state.dump(one.heard) if one.heard else one.told for one in found],
            [one.hold_until for one in found],
        ]  # fmt: skip
        other = [one for one in found if one.relabelled]
        with _cursor() as cursor:
            cursor.execute(_PUT, [workspace_id, self.source.id, self.at, *columns])
            if past := [one for one in other if one.before]:
                cursor.execute(
                    _FORGET, [[one.id for one in past], [one.before for one in past], workspace_id, LONGEST_VALUE]
                )
            if other:
                cursor.execute(
                    _LABEL, [workspace_id, LONGEST_VALUE, [one.id for one in other], [one.labels for one in other]]
                )


@contextmanager
def _cursor() -> "Iterator[psycopg.Cursor[Any]]":
    """A cursor of psycopg's own within Django's transaction: it binds at the server, so that long lists go as they are, in binary."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield cursor
