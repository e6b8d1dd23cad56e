"""Overview: what burns, whether this hub can page, what needs me, what is due, who is on call, what changed, is the hub itself well."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from watchbill.base.ids import HUB
from watchbill.catalogue.queries import access_services
from watchbill.console import calm
from watchbill.console.pages import entry_rows
from watchbill.console.tasks import Task, tasks_of
from watchbill.incidents.pages import incident_rows
from watchbill.incidents.queries import Burning, access_burning
from watchbill.ledger.queries import Filter, access_entries, access_health
from watchbill.oncall.queries import access_schedules
from watchbill.paging.ability import access_ability, count_of
from watchbill.people.edge import place_of
from watchbill.people.queries import Place, Reader, access_names, names_of
from watchbill.runtime.lag import is_gone, lag
from watchbill.runtime.now import now

#: Incidents that are listed; all of them are counted.
LISTED = 20
_YEAR = 31_536_000


@require_GET
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """One page that opens with the sentence that matters."""
    reader, place = place_of(request, slug)
    reader.actor.require("workspace.read", place.id)
    at, may = now(), reader.actor.may
    found = access_ability(reader.actor, place.id, at) if may("page.read", place.id) else None
    urgent, burning = (
        access_burning(reader.actor, place.id, LISTED) if may("incident.read", place.id) else ([], Burning())
    )
    tasks = tasks_of(reader, place)
    dated = sorted(tasks, key=lambda task: (task.until is None, task.until or at))
    services = list(access_services(reader.actor, place.id)[:200]) if may("service.read", place.id) else []
    todo, health = _first_steps(reader, place, len(services), tasks), _hub_health()
    unowned = sum(1 for service in services if service.owner_id is None)
    rows = incident_rows(reader, urgent)
    context = {
        "ability": found,
        "verdict": calm.verdict(found),
        "burning": burning,
        "incidents": rows,
        "more_alarming": burning.alarming - len(burning.worst),
        "more_incidents": burning.total - len(urgent),
        "alarm": alarm_of(burning),
        "todo": todo,
        "due_first": dated[0] if dated else None,
        "due_more": max(0, len(dated) - 1),
        "answer": calm.sentence("overview", found, _trouble(health, burning, todo, unowned, shown=found is not None)),
        "services": services[:6],
        "service_count": len(services),
        "unowned": unowned,
        "people_count": len(access_names(reader.actor, place.id)) if may("person.read", place.id) else None,
        "health": health,
        "watches": _on_call(reader, place, at),
        **_changes(reader, place, at),
    }
    response = render(request, "console/overview.html", context)
    response.set_cookie(
        "watchbill_place",
        place.slug,
        max_age=_YEAR,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    return response


def alarm_of(burning: Burning) -> str:
    """What stands first, in red: what is late, and what nobody heard or answered."""
    parts = []
    if burning.late:
        parts.append(f"{count_of(burning.late, 'incident')} {'is' if burning.late == 1 else 'are'} late")
    if burning.unreached:
        parts.append(f"nobody could be reached about {count_of(burning.unreached, 'incident')}")
    if burning.unacknowledged:
        parts.append(f"nobody answered any page about {count_of(burning.unacknowledged, 'incident')}")
    if burning.unpaged:
        parts.append(f"{count_of(burning.unpaged, 'incident')} {'pages' if burning.unpaged == 1 else 'page'} nobody")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _changes(reader: Reader, place: Place, at: datetime) -> dict[str, Any]:
    """The last day of the audit feed, for those who may read it."""
    if not reader.actor.may("ledger.read", place.id):
        return {"rows": [], "log": None}
    entries = access_entries(reader.actor, place.id, Filter(since=at - timedelta(hours=24)), limit=8)
    return {"rows": entry_rows(reader, place, entries), "log": access_health(reader.actor, place.id)}


def _on_call(reader: Reader, place: Place, at: datetime) -> list[tuple[str, str]]:
    """Each schedule with who is on now."""
    if not reader.actor.may("oncall.read", place.id):
        return []
    watches = access_schedules(reader.actor, place.id, at, days=1)[:5]
    names = names_of(reader.actor, {UUID(one.now.who) for one in watches if one.now and one.now.who})
    return [
        (one.schedule.name, names.get(UUID(one.now.who), "somebody who left") if one.now and one.now.who else "")
        for one in watches
    ]


def _first_steps(reader: Reader, place: Place, services: int, tasks: list[Task]) -> list[tuple[str, str, str]]:
    """What waits for the reader, and what a new workspace wants first; each goes when it is done."""
    steps = [(f"{task.title}: {task.note}", task.url, "check") for task in tasks if task.mine]
    if not reader.actor.mfa:
        steps.append(("Protect your account with a second factor", reverse("mfa_index"), "key"))
    if place.id != HUB and not services and reader.actor.may("service.edit", place.id):
        steps.append(("Add the first service", reverse("service_new", args=[place.slug]), "box"))
    return steps


def _trouble(
    health: dict[str, Any], burning: Burning, todo: list[tuple[str, str, str]], unowned: int, *, shown: bool
) -> str:  # fmt: skip
    """The one sentence that matters, worst first; empty where nothing does. ``shown``: “Can this hub page?” stands below, and says of the worker."""
    if not health["worker"] and not shown:
        return "No worker is running: nothing is sealed, delivered or scanned. Start one, and see watchbill doctor."
    if burning.waiting:
        return f"{count_of(burning.waiting, 'incident')} {'is' if burning.waiting == 1 else 'are'} not acknowledged."
    if burning.total:
        return f"{count_of(burning.total, 'incident')} {'is' if burning.total == 1 else 'are'} not over."
    if health["failed"]:
        return f"{health['failed']} event deliveries failed for good: see Settings → Events."
    if todo:
        return f"{count_of(len(todo), 'thing')} {'waits' if len(todo) == 1 else 'wait'} for you."
    if unowned:
        return f"{count_of(unowned, 'service')} {'has' if unowned == 1 else 'have'} no owner."
    return ""


def _hub_health() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT worker_age FROM wb_health()")
        age = cursor.fetchone()[0]
        cursor.execute("SELECT count(*) FROM facts_delivery WHERE state = 'failed'")
        failed = cursor.fetchone()[0]
    sealed = not any(one.kind == "entry" for one in lag())
    return {"worker": not is_gone(age), "sealed": sealed, "failed": failed}
