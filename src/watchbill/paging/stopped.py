"""STOP and START, answered by text message: the carrier obeys them by itself, so the hub knows which numbers no text reaches. Calls go on."""

from collections.abc import Iterable
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging.models import TextsStopped
from watchbill.paging.rules import Way
from watchbill.people.models import ContactMethod
from watchbill.runtime.now import now


def ways_from(workspace_id: UUID, contacts: Iterable[ContactMethod]) -> list[Way]:
    """Contacts as the rules look at them, with what this workspace cannot use."""
    stopped = set(TextsStopped.objects.filter(workspace_id=workspace_id).values_list("contact_id", flat=True))
    return [Way(one.id, one.kind, one.verified, one.problem, one.id in stopped) for one in contacts]


@command(
    "contact.stop_texts",
    needs=None,
    quieter=harmless("the owner of the number asks their carrier for it; Can this hub page? says so"),
)
def stop_texts(*, by: Actor, workspace_id: UUID, contact: ContactMethod) -> None:
    """Notes that no text from this workspace reaches a number any more. Only the hub itself does this."""
    row = TextsStopped(workspace_id=workspace_id, person_id=contact.person_id, contact_id=contact.id, at=now())
    TextsStopped.objects.bulk_create([row], ignore_conflicts=True)
    record(("person", contact.person_id), detail={"contact": str(contact.id)})


@command("contact.start_texts", needs=None, quieter=harmless("texts go out again"))
def start_texts(*, by: Actor, workspace_id: UUID, contact: ContactMethod) -> None:
    """Notes that texts reach a number again. Only the hub itself does this."""
    TextsStopped.objects.filter(workspace_id=workspace_id, contact_id=contact.id).delete()
    record(("person", contact.person_id), detail={"contact": str(contact.id)})
