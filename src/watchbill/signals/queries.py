"""Reads of alerts and integrations."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import Invalid, NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.runtime.now import now
from watchbill.signals.batch import LONGEST_VALUE
from watchbill.signals.matchers import Matcher
from watchbill.signals.models import Alert, Arrival, Check, Group, Label, Route, Silence, Source
from watchbill.signals.unrouted import Unpaged, is_decision, pages_nobody, suggest, unrouted

#: Values of one label that an expression is tried on.
MOST_VALUES = 20_000


def access_groups(
    reader: Actor, workspace_id: UUID, *, state: str = "", words: str = "", match: Sequence[Matcher] = ()
) -> QuerySet[Group]:
    """Groups of alerts, the newest change first. With matchers: those that have an alert whose labels fulfil all of them."""
    reader.require("alert.read", workspace_id)
    found = Group.objects.filter(workspace_id=workspace_id)
    if state:
        found = found.filter(state=state)
    for word in words.split()[:6]:
        found = found.filter(Q(title__icontains=word) | Q(severity__iexact=word))
    if match:
        alerts = Alert.objects.filter(workspace_id=workspace_id)
        if state == "open":
            alerts = alerts.filter(firing=True)
        for one in match:
            alerts = alerts.filter(_fits(workspace_id, one))
        found = found.filter(id__in=alerts.values("group_id"))
    return found.order_by("-changed_at", "-id")


def _fits(workspace_id: UUID, matcher: Matcher) -> Q:
    """A matcher as a condition on alerts. A label that is not there is empty, as Alertmanager has it."""
    rows = Label.objects.filter(workspace_id=workspace_id, name=matcher.name)
    mine = rows.filter(alert=OuterRef("pk"))
    wanted = matcher.op in ("=", "=~")
    if matcher.op in ("=", "!="):
        values = [matcher.value[:LONGEST_VALUE]]
    else:
        there = _values(workspace_id, matcher.name)
        values = [value for value in there if matcher.holds({matcher.name: value}) == wanted]
        if len(there) > MOST_VALUES:
            raise Invalid(
                f"“{matcher.name}” has more than {MOST_VALUES:,} values: too many to look at each.", hint='Say it whole: name="value".', field="match",
            )  # fmt: skip
    fits = Q(Exists(mine.filter(value__in=values)))
    if Matcher(matcher.name, "=" if matcher.op in ("=", "!=") else "=~", matcher.value).holds({}):
        fits |= ~Q(Exists(mine.exclude(value="")))
    return fits if wanted else ~fits


#: From one value of the index to the next larger one, past all rows that have the same.
_LEAPS = """
WITH RECURSIVE leap AS (
  (SELECT value FROM signals_label WHERE workspace_id = %(here)s AND name = %(name)s ORDER BY value LIMIT 1)
  UNION ALL
  SELECT (SELECT value FROM signals_label WHERE workspace_id = %(here)s AND name = %(name)s AND value > leap.value ORDER BY value LIMIT 1)
  FROM leap WHERE leap.value IS NOT NULL
) SELECT value FROM leap WHERE value IS NOT NULL LIMIT %(most)s
"""
#: Leaps are quicker than reading every row while the values are few.
_FEW = 500


def _values(workspace_id: UUID, name: str) -> list[str]:
    """The values of a label, one more than MOST_VALUES at most. A part of reads that have asked for their permission."""
    with connection.cursor() as cursor:
        cursor.execute(_LEAPS, {"here": workspace_id, "name": name, "most": _FEW})
        found = [row[0] for row in cursor.fetchall()]
    if len(found) < _FEW:
        return found
    rows = Label.objects.filter(workspace_id=workspace_id, name=name).values_list("value", flat=True)
    return list(rows.distinct()[: MOST_VALUES + 1])


def access_group(reader: Actor, workspace_id: UUID, group_id: UUID) -> Group:
    """One group. Raises NotFound."""
    found = access_groups(reader, workspace_id).filter(id=group_id).first()
    if found is None:
        raise NotFound("There is no such group of alerts here.")
    return found


def access_unrouted(reader: Actor, workspace_id: UUID) -> list[Unpaged]:
    """What fires and pages nobody, for those who may see alerts: what must be heard first."""
    reader.require("alert.read", workspace_id)
    return unrouted(workspace_id)


def route_for(reader: Actor, group: Group) -> str:
    """A route that would take a group, as YAML to paste; empty where it pages, is over, or a route says nobody."""
    reader.require("alert.read", group.workspace_id)
    if group.state != Group.State.OPEN or not pages_nobody(group.route) or is_decision(group.route):
        return ""
    return suggest(group.workspace_id, group.labels, group.severity)


def alerts_of(group: Group) -> QuerySet[Alert]:
    """The alerts of a group that its reader was let to see: those that fire first."""
    return Alert.objects.filter(group=group).order_by("-firing", "starts_at", "id")


def access_sources(reader: Actor, workspace_id: UUID) -> QuerySet[Source]:
    """The integrations in use, by name."""
    reader.require("source.read", workspace_id)
    return Source.objects.filter(workspace_id=workspace_id, revoked_at=None).order_by("name")


def access_checks(reader: Actor, workspace_id: UUID) -> list[Check]:
    """The jobs that ping, by name."""
    reader.require("source.read", workspace_id)
    rows = Check.objects.filter(workspace_id=workspace_id, removed_at=None, source__revoked_at=None).defer("digest")
    return list(rows.order_by("name")[:2000])


def access_problems(reader: Actor, workspace_id: UUID, *, each: int = 5) -> dict[UUID, list[Arrival]]:
    """What came and could not be understood, by integration: the newest of each, without what came itself."""
    reader.require("source.read", workspace_id)
    place = Window(RowNumber(), partition_by=F("source_id"), order_by=F("id").desc())
    rows = Arrival.objects.filter(workspace_id=workspace_id, problem__isnull=False).defer("body")
    found: dict[UUID, list[Arrival]] = {}
    for arrival in rows.annotate(place=place).filter(place__lte=each).order_by("-id"):
        found.setdefault(arrival.source_id, []).append(arrival)
    return found


def access_quarantine(reader: Actor, workspace_id: UUID, source_id: UUID) -> QuerySet[Arrival]:
    """What an integration's inbox keeps in quarantine, the newest first, without what came itself. Raises NotFound."""
    if not access_sources(reader, workspace_id).filter(id=source_id).exists():
        raise NotFound("There is no such integration here.")
    rows = Arrival.objects.filter(workspace_id=workspace_id, source_id=source_id, problem__isnull=False)
    return rows.defer("body").order_by("-id")


