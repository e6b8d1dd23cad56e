"""The shell's own commands."""

from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.facts.models import Delivery, Fact
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.runtime.now import now


@command("event.replay", needs="event.replay", quieter=harmless("what failed is tried again"))
def replay_fact(*, by: Actor, workspace_id: UUID, fact_id: UUID) -> int:
    """Delivers a fact again to every subscriber, and says to how many."""
    if not Fact.objects.filter(workspace_id=workspace_id, id=fact_id).exists():
        raise NotFound("There is no such event here.")
    count = Delivery.objects.filter(fact_id=fact_id).update(
        state=Delivery.State.WAITING, attempts=0, due_at=now(), error=""
    )
    record(("event", fact_id), detail={"deliveries": count})
    return count


@command("ledger.export", needs="ledger.export", quieter=harmless("it reads"))
def note_export(*, by: Actor, workspace_id: UUID) -> None:
    """Records that the ledger was exported."""
    record(("workspace", workspace_id))
