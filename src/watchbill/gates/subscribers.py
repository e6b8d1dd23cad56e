"""What gates hear of."""

from uuid import UUID

from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.gates.commands import expire
from watchbill.gates.models import Request


@subscribe("clock.breached", "gates.expire", about="request")
def expire_request(fact: Fact) -> None:
    """A request that nobody answered in time makes place for another."""
    request = Request.objects.select_for_update().filter(id=UUID(fact.data["about"][1]), state="open").first()
    if request is not None:
        expire(request)