def count_quarantined(reader: Actor, workspace_id: UUID) -> dict[UUID, int]:
    """How many arrivals are quarantined, by integration."""
    reader.require("source.read", workspace_id)
    rows = Arrival.objects.filter(workspace_id=workspace_id, problem__isnull=False).values_list("source_id")
    return dict(rows.annotate(Count("id")).order_by())


def access_silences(reader: Actor, workspace_id: UUID, *, ended: bool = False) -> QuerySet[Silence]:
    """Silences, the newest first: those that hold or will hold, or those that are over."""
    reader.require("alert.read", workspace_id)
    over = Q(ended_at__isnull=False) | Q(every="", ends_at__lte=now()) | Q(until__lte=now())
    rows = Silence.objects.filter(workspace_id=workspace_id)
    return (rows.filter(over) if ended else rows.exclude(over)).order_by("-id")


def access_routes(reader: Actor, workspace_id: UUID) -> QuerySet[Route]:
    """The routes of the live handbook in their order."""
    reader.require("alert.read", workspace_id)
    return Route.objects.filter(workspace_id=workspace_id).order_by("position")


def resolve_silences(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Silences as subjects."""
    if not reader.may("alert.read", workspace_id):
        return {}
    rows = Silence.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    url = reverse("silences", args=[slug])
    return {
        str(one.id): Shown("silence", str(one.id), f"the silence of {', '.join(one.match)[:80]}", url) for one in rows
    }


def resolve_sources(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Integrations as subjects."""
    if not reader.may("source.read", workspace_id):
        return {}
    rows = Source.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {str(one.id): Shown("source", str(one.id), one.name, reverse("integrations", args=[slug])) for one in rows}


def resolve_checks(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Checks as subjects."""
    if not reader.may("source.read", workspace_id):
        return {}
    rows = Check.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids)).defer("digest")
    return {str(one.id): Shown("check", str(one.id), one.name, reverse("integrations", args=[slug])) for one in rows}


def resolve_groups(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Groups as subjects."""
    if not reader.may("alert.read", workspace_id):
        return {}
    rows = Group.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {
        str(one.id): Shown("group", str(one.id), one.title, reverse("alert_group", args=[slug, one.id]), one.state)
        for one in rows
    }


def search_groups(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Open groups by their words."""
    if not reader.may("alert.read", workspace_id):
        return []
    rows = access_groups(reader, workspace_id, state="open", words=words)[:limit]
    return [
        Shown("group", str(one.id), one.title, reverse("alert_group", args=[slug, one.id]), "alert") for one in rows
    ]
