"""Looking again at open groups that page nobody, when another handbook is live. What pages keeps its route and its policy."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from watchbill.facts.publish import publish
from watchbill.runtime.isolation import together_or_apart
from watchbill.signals import history
from watchbill.signals.batch import ROUTED, routes_of
from watchbill.signals.models import Alert, Group, Unrouted
from watchbill.signals.rules import Route, route_of
from watchbill.signals.unrouted import MARK, UNPAGED, is_decision, setting_of, words_of

#: The unit of work under which a group is recorded that could not be looked at; it is tried again.
UNIT = "looking again"
_SWEPT = 200


def look_again(limit: int = _SWEPT) -> int:
    """Looks at groups that page nobody and were not looked at since the live revision; several workers share the work.

    One that cannot be looked at keeps its state, is tried again, and stops no other. Answers how many were looked at.
    """

    def due(skip: list[str]) -> list[UUID]:
        return list(_unseen().exclude(id__in=skip).order_by("opened_at").values_list("id", flat=True)[:limit])

    return together_or_apart(UNIT, due, _look_at)


def _unseen() -> QuerySet[Group]:
    live = Unrouted.objects.filter(workspace_id=OuterRef("workspace_id")).values("revision")[:1]
    revision = Coalesce(Subquery(live, output_field=IntegerField()), 0)
    rows = Group.objects.filter(UNPAGED, firing__gt=0).annotate(live=revision)
    return rows.filter(Q(looked=None) | Q(looked__lt=F("live")))


def _look_at(ids: Sequence[UUID]) -> int:
    found = list(_unseen().filter(id__in=ids).select_for_update(skip_locked=True, of=("self",)).order_by("opened_at"))
    routes: dict[UUID, tuple[int, list[Route]]] = {}
    for group in found:
        if group.workspace_id not in routes:
            # The revision first: routes that are newer than it are looked at once more, never once too little.
            routes[group.workspace_id] = (setting_of(group.workspace_id).revision, routes_of(group.workspace_id))
        number, those = routes[group.workspace_id]
        _look(group, those, number)
        Group.objects.filter(id=group.id).update(looked=number)
    return len(found)


def _look(group: Group, routes: list[Route], revision: int) -> None:
    taken, before = _taken(group, routes), group.route
    if is_decision(before) and is_decision(taken) and taken["key"] == before.get("key"):
        # Its place in the file, or its reason, may have changed: the decision is the same.
        if taken != before:
            _take(group, taken)
        return
    if not taken and not before:
        return
    if taken != {key: value for key, value in before.items() if key != MARK}:
        _take(group, taken)
        history.say(group, "routed", words_of(taken, revision))
    # Where the route is the same and nobody was named, the escalation may be there by now.
    publish(
        ROUTED, workspace_id=group.workspace_id, subject=("group", group.id), data={"key": str(taken.get("key", ""))}
    )


def _take(group: Group, taken: dict[str, object]) -> None:
    group.route = taken
    group.save(update_fields=["route"])


def _taken(group: Group, routes: list[Route]) -> dict[str, object]:
    """The stamped route that takes a group: the first one that pages for any of its alerts; nobody only where a route says so for all."""
    places = {one.key: number for number, one in enumerate(routes)}
    fits: dict[str, Route] = {}
    unrouted = False
    for labels in Alert.objects.filter(group=group, firing=True).values_list("labels", flat=True).iterator(2000):
        route = route_of(routes, labels)
        if route is None:
            unrouted = True
        else:
            fits.setdefault(route.key, route)
    paging = [one for one in fits.values() if not one.nobody]
    if not paging and (unrouted or not fits):
        return {}
    return min(paging or fits.values(), key=lambda one: places[one.key]).stamp()
