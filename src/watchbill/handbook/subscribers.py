"""What the handbook hears of."""

from uuid import UUID

from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.handbook.models import Binding


@subscribe("person.erased", "handbook.forget")
def forget(fact: Fact) -> None:
    """Takes an erased person out of the bindings, in every workspace; what is live and needs them is unbound from then on."""
    Binding.objects.filter(target_kind="person", target_id=UUID(fact.subject_id)).delete()
