"""Reads of incidents."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.clocks.models import Clock
from watchbill.facts.subjects import Shown
from watchbill.incidents.models import Incident, IncidentEvent, SeverityLevel


def access_incidents(reader: Actor, workspace_id: UUID, *, state: str = "", words: str = "") -> QuerySet[Incident]:
    """Incidents, the newest first. ``state``: open (not over), resolved, or both."""
    reader.require("incident.read", workspace_id)
    found = Incident.objects.filter(workspace_id=workspace_id)
    if state == "open":
        found = found.exclude(state="resolved")
    elif state:
        found = found.filter(state=state)
    for word in words.split()[:6]:
        digits = word.upper().removeprefix("INC-")
        number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 9 else None
        said = Q(title__icontains=word) | Q(severity__iexact=word)
        if number is None:
            found = found.filter(said)
        elif digits != word and Incident.objects.filter(workspace_id=workspace_id, number=number).exists():
            # “INC-142” is that one, and no title has to be looked at.
            found = found.filter(number=number)
        else:
            found = found.filter(said | Q(number=number))
    return found.order_by("-id")


def access_incident(reader: Actor, workspace_id: UUID, number: int) -> Incident:
    """One incident by its number. Raises NotFound."""
    found = access_incidents(reader, workspace_id).filter(number=number).first() if 0 < number < 2**31 else None
    if found is None:
        raise NotFound("There is no such incident here.")
    return found


def timeline(reader: Actor, incident: Incident) -> list[IncidentEvent]:
    """Everything that happened in an incident, in order."""
    reader.require("incident.read", incident.workspace_id)
    return list(IncidentEvent.objects.filter(incident=incident).order_by("id"))


def clocks_about(reader: Actor, incident: Incident) -> list[Clock]:
    """An incident's clocks, those that run first."""
    reader.require("incident.read", incident.workspace_id)
    rows = Clock.objects.filter(
        workspace_id=incident.workspace_id, subject_kind="incident", subject_id=str(incident.id)
    ).exclude(state="cancelled")
    return sorted(rows, key=lambda one: (one.state not in ("running", "paused"), one.due_at))


def access_levels(reader: Actor, workspace_id: UUID) -> QuerySet[SeverityLevel]:
    """The severities of the live handbook, the worst first."""
    reader.require("incident.read", workspace_id)
    return SeverityLevel.objects.filter(workspace_id=workspace_id, state="live").order_by("rank", "name")


@dataclass(frozen=True)
class Waits:
    """Something that an incident's clock waits for."""

    incident: Incident
    clock: Clock
    due: datetime


def access_waiting(reader: Actor, workspace_id: UUID, limit: int = 200) -> list[Waits]:
    """What incidents wait for, the most urgent first: two queries."""
    reader.require("incident.read", workspace_id)
    rows = list(
        Clock.objects.filter(workspace_id=workspace_id, subject_kind="incident")
        .filter(Q(state__in=["running", "paused"]) | Q(state="breached", met_at=None))
        .order_by("due_at")[:limit]
    )
    there = {
        str(one.id): one
        for one in Incident.objects.filter(workspace_id=workspace_id, id__in=as_uuids(row.subject_id for row in rows))
    }
    return [
        Waits(there[row.subject_id], row, row.due_at)
        for row in rows
        if row.subject_id in there and (there[row.subject_id].state != "resolved" or row.kind == "brief")
    ]


def resolve_incidents(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Incidents as subjects."""
    if not reader.may("incident.read", workspace_id):
        return {}
    rows = Incident.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {
        str(one.id): Shown("incident", str(one.id), f"{one.code} {one.title}", reverse("incident", args=[slug, one.number]), one.state) for one in rows
    }  # fmt: skip


def search_incidents(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Incidents by number and words."""
    if not reader.may("incident.read", workspace_id):
        return []
    rows = access_incidents(reader, workspace_id, words=words)[:limit]
    return [
        Shown("incident", str(one.id), f"{one.code} {one.title}", reverse("incident", args=[slug, one.number]), "incident") for one in rows
    ]  # fmt: skip
