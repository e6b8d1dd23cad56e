"""What sign-in hears of. The person is refused from the first moment anyway, being inactive; this clears up behind."""

from uuid import UUID

from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.signin.models import Login, OneTimeLink, Session


@subscribe("person.deactivated", "signin.end_sessions")
def end_sessions(fact: Fact) -> None:
    """Ends the sessions and links of a deactivated person."""
    Session.objects.filter(person_id=UUID(fact.subject_id)).delete()
    OneTimeLink.objects.filter(person_id=UUID(fact.subject_id)).delete()


@subscribe("person.erased", "signin.forget")
def forget(fact: Fact) -> None:
    """Deletes an erased person's way in, with the second factor and the identity provider's account."""
    end_sessions(fact)
    for login in Login.objects.filter(person_id=UUID(fact.subject_id)):
        login.delete()
