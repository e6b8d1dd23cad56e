"""Silences: making and ending them, what they hide, and what they hold back from paging until they end."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import QuerySet

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.people.values import clean_zone
from watchbill.runtime.isolation import describe, together_or_apart
from watchbill.runtime.now import now
from watchbill.signals import history
from watchbill.signals.matchers import holds, read_matchers
from watchbill.signals.models import Alert, Group, Silence
from watchbill.signals.rules import Quiet, quiet_until

log = structlog.get_logger("watchbill.silences")
RELEASED = declare("group.released", "what a silence held back is not silenced any more")
ENDS_SOON = declare("silence.ends_soon", "a silence ends in a while", "by")
LONGEST = timedelta(days=366)
#: How long before its end its author is reminded; a silence that is shorter reminds at no time.
BEFORE = timedelta(hours=1)
_SWEPT = 500


def quiet_of(row: Silence) -> Quiet:
    """A silence for the rules."""
    return Quiet(row.starts_at, row.ends_at, row.every, row.zone, row.until)


def current(workspace_id: UUID, at: datetime) -> list[tuple[Silence, datetime]]:
    """The silences that hold at an instant, with when each ends. For rules; pages use access_silences."""
    rows = Silence.objects.filter(workspace_id=workspace_id, ended_at=None, starts_at__lte=at)
    found: list[tuple[Silence, datetime]] = []
    for row in rows:
        try:
            end = quiet_until(quiet_of(row), at)
            read_matchers(row.match)
        except Exception as error:
            # A silence that cannot be read holds nothing back: better a page too many than none in its whole workspace.
            log.error("silence.unreadable", silence=str(row.id), error=describe(error))
            continue
        if end is not None:
            found.append((row, end))
    return found


def silenced(labels: Mapping[str, str], there: Iterable[tuple[Silence, datetime]]) -> tuple[Silence, datetime] | None:
    """The silence that holds some labels back the longest; None where none does."""
    fits = [(row, end) for row, end in there if holds(read_matchers(row.match), labels)]
    return max(fits, key=lambda one: one[1], default=None)


def words(row: Silence, end: datetime) -> str:
    """Why something did not go out."""
    what = "maintenance" if row.maintenance else "a silence"
    return f"{what} until {end:%Y-%m-%d %H:%M} UTC: {row.reason}"


@command("silence.create", needs="silence.edit", quieter=announced("what it matches pages nobody while it lasts"))
def create_silence(
    *, by: Actor, workspace_id: UUID, match: Iterable[str], reason: str, starts_at: datetime, ends_at: datetime, every: str = "", zone: str = "UTC",
    until: datetime | None = None, maintenance: bool = False,
) -> Silence:  # fmt: skip
    """Holds alerts that fit back from paging for some time. It says who, why and until when; what is paged already goes on without messages."""
    texts, at = [str(one) for one in read_matchers(match)], now()
    if not texts:
        raise Invalid("A silence needs a matcher: one without would hide everything.", field="match")
    if not any(one.op in ("=", "=~") and one.value not in ("", ".*") for one in read_matchers(texts)):
        raise Invalid(
            "At least one matcher says what a label is: a silence of all that is not something hides nearly everything.",
            field="match",
        )
    reason = " ".join(reason.replace("\0", "").split())[:500]
    if not reason:
        raise Invalid("Say why: somebody will ask.", field="reason")
    if ends_at <= starts_at or ends_at - starts_at > LONGEST:
        raise Invalid("A silence ends after it begins, at most a year later.", field="ends_at")
    if every not in ("", "day", "week"):
        raise Invalid("It comes again every day or week, or not at all.", field="every")
    if every and ends_at - starts_at >= timedelta(days=1 if every == "day" else 7):
        raise Invalid("It ends before it comes again.", field="ends_at")
    if not every and ends_at <= at:
        raise Invalid("This time is over already.", field="ends_at")
    if until is not None and until <= at:
        raise Invalid("This time is over already.", field="until")
    row = Silence(
        workspace_id=workspace_id, match=texts, reason=reason, maintenance=maintenance, starts_at=starts_at, ends_at=ends_at, every=every, zone=clean_zone(zone),
        until=until, made_by=by.id, made_at=at,
    )  # fmt: skip
    row.save(force_insert=True)
    record(
        ("silence", row.id),
        detail={"match": texts, "reason": reason, "from": starts_at.isoformat(), "until": ends_at.isoformat(), "every": every, "maintenance": maintenance},
    )  # fmt: skip
    again = {"": "", "day": ", every day", "week": ", every week"}[every]
    announce(
        f"Alerts with {', '.join(texts)} page nobody from {starts_at:%Y-%m-%d %H:%M} until {ends_at:%Y-%m-%d %H:%M} UTC{again}: {reason}",
        undo=("silence.end", {"silence_id": row.id}),
    )
    return row


@command("silence.end", needs="silence.edit", quieter=harmless("more is paged"))
def end_silence(*, by: Actor, workspace_id: UUID, silence_id: UUID) -> None:
    """Ends a silence now; what it held back is paged at once."""
    row = Silence.objects.select_for_update().filter(workspace_id=workspace_id, id=silence_id).first()
    if row is None:
        raise NotFound("There is no such silence here.")
    if row.ended_at is not None:
        raise Conflict("This silence has ended already.")
    row.ended_at, row.ended_by = now(), by.id
    row.save(update_fields=["ended_at", "ended_by"])
    record(("silence", row.id), detail={"reason": row.reason})


def hidden_by(workspace_id: UUID, match: Iterable[str], limit: int = 50) -> tuple[list[Group], int]:
    """What a silence would hide now: groups whose firing alerts all fit, and how many more of them there are."""
    matchers = read_matchers(match)
    by_group: dict[UUID, list[Mapping[str, str]]] = {}
    for group_id, labels in Alert.objects.filter(workspace_id=workspace_id, firing=True).values_list(
        "group_id", "labels"
    )[:100_000]:
        by_group.setdefault(group_id, []).append(labels)
    ids = [key for key, all_labels in by_group.items() if all(holds(matchers, labels) for labels in all_labels)]
    return list(Group.objects.filter(id__in=ids[:limit]).order_by("-changed_at")), max(0, len(ids) - limit)


def hold_back(group: Group, at: datetime) -> bool:
    """Holds a group back where silences fit all its firing alerts, and says so in its history. Says whether it is held."""
    there = current(group.workspace_id, at)
    if not there:
        return False
    ends = []
    for labels in Alert.objects.filter(group=group, firing=True).values_list("labels", flat=True):
        found = silenced({**group.labels, **labels}, there)
        if found is None:
            return False
        ends.append(found)
    if not ends:
        return False
    row, end = min(ends, key=lambda one: one[1])
    if group.held_until != end:
        history.say(group, "held back", words(row, end))
    group.held_until = end
    group.save(update_fields=["held_until"])
    return True


def sweep(limit: int = _SWEPT) -> int:
    """Looks again at what silences hold back: where none fits any more it is released. Reminds authors of what ends soon."""

    def held(skip: list[str]) -> list[UUID]:
        rows = Group.objects.filter(held_until__isnull=False).exclude(id__in=skip).order_by("held_until")
        return list(rows.values_list("id", flat=True)[:limit])

    def ending(skip: list[str]) -> list[UUID]:
        return list(_ending(now()).exclude(id__in=skip).values_list("id", flat=True)[:limit])

    released = together_or_apart("silences", held, _release)
    return released + together_or_apart("reminders of silences", ending, _remind)


def _release(ids: Sequence[UUID]) -> int:
    done, at = 0, now()
    rows = Group.objects.select_for_update(skip_locked=True, of=("self",)).filter(id__in=ids, held_until__isnull=False)
    for group in rows.order_by("held_until"):
        if group.state != "open":
            group.held_until = None
            group.save(update_fields=["held_until"])
        elif not hold_back(group, at):
            group.held_until = None
            group.save(update_fields=["held_until"])
            history.say(group, "released", "no silence fits it any more")
            publish(RELEASED, workspace_id=group.workspace_id, subject=("group", group.id))
            done += 1
    return done


def _ending(at: datetime) -> QuerySet[Silence]:
    return Silence.objects.filter(
        ended_at=None, reminded_at=None, every="", ends_at__gt=at, ends_at__lte=at + BEFORE
    )  # fmt: skip


def _remind(ids: Sequence[UUID]) -> int:
    count, at = 0, now()
    for row in _ending(at).select_for_update(skip_locked=True).filter(id__in=ids):
        row.reminded_at = at
        row.save(update_fields=["reminded_at"])
        if row.ends_at - row.starts_at > 2 * BEFORE:
            publish(
                ENDS_SOON, workspace_id=row.workspace_id, subject=("silence", row.id), data={"by": str(row.made_by)}
            )
            count += 1
    return count
