"""Whom the names of the runbooks mean: binding and unbinding them. Whom they page changes at once."""

from __future__ import annotations

from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import Invalid, NotFound
from watchbill.handbook.apply import bring
from watchbill.handbook.models import Binding
from watchbill.language.names import canonical
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced
from watchbill.paging.queries import name_of
from watchbill.paging.reach import persons_of
from watchbill.runtime.now import now


@command("handbook.bind", needs="handbook.bind", quieter=announced("a name that meant somebody means somebody else"))
def bind_name(*, by: Actor, workspace_id: UUID, name: str, target_kind: str, target_id: UUID) -> Binding:
    """Binds a name of the runbooks to a person, team, schedule or channel of the workspace; whom it pages changes at once."""
    text = " ".join(name.replace("\0", "").split())[:200]
    key = canonical(text)
    if not key:
        raise Invalid("There is no name to bind.", field="name")
    _exists(workspace_id, target_kind, target_id)
    before = Binding.objects.filter(workspace_id=workspace_id, name=key).first()
    binding, _ = Binding.objects.update_or_create(
        workspace_id=workspace_id,
        name=key,
        defaults={
            "text": text,
            "target_kind": target_kind,
            "target_id": target_id,
            "bound_by": by.id,
            "bound_at": now(),
        },
    )
    about = [target_id] if target_kind == "person" else []
    record((target_kind, target_id), detail={"to": target_kind}, personal={"name": text}, about=about)
    if before is not None and (before.target_kind, before.target_id) != (target_kind, target_id):
        _announce_binding(before, (target_kind, target_id))
    bring(workspace_id)
    return binding


def _announce_binding(before: Binding, after: tuple[str, UUID] | None) -> None:
    """Whom a name meant hears that it means somebody else, or nobody."""
    targets = [(before.target_kind, before.target_id), *([after] if after else [])]
    people = [target_id for kind, target_id in targets if kind == "person"]
    words = [
        f"{{{people.index(target_id)}}}" if kind == "person" else name_of(before.workspace_id, kind, target_id) or f"a {kind} that is gone"
        for kind, target_id in targets
    ]  # fmt: skip
    undo = {"name": before.text, "target_kind": before.target_kind, "target_id": before.target_id}
    announce(
        f"“{before.text}” means {words[1] if after else 'nobody'} now, and no more {words[0]}",
        people=people,
        loses=[
            one.id for one in persons_of(before.workspace_id, before.target_kind, {"id": before.target_id}, now())[0]
        ],
        undo=("handbook.bind", undo),
    )


def _exists(workspace_id: UUID, kind: str, target_id: UUID) -> None:
    if name_of(workspace_id, kind, target_id) is None:
        raise NotFound("There is no such person, team, schedule or channel here.")


@command("handbook.unbind", needs="handbook.bind", quieter=announced("a name that meant somebody means nobody"))
def unbind_name(*, by: Actor, workspace_id: UUID, name: str) -> None:
    """Takes a name's binding away; what is live and needs it cannot reach anybody until it is bound again."""
    binding = Binding.objects.filter(workspace_id=workspace_id, name=canonical(name)).first()
    if binding is None:
        raise NotFound("This name is not bound.")
    record((binding.target_kind, binding.target_id), detail={"to": "nobody"}, personal={"name": binding.text})
    _announce_binding(binding, None)
    binding.delete()
    bring(workspace_id)
