"""What the live handbook adds to “Can this hub page?”: what `watchbill check` and Review warn of is told here in the same words."""

from collections.abc import Iterator

from watchbill.handbook.queries import gaps_of_live, has_live
from watchbill.paging.ability import Level, Place, Reason, count_of, look, names_few
from watchbill.paging.roster import reaches
from watchbill.paging.unrouted import policy_of
from watchbill.signals.heard import ADMINS, NOBODY
from watchbill.signals.unrouted import Setting, setting_of


@look(
    "the routes",
    demo=True,
    codes={
        "no-route": "no live route pages anybody: alerts reach only whom `unrouted:` names",
        "severity-without-route": "no live route gives a severity of the handbook",
    },
)
def routes(place: Place) -> Iterator[Reason]:
    """Whether a route pages anybody, and which severities no route gives: as the compiler sees the live handbook."""
    found, setting = gaps_of_live(place.workspace_id), setting_of(place.workspace_id)
    if not found.pages and setting.pages != NOBODY:
        # A handbook that has nobody to page needs no route: that is worth knowing, and nothing is wrong with it.
        warned = found.unrouted is not None or not has_live(place.workspace_id)
        yield _no_route(place, setting, "warning" if warned else "note")
    left = [head.name[:80] for _, head in found.ungiven]
    if left:
        verb = ("is", "are")[len(left) != 1]
        yield place.reason(
            "severity-without-route",
            "warning",
            f"{count_of(len(left), 'severity', 'severities')} of the handbook {verb} given by no route: {names_few(left)}.",
            "Add a route, or declare such incidents by hand",
            "handbook",
        )


def _no_route(place: Place, setting: Setting, level: Level) -> Reason:
    """That no route pages, and who hears of alerts instead: nobody is paged where none of those can be reached. A demo sends nothing anyway."""
    policy, _ = policy_of(place.workspace_id, setting)
    named = f"“{setting.pages}”" if policy["key"] and setting.pages != ADMINS else ""
    if place.demo or reaches(place.workspace_id, policy):
        text = f"No route pages anybody: alerts reach only {named or 'the admins'}."
    else:
        level = "broken"
        lost = f"{named} cannot" if named else "none of the admins can"
        text = f"No route pages anybody, and {lost} be reached: alerts reach nobody."
    return place.reason("no-route", level, text, "Write a route beside the runbooks, and apply it", "handbook")
