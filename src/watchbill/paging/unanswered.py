"""An escalation that went through all its steps without an answer: nobody acknowledged what arrived, or nobody could be reached.

The one place that decides which of the two it is. Each page, message, list, count and history asks here.
"""

from collections.abc import Iterable
from typing import Literal
from uuid import UUID

from django.db.models import Exists, OuterRef

from watchbill.paging.models import Delivery, Page

#: unacknowledged: messages went out, and nobody answered; unreached: none went out, or all failed.
Outcome = Literal["unacknowledged", "unreached"]
WORDS: dict[Outcome, str] = {"unacknowledged": "nobody acknowledged", "unreached": "nobody could be reached"}
#: Somebody may have these. One that its provider took and reported as failed later is none of them.
ARRIVED = ("sent", "delivered", "unknown")


def arrived() -> Exists:
    """Whether a message of a page's steps may have reached somebody: to annotate or filter pages with. Those who are told at the
    end, and notices, do not count."""
    return Exists(Delivery.objects.filter(page=OuterRef("pk"), step__gt=0, state__in=ARRIVED))


def _judged(ids: Iterable[UUID]) -> dict[UUID, Outcome]:
    wanted = list(ids)
    heard = set(Page.objects.filter(arrived(), id__in=wanted).values_list("id", flat=True)) if wanted else set()
    return {one: "unacknowledged" if one in heard else "unreached" for one in wanted}


def outcomes_of(pages: Iterable[Page]) -> dict[UUID, Outcome]:
    """What became of those of some pages whose steps all went by without an answer: one query, and none where there is none."""
    return _judged(one.id for one in pages if one.state == Page.State.EXHAUSTED and not one.once)


def judged(page: Page) -> Outcome:
    """What became of a page until now, should all its steps have gone by; also where somebody answered since."""
    return _judged([page.id])[page.id]


def outcome_of(page: Page) -> Outcome | None:
    """The same for one page; None where it is not over yet, was answered, or nobody has to answer it."""
    return outcomes_of([page]).get(page.id)


def at_the_end(page: Page) -> str:
    """How a message begins to those who hear it when all steps went by; also where somebody answered in between."""
    words = WORDS[judged(page)].capitalize()
    return words if page.state == Page.State.EXHAUSTED else f"{words} in time"
