"""Who takes over from whom; schedules as an applied handbook has them; the look for handovers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.oncall.models import Feed, Override, Schedule
from watchbill.oncall.queries import access_schedule, who_is_on, who_is_on_between
from watchbill.people import tokens
from watchbill.people.models import Membership
from watchbill.runtime.isolation import together_or_apart
from watchbill.runtime.now import now

HANDED_OVER = declare("oncall.handed_over", "somebody else is on call now", "from", "to", "since")
LONGEST = timedelta(days=366)


@dataclass(frozen=True)
class Plan:
    """A schedule of a handbook, its participants resolved to persons."""

    key: str
    name: str
    level: str
    layers: list[dict[str, Any]]
    problems: list[str] = field(default_factory=list)
    path: str = ""
    line: int = 0


def replace_schedules(*, workspace_id: UUID, plans: Iterable[Plan]) -> dict[str, UUID]:
    """Makes these the schedules of a workspace: a part of applying a handbook, which writes the entry. Answers the id of each key.

    A schedule that is gone is retired, not deleted: what happened under it stays. Overrides stay with theirs.
    """
    there = {one.key: one for one in Schedule.objects.select_for_update().filter(workspace_id=workspace_id)}
    kept: dict[str, UUID] = {}
    for plan in plans:
        row = there.get(plan.key) or Schedule(workspace_id=workspace_id, key=plan.key)
        row.name, row.level, row.layers, row.problems = plan.name, plan.level, plan.layers, plan.problems
        row.path, row.line, row.retired_at = plan.path, plan.line, None
        row.save()
        kept[plan.key] = row.id
    Schedule.objects.filter(workspace_id=workspace_id, retired_at=None).exclude(key__in=list(kept)).update(
        retired_at=now()
    )
    return kept


def _member(workspace_id: UUID, person_id: UUID) -> None:
    here = Membership.objects.filter(workspace_id=workspace_id, person_id=person_id, person__active=True, ended_at=None)
    if not here.exists():
        raise NotFound("There is no such person here.", field="person")


@command("oncall.override", needs="oncall.override", quieter=announced("somebody else is on call than the rota says"))
def add_override(
    *, by: Actor, workspace_id: UUID, schedule_id: UUID, person_id: UUID, starts_at: datetime, ends_at: datetime, reason: str = ""
) -> Override:  # fmt: skip
    """Lets somebody take over in a schedule for some time; the newest one made counts where two overlap."""
    schedule, at = access_schedule(by, workspace_id, schedule_id), now()
    _member(workspace_id, person_id)
    if ends_at <= starts_at or ends_at - starts_at > LONGEST:
        raise Invalid("An override ends after it begins, at most a year later.", field="ends_at")
    if ends_at <= at:
        raise Invalid("This time is over already.", field="ends_at")
    loses = [
        one for one in who_is_on_between(workspace_id, schedule_id, max(starts_at, at), ends_at) if one != person_id
    ]
    row = Override(
        workspace_id=workspace_id, schedule=schedule, person_id=person_id, starts_at=starts_at, ends_at=ends_at, reason=" ".join(reason.split())[:300],
        made_by=by.id, made_at=at,
    )  # fmt: skip
    row.save(force_insert=True)
    record(
        ("schedule", schedule.id),
        detail={
            "person": str(person_id),
            "from": starts_at.isoformat(),
            "until": ends_at.isoformat(),
            "reason": row.reason,
        },
    )
    if loses:
        announce(
            f"{{0}} takes over from {', '.join(f'{{{number}}}' for number in range(1, min(len(loses), 9) + 1))} in {schedule.name} from {starts_at:%Y-%m-%d %H:%M} until {ends_at:%Y-%m-%d %H:%M} UTC",
            people=[person_id, *loses],
            loses=loses,
            undo=("oncall.override.end", {"override_id": row.id}),
        )
    return row


@command("oncall.override.end", needs="oncall.override", quieter=announced("somebody who took over is on call no more"))
def end_override(*, by: Actor, workspace_id: UUID, override_id: UUID) -> None:
    """Takes an override back; what was served under it stays in the history."""
    row = Override.objects.select_for_update().filter(workspace_id=workspace_id, id=override_id, ended_at=None).first()
    if row is None:
        raise NotFound("There is no such override.")
    row.ended_at = now()
    row.save(update_fields=["ended_at"])
    record(("schedule", row.schedule_id), detail={"person": str(row.person_id), "until": row.ends_at.isoformat()})
    if row.ends_at > now():
        again = {
            "schedule_id": row.schedule_id,
            "person_id": row.person_id,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
            "reason": row.reason,
        }
        announce(
            f"{{0}} does not take over in {row.schedule.name} until {row.ends_at:%Y-%m-%d %H:%M} UTC any more",
            people=[row.person_id],
            loses=[row.person_id],
            undo=("oncall.override", again),
        )


@command("oncall.feed", needs="oncall.read", quieter=harmless("a calendar to read"))
def create_feed(*, by: Actor, workspace_id: UUID, schedule_id: UUID | None = None) -> tuple[Feed, str]:
    """Makes the address of a calendar feed: of a schedule, or of one's own shifts. Its key is shown this once."""
    if by.kind != "person":
        raise Denied("A feed belongs to a person.")
    if schedule_id is not None:
        access_schedule(by, workspace_id, schedule_id)
    if Feed.objects.filter(workspace_id=workspace_id, person_id=by.id, revoked_at=None).count() >= 20:
        raise Conflict("You have twenty feeds already.", hint="Revoke one that you use no more.")
    text = tokens.fresh("wbc_")
    feed = Feed(
        workspace_id=workspace_id, person_id=by.id, schedule_id=schedule_id, digest=tokens.digest(text), prefix=tokens.prefix(text), made_at=now()
    )  # fmt: skip
    feed.save(force_insert=True)
    record(("schedule", schedule_id) if schedule_id else ("person", by.id), detail={"prefix": feed.prefix})
    return feed, text


