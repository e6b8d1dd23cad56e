"""The sealer: gives settled entries their place, extends the tree, signs checkpoints. One at a time, behind the writers.

An entry is settled when no running transaction is older than its own (xid < pg_snapshot_xmin): then nothing can appear
before it any more, so (xid, id) is a total order that no writer had to wait for.
"""

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import Error, connections, transaction

from watchbill.base.actor import system
from watchbill.base.keys import Keys
from watchbill.ledger import merkle, notes
from watchbill.ledger.append import append
from watchbill.runtime.isolation import clear_failure, is_transient, note_failure, reraise_if_ending
from watchbill.runtime.live import tell_live
from watchbill.runtime.now import now

ALIAS = "sealer"
BATCH = 4000
_LOCK = 0x57A7C4B1
_SETTLED = """
SELECT e.xid::text, e.id, e.workspace_id, e.body FROM ledger_entry e
WHERE (e.xid, e.id) > (%s::xid8, %s::uuid)
  AND (e.xid < pg_snapshot_xmin(pg_current_snapshot()) OR e.id < %s::uuid)
  AND NOT EXISTS (SELECT 1 FROM ledger_place p WHERE p.entry_id = e.id)
  AND e.workspace_id <> ALL (%s::uuid[])
ORDER BY e.xid, e.id LIMIT %s
"""
#: Of a workspace that was left behind: what comes before the others' cursor.
_BEHIND = """
SELECT e.xid::text, e.id, e.workspace_id, e.body FROM ledger_entry e
WHERE e.workspace_id = %s AND (e.xid, e.id) > (%s::xid8, %s::uuid) AND (e.xid, e.id) <= (%s::xid8, %s::uuid)
  AND NOT EXISTS (SELECT 1 FROM ledger_place p WHERE p.entry_id = e.id)
ORDER BY e.xid, e.id LIMIT %s
"""
#: The unit of work under which a workspace is recorded whose entries cannot be sealed; and how long it pauses.
UNIT = "sealer"
PAUSE = 30.0
_LEFT = "seal_behind/"
ZERO = "00000000-0000-0000-0000-000000000000"


def origin(hub_id: str, workspace_id: UUID | str) -> str:
    """The log's name in its checkpoints: the hub's id and the workspace's."""
    return f"watchbill/{hub_id}/{workspace_id}"


def signer_name(hub_id: str) -> str:
    """The name of the hub's signing key."""
    return f"watchbill/{hub_id}"


