"""Whose turn it is: which of the messages that are due a sender takes next, so that nobody holds all senders.

A server that drips holds a sender until the deadline. So no person holds more than one, no workspace more than half of them, and no channel
as many as its workspace; of each of these some stay free for critical pages, and some for those that are known to arrive. The leases in the database are what counts, so these limits hold however many workers run; taking a
turn is a transaction of its own under a lock, so that two senders never count the same room twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from watchbill.paging.models import VAIN, Delivery, Page
from watchbill.paging.rules import FOR_SEVERAL, SENDERS

#: The senders that one person may hold.
ONE_PERSON = 1
#: A second worker makes room for messages that are critical and known to arrive.
WITHOUT_LIMIT = 32767
#: How many senders messages of a priority and those below it may hold together, in order of `Delivery.Priority`: any message, those not known
#: to arrive, and those that can wait. Whatever can wait never keeps a critical message of its own workspace waiting, and a provider that
#: drips leaves senders to the workspace's other channels (docs/decisions/0013).
HUB = (WITHOUT_LIMIT, SENDERS - 2, SENDERS - 4)
WORKSPACE = (SENDERS // 2, SENDERS // 2 - 1, SENDERS // 4)
CHANNEL = (SENDERS // 2 - 2, SENDERS // 2 - 3, SENDERS // 4 - 1)
#: How long a taken turn lasts until the attempt begins: that takes milliseconds, unless the sender died.
TURN = timedelta(seconds=10)
#: What waits longer than this goes by its age, critical or not.
PATIENT = "30 seconds"
#: How long a contact that was reached counts as one that can be.
REACHED = timedelta(days=30)

_NONE = "'00000000-0000-0000-0000-000000000000'::uuid"
_LAST = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
_ANY_DUE = "SELECT EXISTS (SELECT FROM paging_delivery WHERE state IN ('waiting', 'sending') AND due_at <= wb_now() AND (state = 'waiting' OR leased_until <= wb_now()))"
# The rest of the transaction is this process's; where it stops in between, the lock must not stay. What is lost with a crash of the
# database is a turn that nobody used, so nobody waits for the disk.
_LOCK = (
    "SELECT set_config('synchronous_commit', 'off', true), set_config('idle_in_transaction_session_timeout', '5s', true), "
    "set_config('jit', 'off', true), pg_advisory_xact_lock(hashtext('paging.turn'), 0)"
)
_HEAD = (
    f"d.id, d.priority, d.workspace_id, coalesce(d.channel_id, {_NONE}) AS channel, coalesce(d.person_id, {_NONE}) AS person, d.due_at, d.attempts "
    "FROM paging_delivery d WHERE d.state = 'waiting'"
)
_ORDER = f"ORDER BY d.priority, d.workspace_id, coalesce(d.channel_id, {_NONE}), coalesce(d.person_id, {_NONE}), d.due_at, d.id LIMIT 1"
_LIMITS = ", ".join(str((number, *row)) for number, row in enumerate(zip(HUB, WORKSPACE, CHANNEL, strict=True)))
# Each queue (priority, workspace, channel, person) is looked at by its head alone, and those of a full workspace or channel are jumped over:
# what this costs depends on how many wait for something, never on how many messages wait.
_PICK = f"""
WITH RECURSIVE held AS MATERIALIZED (
    SELECT workspace_id, coalesce(channel_id, {_NONE}) AS channel, person_id, priority
    FROM paging_delivery WHERE state = 'sending' AND leased_until > wb_now()
), workspaces AS MATERIALIZED (
    SELECT workspace_id, count(*) AS n FROM held GROUP BY 1
), limits (priority, hub, workspace, channel) AS (
    VALUES {_LIMITS}
), full_workspaces AS MATERIALIZED (
    SELECT DISTINCT p.priority, f.workspace_id FROM limits p JOIN (
        SELECT l.priority, h.workspace_id FROM held h JOIN limits l ON h.priority >= l.priority
        GROUP BY l.priority, h.workspace_id, l.workspace HAVING count(*) >= l.workspace) f ON f.priority <= p.priority
), full_channels AS MATERIALIZED (
    SELECT DISTINCT p.priority, f.channel FROM limits p JOIN (
        SELECT l.priority, h.channel FROM held h JOIN limits l ON h.priority >= l.priority
        GROUP BY l.priority, h.channel, l.channel HAVING count(*) >= l.channel) f ON f.priority <= p.priority
), full_hub AS MATERIALIZED (
    SELECT DISTINCT p.priority FROM limits p JOIN limits l ON l.priority <= p.priority
    WHERE (SELECT count(*) FROM held h WHERE h.priority >= l.priority) >= l.hub
), heads AS (
    (SELECT {_HEAD} {_ORDER})
    UNION ALL
    SELECT next.* FROM heads h CROSS JOIN LATERAL (
        SELECT {_HEAD}
        AND (d.priority, d.workspace_id, coalesce(d.channel_id, {_NONE}), coalesce(d.person_id, {_NONE})) > (
            h.priority, h.workspace_id,
            CASE WHEN (least(h.priority, 2), h.workspace_id) IN (SELECT priority, workspace_id FROM full_workspaces) THEN {_LAST} ELSE h.channel END,
            CASE WHEN (least(h.priority, 2), h.workspace_id) IN (SELECT priority, workspace_id FROM full_workspaces)
                OR (least(h.priority, 2), h.channel) IN (SELECT priority, channel FROM full_channels) THEN {_LAST} ELSE h.person END)
        {_ORDER}
    ) next
), due AS (
    SELECT id, workspace_id, channel, person, due_at, greatest(priority, least(attempts, 1)) AS priority FROM heads WHERE due_at <= wb_now()
    UNION ALL
    SELECT d.id, d.workspace_id, coalesce(d.channel_id, {_NONE}), coalesce(d.person_id, {_NONE}), d.due_at, greatest(d.priority, least(d.attempts, 1))
    FROM paging_delivery d WHERE d.state = 'sending' AND d.leased_until <= wb_now()
)
SELECT due.id FROM due LEFT JOIN workspaces USING (workspace_id)
WHERE least(due.priority, 2) NOT IN (SELECT priority FROM full_hub)
    AND (least(due.priority, 2), due.workspace_id) NOT IN (SELECT priority, workspace_id FROM full_workspaces)
    AND (least(due.priority, 2), due.channel) NOT IN (SELECT priority, channel FROM full_channels)
    AND (SELECT count(*) FROM held WHERE held.person_id = due.person) < {ONE_PERSON}
