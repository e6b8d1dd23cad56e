"""Sources and their keys; and taking in what came. Taking in writes observations, so no ledger entries (docs/house.md)."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound, WatchbillError
from watchbill.base.mask import mask_text
from watchbill.ledger.command import command, record
from watchbill.people import tokens
from watchbill.people.values import clean_name
from watchbill.runtime.live import tell_live
from watchbill.runtime.now import now
from watchbill.signals.batch import take_alerts
from watchbill.signals.checks import PROTOCOL as PINGS
from watchbill.signals.checks import announce, forgotten, held, missing, take_pings
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.models import Arrival, Route, Source
from watchbill.signals.rules import Incoming, Read

PROTOCOLS = {
    "alertmanager": "Prometheus Alertmanager (webhook)",
    "grafana": "Grafana (webhook)",
    "prometheus": "Prometheus itself (Alertmanager's API v2)",
    "pagerduty": "PagerDuty Events API v2",
    "healthchecks": "Pings of jobs (Healthchecks)",
    "json": "Any JSON, by a mapping",
    "slack": "Buttons pressed in Slack",
    "twilio": "Answers by text message (Twilio)",
}
#: Arrivals in one transaction of the worker.
BATCH = 500
Adapter = Callable[[bytes, datetime, Mapping[str, Any]], list[Incoming]]


class Came(NamedTuple):
    """What came: its number, when, and what it was."""

    id: int
    at: datetime
    body: bytes | memoryview


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
        rows = Arrival.objects.select_for_update(skip_locked=True).filter(problem=None).order_by("id")[:limit]
        waiting = list(rows.values_list("source_id", "id", "received_at", "body"))
        by_source: dict[UUID, list[Came]] = {}
        for source_id, number, at, body in waiting:
            by_source.setdefault(source_id, []).append(Came(number, at, body))
        sources = Source.objects.in_bulk(by_source)
        for source_id, came in sorted(by_source.items()):
            _take_source(adapters, sources[source_id], came)
    return len(waiting)


def _take_source(adapters: Mapping[str, Adapter], source: Source, came: list[Came]) -> None:
    """All that waits of one source together; where the database refuses it, one by one, so that only the culprit stays."""
    # One worker at a time for a source: two that opened the same group would meet in the constraint.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('signals.source'), hashtext(%s))", [str(source.id)])
    if source.protocol == PINGS:
        read, problems = take_pings(source, [(one.id, bytes(one.body), one.at) for one in came])
    else:
        read, problems = _understood(adapters, source, came)
    try:
        with transaction.atomic():
            take_alerts(source, read)
    except DataError:
        for number, alerts in read:
            try:
                with transaction.atomic():
                    take_alerts(source, [(number, alerts)])
            except DataError:
                problems[number] = "The database cannot hold what is in it."
    for number, problem in problems.items():
        Arrival.objects.filter(id=number).update(problem=mask_text(problem)[:500])
    Arrival.objects.filter(id__in=[one.id for one in came if one.id not in problems]).delete()
    news: dict[str, object] = {"last_received_at": came[-1].at}
    if worst := next((one for one in reversed(came) if one.id in problems), None):
        news |= {"last_problem": mask_text(problems[worst.id])[:500], "last_problem_at": worst.at}
    Source.objects.filter(id=source.id).update(**news)
    tell_live(source.workspace_id, "alerts")


def _understood(
    adapters: Mapping[str, Adapter], source: Source, came: list[Came]
) -> tuple[list[tuple[int, list[Incoming]]], dict[int, str]]:
    """What an adapter makes of it; and what it cannot understand, with why."""
    read: list[tuple[int, list[Incoming]]] = []
    problems: dict[int, str] = {}
    config = {**source.config, "workspace": str(source.workspace_id)}
    for one in came:
        try:
            found = adapters[source.protocol](bytes(one.body), one.at, config)
            read.append((one.id, found))
            if isinstance(found, Read) and found.problems:
                problems[one.id] = "; ".join(found.problems)
        except (WatchbillError, KeyError) as error:
            told = error.detail if isinstance(error, WatchbillError) else f"Nothing reads {source.protocol}."
            problems[one.id] = told
    return read, problems


def sweep(limit: int = BATCH) -> int:
    """Pings that are missing become alerts, alerts that their sender forgot end, and those held back are believed; several workers share the work."""
    with transaction.atomic():
        done = 0
        for source, alerts in missing(limit):
            take_alerts(source, [(0, alerts)], again=True)
            tell_live(source.workspace_id, "alerts")
            done += len(alerts)
        for source, told in (*forgotten(limit), *held(limit)):
            take_alerts(source, [(number, [alert]) for number, alert in told], again=True)
            tell_live(source.workspace_id, "alerts")
            done += len(told)
        done += announce(limit)
    return done


def address_of(protocol: str, text: str) -> str:
    """Where a sender of a protocol sends to, with its key."""
    base = settings.PUBLIC_URL
    return {
        "prometheus": f"{base}/intake/{text}", "pagerduty": f"{base}/v2/enqueue", "healthchecks": f"{base}/ping/{text}/your-job",
    }.get(protocol, f"{base}/intake/{text}/{protocol}")  # fmt: skip


def replace_routes(*, workspace_id: UUID, routes: Iterable[Route]) -> None:
    """Makes these the routes of a workspace: a part of applying a handbook, which writes the entry. Groups that are open keep theirs."""
    Route.objects.filter(workspace_id=workspace_id).delete()
    Route.objects.bulk_create(routes)
