"""Sources and their keys; and taking in what came. Taking in writes observations, so no ledger entries (docs/house.md)."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import Q

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound, WatchbillError
from watchbill.base.mask import mask_text
from watchbill.facts.publish import declare, publish_all
from watchbill.ledger.command import command, record
from watchbill.people import tokens
from watchbill.people.values import clean_name
from watchbill.runtime.now import now
from watchbill.signals.checks import PROTOCOL as PINGS
from watchbill.signals.checks import forgotten, missing, take_pings
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.matchers import read_matchers
from watchbill.signals.models import Alert, Arrival, Group, GroupEvent, Route, Source
from watchbill.signals.rules import Incoming, Known, fingerprint, group_key, group_labels, route_of, title, weigh
from watchbill.signals.rules import Route as Rule

OPENED = declare("group.opened", "alerts of a new group fire", "severity")
GREW = declare("group.grew", "further alerts of an open group fire", "firing")
RESOLVED = declare("group.resolved", "the last alert of a group is resolved")
PROTOCOLS = {
    "alertmanager": "Prometheus Alertmanager (webhook)",
    "grafana": "Grafana (webhook)",
    "prometheus": "Prometheus itself (Alertmanager's API v2)",
    "pagerduty": "PagerDuty Events API v2",
    "healthchecks": "Pings of jobs (Healthchecks)",
    "json": "Any JSON, by a mapping",
    "slack": "Buttons pressed in Slack",
}
#: Arrivals in one transaction of the worker.
BATCH = 500
Adapter = Callable[[bytes, datetime, Mapping[str, Any]], list[Incoming]]


@command("source.create", needs="source.edit")
def create_source(
    *, by: Actor, workspace_id: UUID, protocol: str, name: str, config: Mapping[str, Any] | None = None, key: str = ""
) -> tuple[Source, str]:  # fmt: skip
    """Makes an integration with a key of its own. Returns it with the key's text, which is shown this once."""
    if protocol not in PROTOCOLS:
        raise Invalid(f"“{protocol[:40]}” is no protocol that is known.", field="protocol")
    told = dict(config or {})
    if protocol == "json":
        told = {"mapping": clean_mapping(told.get("mapping") or {})}
    elif told:
        raise Invalid(f"{PROTOCOLS[protocol]} needs no settings.", field="config")
    text = key if key and by.kind == "system" else tokens.fresh("wbi_")
    source = Source(
        workspace_id=workspace_id, protocol=protocol, name=clean_name(name, longest=80), key_digest=tokens.digest(text), key_prefix=tokens.prefix(text), created_at=now(),
        config=told,
    )  # fmt: skip
    try:
        with transaction.atomic():
            source.save(force_insert=True)
    except IntegrityError:
        raise Conflict("There is an integration of that name already.", field="name") from None
    record(("source", source.id), detail={"name": source.name, "protocol": protocol, "prefix": source.key_prefix})
    return source, text


def _source(workspace_id: UUID, source_id: UUID) -> Source:
    found = Source.objects.select_for_update().filter(workspace_id=workspace_id, id=source_id, revoked_at=None).first()
    if found is None:
        raise NotFound("There is no such integration here.")
    return found


@command("source.rotate", needs="source.edit")
def rotate_key(*, by: Actor, workspace_id: UUID, source_id: UUID) -> tuple[Source, str]:
    """Gives an integration another key; the old one is refused from now on. Returns the new text, which is shown this once."""
    source, text = _source(workspace_id, source_id), tokens.fresh("wbi_")
    source.key_digest, source.key_prefix = tokens.digest(text), tokens.prefix(text)
    source.save(update_fields=["key_digest", "key_prefix"])
    record(("source", source.id), detail={"prefix": source.key_prefix})
    return source, text


@command("source.revoke", needs="source.edit")
def revoke_source(*, by: Actor, workspace_id: UUID, source_id: UUID) -> None:
    """Ends an integration; what came through it stays."""
    source = _source(workspace_id, source_id)
    source.revoked_at = now()
    source.save(update_fields=["revoked_at"])
    record(("source", source.id), detail={"name": source.name})


def take_in(adapters: Mapping[str, Adapter], limit: int = BATCH) -> int:
    """Takes in what waits in the inbox, oldest first; several workers share it. Answers how many arrivals were dealt with.

    What cannot be understood stays with its reason and stops nothing; each arrival is taken in whole or not at all.
    """
    with transaction.atomic():
        waiting = list(
            Arrival.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(problem=None)
            .select_related("source")
            .order_by("id")[:limit]
        )
        by_source: dict[UUID, list[Arrival]] = {}
        for arrival in waiting:
            by_source.setdefault(arrival.source_id, []).append(arrival)
        for _, arrivals in sorted(by_source.items()):
            _take_source(adapters, arrivals[0].source, arrivals)
    return len(waiting)


