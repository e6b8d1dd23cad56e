"""Pages of alerts and integrations."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Invalid, WatchbillError
from watchbill.people.edge import local_time, place_of
from watchbill.people.pages import as_uuid
from watchbill.people.queries import Place, Reader, names_of
from watchbill.runtime.http import start_of
from watchbill.runtime.now import now
from watchbill.signals import checks, commands
from watchbill.signals.matchers import Matcher, split_search
from watchbill.signals.models import Check, Group
from watchbill.signals.queries import (
    access_checks,
    access_group,
    access_groups,
    access_problems,
    access_silences,
    access_sources,
    access_unrouted,
    alerts_of,
    count_quarantined,
    route_for,
)
from watchbill.signals.rules import quiet_until
from watchbill.signals.silences import create_silence, end_silence, hidden_by, quiet_of
from watchbill.signals.unrouted import MARK, MOST, Unpaged

FEED = 50
#: Alerts of a group on its page.
SHOWN = 200


@require_GET
def alerts(request: HttpRequest, slug: str) -> HttpResponse:
    """Groups of alerts: what fires, or everything."""
    reader, place = place_of(request, slug)
    wanted = request.GET.get("show", "")
    show = wanted if wanted in ("resolved", "unrouted") else "open"
    typed, start = request.GET.get("q", "").replace("\0", "")[:500], start_of(request)
    found: list[Group] = []
    error: Invalid | None = None
    unpaged = access_unrouted(reader.actor, place.id)
    try:
        words, match = split_search(typed)
        found = list(_shown(reader, place, show, unpaged, words=words, match=match)[start : start + FEED + 1])
    except Invalid as problem:
        error = problem
    firing = access_groups(reader.actor, place.id, state="open").count()
    context = {
        "answer": f"{firing} group{'s' if firing > 1 else ''} of alerts fire{'' if firing > 1 else 's'}." if firing else "",
        "groups": found[:FEED], "show": show, "q": typed, "following": start + FEED if len(found) > FEED else None, "error": error,
        "firing": firing, "unpaged": {one.id: one for one in unpaged}, "loud": sum(1 for one in unpaged if one.paging), "capped": len(unpaged) >= MOST,
    }  # fmt: skip
    return render(request, "signals/alerts.html", context, status=422 if error else 200)


def _shown(
    reader: Reader, place: Place, show: str, unpaged: list[Unpaged], *, words: str, match: Sequence[Matcher]
) -> QuerySet[Group]:
    """The groups of a tab. Those that page nobody: at most a thousand, what must be heard first chosen."""
    if show != "unrouted":
        return access_groups(reader.actor, place.id, state=show, words=words, match=match)
    rows = access_groups(reader.actor, place.id, state="open", words=words, match=match)
    return rows.filter(id__in=[one.id for one in unpaged[:1000]])


@require_GET
def group(request: HttpRequest, slug: str, group_id: UUID) -> HttpResponse:
    """One group: its alerts, what they have in common, and its history."""
    reader, place = place_of(request, slug)
    found = access_group(reader.actor, place.id, group_id)
    alerts = alerts_of(found)
    rows = [
        {
            "alert": alert, "labels": [(name, value) for name, value in sorted(alert.labels.items()) if found.labels.get(name) != value],
            "told": [(name, value) for name, value in sorted(alert.annotations.items())],
        }
        for alert in alerts[:SHOWN]
    ]  # fmt: skip
    context = {
        "group": found,
        "rows": rows,
        "more": max(0, alerts.count() - SHOWN),
        "common": [(name, value, str(Matcher(name, "=", value))) for name, value in sorted(found.labels.items())],
        "silence": "\n".join(str(Matcher(name, "=", value)) for name, value in sorted(found.labels.items())),
        "events": list(found.events.order_by("-id")[:100]),
        "route": route_for(reader.actor, found),
        "why": str(found.route.get(MARK, "")),
        "loud": any(one.id == found.id and one.paging for one in access_unrouted(reader.actor, place.id)),
    }
    return render(request, "signals/group.html", context)


@require_http_methods(["GET", "POST"])
def silences(request: HttpRequest, slug: str) -> HttpResponse:
    """What is held back from paging, by whom, why and until when; and what another silence would hide."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    preview, more = None, 0
    if request.method == "POST":
        try:
            if request.POST.get("do") == "preview":
                reader.actor.require("alert.read", place.id)
                preview, more = hidden_by(place.id, _lines(request))
            else:
                _silence(request, reader, place)
                return redirect("silences", slug)
        except WatchbillError as problem:
            if problem.status not in {403, 404, 409, 422}:
                raise
            error = problem
    show, at = "over" if request.GET.get("show") == "over" else "now", now()
    found = list(access_silences(reader.actor, place.id, ended=show == "over")[:200])
    names = names_of(reader.actor, {one.made_by for one in found})
    rows = [
        (one, names.get(one.made_by, "somebody"), None if one.ended_at else quiet_until(quiet_of(one), at))
        for one in found
    ]
    local = at.astimezone(ZoneInfo(place.time_zone))
    context = {
        "rows": rows, "show": show, "error": error, "preview": preview, "more": more, "active": sum(1 for *_, until in rows if until), "zone": place.time_zone,
        "given": request.POST if error or preview is not None else {"match": request.GET.get("match", "")[:1000]}, "starts": f"{local:%Y-%m-%dT%H:%M}",
        "ends": f"{local + timedelta(hours=2):%Y-%m-%dT%H:%M}",
    }  # fmt: skip
    return render(request, "signals/silences.html", context, status=error.status if error else 200)