@command("oncall.feed.revoke", needs=None, quieter=harmless("a calendar to read"))
def revoke_feed(*, by: Actor, workspace_id: UUID, feed_id: UUID) -> None:
    """Ends a calendar feed. Decides itself: one's own only."""
    feed = (
        Feed.objects.filter(workspace_id=workspace_id, id=feed_id, person_id=by.id, revoked_at=None)
        .defer("digest")
        .first()
    )
    if feed is None:
        raise NotFound("There is no such feed of yours.")
    feed.revoked_at = now()
    feed.save(update_fields=["revoked_at"])
    record(("person", by.id), detail={"prefix": feed.prefix})


@command("oncall.handover", needs=None, quieter=harmless("only the hub itself does this"))
def hand_over(*, by: Actor, workspace_id: UUID, schedule: Schedule, person_id: UUID | None) -> None:
    """Notes that somebody else is on call now. Only the hub's own look does this."""
    before, since = schedule.current_person, schedule.current_since
    schedule.current_person, schedule.current_since = person_id, now()
    schedule.save(update_fields=["current_person", "current_since"])
    record(("schedule", schedule.id), detail={"from": str(before or ""), "to": str(person_id or "")})
    publish(
        HANDED_OVER, workspace_id=workspace_id, subject=("schedule", schedule.id), data={"from": str(before or ""), "to": str(person_id or ""), "since": since.isoformat() if since else ""},
    )  # fmt: skip


def look() -> int:
    """Looks who is on now in every schedule; where it is somebody else than before, that is a handover. Several workers share it."""

    def due(skip: list[str]) -> list[UUID]:
        rows = Schedule.objects.filter(retired_at=None).exclude(id__in=skip).order_by("id")
        return list(rows.values_list("id", flat=True))

    return together_or_apart("handovers", due, _look)


def _look(ids: Sequence[UUID]) -> int:
    changed, at = 0, now()
    rows = Schedule.objects.select_for_update(skip_locked=True).filter(id__in=ids, retired_at=None).order_by("id")
    for schedule in rows:
        person = who_is_on(schedule.workspace_id, schedule.id, at)
        if person != schedule.current_person:
            hand_over(by=system("worker"), workspace_id=schedule.workspace_id, schedule=schedule, person_id=person)
            changed += 1
    return changed