def _take_source(adapters: Mapping[str, Adapter], source: Source, arrivals: list[Arrival]) -> None:
    """All that waits of one source together; where the database refuses it, one by one, so that only the culprit stays."""
    # One worker at a time for a source: two that opened the same group would meet in the constraint.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('signals.source'), hashtext(%s))", [str(source.id)])
    read: list[tuple[int, list[Incoming]]] = []
    problems: list[Arrival] = []
    if source.protocol == PINGS:
        read, told = take_pings(source, [(one.id, bytes(one.body), one.received_at) for one in arrivals])
        for one in arrivals:
            if one.id in told:
                one.problem = told[one.id]
                problems.append(one)
    for arrival in arrivals if source.protocol != PINGS else ():
        try:
            read.append(
                (
                    arrival.id,
                    adapters[source.protocol](
                        bytes(arrival.body),
                        arrival.received_at,
                        {**source.config, "workspace": str(source.workspace_id)},
                    ),
                )
            )
        except (WatchbillError, KeyError) as error:
            arrival.problem = error.detail if isinstance(error, WatchbillError) else f"Nothing reads {source.protocol}."
            problems.append(arrival)
    try:
        with transaction.atomic():
            take_alerts(source, read)
    except DataError:
        by_id = {arrival.id: arrival for arrival in arrivals}
        for number, alerts in read:
            try:
                with transaction.atomic():
                    take_alerts(source, [(number, alerts)])
            except DataError:
                by_id[number].problem = "The database cannot hold what is in it."
                problems.append(by_id[number])
    for arrival in problems:
        arrival.problem = mask_text(arrival.problem or "")[:500]
    Arrival.objects.bulk_update(problems, ["problem"])
    failed = {arrival.id for arrival in problems}
    Arrival.objects.filter(id__in=[arrival.id for arrival in arrivals if arrival.id not in failed]).delete()
    news: dict[str, object] = {"last_received_at": arrivals[-1].received_at}
    if problems:
        news |= {"last_problem": problems[-1].problem, "last_problem_at": problems[-1].received_at}
    Source.objects.filter(id=source.id).update(**news)


def sweep(limit: int = BATCH) -> int:
    """Pings that are missing become alerts, and alerts that their sender forgot end; several workers share the work."""
    with transaction.atomic():
        done = 0
        for source, alerts in missing(limit):
            take_alerts(source, [(0, alerts)], again=True)
            done += len(alerts)
        for source, told in forgotten(limit):
            take_alerts(source, [(number, [alert]) for number, alert in told], again=True)
            done += len(told)
    return done


def take_alerts(source: Source, arrivals: Iterable[tuple[int, list[Incoming]]], *, again: bool = False) -> None:
    """The alerts of some arrivals in their order: deduplicated and grouped in memory, then written with a few statements.

    What changes a group is a fact in the same transaction. With ``again`` the hub itself says so: it is no arrival, and newer than what is known.
    """
    routes = routes_of(source.workspace_id)
    told = [
        (number, fingerprint(alert), alert, route_of(routes, alert.labels)) for number, alerts in arrivals for alert in alerts
    ]  # fmt: skip
    keys = {group_key(source.id, alert, route) for _, _, alert, route in told}
    batch = _Batch(source, routes, again, {mark for _, mark, *_ in told}, keys)
    for number, mark, alert, route in told:
        batch.take(number, mark, alert, route)
    batch.write()


def address_of(protocol: str, text: str) -> str:
    """Where a sender of a protocol sends to, with its key."""
    base = settings.PUBLIC_URL
    return {
        "prometheus": f"{base}/intake/{text}", "pagerduty": f"{base}/v2/enqueue", "healthchecks": f"{base}/ping/{text}/your-job",
    }.get(protocol, f"{base}/intake/{text}/{protocol}")  # fmt: skip


def routes_of(workspace_id: UUID) -> list[Rule]:
    """The routes of the live handbook in their order, ready to be asked."""
    rows = Route.objects.filter(workspace_id=workspace_id).order_by("position")
    return [
        Rule(
            one.key, one.name, one.state, tuple(read_matchers(one.match)), one.severity, one.pages, tuple(one.group_by), one.path, one.line,
        )
        for one in rows
    ]  # fmt: skip


def replace_routes(*, workspace_id: UUID, routes: Iterable[Route]) -> None:
    """Makes these the routes of a workspace: a part of applying a handbook, which writes the entry. Groups that are open keep theirs."""
    Route.objects.filter(workspace_id=workspace_id).delete()
    Route.objects.bulk_create(routes)


