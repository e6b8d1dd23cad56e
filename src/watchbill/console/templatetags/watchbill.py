"""Small parts of pages: icons, times, pills, initials."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import now

from watchbill.paging.ability import access_ability
from watchbill.paging.unrouted import access_told
from watchbill.runtime.now import now as hub_now

register = template.Library()
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (86400 * 30, 86400, "d"))
_PILLS = {"ok": "check", "info": "dot", "notice": "flag", "wrong": "cross", "off": "dash"}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A picture from the sprite; decorative unless it has a label."""
    href = f"{static('console/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"/></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"/></svg>', href)


def relative(seconds: float) -> str:
    """“3 min ago”, “in 2 h”."""
    size = abs(seconds)
    if size < 5:
        return "just now"
    for limit, unit, name in _STEPS:
        if size < limit:
            text = f"{int(size // unit)} {name}"
            break
    else:
        text = f"{int(size // 86400)} d"
    return f"{text} ago" if seconds > 0 else f"in {text}"


@register.simple_tag(takes_context=True)
def when(context: template.Context, value: datetime | None, style: str = "relative") -> SafeString | str:
    """A time: relative with the exact one on hover, or the exact one; in the workspace's zone. The server's clock counts."""
    if value is None:
        return "never"
    place = context.get("place")
    zone = ZoneInfo(place.time_zone if place else "UTC")
    local = value.astimezone(zone)
    exact = f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"
    shown = (
        relative((now() - value).total_seconds())
        if style == "relative"
        else f"{local:%d %b %Y, %H:%M}"
        if style == "short"
        else exact
    )
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), exact, shown)


@register.simple_tag
def times(number: int) -> str:
    """“once”, “twice”, “20 times”."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


@register.simple_tag
def pill(kind: str, text: str) -> SafeString:
    """A status: colour and picture and word."""
    return format_html('<span class="pill pill-{}">{}{}</span>', kind, icon(_PILLS.get(kind, "dot")), text)


@register.simple_tag
def count(name: str, number: int, oob: bool = False) -> SafeString:
    """How many wait, beside a line of the navigation. ``oob``: to be put there by htmx."""
    inner = format_html('<b class="count">{}<span class="hidden"> waiting</span></b>', number) if number else ""
    return format_html('<span id="count-{}"{}>{}</span>', name, mark_safe(' hx-swap-oob="true"') if oob else "", inner)


@register.simple_tag(takes_context=True)
def live(context: template.Context, topics: str) -> SafeString | str:
    """Makes a page's main part ask for itself again when something of these topics (“ledger”, “alerts”) changes.

    Not where it answers a form: what it shows once must stay.
    """
    request = context["request"]
    if request.method != "GET":
        return ""
    return format_html(
        ' data-live="{}" hx-get="{}" hx-trigger="live" hx-select="#main > *" hx-target="this" hx-swap="innerHTML" hx-sync="this:queue last" hx-disinherit="*"',
        topics,
        request.get_full_path(),
    )


@register.simple_tag
def initials(name: str) -> SafeString:
    """A round sign for a person."""
    letters = "".join(part[0] for part in str(name).split()[:2]).upper() or "?"
    hue = sum(map(ord, str(name))) % 6
    return format_html('<span class="avatar avatar-{}" aria-hidden="true">{}</span>', hue, letters)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """The page's own query string with some parts changed; empty ones go, and so does the page's place."""
    params = context["request"].GET.copy()
    params.pop("before", None)
    for key, value in changes.items():
        params.pop(key, None)
        if value not in (None, ""):
            params[key] = str(value)
    return f"?{params.urlencode()}" if params else "?"


@register.simple_tag(takes_context=True)
def may(context: template.Context, permission: str) -> bool:
    """Whether the reader holds a permission in the page's workspace."""
    reader, place = context.get("reader"), context.get("place")
    return bool(reader and place and reader.actor.may(permission, place.id))


@register.simple_tag(takes_context=True)
def calm(context: template.Context, page: Any, trouble: str = "") -> SafeString | str:
    """What a page says first: calm only where the hub can page. The request asks once, however many sentences it has."""
    from watchbill.console import calm as sentences

    reader, place, request = context.get("reader"), context.get("place"), context["request"]
    if not reader or not place:
        return trouble
    if not hasattr(request, "ability"):
        may = reader.actor.may("page.read", place.id)
        request.ability = context.get("ability") or (access_ability(reader.actor, place.id, hub_now()) if may else None)
    found = request.ability
    text = sentences.sentence(page, found, trouble)
    if found is not None and (found.broken or found.alarms) and page != "overview":
        return format_html('{} <a href="{}#can-page">See why</a>', text, reverse("overview", args=[place.slug]))
    return text


@register.simple_tag(takes_context=True)
def unrouted_answer(context: template.Context, back: str) -> str:
    """Acknowledge for what fires and pages nobody, or who did; nothing where no page tells of it. ``back`` is the page to come back to."""
    reader, place, request = context.get("reader"), context.get("place"), context["request"]
    page = access_told(reader.actor, place.id) if reader and place else None
    if page is None:
        return ""
    return render_to_string("paging/unrouted_answer.html", {"page": page, "back": back, "place": place}, request)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """An item of a mapping, or nothing."""
    return mapping.get(key) if hasattr(mapping, "get") else None
