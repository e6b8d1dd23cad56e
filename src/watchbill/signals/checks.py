"""Jobs that ping: what a ping changes, when one is missing, and the alert that follows. The addresses and answers are Healthchecks'."""

import base64
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from watchbill.base.actor import Actor
from watchbill.base.cron import long_step, next_after, read_cron
from watchbill.base.cron import problem as cron_problem
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.base.ids import slugify
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.people import tokens
from watchbill.people.values import clean_name, clean_zone
from watchbill.runtime.now import now
from watchbill.signals.models import Alert, Check, Ping, Source
from watchbill.signals.rules import Incoming
from watchbill.signals.runs import Run, begin, fail, read_runs, report, succeed, write_runs
from watchbill.signals.state import judge, load

PROTOCOL = "healthchecks"
LONGEST = 366 * 86400
SEVERITIES = ("critical", "error", "warning", "info")
STOPPED = declare("check.stopped", "a check's schedule can never come due")
CHANGED = declare("check.changed", "a check was changed or removed")


def ping_uuid(check_id: UUID) -> UUID:
    """The UUID in a check's address: computed, so that it can be shown and no table holds it."""
    mark = hmac.new(settings.KEYS.derive("ping"), check_id.bytes, "sha256").digest()
    return UUID(bytes=mark[:16], version=4)


def url_of(check: Check) -> str:
    """The address that a job pings."""
    return f"{settings.PUBLIC_URL}/ping/{ping_uuid(check.id)}"


def trouble(check: Check) -> str:
    """Why a check's schedule can never come due, as a sentence; empty where it can."""
    if not check.cron:
        return ""
    if reason := cron_problem(check.cron):
        return reason
    try:
        next_after(check.cron, check.zone, now())
    except (ValueError, OSError, LookupError):
        return f"The time zone “{check.zone[:60]}” is unknown."
    return ""


def due_at(check: Check) -> datetime | None:
    """When the next ping is due: counted from the last one, or from when the schedule was changed if that is later.

    None before the first one, and where the schedule can never come due. Raises nothing, whatever is stored.
    """
    if check.last_ping_at is None or trouble(check):
        return None
    since = max(check.last_ping_at, check.changed_at or check.last_ping_at)
    if check.cron:
        return next_after(check.cron, check.zone, since)
    return since + timedelta(seconds=check.period)


def runs_of(check: Check) -> list[Run]:
    """The runs of a check that were started and have not ended."""
    if check.runs is not None:
        return read_runs(check.runs)
    # An earlier release kept only the last start.
    start = check.last_start_at
    reported = start if check.state == Check.State.DOWN and check.next_at is None else None
    return [Run(check.run, start, reported)] if start else []


def missing_at(check: Check) -> datetime | None:
    """When it is missing: the time that is due and the grace; each run that was started has the grace to end.

    One that is down is missing already; only a run of which nothing was said yet is still to be said.
    """
    starts = [one.at for one in runs_of(check) if one.late is None]
    due = None if check.state == Check.State.DOWN else due_at(check)
    return min((one + timedelta(seconds=check.grace) for one in (*starts, due) if one), default=None)


def note_ping(check: Check, action: str, exit_status: int | None, run: str, at: datetime) -> str:
    """Changes a check by a ping. Answers “success”, “start”, “fail” or “log”."""
    kind = "fail" if action == "fail" or (exit_status or 0) > 0 else action if action in ("start", "log") else "success"
    if kind == "log":
        return kind
    runs = runs_of(check)
    if kind == "start":
        runs, check.last_start_at, check.run = begin(runs, run, at), at, run
    else:
        # A run that was started again took the time from its last start.
        began = check.last_start_at if not run or run == check.run else None
        began = began or next((one.at for one in runs if one.id == run), None)
        check.last_duration = (at - began).total_seconds() if began else None
        runs = succeed(runs, run, at) if kind == "success" else fail(runs, run)
        hangs = any(one.late for one in runs)
        check.state = Check.State.UP if kind == "success" and not hangs else Check.State.DOWN
        last = max(runs, key=lambda one: one.at, default=None)
        check.last_ping_at, check.last_start_at, check.run = at, last.at if last else None, last.id if last else ""
    check.runs = write_runs(runs)
    check.next_at = missing_at(check)
    check.problem = trouble(check)
    return kind


def _not_ended(run: Run) -> str:
    """Why a check is late: a run that was started."""
    return f"{f'run {run.id}' if run.id else 'it'} began at {run.at:%H:%M} UTC and has not ended"


