"""What “Can this hub page?” looks at in incidents: those that a person resolved while their alerts fire."""

from collections.abc import Iterator

from watchbill.incidents.models import Incident
from watchbill.paging.ability import Place, Reason, count_of, look, names_few
from watchbill.signals.models import Group


@look(
    "the resolved incidents",
    demo=True,
    codes={"resolved-firing": "an incident was resolved by hand, and its alerts still fire"},
)
def resolved_but_firing(place: Place) -> Iterator[Reason]:
    """Incidents that are resolved although alerts of theirs fire: nobody is paged about these."""
    groups = Group.objects.filter(workspace_id=place.workspace_id, state="open", firing__gt=0, held_until=None)
    rows = Incident.objects.filter(workspace_id=place.workspace_id, state="resolved", group_id__in=groups.values("id"))
    numbers = list(rows.order_by("-number").values_list("number", flat=True))
    if numbers:
        verb = "is resolved, and its" if len(numbers) == 1 else "are resolved, and their"
        text = f"{count_of(len(numbers), 'incident')} {verb} alerts still fire: {names_few(f'INC-{one}' for one in numbers)}."
        yield place.reason("resolved-firing", "warning", text, "Reopen, or silence the alerts", "incidents")