@dataclass
class Sealer:
    """Seals in small steps: ``step()`` says how many entries it sealed. Holds a session lock while it may work."""

    keys: Keys
    batch: int = BATCH
    holding: bool = False
    frontiers: dict[UUID, merkle.Frontier] = field(default_factory=dict)
    edges: dict[UUID, dict[int, tuple[int, bytes]]] = field(default_factory=dict)
    hub_id: str = ""
    #: After a batch that failed: each workspace in a savepoint, so that one that cannot be sealed leaves the others theirs.
    apart: bool = False
    #: When a workspace that was left behind is tried again.
    paused: dict[UUID, float] = field(default_factory=dict)

    def take(self) -> bool:
        """Takes the lock, when no other sealer has it. A lost connection gives it up."""
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            self.holding = bool(cursor.fetchone()[0])
            if self.holding:
                cursor.execute("SELECT wb_hub_id()")
                row = cursor.fetchone()
                self.hub_id = row[0] if row and row[0] else ""
                self.holding = bool(self.hub_id)
        self.frontiers, self.edges = {}, {}
        return self.holding

    def drop(self) -> None:
        """Gives the lock back and forgets the caches, also after an error on the connection."""
        if self.holding:
            # Closing would give it back, too, but only once the server notices; the next sealer need not wait for that.
            with suppress(Error), connections[ALIAS].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        self.holding = False
        connections[ALIAS].close()

    def step(self) -> int:
        """Seals one batch in one transaction. Returns the number of entries; 0 when there was nothing settled."""
        if not self.holding and not self.take():
            return 0
        try:
            with transaction.atomic(using=ALIAS):
                count = self._seal()
            for workspace_id in self._due():
                count += self._catch_up(workspace_id)
            return count
        except BaseException as error:
            self.drop()
            # The next step finds the workspace whose fault it is.
            self.apart = not is_transient(error)
            raise

    def _seal(self) -> int:
        with connections[ALIAS].cursor() as cursor:
            meta, behind = self._meta(cursor)
            xid, last = json.loads(meta.get("seal_cursor", f'["0","{ZERO}"]'))
            cursor.execute(_SETTLED, [xid, last, meta.get("epoch_entry", ZERO), list(behind), self.batch])
            rows = cursor.fetchall()
            if not rows:
                return 0
            by_workspace: dict[UUID, list[tuple[UUID, str]]] = {}
            for _xid, entry_id, workspace_id, body in rows:
                by_workspace.setdefault(workspace_id, []).append((entry_id, body))
            left = 0
            for workspace_id, entries in by_workspace.items():
                if self.apart and (error := self._try(cursor, workspace_id, entries)):
                    self._leave(cursor, workspace_id, [xid, last], error)
                    left += len(entries)
                elif not self.apart:
                    self._extend(cursor, workspace_id, entries)
            self._set(cursor, "seal_cursor", json.dumps([rows[-1][0], str(rows[-1][1])]))
            self.apart = False
        return len(rows) - left

    def _meta(self, cursor: Any) -> tuple[dict[str, str], dict[UUID, list[str]]]:
        """The cursors: the common one with the epoch's, and those of workspaces that were left behind."""
        cursor.execute(
            "SELECT key, value FROM runtime_meta WHERE key IN ('seal_cursor', 'epoch_entry') OR (key LIKE %s AND value <> '')",
            [f"{_LEFT}%"],
        )
        found = dict(cursor.fetchall())
        behind = {UUID(key[len(_LEFT) :]): json.loads(value) for key, value in found.items() if key.startswith(_LEFT)}
        return {key: value for key, value in found.items() if not key.startswith(_LEFT)}, behind

    def _try(self, cursor: Any, workspace_id: UUID, entries: Sequence[tuple[UUID, str]]) -> BaseException | None:
        """Seals entries of one workspace in a savepoint; answers why that is not possible."""
        try:
            with transaction.atomic(using=ALIAS):
                self._extend(cursor, workspace_id, entries)
        except BaseException as error:
            reraise_if_ending(error)
            if is_transient(error):
                raise
            self.frontiers.pop(workspace_id, None)
            self.edges.pop(workspace_id, None)
            return error
        return None

    def _leave(self, cursor: Any, workspace_id: UUID, place: Sequence[str], error: BaseException) -> None:
        """Leaves a workspace behind: its entries wait in their order, those of all others get their places."""
        self._set(cursor, f"{_LEFT}{workspace_id}", json.dumps(list(place)))
        self._pause(workspace_id, error)

    def _pause(self, workspace_id: UUID, error: BaseException) -> None:
        self.paused[workspace_id] = time.monotonic() + PAUSE
        with suppress(Exception):
            note_failure(UNIT, str(workspace_id), error)

    def _due(self) -> list[UUID]:
        """The workspaces that were left behind and are to be tried again."""
        with connections[ALIAS].cursor() as cursor:
            behind = self._meta(cursor)[1]
        return [one for one in sorted(behind) if self.paused.get(one, 0.0) <= time.monotonic()]

    def _catch_up(self, workspace_id: UUID) -> int:
        """Seals what waits of a workspace that was left behind, up to where the others are."""
        with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
            meta, behind = self._meta(cursor)
            here, there = behind[workspace_id], json.loads(meta["seal_cursor"])
            cursor.execute(_BEHIND, [workspace_id, *here, *there, self.batch])
            rows = cursor.fetchall()
            if rows and (error := self._try(cursor, workspace_id, [(row[1], row[3]) for row in rows])):
                self._pause(workspace_id, error)
                return 0
            if len(rows) < self.batch:
                self._set(cursor, f"{_LEFT}{workspace_id}", "")
                self.paused.pop(workspace_id, None)
                with suppress(Exception):
                    clear_failure(UNIT, str(workspace_id))
            else:
                self._set(cursor, f"{_LEFT}{workspace_id}", json.dumps([rows[-1][0], str(rows[-1][1])]))
            return len(rows)

    def _frontier(self, cursor: Any, workspace_id: UUID) -> merkle.Frontier:
        if workspace_id not in self.frontiers:
            cursor.execute("SELECT size, peaks FROM ledger_log WHERE workspace_id = %s", [workspace_id])
            size, peaks = cursor.fetchone() or (0, b"")
            raw = bytes(peaks)
            self.frontiers[workspace_id] = merkle.Frontier(size, [raw[i : i + 32] for i in range(0, len(raw), 32)])
            cursor.execute(
                "SELECT DISTINCT ON (height) height, index, hashes FROM ledger_tile WHERE workspace_id = %s "
                "ORDER BY height, index DESC",
                [workspace_id],
            )
            self.edges[workspace_id] = {h: (i, bytes(data)) for h, i, data in cursor.fetchall() if len(data) < 32 * 256}
        return self.frontiers[workspace_id]

    def _extend(self, cursor: Any, workspace_id: UUID, entries: Sequence[tuple[UUID, str]]) -> None:
        frontier = self._frontier(cursor, workspace_id)
        start, tiles = frontier.size, _Tiles(self.edges[workspace_id])
        for _, body in entries:
            leaf = merkle.leaf_hash(body.encode())
            tiles.add(0, frontier.size, leaf)
            frontier.append(leaf)
        cursor.execute(
            "INSERT INTO ledger_place (workspace_id, index, entry_id) "
            "SELECT %s, %s + n - 1, e FROM unnest(%s::uuid[]) WITH ORDINALITY AS t (e, n)",
            [workspace_id, start, [entry_id for entry_id, _ in entries]],
        )
        cursor.executemany(
            "INSERT INTO ledger_tile (workspace_id, height, index, hashes) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (workspace_id, height, index) DO UPDATE SET hashes = excluded.hashes",
            [(workspace_id, height, index, data) for (height, index), data in tiles.changed.items()],
        )
        self.edges[workspace_id] = tiles.edges
        cursor.execute(
            "INSERT INTO ledger_log (workspace_id, size, peaks, epoch) VALUES (%s, %s, %s, 1) "
            "ON CONFLICT (workspace_id) DO UPDATE SET size = excluded.size, peaks = excluded.peaks",
            [workspace_id, frontier.size, b"".join(frontier.peaks)],
        )
        checkpoint = notes.Checkpoint(origin(self.hub_id, workspace_id), frontier.size, frontier.root())
        cursor.execute(
            "INSERT INTO ledger_checkpoint (workspace_id, size, note, at) VALUES (%s, %s, %s, %s)",
            [
                workspace_id,
                frontier.size,
                notes.sign(checkpoint, signer_name(self.hub_id), self.keys.signer()),
                now(ALIAS),
            ],
        )
        # The live feed: one notice per workspace, from the only process that knows the order.
        tell_live(workspace_id, "ledger", using=ALIAS)

    def anchor(self, path: Path) -> int:
        """Appends the newest unanchored checkpoint of each log to a file outside the database. Returns how many."""
        with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT ON (workspace_id) id, note FROM ledger_checkpoint WHERE anchored_at IS NULL "
                "ORDER BY workspace_id, size DESC"
            )
            rows = cursor.fetchall()
            if not rows:
                return 0
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                for _, note in rows:
                    file.write(note + "\n")
                file.flush()
                os.fsync(file.fileno())
            cursor.execute(
                "UPDATE ledger_checkpoint c SET anchored_at = wb_now() FROM ledger_checkpoint n WHERE n.id = ANY(%s) "
                "AND c.workspace_id = n.workspace_id AND c.size <= n.size AND c.anchored_at IS NULL",
                [[row[0] for row in rows]],
            )
        return len(rows)

    def check_epoch(self, anchor: Path) -> list[str]:
        """Begins a new epoch where the database is not the one that was sealed last: restored, failed over, or cut back.

        Compared are the server's identity and timeline, and the sizes of the logs with the anchor outside. Each log gets
        an entry that says so; a restore can then be told from a truncation. Returns the reasons, empty in ordinary life.
        """
        if not self.holding and not self.take():
            return []
        with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT system_identifier::text FROM pg_control_system()")
            identity = cursor.fetchone()[0]
            cursor.execute("SELECT timeline_id FROM pg_control_checkpoint()")
            identity += f"/{cursor.fetchone()[0]}"
            cursor.execute("SELECT value FROM runtime_meta WHERE key = 'incarnation'")
            row = cursor.fetchone()
            reasons: dict[UUID, str] = {}
            gaps: dict[UUID, int] = {}
            cursor.execute("SELECT workspace_id, size FROM ledger_log")
            logs: dict[UUID, int] = dict(cursor.fetchall())
            if row and row[0] != identity:
                reasons = dict.fromkeys(logs, f"the database server changed: {row[0]} before, {identity} now")
            for workspace_id, size in read_anchor(anchor, self.hub_id).items():
                have = logs.get(workspace_id, 0)
                if have < size and not self._known_gap(cursor, workspace_id, size):
                    reasons[workspace_id] = f"the anchor outside knows {size} entries, the database has {have}"
                    gaps[workspace_id] = size
            if not row:
                self._set(cursor, "incarnation", identity)
            if not reasons:
                return []
            self._set(cursor, "incarnation", identity)
            # The common cursor begins anew: nobody is behind it.
            cursor.execute("UPDATE runtime_meta SET value = '' WHERE key LIKE %s", [f"{_LEFT}%"])
            for workspace_id, reason in reasons.items():
                self._begin_epoch(cursor, workspace_id, reason, logs.get(workspace_id, 0))
            for workspace_id, size in gaps.items():
                self._set(cursor, f"gap/{workspace_id}", str(size))
        self.drop()
        return [f"{workspace_id}: {reason}" for workspace_id, reason in reasons.items()]

    def _known_gap(self, cursor: Any, workspace_id: UUID, size: int) -> bool:
        cursor.execute("SELECT value FROM runtime_meta WHERE key = %s", [f"gap/{workspace_id}"])
        row = cursor.fetchone()
        return bool(row) and int(row[0]) >= size

    def _begin_epoch(self, cursor: Any, workspace_id: UUID, reason: str, size: int) -> None:
        by = system("sealer")
        cursor.execute(
            "INSERT INTO ledger_log (workspace_id, size, peaks, epoch) VALUES (%s, 0, '', 2) "
            "ON CONFLICT (workspace_id) DO UPDATE SET epoch = ledger_log.epoch + 1 RETURNING epoch",
            [workspace_id],
        )
        epoch = cursor.fetchone()[0]
        detail = {"epoch": epoch, "reason": reason, "size_at_begin": size}
        entry = append(
            workspace_id=workspace_id,
            by=by,
            action="ledger.epoch",
            subject=("log", workspace_id),
            detail=detail,
            using=ALIAS,
        )
        # Entries of the old server carry its transaction numbers: all that came before this entry count as settled.
        self._set(cursor, "epoch_entry", str(entry.id))
        self._set(cursor, "seal_cursor", json.dumps(["0", ZERO]))

    def _set(self, cursor: Any, key: str, value: str) -> None:
        cursor.execute(
            "INSERT INTO runtime_meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )


class _Tiles:
    """The tiles that a batch touches: the right edge, extended. ``edges`` are the incomplete ones, by height."""

    def __init__(self, edges: dict[int, tuple[int, bytes]]) -> None:
        self._open = {height: (index, bytearray(data)) for height, (index, data) in edges.items()}
        self._full: dict[tuple[int, int], bytes] = {}
        self._touched: set[int] = set()

    def add(self, height: int, number: int, node: bytes) -> None:
        """Adds node ``number`` of level 8·height; a full tile's root goes one height up."""
        index = number // merkle.TILE
        data = self._open.setdefault(height, (index, bytearray()))[1]
        data += node
        self._touched.add(height)
        if len(data) == 32 * merkle.TILE:
            whole = bytes(self._open.pop(height)[1])
            self._full[height, index] = whole
            self.add(height + 1, index, merkle.fold([whole[i : i + 32] for i in range(0, len(whole), 32)]))

    @property
    def edges(self) -> dict[int, tuple[int, bytes]]:
        """The incomplete tiles."""
        return {height: (index, bytes(data)) for height, (index, data) in self._open.items()}

    @property
    def changed(self) -> dict[tuple[int, int], bytes]:
        """What must be written."""
        partial = {
            (height, self._open[height][0]): bytes(self._open[height][1]) for height in self._touched & set(self._open)
        }
        return self._full | partial


def read_anchor(path: Path, hub_id: str) -> dict[UUID, int]:
    """The largest size per workspace that the anchor file names for this hub; malformed lines are passed over."""
    found: dict[UUID, int] = {}
    prefix = origin(hub_id, "")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = iter(file)
            for line in lines:
                if line.startswith(prefix):
                    size = next(lines, "").strip()
                    try:
                        workspace_id = UUID(line.strip().removeprefix(prefix))
                    except ValueError:
                        continue
                    if size.isdecimal():
                        found[workspace_id] = max(found.get(workspace_id, 0), int(size))
    except FileNotFoundError:
        return {}
    return found