def alert_of(check: Check, why: str, firing: bool, at: datetime) -> Incoming:
    """A check as an alert."""
    labels = {"alertname": check.name, "check": check.slug, "severity": check.severity}
    return Incoming(
        labels=labels, firing=firing, starts_at=at, ends_at=None if firing else at, annotations={"summary": why} if why else {},
        fingerprint=f"check:{check.id}", group_key=f"check:{check.id}", group_labels={"alertname": check.name, "check": check.slug}, keeps=True,
    )  # fmt: skip


def take_pings(
    source: Source, arrivals: Iterable[tuple[int, bytes, datetime]]
) -> tuple[list[tuple[int, list[Incoming]]], dict[int, str]]:
    """Pings of one source in their order: kept, and what they change as alerts; and what could not be understood, with why."""
    read: list[tuple[int, list[Incoming]]] = []
    problems: dict[int, str] = {}
    checks: dict[UUID, Check] = {}
    pings: list[Ping] = []
    for number, body, at in arrivals:
        try:
            told = json.loads(body)
            check = _check(source, told, at, checks)
            action, status = str(told["action"]), None
            if action.isdecimal():
                action, status = "", int(action)
                if status > 255:
                    raise ValueError("This is no exit status.")
            elif action not in ("", "start", "fail", "log"):
                raise ValueError("This is no action of a ping.")
            raw, size = base64.b64decode(told["body"], validate=True), int(told["size"])
            run, method, agent = (str(told[name]).replace("\0", "") for name in ("run", "method", "agent"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems[number] = str(error) if isinstance(error, LookupError) else "This is no ping."
            continue
        if check is None:
            problems[number] = f"There is no check “{str(told.get('slug', ''))[:100]}” here; ?create=1 makes one."
            continue
        kind = note_ping(check, action, status, run, at)
        pings.append(
            Ping(
                workspace_id=source.workspace_id, to=check, at=at, action=kind, exit_status=status, run=run[:40], method=method[:10], agent=agent,
                body=raw, size=size,
            )
        )  # fmt: skip
        alerts = []
        if kind == "fail":
            alerts = [alert_of(check, f"it failed{f' with exit status {status}' if status else ''}", True, at)]
        elif kind == "success":
            hangs = next((one for one in runs_of(check) if one.late), None)
            alerts = [alert_of(check, _not_ended(hangs), True, at) if hangs else alert_of(check, "", False, at)]
        read.append((number, alerts))
    for check in checks.values():
        check.save()
    Ping.objects.bulk_create(pings)
    return read, problems


def _check(source: Source, told: Mapping[str, Any], at: datetime, known: dict[UUID, Check]) -> Check | None:
    rows = Check.objects.select_for_update().filter(source=source, removed_at=None)
    key, slug = str(told.get("key") or ""), str(told.get("slug") or "")
    found = next(
        (one for one in known.values() if (slug and one.slug == slug) or (key and str(ping_uuid(one.id)) == key)), None
    )
    found = found or (rows.filter(digest=tokens.digest(key)).first() if key else rows.filter(slug=slug).first())
    if found is None and slug and told.get("create"):
        found = _new(source, slug, slug, at)
        found.save(force_insert=True)
    if found is not None:
        known[found.id] = found
    return found


def _new(source: Source, name: str, slug: str, at: datetime, **more: Any) -> Check:
    check = Check(workspace_id=source.workspace_id, source=source, name=name, slug=slug, created_at=at, **more)
    check.digest = tokens.digest(str(ping_uuid(check.id)))
    return check


def due(limit: int = 500) -> list[str]:
    """What the sweep has to look at, as keys: checks whose time is over, removed ones that are down, alerts that their sender forgot, those
    that were held back, and checks whose schedule stopped."""
    at = now()
    late = Check.objects.filter(next_at__lte=at, removed_at=None).order_by("next_at")
    gone = Check.objects.filter(removed_at__isnull=False, state="down").order_by("id")
    over = Alert.objects.filter(firing=True, expires_at__lte=at).order_by("expires_at")
    held_back = Alert.objects.filter(hold_until__lte=at).order_by("hold_until")
    found: list[str] = []
    stopped = _stopped().order_by("id")
    for kind, rows in (("gone", gone), ("check", late), ("alert", over), ("held", held_back), ("stopped", stopped)):
        found += [f"{kind}:{one}" for one in rows.values_list("id", flat=True)[:limit]]
    return found


def ids_of(kind: str, keys: Iterable[str]) -> list[UUID]:
    """The ids of one kind of key."""
    return [UUID(key.partition(":")[2]) for key in keys if key.startswith(f"{kind}:")]


def missing(keys: Sequence[str]) -> list[tuple[Source, list[Incoming]]]:
    """Within a transaction: those of these checks whose time is over, as alerts by source. Several workers share it."""
    at = now()
    rows = Check.objects.select_for_update(skip_locked=True, of=("self",)).select_related("source")
    found: dict[UUID, tuple[Source, list[Incoming]]] = {}
    # What was removed while it was down is nobody's alert any more.
    if gone := ids_of("gone", keys):
        for check in rows.filter(id__in=gone, removed_at__isnull=False, state="down"):
            check.state = Check.State.NEW
            check.save(update_fields=["state"])
            found.setdefault(check.source_id, (check.source, []))[1].append(alert_of(check, "", False, at))
    late = ids_of("check", keys)
    for check in rows.filter(id__in=late, next_at__lte=at, removed_at=None).order_by("next_at") if late else ():
        runs, overdue = report(runs_of(check), at - timedelta(seconds=check.grace), at)
        since = f"{check.last_ping_at:%Y-%m-%d %H:%M} UTC" if check.last_ping_at else "it was made"
        why = _not_ended(overdue) if overdue else f"no ping since {since}"
        check.state, check.runs = Check.State.DOWN, write_runs(runs)
        check.next_at = missing_at(check)
        check.save(update_fields=["state", "runs", "next_at"])
        found.setdefault(check.source_id, (check.source, []))[1].append(alert_of(check, why, True, at))
    return list(found.values())


def announce_stopped(keys: Sequence[str]) -> int:
    """Within a transaction: says once of each of these checks that stopped that its schedule can never come due."""
    ids = ids_of("stopped", keys)
    if not ids:
        return 0
    rows = _stopped().select_for_update(skip_locked=True, of=("self",)).filter(id__in=ids)
    found = list(rows.order_by("id"))
    for check in found:
        check.announced_at = now()
        check.save(update_fields=["announced_at"])
        publish(STOPPED, workspace_id=check.workspace_id, subject=("check", check.id))
    return len(found)


def _stopped() -> QuerySet[Check]:
    return Check.objects.filter(problem__gt="", announced_at=None, removed_at=None)


def forgotten(keys: Sequence[str]) -> list[tuple[Source, list[tuple[int, Incoming]]]]:
    """Within a transaction: those of these alerts that their sender said would be over by now, as ended, by source."""
    found: dict[UUID, tuple[Source, list[tuple[int, Incoming]]]] = {}
    ids = ids_of("alert", keys)
    if not ids:
        return []
    rows = Alert.objects.select_for_update(skip_locked=True, of=("self",)).filter(id__in=ids, firing=True)
    for row in rows.filter(expires_at__lte=now()).select_related("source").order_by("expires_at"):
        over = Incoming(
            labels=row.labels, firing=False, starts_at=row.starts_at, ends_at=row.expires_at, annotations=row.annotations, url=row.url,
            fingerprint=row.fingerprint, keeps=True,
        )  # fmt: skip
        found.setdefault(row.source_id, (row.source, []))[1].append((row.arrival, over))
    return list(found.values())


def held(keys: Sequence[str]) -> list[tuple[Source, list[tuple[int, Incoming]]]]:
    """Within a transaction: those of these reports of firing that were held back and that nobody took back in time, as firing, by source."""
    at = now()
    found: dict[UUID, tuple[Source, list[tuple[int, Incoming]]]] = {}
    ids = ids_of("held", keys)
    if not ids:
        return []
    rows = Alert.objects.select_for_update(skip_locked=True, of=("self",)).filter(id__in=ids, hold_until__lte=at)
    for row in rows.select_related("source").order_by("hold_until"):
        heard = load(json.dumps(row.heard or {}))
        stands = judge(heard, at)
        if not stands.firing:
            # It promised an end, and that has come meanwhile.
            row.hold_until = None
            row.save(update_fields=["hold_until"])
            continue
        fires = Incoming(
            labels=row.labels, firing=True, starts_at=stands.starts or row.starts_at, annotations=row.annotations, url=row.url,
            fingerprint=row.fingerprint, group_key=heard.group_key, group_labels=heard.group_labels, expires_at=stands.until, keeps=True,
        )  # fmt: skip
        found.setdefault(row.source_id, (row.source, []))[1].append((row.arrival, fires))
    return list(found.values())


@command("check.create", needs="source.edit", quieter=harmless("more is watched"))
def create_check(
    *, by: Actor, workspace_id: UUID, source_id: UUID, name: str, period: int = 86400, cron: str = "", zone: str = "UTC", grace: int = 3600,
    severity: str = "warning",
) -> Check:  # fmt: skip
    """Makes a check: a job that pings every ``period`` seconds or by a cron line, and is missing after ``grace`` seconds more."""
    source = Source.objects.filter(workspace_id=workspace_id, id=source_id, protocol=PROTOCOL, revoked_at=None).first()
    if source is None:
        raise NotFound("There is no integration for pings here.", hint="Make one of the kind “Pings of jobs”.")
    name = clean_name(name, longest=100)
    slug = slugify(name)
    if not slug:
        raise Invalid("The name needs a letter or digit for its address.", field="name")
    schedule = _schedule(period, cron, zone, grace, severity)
    check = _new(source, name, slug, now(), **schedule)
    try:
        with transaction.atomic():
            check.save(force_insert=True)
    except IntegrityError:
        raise Conflict(f"There is a check “{slug}” already.", field="name") from None
    record(("source", source.id), detail={"check": slug, **_told(check)})
    return check


def _schedule(period: int, cron: str, zone: str, grace: int, severity: str) -> dict[str, Any]:
    if not 60 <= period <= LONGEST or not 60 <= grace <= LONGEST:
        raise Invalid("Period and grace are a minute to a year.", field="period")
    line = read_cron(cron) if cron.strip() else ""
    if reason := long_step(line):
        raise Invalid(reason, field="cron")
    if severity not in SEVERITIES:
        raise Invalid(f"The severity is one of {', '.join(SEVERITIES)}.", field="severity")
    return {
        "period": period,
        "cron": line,
        "zone": clean_zone(zone),
        "grace": grace,
        "severity": severity,
    }


def _told(check: Check) -> dict[str, Any]:
    return {"period": check.period, "cron": check.cron, "grace": check.grace}


def _check_of(workspace_id: UUID, check_id: UUID) -> Check:
    check = Check.objects.select_for_update().filter(workspace_id=workspace_id, id=check_id, removed_at=None).first()
    if check is None:
        raise NotFound("There is no such check here.")
    return check


@command("check.edit", needs="source.edit", quieter=announced("a check has another schedule or severity"))
def edit_check(
    *, by: Actor, workspace_id: UUID, check_id: UUID, period: int | None = None, cron: str | None = None, zone: str | None = None,
    grace: int | None = None, severity: str | None = None,
) -> Check:  # fmt: skip
    """Changes when a check's pings are due, from now on, and how severe its alert is. What is not said stays; an empty cron line means the period."""
    check = _check_of(workspace_id, check_id)
    before = _told(check)
    old = {
        "period": check.period,
        "cron": check.cron,
        "zone": check.zone,
        "grace": check.grace,
        "severity": check.severity,
    }
    schedule = _schedule(
        check.period if period is None else period,
        # One that can never come due must be replaced to change anything else.
        check.cron if cron is None else cron,
        check.zone if zone is None else zone,
        check.grace if grace is None else grace,
        check.severity if severity is None else severity,
    )
    for name, value in schedule.items():
        setattr(check, name, value)
    check.problem, check.announced_at, check.changed_at = "", None, now()
    check.next_at = missing_at(check)
    check.save(update_fields=[*schedule, "problem", "announced_at", "changed_at", "next_at"])
    record(("source", check.source_id), detail={"check": check.slug, "before": before, **_told(check)})
    if any(schedule[name] != value for name, value in old.items()):
        announce(
            f"The check “{check.name}” has another schedule or severity",
            undo=("check.edit", {"check_id": check.id, **old}),
        )
    publish(CHANGED, workspace_id=workspace_id, subject=("check", check.id))
    return check


@command("check.remove", needs="source.edit", quieter=announced("a job or service is watched no more"))
def remove_check(*, by: Actor, workspace_id: UUID, check_id: UUID) -> None:
    """Removes a check: its pings are refused from then on, and its alert ends."""
    check = _check_of(workspace_id, check_id)
    check.removed_at, check.next_at = now(), None
    check.save(update_fields=["removed_at", "next_at"])
    record(("source", check.source_id), detail={"check": check.slug})
    announce(f"The check “{check.name}” was removed: nobody is paged where it is missing")
    publish(CHANGED, workspace_id=workspace_id, subject=("check", check.id))
