"""What integrations say of their senders, for “Can this hub page?”: whether there is one, clocks that are wrong, and messages that could not be used."""

from collections.abc import Iterator
from datetime import timedelta

from watchbill.paging.ability import Place, Reason, count_of, look
from watchbill.signals.models import Arrival, Source
from watchbill.signals.rules import CLOCK

#: A clock of which nothing was said for so long may be right by now.
SERVES = timedelta(hours=1)


#: Integrations that carry answers, and no alerts.
_ANSWERS = ("slack", "twilio")


@look("the integrations")
def senders(place: Place) -> Iterator[Reason]:
    """Whether anything may send alerts here: what nobody sends pages nobody."""
    if (
        not Source.objects.filter(workspace_id=place.workspace_id, revoked_at=None)
        .exclude(protocol__in=_ANSWERS)
        .exists()
    ):
        text = "No integration takes alerts in: nothing can send an alert to this workspace."
        fix = "Add an integration, and point your monitoring at its address"
        yield place.reason("no-sender", "warning", text, fix, "integrations")


@look("the senders' clocks")
def clocks(place: Place) -> Iterator[Reason]:
    """Integrations whose alerts showed lately that their sender's clock is wrong."""
    rows = Source.objects.filter(
        workspace_id=place.workspace_id, revoked_at=None, last_problem__startswith=CLOCK, last_problem_at__gte=place.at - SERVES
    ).order_by("name")  # fmt: skip
    for one in rows:
        yield place.reason(
            "sender-clock", "warning", f"“{one.name}”: {one.last_problem}", "Set the clock", "integrations"
        )


#: What could not be used longer ago stands on Integrations, and is no news.
NEWS = timedelta(days=1)


@look("messages that could not be used")
def unusable(place: Place) -> Iterator[Reason]:
    """What came lately and could not be taken in, whole or in part: an alert may be among it."""
    rows = Arrival.objects.filter(
        workspace_id=place.workspace_id, problem__isnull=False, received_at__gte=place.at - NEWS
    )
    number, names = rows.count(), sorted(set(rows.values_list("source__name", flat=True).distinct()[:4]))
    if number:
        yield place.reason(
            "unusable-message",
            "warning",
            f"{count_of(number, 'message')} of the last 24 hours could not be used as a whole ({', '.join(names)}):"
            " an alert may be among what was lost.",
            "See why, and replay",
            "integrations",
        )
