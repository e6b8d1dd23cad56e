"""Starting, meeting, pausing clocks; and the sweep that warns and breaches. The database's clock is the authority."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict
from watchbill.clocks.models import Clock
from watchbill.clocks.rules import Policy, due_at, left, next_event, policy_json, read_policy, resumed, warnings
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.runtime.isolation import together_or_apart
from watchbill.runtime.now import now

WARNED = declare("clock.warned", "a part of a clock's time is over", "about", "kind", "percent")
BREACHED = declare("clock.breached", "a clock was not met in time", "about", "kind")
MET = declare("clock.met", "what a clock waited for was done", "about", "kind", "late")
OPEN = ("running", "paused")
_SWEPT = 200

Subject = tuple[str, object]


def _next(clock: Clock, policy: Policy) -> datetime:
    return next_event(clock.warned, warnings(policy, clock.started_at, clock.due_at), clock.due_at)


@command("clock.start", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def start(
    *, by: Actor, workspace_id: UUID, subject: Subject, kind: str, policy: Policy, started_at: datetime | None = None
) -> Clock:
    """Starts a clock about a subject. The command that opens the subject decides who may; a second one of its kind is refused."""
    begun = started_at or now()
    if Clock.objects.filter(subject_kind=subject[0], subject_id=str(subject[1]), kind=kind, state__in=OPEN).exists():
        raise Conflict(f"A clock “{kind}” runs about this already.")
    clock = Clock(
        workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]), kind=kind, policy=policy_json(policy), started_at=begun,
        due_at=due_at(policy, begun),
    )  # fmt: skip
    clock.next_at = _next(clock, policy)
    clock.save(force_insert=True)
    record(subject, detail={"kind": kind, "duration": policy.duration, "business": policy.business})
    return clock


def _clock(workspace_id: UUID, subject: Subject, kind: str, states: tuple[str, ...]) -> Clock | None:
    return (
        Clock.objects.select_for_update()
        .filter(
            workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]), kind=kind, state__in=states
        )
        .order_by("-id")
        .first()
    )


@command("clock.meet", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def meet(*, by: Actor, workspace_id: UUID, subject: Subject, kind: str) -> Clock | None:
    """Says that it was done. What was breached stays breached, with the time at which it was met. None where nothing waits."""
    clock = _clock(workspace_id, subject, kind, (*OPEN, "breached"))
    if clock is None or clock.met_at is not None:
        record(subject, detail={"kind": kind, "nothing": True})
        return None
    at = now()
    late = clock.state == "breached" or (clock.state == "running" and at > clock.due_at)
    if late and clock.breached_at is None:
        # The sweep had not come by yet; the deadline was over all the same.
        _breach(clock)
    if not late:
        clock.state = Clock.State.MET
    clock.met_at, clock.met_by, clock.next_at, clock.paused_at, clock.left = at, by.id, None, None, None
    clock.save()
    record(subject, detail={"kind": kind, "late": late})
    publish(
        MET, workspace_id=workspace_id, subject=("clock", clock.id), data={"about": list(map(str, subject)), "kind": kind, "late": late}
    )  # fmt: skip
    return clock


@command("clock.cancel", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def cancel(*, by: Actor, workspace_id: UUID, subject: Subject, kind: str) -> Clock | None:
    """Ends a clock that nobody waits for any more. None where none ran."""
    clock = _clock(workspace_id, subject, kind, OPEN)
    record(subject, detail={"kind": kind, "nothing": clock is None})
    if clock is not None:
        clock.state, clock.next_at, clock.paused_at, clock.left = Clock.State.CANCELLED, None, None, None
        clock.save()
    return clock


@command("clock.reopen", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def reopen(*, by: Actor, workspace_id: UUID, subject: Subject, kind: str, undo: bool = False) -> Clock | None:
    """Lets the latest clock of a kind go on as if its subject had not been over: its deadline stays. What is late by then is breached at once, what
    was breached stays breached, and what was met stays met, but for ``undo``. None where nothing changes. The reopening command decides who may."""
    rows = Clock.objects.select_for_update().filter(
        workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]), kind=kind
    )
    clock = rows.order_by("-id").first()
    ended = clock is not None and (clock.state == "cancelled" or (undo and clock.met_at is not None))
    record(subject, detail={"kind": kind, "nothing": not ended})
    if clock is None or not ended:
        return None
    clock.met_at, clock.met_by = None, None
    if clock.state != "breached":
        clock.state = Clock.State.RUNNING
        clock.next_at = _next(clock, read_policy(clock.policy))
    clock.save()
    return clock


@command("clock.pause", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def pause(*, by: Actor, workspace_id: UUID, subject: Subject, kind: str, reason: str) -> Clock:
    """Stops the time of a running clock; the reason is recorded. The command that pauses its subject decides who may."""
    clock = _clock(workspace_id, subject, kind, ("running",))
    at = now()
    if clock is None or at >= clock.due_at:
        raise Conflict(f"No clock “{kind}” runs here that could be paused.")
    clock.state, clock.paused_at, clock.next_at = Clock.State.PAUSED, at, None
    clock.left = left(read_policy(clock.policy), at, clock.due_at)
    clock.save()
    record(subject, detail={"kind": kind, "reason": " ".join(reason.split())[:500]})
    return clock


@command("clock.resume", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def resume(*, by: Actor, workspace_id: UUID, subject: Subject, kind: str) -> Clock:
    """Lets a paused clock go on with the time that was left. The command that resumes its subject decides who may."""
    clock = _clock(workspace_id, subject, kind, ("paused",))
    if clock is None or clock.left is None:
        raise Conflict(f"No clock “{kind}” is paused here.")
    policy = read_policy(clock.policy)
    clock.due_at = resumed(policy, now(), clock.left)
    clock.state, clock.paused_at, clock.left = Clock.State.RUNNING, None, None
    clock.next_at = _next(clock, policy)
    clock.save()
    record(subject, detail={"kind": kind})
    return clock


@command("clock.change", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def change(*, by: Actor, workspace_id: UUID, subject: Subject, kind: str, policy: Policy) -> Clock:
    """Another policy for a clock, reckoned from when it began: a severity that changed. The subject's command decides who may."""
    clock = _clock(workspace_id, subject, kind, ("running",))
    if clock is None:
        raise Conflict(f"No clock “{kind}” runs here.")
    before = clock.policy["duration"]
    clock.policy, clock.due_at, clock.warned = policy_json(policy), due_at(policy, clock.started_at), 0
    clock.next_at = _next(clock, policy)
    clock.save()
    record(subject, detail={"kind": kind, "changes": {"duration": {"from": before, "to": policy.duration}}})
    return clock


