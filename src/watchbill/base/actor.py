"""Who acts: a plain value that travels from the edge into every command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from watchbill.base.errors import Denied

ActorKind = Literal["person", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who acts, with what they may do in each workspace.

    ``id`` is the person's id, or the fixed id of a part of the hub. ``via`` says through what: ``web``,
    ``token:<prefix>``, ``cli``, ``worker``. ``grants`` maps a workspace to the permissions held there.
    """

    kind: ActorKind
    id: UUID
    via: str
    request_id: str = ""
    grants: Mapping[UUID, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    all_powerful: bool = False
    mfa: bool = False

    def may(self, permission: str, workspace_id: UUID) -> bool:
        """Whether this actor holds ``permission`` (``noun.verb``) in that workspace."""
        return self.all_powerful or permission in self.grants.get(workspace_id, frozenset())

    def require(self, permission: str, workspace_id: UUID) -> None:
        """Raises Denied, naming the missing permission, unless ``may`` holds."""
        if not self.may(permission, workspace_id):
            raise Denied(
                f"This needs the permission “{permission}”, which you do not hold here.",
                hint="An admin of this workspace can grant a role that has it: see Access.",
            )


#: The parts of the hub that act by themselves. Fixed ids, so that a ledger names them for ever.
SYSTEM_IDS = {
    "setup": UUID("00000000-0000-7000-8000-0000000000a1"),
    "cli": UUID("00000000-0000-7000-8000-0000000000a2"),
    "worker": UUID("00000000-0000-7000-8000-0000000000a3"),
    "sealer": UUID("00000000-0000-7000-8000-0000000000a4"),
    "signin": UUID("00000000-0000-7000-8000-0000000000a5"),
}
SYSTEM_NAMES = {value: f"Watchbill ({key})" for key, value in SYSTEM_IDS.items()}


def system(part: str, *, request_id: str = "") -> Actor:
    """The hub itself, acting through one of its parts; it holds every permission and is named in the ledger."""
    return Actor("system", SYSTEM_IDS[part], via=part, request_id=request_id, all_powerful=True)
