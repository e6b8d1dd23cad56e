"""Senders whose clock is wrong, for “Can this hub page?”."""

from collections.abc import Iterator
from datetime import timedelta

from watchbill.paging.ability import Place, Reason, look
from watchbill.signals.models import Source
from watchbill.signals.rules import CLOCK

#: A clock of which nothing was said for so long may be right by now.
SERVES = timedelta(hours=1)


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
