"""What incidents add to “Can this hub page?”."""

from collections.abc import Iterator

from watchbill.incidents.models import SeverityLevel
from watchbill.language.names import canonical
from watchbill.paging.ability import Place, Reason, count_of, look, names_few
from watchbill.signals.models import Route


@look("the severities", demo=True)
def severities(place: Place) -> Iterator[Reason]:
    """Severities of the live handbook that no live route gives: only a person can declare such an incident."""
    levels = SeverityLevel.objects.filter(workspace_id=place.workspace_id, state="live").order_by("rank", "name")
    names = list(levels.values_list("name", flat=True))
    routes = Route.objects.filter(workspace_id=place.workspace_id, state="live").values_list("severity", flat=True)
    given = {canonical(one) for one in routes}
    left = [one for one in names if canonical(one) not in given]
    if left and given:
        verb = ("is", "are")[len(left) != 1]
        yield place.reason(
            "severity-without-route",
            "warning",
            f"{count_of(len(left), 'severity', 'severities')} of the handbook {verb} given by no route: {names_few(left)}.",
            "Add a route, or declare such incidents by hand",
            "handbook",
        )