def _lines(request: HttpRequest) -> list[str]:
    return [line for line in request.POST.get("match", "").replace("\0", "").splitlines() if line.strip()]


def _silence(request: HttpRequest, reader: Reader, place: Place) -> None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
    match post.get("do"):
        case "create":
            create_silence(
                **common, match=_lines(request), reason=post.get("reason", ""), starts_at=local_time(post.get("starts", ""), place, "starts"),
                ends_at=local_time(post.get("ends", ""), place, "ends"), every=post.get("every", ""), zone=place.time_zone, maintenance=bool(post.get("maintenance")),
            )  # fmt: skip
        case "end":
            end_silence(**common, silence_id=as_uuid(post.get("silence", "")))
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")


@require_http_methods(["GET", "POST"])
def integrations(request: HttpRequest, slug: str) -> HttpResponse:
    """Where alerts come from: keys, what came last, what could not be understood."""
    reader, place = place_of(request, slug)
    shown: dict[str, Any] | None = None
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            shown = _act(request, reader, place)
            if shown is None:
                return redirect("integrations", slug)
        except WatchbillError as problem:
            if problem.status not in {403, 409, 422}:
                raise
            error = problem
    sources = list(access_sources(reader.actor, place.id))
    problems = access_problems(reader.actor, place.id)
    jobs, counts = access_checks(reader.actor, place.id), count_quarantined(reader.actor, place.id)
    rows = [
        (
            source,
            problems.get(source.id, []),
            counts.get(source.id, 0),
            [_job(one) for one in jobs if one.source_id == source.id],
        )
        for source in sources
    ]
    context = {
        "rows": rows,
        "protocols": commands.PROTOCOLS,
        "severities": checks.SEVERITIES,
        "shown": shown,
        "error": error,
    }
    response = render(request, "signals/integrations.html", context, status=error.status if error else 200)
    if shown:
        response["Cache-Control"] = "no-store"
    return response


def _job(one: Check) -> tuple[Check, str, datetime | None, str, str]:
    """A job, its address, when its next ping is due, and its period and grace in minutes as they are typed."""
    return one, checks.url_of(one), checks.due_at(one), f"{one.period / 60:g}", f"{one.grace / 60:g}"


def _act(request: HttpRequest, reader: Reader, place: Place) -> dict[str, Any] | None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
    match post.get("do"):
        case "create":
            source, text = commands.create_source(
                **common,
                protocol=post.get("protocol", ""),
                name=post.get("name", ""),
                config=_mapping(post.get("mapping", "")),
            )
        case "check":
            period, grace = _minutes(post.get("period", ""), post.get("grace", ""))
            checks.create_check(
                **common, source_id=as_uuid(post.get("source", "")), name=post.get("name", ""), period=period, grace=grace, cron=post.get("cron", ""),
                zone=place.time_zone, severity=post.get("severity", "warning"),
            )  # fmt: skip
            return None
        case "recheck":
            period, grace = _minutes(post.get("period", ""), post.get("grace", ""))
            checks.edit_check(
                **common, check_id=as_uuid(post.get("check", "")), period=period, grace=grace, cron=post.get("cron", ""), zone=post.get("zone", ""),
                severity=post.get("severity", ""),
            )  # fmt: skip
            return None
        case "uncheck":
            checks.remove_check(**common, check_id=as_uuid(post.get("check", "")))
            return None
        case "replay":
            number = post.get("arrival", "")
            if number and not (number.isascii() and number.isdecimal() and len(number) < 19):
                raise Invalid("This is no arrival.", field="arrival")
            source_id = as_uuid(post.get("source", ""))
            commands.replay(**common, source_id=source_id, arrival_id=int(number) if number else None)
            return None
        case "rotate":
            source, text = commands.rotate_key(**common, source_id=as_uuid(post.get("source", "")))
        case "revoke":
            commands.revoke_source(**common, source_id=as_uuid(post.get("source", "")))
            return None
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")
    return {"source": source, "url": commands.address_of(source.protocol, text), "key": text}


def _minutes(*typed: str) -> list[int]:
    """Minutes as typed, in seconds."""
    if not all(re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,5})?", one.strip()) for one in typed):
        raise Invalid("Period and grace are minutes.", field="period")
    return [round(float(one) * 60) for one in typed]


def _mapping(text: str) -> dict[str, Any] | None:
    """A mapping as typed: lines “field: expression”, labels as “labels.name: expression”."""
    if not text.strip():
        return None
    found: dict[str, Any] = {"labels": {}}
    for number, line in enumerate(text.replace("\0", "").splitlines(), 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not name:
            continue
        if not colon or not value:
            raise Invalid(f"Line {number} is not “field: expression”.", field="mapping")
        if name.startswith("labels."):
            found["labels"][name[7:]] = value
        elif name == "resolved":
            found["resolved"] = [one.strip() for one in value.split(",")]
        else:
            found[name] = value
    return {"mapping": found}
