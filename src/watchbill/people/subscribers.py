"""What people hear of."""

from uuid import UUID

from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.ledger.erase import erase_payloads_about
from watchbill.people.models import ApiToken
from watchbill.runtime.now import now


@subscribe("person.erased", "people.erase_everywhere")
def erase_everywhere(fact: Fact) -> None:
    """Erases the payloads about a person in the workspaces that the one who asked could not reach."""
    erase_payloads_about(UUID(fact.subject_id))


@subscribe("person.deactivated", "people.revoke_tokens")
def revoke_tokens(fact: Fact) -> None:
    """Ends a deactivated person's tokens; they are refused from the first moment anyway, because the person is inactive."""
    ApiToken.objects.filter(person_id=UUID(fact.subject_id), revoked_at=None).update(revoked_at=now())
