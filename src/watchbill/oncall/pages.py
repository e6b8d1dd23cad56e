"""Pages of on-call schedules: who is on now, who is next, the calendar, overrides, feeds."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from watchbill.base.errors import Invalid, NotFound, WatchbillError
from watchbill.oncall import commands, rules
from watchbill.oncall.feed import calendar
from watchbill.oncall.models import Feed
from watchbill.oncall.queries import Watch, access_overrides, access_schedule, access_schedules, own_feeds
from watchbill.people.edge import local_time, place_of
from watchbill.people.pages import as_uuid
from watchbill.people.queries import Place, Reader, access_names, names_of
from watchbill.runtime.now import now

DAYS = 14
_ANSWERED = {403, 409, 422}


def _people(reader: Reader, watches: Iterable[Watch]) -> dict[str, str]:
    ids = {
        one.who for watch in watches for one in (*watch.shifts, watch.now, watch.next) if one is not None and one.who
    }
    return {str(key): name for key, name in names_of(reader.actor, (UUID(one) for one in ids)).items()}


def _bars(watch: Watch, names: dict[str, str], start: datetime, days: int) -> list[dict[str, Any]]:
    """Shifts as parts of a bar 1,000 wide."""
    whole = timedelta(days=days)
    found = []
    for one in watch.shifts:
        left, right = (1000 * ((at - start) / whole) for at in (one.start, one.end))
        name = names.get(one.who, "somebody who left") if one.who else "nobody"
        found.append(
            {
                "x": round(left, 1),
                "width": round(max(1.0, right - left), 1),
                "hue": sum(map(ord, name)) % 6 if one.who else "gap",
                "name": name,
                "shift": one,
            }
        )
    return found


def _answer(watches: Sequence[Watch], mine: Iterable[Watch]) -> str:
    """What the page has to say of its own; empty where every schedule has somebody."""
    uncovered = sum(1 for one in watches if one.now is None or not one.now.who)
    parts = []
    if names := [one.schedule.name for one in mine]:
        parts.append(f"You are on call in {' and '.join(names)}.")
    if uncovered:
        parts.append(f"{uncovered} schedule{'s have' if uncovered > 1 else ' has'} nobody on call now.")
    return " ".join(parts) if watches else "The live handbook has no schedule."


@require_http_methods(["GET", "POST"])
def oncall(request: HttpRequest, slug: str) -> HttpResponse:
    """Who is on call now and next, in every schedule; what is not covered, and who is on twice at once."""
    reader, place = place_of(request, slug)
    shown, error = None, None
    if request.method == "POST":
        try:
            if request.POST.get("do") == "revoke":
                commands.revoke_feed(
                    by=reader.actor, workspace_id=place.id, feed_id=as_uuid(request.POST.get("feed", ""))
                )
                return redirect("oncall", slug)
            _, text = commands.create_feed(by=reader.actor, workspace_id=place.id)
            shown = f"{settings.PUBLIC_URL}/feed/{text}.ics"
        except WatchbillError as problem:
            if problem.status not in _ANSWERED:
                raise
            error = problem
    at = now()
    watches = access_schedules(reader.actor, place.id, at, days=DAYS)
    names = _people(reader, watches)
    doubles = [
        (names.get(shift.who, "somebody"), one.schedule.name, other.schedule.name, shift)
        for number, one in enumerate(watches)
        for other in watches[number + 1 :]
        for shift in rules.both(one.shifts, other.shifts)[:3]
    ]
    mine = [one for one in watches if one.now and one.now.who == str(reader.person_id)]
    context = {
        "answer": _answer(watches, mine),
        "watches": [(one, names.get(one.now.who, "") if one.now else "", names.get(one.next.who, "") if one.next else "", _bars(one, names, at, DAYS)) for one in watches],
        "doubles": doubles[:10], "days": DAYS, "shown": shown, "error": error,
        "feeds": own_feeds(reader.actor, place.id),
    }  # fmt: skip
    response = render(request, "oncall/oncall.html", context, status=error.status if error else 200)
    if shown:
        response["Cache-Control"] = "no-store"
    return response


@require_http_methods(["GET", "POST"])
def schedule(request: HttpRequest, slug: str, schedule_id: UUID) -> HttpResponse:
    """One schedule: its shifts of the coming weeks, and who takes over from whom."""
    reader, place = place_of(request, slug)
    found, shown, error = access_schedule(reader.actor, place.id, schedule_id), None, None
    if request.method == "POST":
        try:
            shown = _act(request, reader, place, schedule_id)
            if shown is None:
                return redirect("oncall_schedule", slug, schedule_id)
        except WatchbillError as problem:
            if problem.status not in {*_ANSWERED, 404}:
                raise
            error = problem
    at = now()
    watch = next(one for one in access_schedules(reader.actor, place.id, at, days=42) if one.schedule.id == schedule_id)
    names = _people(reader, [watch])
    overrides = access_overrides(reader.actor, found, at)
    known = names | {
        str(key): name for key, name in names_of(reader.actor, {one.person_id for one in overrides}).items()
    }
    zone = ZoneInfo(place.time_zone)
    local = at.astimezone(zone)
    context = {
        "schedule": found, "watch": watch, "rows": [(one, names.get(one.who, "somebody who left") if one.who else "") for one in watch.shifts],
        "overrides": [(one, known.get(str(one.person_id), "somebody who left")) for one in overrides], "people": access_names(reader.actor, place.id) if reader.actor.may("person.read", place.id) else [],
        "who": names.get(watch.now.who, "") if watch.now else "", "error": error, "shown": shown, "zone": place.time_zone,
        "starts": f"{local:%Y-%m-%dT%H:00}", "ends": f"{local + timedelta(hours=12):%Y-%m-%dT%H:00}",
    }  # fmt: skip
    response = render(request, "oncall/schedule.html", context, status=error.status if error else 200)
    if shown:
        response["Cache-Control"] = "no-store"
    return response


def _act(request: HttpRequest, reader: Reader, place: Place, schedule_id: UUID) -> str | None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
    match post.get("do"):
        case "override":
            commands.add_override(
                **common, schedule_id=schedule_id, person_id=as_uuid(post.get("person", "")), starts_at=local_time(post.get("starts", ""), place, "starts"),
                ends_at=local_time(post.get("ends", ""), place, "ends"), reason=post.get("reason", ""),
            )  # fmt: skip
        case "end":
            commands.end_override(**common, override_id=as_uuid(post.get("override", "")))
        case "feed":
            _, text = commands.create_feed(**common, schedule_id=schedule_id)
            return f"{settings.PUBLIC_URL}/feed/{text}.ics"
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")
    return None


@require_safe
def feed(request: HttpRequest, key: str) -> HttpResponse:
    """A calendar feed (RFC 5545); the middleware has found whose key it is."""
    found, reader = getattr(request, "feed", None), getattr(request, "reader", None)
    if not isinstance(found, Feed) or not isinstance(reader, Reader):
        raise NotFound("There is no such calendar, or it was revoked.")
    at = now()
    watches = access_schedules(
        reader.actor, found.workspace_id, at, days=120, start=at - timedelta(days=30), whole=True
    )
    if found.schedule_id is not None:
        watches = [one for one in watches if one.schedule.id == found.schedule_id]
    text = calendar(watches, _people(reader, watches), at, only="" if found.schedule_id else str(found.person_id))
    return HttpResponse(text, content_type="text/calendar; charset=utf-8")
