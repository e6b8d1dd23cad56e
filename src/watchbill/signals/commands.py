"""Integrations and their keys; replaying what was quarantined. What takes arrivals in is in `taking.py`."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.people import tokens
from watchbill.people.values import clean_name
from watchbill.runtime.live import tell_live
from watchbill.runtime.now import now
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.models import Arrival, Route, Source, Unrouted
from watchbill.signals.taking import Adapter as Adapter
from watchbill.signals.taking import sweep as sweep
from watchbill.signals.taking import take_in as take_in
from watchbill.signals.unrouted import Setting

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


@command("source.create", needs="source.edit", quieter=harmless("more can arrive"))
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


@command("source.rotate", needs="source.edit", quieter=announced("what still sends with the old key is refused"))
def rotate_key(*, by: Actor, workspace_id: UUID, source_id: UUID) -> tuple[Source, str]:
    """Gives an integration another key; the old one is refused from now on. Returns the new text, which is shown this once."""
    source, text = _source(workspace_id, source_id), tokens.fresh("wbi_")
    source.key_digest, source.key_prefix = tokens.digest(text), tokens.prefix(text)
    source.save(update_fields=["key_digest", "key_prefix"])
    record(("source", source.id), detail={"prefix": source.key_prefix})
    announce(f"The integration “{source.name}” has a new key; what still sends with the old one is refused")
    return source, text


@command("source.revoke", needs="source.edit", quieter=announced("what this integration sends is refused"))
def revoke_source(*, by: Actor, workspace_id: UUID, source_id: UUID) -> None:
    """Ends an integration; what came through it stays."""
    source = _source(workspace_id, source_id)
    source.revoked_at = now()
    source.save(update_fields=["revoked_at"])
    record(("source", source.id), detail={"name": source.name})
    announce(f"The integration “{source.name}” was ended; what it sends is refused")


@command("source.replay", needs="source.edit", quieter=harmless("what was put aside is taken in"))
def replay(*, by: Actor, workspace_id: UUID, source_id: UUID, arrival_id: int | None = None) -> int:
    """Takes an integration's quarantined arrivals in again, one or all of them. Answers how many wait now.

    They keep their numbers and times, so that nothing old overtakes what the sender has said since.
    """
    source = _source(workspace_id, source_id)
    rows = Arrival.objects.filter(workspace_id=workspace_id, source_id=source_id, problem__isnull=False)
    if arrival_id is not None:
        rows = rows.filter(id=arrival_id)
    # From now on it waits again: `problem_at` is since when, so that nobody is told that it has waited for days.
    count = rows.update(problem=None, error="", problem_at=now())
    if not count:
        raise NotFound("Nothing of this integration is quarantined that could be replayed.")
    record(("source", source.id), detail={"name": source.name, "arrivals": count, "arrival": arrival_id or "all"})
    tell_live(workspace_id, "alerts")
    return count


def address_of(protocol: str, text: str) -> str:
    """Where a sender of a protocol sends to, with its key."""
    base = settings.PUBLIC_URL
    return {
        "prometheus": f"{base}/intake/{text}", "pagerduty": f"{base}/v2/enqueue", "healthchecks": f"{base}/ping/{text}/your-job",
    }.get(protocol, f"{base}/intake/{text}/{protocol}")  # fmt: skip


def replace_routes(
    *, workspace_id: UUID, routes: Iterable[Route], revision: int = 0, unrouted: Setting | None = None
) -> None:
    """Makes these the routes of a workspace, and this what happens to alerts that none of them takes: a part of applying a handbook,
    which writes the entry. Groups that page keep theirs; those that page nobody are looked at again (`reroute.py`)."""
    Route.objects.filter(workspace_id=workspace_id).delete()
    Route.objects.bulk_create(routes)
    told = unrouted or Setting()
    Unrouted.objects.update_or_create(
        workspace_id=workspace_id,
        defaults={
            "pages": told.pages, "reason": told.reason, "quiet": list(told.quiet), "revision": revision, "path": told.path, "line": told.line,
        },
    )  # fmt: skip
