"""Reads of incidents."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.clocks.models import Clock
from watchbill.facts.subjects import Shown
from watchbill.incidents.models import Incident, IncidentEvent, SeverityLevel
from watchbill.paging.models import Page, Policy
from watchbill.paging.unanswered import arrived


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


#: After every severity of a handbook: what has none.
_NO_RANK = 1_000_000


def access_urgent(reader: Actor, workspace_id: UUID, *, words: str = "") -> QuerySet[Incident]:
    """Incidents that are not over, in the order in which somebody should look at them: the worst severity first, then what nobody has
    acknowledged, then what is late, then the oldest. Each has ``late_since`` and ``late_kind`` (its first clock that nobody met in time),
    ``unacknowledged`` and ``unreached`` (all steps of its page went by: messages went out and nobody answered, or none reached anybody),
    and ``unpaged`` (nobody was ever paged about it)."""
    about = {"workspace_id": workspace_id, "subject_kind": "incident", "subject_id": OuterRef("key")}
    late = Clock.objects.filter(**about, state="breached", met_at=None).order_by("due_at")
    pages = Page.objects.filter(**about, shadow=False)
    found = access_incidents(reader, workspace_id, state="open", words=words).annotate(
        key=Cast("id", TextField()),
        late_since=Subquery(late.values("due_at")[:1]),
        late_kind=Subquery(late.values("kind")[:1]),
        unacknowledged=Exists(pages.filter(arrived(), state="exhausted")),
        unreached=Exists(pages.filter(~arrived(), state="exhausted")),
        unpaged=Q(state="open") & ~Exists(pages),
        weight=Case(When(rank__gt=0, then=F("rank")), default=Value(_NO_RANK), output_field=IntegerField()),
        taken=~Q(state="open"),
        in_time=Q(late_since=None),
    )
    return found.order_by("weight", "taken", "in_time", "opened_at", "number")


#: What ``access_urgent`` says of an incident that somebody has to look at now.
MARKS = ("unacknowledged", "unreached", "unpaged")
#: What stands first, in red: those, and what is late.
_ALARMING = Q(late_since__isnull=False) | reduce(or_, (Q(**{name: True}) for name in MARKS))


def is_alarming(incident: Incident) -> bool:
    """Whether an incident of ``access_urgent`` is late, reached nobody, was answered by nobody, or pages nobody."""
    return any(getattr(incident, name, None) for name in ("late_since", *MARKS))


@dataclass(frozen=True)
class Burning:
    """How many incidents are not over; of them not acknowledged, late, paged through all steps without an answer, without anybody who
    could be reached, and paging nobody.

    ``alarming``: how many are any of the last four; ``worst``: the first of them."""

    total: int = 0
    waiting: int = 0
    late: int = 0
    unacknowledged: int = 0
    unreached: int = 0
    unpaged: int = 0
    alarming: int = 0
    worst: tuple[Incident, ...] = ()


#: How many the red banner names.
_NAMED = 3


def access_burning(reader: Actor, workspace_id: UUID, limit: int) -> tuple[list[Incident], Burning]:
    """The first of what is not over, in the order of ``access_urgent``, and the true numbers, however many are shown: one query where
    all are shown."""
    found = access_urgent(reader, workspace_id)
    rows = list(found[: limit + 1])
    if len(rows) <= limit:
        waiting = sum(1 for one in rows if one.state == "open")
        late = sum(1 for one in rows if getattr(one, "late_since", None))
        marked = {name: sum(1 for one in rows if getattr(one, name)) for name in MARKS}
        worst = tuple(one for one in rows if is_alarming(one))
        return rows, Burning(len(rows), waiting, late, alarming=len(worst), worst=worst[:_NAMED], **marked)
    open_ones = access_incidents(reader, workspace_id, state="open")
    numbers = open_ones.aggregate(total=Count("id"), waiting=Count("id", filter=Q(state="open")))
    late, alarming, *rest = (
        found.filter(one).count()
        for one in (Q(late_since__isnull=False), _ALARMING, *(Q(**{name: True}) for name in MARKS))
    )
    # What is late may stand far below, where its severity is low.
    worst = tuple(found.filter(_ALARMING)[:_NAMED]) if alarming else ()
    marked = dict(zip(MARKS, rest, strict=True))
    return rows[:limit], Burning(**numbers, late=late, alarming=alarming, worst=worst, **marked)


def access_incident(reader: Actor, workspace_id: UUID, number: int) -> Incident:
    """One incident by its number. Raises NotFound."""
    found = access_incidents(reader, workspace_id).filter(number=number).first() if 0 < number < 2**31 else None
    if found is None:
        raise NotFound("There is no such incident here.")
    return found


def names_for_routes(workspace_id: UUID) -> tuple[list[str], list[str]]:
    """Severities of the live handbook, the worst first, and whom a route can page: for a suggested route."""
    levels = SeverityLevel.objects.filter(workspace_id=workspace_id).order_by("rank", "name")
    whom = Policy.objects.filter(workspace_id=workspace_id, state="live").exclude(key__contains="#").order_by("key")
    # An escalation before a contact: it goes on where nobody answers.
    named = sorted(whom.values_list("key", "name"), key=lambda pair: (pair[0].startswith("contact/"), pair[0]))
    return list(levels.values_list("name", flat=True)), [name for _, name in named]


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