class _Batch:
    """What is known of the alerts and groups that some arrivals speak of, and what they change."""

    def __init__(self, source: Source, routes: list[Rule], again: bool, marks: set[str], keys: set[str]) -> None:
        self.source, self.at, self.routes, self.again = source, now(), routes, again
        known = Alert.objects.select_for_update(of=("self",)).filter(source=source, fingerprint__in=marks)
        self.alerts = {one.fingerprint: one for one in known.select_related("group")}
        self.known = set(self.alerts)
        rows = Group.objects.select_for_update().filter(workspace_id=source.workspace_id, state="open")
        wanted = {one.group_id for one in self.alerts.values()}
        self.groups = {one.id: one for one in rows.filter(Q(key__in=keys) | Q(id__in=wanted))}
        self.open = {one.key: one for one in self.groups.values()}
        self.there = set(self.groups)
        self.changed: dict[UUID, Group] = {}
        self.touched: dict[str, Alert] = {}
        self.events: list[GroupEvent] = []
        self.news: list[tuple[str, UUID, tuple[str, object], dict[str, object]]] = []

    def take(self, number: int, mark: str, alert: Incoming, route: Rule | None) -> None:
        """One alert of one arrival."""
        row = self.alerts.get(mark)
        if row is None and alert.keeps and not alert.firing:
            # All is well with what nobody heard of: nothing to keep.
            return
        known = Known(row.firing, row.starts_at, row.ends_at, row.arrival) if row else None
        # Alerts of one arrival have its number; the same one twice in it is not older than itself.
        if row is not None and self.again:
            number = row.arrival
        twice = row is not None and (self.again or mark in self.touched) and row.arrival == number
        verdict = weigh(known, alert, number + 1 if twice else number)
        if verdict == "older":
            return
        before = self._group_of(row)
        if alert.firing:
            group = self._open(alert, route)
        else:
            group = before or self._over(alert, route)
        row = row or Alert(workspace_id=self.source.workspace_id, source=self.source, fingerprint=mark, firing=False)
        if row.firing and before is not None:
            before.firing -= 1
        if alert.firing:
            group.firing += 1
        row.group = group
        if alert.firing or not row.labels:
            # What says only that it is over (a resolve of PagerDuty's) knows nothing else of it.
            row.labels, row.annotations, row.url = dict(alert.labels), dict(alert.annotations), alert.url
        row.expires_at = alert.expires_at if alert.firing else None
        row.firing, row.starts_at, row.ends_at, row.arrival, row.seen_at = (
            alert.firing,
            alert.starts_at,
            alert.ends_at,
            number,
            self.at,
        )
        self.alerts[mark] = self.touched[mark] = row
        if alert.firing and verdict in ("new", "fired"):
            first = group.firing == 1
            self._say(group, "opened" if first else "grew", f"{group.firing} firing")
            self.news.append(
                (OPENED, group.workspace_id, ("group", group.id), {"severity": group.severity})
                if first
                else (GREW, group.workspace_id, ("group", group.id), {"firing": group.firing})
            )
        for one in {id(found): found for found in (before, group) if found is not None}.values():
            self._settle(one)

    def _group_of(self, row: Alert | None) -> Group | None:
        """The group that an alert is in, as it stands in this batch."""
        if row is None:
            return None
        return self.groups.setdefault(row.group_id, row.group)

    def _open(self, alert: Incoming, route: Rule | None) -> Group:
        key = group_key(self.source.id, alert, route)
        group = self.open.get(key)
        if group is None:
            group = self.open[key] = self._new(alert, key, route)
        self.changed[group.id] = group
        return group

    def _over(self, alert: Incoming, route: Rule | None) -> Group:
        """For what was resolved before anybody heard of it: kept, in a group that is over already."""
        group = self._new(alert, group_key(self.source.id, alert, route), route)
        group.state, group.resolved_at = Group.State.RESOLVED, self.at
        self._say(group, "resolved", "it came resolved")
        return group

    def _new(self, alert: Incoming, key: str, route: Rule | None) -> Group:
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
            self._say(group, "resolved", "nothing fires any more")
            self.news.append((RESOLVED, group.workspace_id, ("group", group.id), {}))
        self.changed[group.id] = group

    def _say(self, group: Group, what: str, why: str) -> None:
        self.events.append(GroupEvent(workspace_id=group.workspace_id, group=group, at=self.at, what=what, why=why))

    def write(self) -> None:
        """All of it: what ends first, so that its key is free for what opens."""
        for group in self.changed.values():
            group.changed_at = self.at
        old = [group for group in self.changed.values() if group.id in self.there or not group._state.adding]
        Group.objects.bulk_update(old, ["state", "firing", "changed_at", "resolved_at"], batch_size=1000)
        Group.objects.bulk_create((group for group in self.changed.values() if group._state.adding), batch_size=1000)
        fields = [
            "group",
            "labels",
            "annotations",
            "url",
            "firing",
            "starts_at",
            "ends_at",
            "expires_at",
            "arrival",
            "seen_at",
        ]
        Alert.objects.bulk_update(
            [one for mark, one in self.touched.items() if mark in self.known], fields, batch_size=500
        )
        Alert.objects.bulk_create(
            (one for mark, one in self.touched.items() if mark not in self.known), batch_size=1000
        )
        GroupEvent.objects.bulk_create(self.events, batch_size=1000)
        publish_all(self.news)