def _breach(clock: Clock) -> None:
    clock.state, clock.breached_at, clock.next_at = Clock.State.BREACHED, clock.due_at, None
    publish(
        BREACHED, workspace_id=clock.workspace_id, subject=("clock", clock.id), data={"about": [clock.subject_kind, clock.subject_id], "kind": clock.kind},
    )  # fmt: skip


@command("clock.breach", needs=None, quieter=harmless("only the hub itself does this"))
def breach(*, by: Actor, workspace_id: UUID, clock: Clock) -> None:
    """Records that a clock was not met in time. Only the hub's own sweep does this."""
    _breach(clock)
    clock.save()
    record((clock.subject_kind, clock.subject_id), detail={"kind": clock.kind, "due": clock.due_at.isoformat()})


def sweep(limit: int = _SWEPT) -> int:
    """Warns and breaches what is due, some at a time; several workers share the work. Answers how many clocks it touched."""

    def due(skip: list[str]) -> list[UUID]:
        rows = Clock.objects.filter(next_at__lte=now()).exclude(id__in=skip).order_by("next_at")
        return list(rows.values_list("id", flat=True)[:limit])

    return together_or_apart("clocks", due, _sweep)


def _sweep(ids: Sequence[UUID]) -> int:
    at = now()
    rows = Clock.objects.select_for_update(skip_locked=True, of=("self",)).filter(id__in=ids, next_at__lte=at)
    found = list(rows.order_by("next_at"))
    for clock in found:
        _look(clock, at)
    return len(found)


def _look(clock: Clock, at: datetime) -> None:
    policy = read_policy(clock.policy)
    for moment, percent in warnings(policy, clock.started_at, clock.due_at):
        if clock.warned < percent and moment <= at:
            clock.warned = percent
            publish(
                WARNED, workspace_id=clock.workspace_id, subject=("clock", clock.id),
                data={"about": [clock.subject_kind, clock.subject_id], "kind": clock.kind, "percent": percent},
            )  # fmt: skip
    if clock.due_at <= at:
        breach(by=system("worker"), workspace_id=clock.workspace_id, clock=clock)
    else:
        clock.next_at = _next(clock, policy)
        clock.save()
