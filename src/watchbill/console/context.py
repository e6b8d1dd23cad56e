"""What the shell needs on every page: navigation, workspaces, theme."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

import watchbill
from watchbill.clocks.queries import access_open_clocks
from watchbill.incidents.queries import access_incidents
from watchbill.paging.roster import ROSTER
from watchbill.people.queries import Place, Reader


@dataclass(frozen=True)
class Link:
    """A line of the navigation."""

    name: str
    label: str
    icon: str
    needs: str
    key: str
    phone: bool = False


NAVIGATION = [
    Link("overview", "Overview", "home", "workspace.read", "o", phone=True),
    Link("due", "Due", "clock", "due.read", "d", phone=True),
    Link("incidents", "Incidents", "flag", "incident.read", "i", phone=True),
    Link("oncall", "On-call", "device", "oncall.read", "c", phone=True),
    Link("alerts", "Alerts", "filter", "alert.read", "l"),
    Link("runbooks", "Runbooks", "book", "handbook.read", "r"),
    Link("handbook", "Handbook", "check", "handbook.read", "h"),
    Link("services", "Services", "box", "service.read", "s"),
    Link("people", "People", "people", "person.read", "p"),
    Link("teams", "Teams", "team", "team.read", "t"),
    Link("audit", "Audit", "list", "ledger.read", "a", phone=True),
    Link("access", "Access", "key", "person.read", "x"),
    Link("settings", "Settings", "gear", "workspace.edit", ","),
]
THEMES = ("light", "dark")


def _last_place(request: HttpRequest, reader: Any) -> Place | None:
    """On pages of no workspace (one's account) the navigation leads back to the one that was open last."""
    if not isinstance(reader, Reader) or not reader.places:
        return None
    last = request.COOKIES.get("watchbill_place", "")
    return next((place for place in reader.places if place.slug == last), reader.places[0])


def counts_of(reader: Reader, place: Place) -> dict[str, int]:
    """Numbers beside the navigation: incidents that nobody acknowledged, and what is due."""
    found = {}
    if reader.actor.may("incident.read", place.id):
        found["incidents"] = access_incidents(reader.actor, place.id, state="open").filter(state="open").count()
    if reader.actor.may("due.read", place.id):
        # A month's duty counts once most of its time is over.
        far = access_open_clocks(reader.actor, place.id).exclude(subject_kind=ROSTER, state="running", warned=0)
        found["due"] = far.count()
    return found


def shell(request: HttpRequest) -> dict[str, Any]:
    """For every template."""
    reader = getattr(request, "reader", None)
    place = getattr(request, "place", None) or _last_place(request, reader)
    match = getattr(request, "resolver_match", None)
    theme = request.COOKIES.get("watchbill_theme", "")
    found: dict[str, Any] = {
        "reader": reader,
        "place": place,
        "version": watchbill.__version__,
        "theme": theme if theme in THEMES else "",
    }
    if isinstance(reader, Reader) and isinstance(place, Place):
        current = (match.url_name or "").split("_")[0] if match else ""
        counts = counts_of(reader, place)
        found["navigation"] = [
            {
                "link": link,
                "count": counts.get(link.name),
                "url": reverse(link.name, args=[place.slug]),
                "current": link.name == current or link.name.rstrip("s") == current,
            }
            for link in NAVIGATION
            if reader.actor.may(link.needs, place.id)
        ]
    return found
