"""What the command line does with people."""

from uuid import UUID

from django.conf import settings

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.people.commands import invite_person
from watchbill.people.models import ContactMethod, Person, Workspace
from watchbill.secrets.commands import rewrap_secrets
from watchbill.signin.commands import make_link, rewrap_second_factors


def find_person(text: str) -> UUID:
    """A person by e-mail address or id. Raises NotFound."""
    contact = ContactMethod.objects.filter(kind="email", value__iexact=text).first()
    if contact:
        found: UUID = contact.person_id
        return found
    try:
        person = Person.objects.filter(id=UUID(text)).first()
    except ValueError:
        person = None
    if person is None:
        raise NotFound(f"Nobody here has the e-mail address or id “{text}”.", hint="watchbill invite adds people.")
    return person.id


def _workspace(slug: str) -> Workspace:
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None:
        known = ", ".join(Workspace.objects.order_by("slug").values_list("slug", flat=True))
        raise NotFound(f"There is no workspace “{slug}”.", hint=f"There are: {known}.")
    return workspace


def make_sign_in_link(by: Actor, person_id: UUID, workspace: str, break_glass: bool, reason: str) -> str:
    """A one-time link's address."""
    text = make_link(
        by=by, workspace_id=_workspace(workspace).id, person_id=person_id, break_glass=break_glass, reason=reason
    )
    return f"{settings.PUBLIC_URL}/signin/link/{text}"


def invite(by: Actor, email: str, name: str, workspace: str, role: str) -> str:
    """Adds a person; returns their first link."""
    person = invite_person(by=by, workspace_id=_workspace(workspace).id, name=name, email=email, role=role)
    return make_sign_in_link(by, person.id, workspace, False, "")


def rewrap_all(by: Actor) -> int:
    """Every workspace's secrets and everybody's second factors, wrapped by the current key."""
    return rewrap_second_factors(by=by) + sum(
        rewrap_secrets(by=by, workspace_id=workspace.id) for workspace in Workspace.objects.all()
    )
