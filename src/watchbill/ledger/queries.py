"""Reads of the ledger: the feed, one entry, its proof."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connections

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.mask import mask_email, mask_name, mask_phone
from watchbill.ledger import merkle
from watchbill.ledger.models import Entry, Log, Payload, Place, SignedCheckpoint, Tile

PAGE = 50


@dataclass(frozen=True)
class EntryShown:
    """An entry as a reader may see it: personal parts of its payload masked."""

    id: UUID
    at: datetime
    actor_kind: str
    actor_id: UUID
    via: str
    action: str
    subject_kind: str
    subject_id: str
    request_id: str
    detail: Mapping[str, Any]
    personal: Mapping[str, Any]
    erased: bool
    place: int | None
    body: str


@dataclass(frozen=True)
class Filter:
    """What the feed shows: all parts optional. Times are aware; ``until`` is exclusive."""

    actor_id: UUID | None = None
    action: str = ""
    subject_kind: str = ""
    subject_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: UUID | None = None


def _stamp(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def access_entries(
    reader: Actor, workspace_id: UUID, wanted: Filter, *, limit: int = PAGE, personal: bool = False
) -> list[EntryShown]:
    """The newest entries that fit, by id descending; three queries however many. ``action`` matches it and what is below it."""
    reader.require("ledger.read", workspace_id)
    found = Entry.objects.filter(workspace_id=workspace_id)
    if wanted.actor_id:
        found = found.filter(actor_id=wanted.actor_id)
    if wanted.action:
        found = found.filter(action__startswith=wanted.action)
    if wanted.subject_kind:
        found = found.filter(subject_kind=wanted.subject_kind)
    if wanted.subject_id:
        found = found.filter(subject_id=wanted.subject_id)
    # Ids are time-ordered (UUIDv7), so a time is a range of the feed's own index.
    if wanted.since:
        found = found.filter(id__gte=_first_id(wanted.since), at__gte=_stamp(wanted.since))
    if wanted.until:
        found = found.filter(id__lt=_first_id(wanted.until, slack=2000), at__lt=_stamp(wanted.until))
    if wanted.before:
        found = found.filter(id__lt=wanted.before)
    rows = list(found.order_by("-id")[:limit])
    return _show(rows, personal)


def _first_id(at: datetime, *, slack: int = -2000) -> UUID:
    """The smallest UUIDv7 of a time, some milliseconds to the safe side: ids carry the writer's clock, ``at`` the database's."""
    return UUID(int=max(0, int(at.timestamp() * 1000) + slack) << 80)


def _show(rows: Iterable[Entry], personal: bool) -> list[EntryShown]:
    rows = list(rows)
    ids = [row.id for row in rows]
    payloads = {payload.entry_id: payload for payload in Payload.objects.filter(entry_id__in=ids)}
    places = dict(Place.objects.filter(entry_id__in=ids).values_list("entry_id", "index"))
    return [_one(row, payloads.get(row.id), places.get(row.id), personal) for row in rows]


def _one(row: Entry, payload: Payload | None, place: int | None, personal: bool) -> EntryShown:
    body = json.loads(row.body)
    content = json.loads(payload.body) if payload and payload.body else {}
    shown = content.get("personal", {})
    # Shown is what the sealed bytes say; the columns only find and order.
    return EntryShown(
        row.id, datetime.fromisoformat(body["at"]).astimezone(UTC), str(body.get("actor_kind", "")), UUID(body["actor"]), str(body.get("via", "")),
        str(body["action"]), str(body["subject_kind"]), str(body["subject"]), str(body.get("request", "")), content.get("detail", {}), shown if personal else _masked(shown),
        bool(payload and payload.erased_at), place, row.body,
    )  # fmt: skip


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _masked(part, key if name in {"from", "to"} else name) for name, part in value.items()}
    if not isinstance(value, str):
        return "•••" if value is not None else None
    masks = {"email": mask_email, "phone": mask_phone, "name": mask_name}
    return masks.get(key, lambda text: "•••")(value)


def access_entry(reader: Actor, workspace_id: UUID, entry_id: UUID) -> EntryShown:
    """One entry. Raises NotFound."""
    reader.require("ledger.read", workspace_id)
    rows = Entry.objects.filter(workspace_id=workspace_id, id=entry_id)
    shown = _show(rows, False)
    if not shown:
        raise NotFound("There is no such entry here.")
    return shown[0]


@dataclass(frozen=True)
class Proof:
    """That an entry is in the sealed log: its place, leaf hash, the path to the root, and the signed checkpoint."""

    place: int
    size: int
    leaf: bytes
    path: list[bytes]
    root: bytes
    note: str


def access_proof(reader: Actor, workspace_id: UUID, entry: EntryShown) -> Proof | None:
    """The entry's inclusion proof against the newest checkpoint; None while it waits for the sealer."""
    reader.require("ledger.read", workspace_id)
    if entry.place is None:
        return None
    checkpoint = SignedCheckpoint.objects.filter(workspace_id=workspace_id).order_by("-size").first()
    if checkpoint is None:
        return None
    read = tile_reader(workspace_id)
    path = merkle.inclusion_proof(read, entry.place, checkpoint.size)
    leaf = merkle.leaf_hash(entry.body.encode())
    return Proof(
        entry.place,
        checkpoint.size,
        leaf,
        path,
        merkle.root_from_inclusion(leaf, entry.place, checkpoint.size, path),
        checkpoint.note,
    )


def tile_reader(workspace_id: UUID, *, using: str = "default") -> merkle.NodeReader:
    """Reads nodes of a workspace's tree; each tile is read once."""
    kept: dict[tuple[int, int], bytes] = {}

    def tile(height: int, index: int) -> bytes:
        if (height, index) not in kept:
            row = Tile.objects.using(using).filter(workspace_id=workspace_id, height=height, index=index).first()
            kept[height, index] = bytes(row.hashes) if row else b""
        return kept[height, index]

    def read(level: int, index: int) -> bytes:
        # A subtree higher than its complete tiles is folded from the halves below.
        try:
            return merkle.node_from_tiles(tile, level, index)
        except ValueError:
            if level == 0:
                raise
            return merkle.node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    return read


@dataclass(frozen=True)
class Health:
    """How the log stands."""

    size: int
    epoch: int
    last_at: datetime | None
    note: str
    anchored: bool


def access_health(reader: Actor, workspace_id: UUID) -> Health:
    """The log's size, epoch and newest checkpoint."""
    reader.require("ledger.read", workspace_id)
    log = Log.objects.filter(workspace_id=workspace_id).first()
    newest = SignedCheckpoint.objects.filter(workspace_id=workspace_id).order_by("-size").first()
    anchored = SignedCheckpoint.objects.filter(workspace_id=workspace_id, anchored_at__isnull=False).exists()
    return Health(
        log.size if log else 0,
        log.epoch if log else 1,
        newest.at if newest else None,
        newest.note if newest else "",
        anchored,
    )


def hub_id(using: str = "default") -> str:
    """The hub's public id."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT wb_hub_id()")
        value: str = cursor.fetchone()[0]
    return value