ORDER BY (due.priority >= 2 AND due.due_at > wb_now() - interval '{PATIENT}'), coalesce(workspaces.n, 0), due.due_at, due.id
LIMIT 20
"""  # noqa: S608 - constants
_TAKE = """
SELECT d.id, d.state, d.attempted_at, EXISTS (SELECT FROM runtime_failure f WHERE f.unit = 'deliveries' AND f.item = d.id::text)
FROM paging_delivery d JOIN unnest(%s::uuid[]) WITH ORDINALITY AS wanted (id, place) USING (id)
WHERE (d.state = 'waiting' AND d.due_at <= wb_now()) OR (d.state = 'sending' AND d.leased_until <= wb_now())
ORDER BY wanted.place LIMIT 1 FOR UPDATE OF d SKIP LOCKED
"""
# Whoever was tried in vain once is not known to be reached.
_LEASE = (
    "UPDATE paging_delivery SET state = 'sending', attempted_at = NULL, leased_until = wb_now() + %s * interval '1 second', priority = greatest(priority, least(attempts, 1)) "
    "WHERE id = %s RETURNING leased_until"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that a sender has taken, and until when. ``attempted_at`` is its last attempt; ``lost``: its sender died at that one.

    ``failed``: it could not be weighed before, which is on record (`runtime_failure`).
    """

    id: UUID
    until: datetime
    attempted_at: datetime | None
    lost: bool
    failed: bool = False


def take_turn() -> Turn | None:
    """Takes the message whose turn it is; None where none is due, or those that are may have no further sender now."""
    with connection.cursor() as cursor:
        # Asked whenever anything happened, mostly in vain.
        cursor.execute(_ANY_DUE)
        if not cursor.fetchall()[0][0]:
            return None
        with transaction.atomic():
            cursor.execute(_LOCK)
            cursor.execute(_PICK)
            wanted = [row[0] for row in cursor.fetchall()]
            if not wanted:
                return None
            # What somebody else is changing just now (an acknowledgement, say) is not waited for.
            cursor.execute(_TAKE, [wanted])
            found = cursor.fetchone()
            if found is None:
                return None
            cursor.execute(_LEASE, [TURN.total_seconds(), found[0]])
            (until,) = cursor.fetchall()[0]
    # Without an attempt under this lease its sender died before it began one: nothing is lost.
    return Turn(found[0], until, found[2], found[1] == "sending" and found[2] is not None, found[3])


def _reached(contacts: set[UUID], at: datetime) -> set[UUID]:
    """The contacts that took a message lately, and have refused none since."""
    mine = Delivery.objects.filter(contact_id__in=contacts).order_by()
    sent = mine.filter(sent_at__gt=at - REACHED).values_list("contact_id").annotate(last=Max("sent_at"))
    vain = mine.filter(VAIN, attempted_at__gt=at - REACHED).values_list("contact_id").annotate(last=Max("attempted_at"))
    failed = dict(vain)
    return {
        contact for contact, last in sent if contact is not None and (contact not in failed or failed[contact] < last)
    }


def set_priorities(page: Page, rows: Sequence[Delivery], at: datetime) -> None:
    """What is critical goes first: 0 where the last message of this kind arrived, 1 where that is not known, 2 for all that can wait."""
    if page.urgency != "high" or page.can_wait or page.shadow:
        return
    # Receivers may fail on purpose, several at once: that lowers their own messages, never those to whoever the channel reaches.
    working = [
        row
        for row in rows
        if (one := row.channel) is not None
        and (one.last_problem_at is None or one.last_problem.startswith(FOR_SEVERAL))
    ]
    contacts = {row.contact_id for row in working if row.contact_id is not None}
    reached = _reached(contacts, at) if contacts else set[UUID]()
    for row in rows:
        row.priority = Delivery.Priority.CRITICAL
    for row in working:
        channel = row.channel
        known = row.contact_id in reached if row.contact_id is not None else bool(channel and channel.last_ok_at)
        row.priority = Delivery.Priority.PROVEN if known else Delivery.Priority.CRITICAL
