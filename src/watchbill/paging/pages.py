"""Pages about paging: whom the hub paged and why, one's own contacts and rules, the channels."""

from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Invalid, WatchbillError
from watchbill.paging import announcements, commands, own, roster, setup, trying
from watchbill.paging.ability import count_of
from watchbill.paging.channels import KINDS
from watchbill.paging.channels.push.channel import public_key
from watchbill.paging.queries import (
    access_channels,
    access_page,
    access_pages,
    access_policies,
    is_demo,
    own_contacts,
    own_failures,
    own_habits,
    own_notices,
    pages_about,
)
from watchbill.paging.rules import ways_of
from watchbill.paging.stopped import ways_from
from watchbill.paging.unanswered import WORDS, outcome_of, outcomes_of
from watchbill.people import contacts
from watchbill.people.edge import place_of
from watchbill.people.pages import as_uuid
from watchbill.people.queries import Place, Reader, contact_text, names_of
from watchbill.runtime.http import start_of

FEED = 50
#: How a page stands: its state, or what became of it where all its steps went by.
STATES = {
    "unacknowledged": ("wrong", WORDS["unacknowledged"]), "unreached": ("wrong", WORDS["unreached"]),
    "running": ("wrong", "not acknowledged"), "acknowledged": ("ok", "acknowledged"), "ended": ("off", "over"), "told": ("off", "no answer needed"),
}  # fmt: skip
_WORDS = {"email": "e-mail", "sms": "text message", "voice": "phone call", "push": "notification of the browser"}
_ANSWERED = {403, 409, 422, 429}
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))  # fmt: skip
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))  # fmt: skip


@require_GET
def pages(request: HttpRequest, slug: str) -> HttpResponse:
    """Pages, the newest first; and the escalations of the live handbook."""
    reader, place = place_of(request, slug)
    show, start = "shadow" if request.GET.get("show") == "shadow" else "real", start_of(request)
    wanted = access_pages(reader.actor, place.id).exclude(subject_kind__in=["contact"]).filter(shadow=show == "shadow")
    found = list(wanted[start : start + FEED + 1])
    outcomes = outcomes_of(found)
    context = {
        "rows": [(one, STATES[outcomes.get(one.id, one.stands)]) for one in found[:FEED]], "show": show, "following": start + FEED if len(found) > FEED else None,
        "policies": list(access_policies(reader.actor, place.id).exclude(key=roster.OWNERS)),
    }  # fmt: skip
    return render(request, "paging/pages.html", context)


@require_http_methods(["GET", "POST"])
def announced(request: HttpRequest, slug: str) -> HttpResponse:
    """What one person made quieter, with Undo."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            if request.POST.get("do") != "undo":
                raise Invalid("This page can only undo.")
            announcements.undo(
                by=reader.actor, workspace_id=place.id, announcement_id=as_uuid(request.POST.get("announcement", ""))
            )
            return redirect("announcements", slug)
        except WatchbillError as problem:
            if problem.status not in _ANSWERED:
                raise
            error = problem
    start = start_of(request)
    found = announcements.access_announcements(reader.actor, place.id, start=start, limit=FEED + 1)
    context = {"rows": found[:FEED], "following": start + FEED if len(found) > FEED else None, "error": error}
    return render(request, "paging/announcements.html", context, status=error.status if error else 200)


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, slug: str, page_id: UUID) -> HttpResponse:
    """One page: whom, why, what came of each message."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            if request.POST.get("do") != "acknowledge":
                raise Invalid("This page can only acknowledge.")
            commands.acknowledge(by=reader.actor, workspace_id=place.id, page_id=page_id)
            back = request.POST.get("back", "")
            return redirect(back, slug) if back in ("overview", "alerts") else redirect("page", slug, page_id)
        except WatchbillError as problem:
            if problem.status not in _ANSWERED:
                raise
            error = problem
    found = access_page(reader.actor, place.id, page_id)
    events = list(found.events.all())
    names = names_of(
        reader.actor,
        {one.by for one in events if one.by} | ({found.acknowledged_by} if found.acknowledged_by else set()),
    )
    paged, outcome = any(one.person_id == reader.person_id for one in found.deliveries.all()), outcome_of(found)
    context = {
        "page": found, "pill": STATES[outcome or found.stands], "outcome": WORDS[outcome] if outcome else "", "error": error, "events": [(one, names.get(one.by) if one.by else "") for one in events],
        "who": names.get(found.acknowledged_by, "somebody") if found.acknowledged_by else "",
        "can_answer": found.state in ("running", "exhausted") and not found.shadow and (paged or reader.actor.may("incident.respond", place.id)),
    }  # fmt: skip
    return render(request, "paging/page.html", context, status=error.status if error else 200)


def _roster_words(found: roster.Roster) -> str:
    """What is wrong with the roster, in a sentence; empty where nothing is."""
    if not found.entries:
        return "The live handbook names nobody to page."
    if not found.problems:
        return ""
    problems, names = len(found.problems), len(found.entries)
    return f"{count_of(problems, 'problem')} among {count_of(names, 'name')} of the handbook."


@require_http_methods(["GET", "POST"])
def contact_roster(request: HttpRequest, slug: str) -> HttpResponse:
    """Whom the handbook's names mean and how each is reached; confirmed as often as the handbook asks."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            if request.POST.get("do") != "confirm":
                raise Invalid("This page can only confirm.")
            roster.confirm(by=reader.actor, workspace_id=place.id, seen=request.POST.get("seen", "")[:64])
            return redirect("oncall_roster", slug)
        except WatchbillError as problem:
            if problem.status not in _ANSWERED:
                raise
            error = problem
    found, confirmed = roster.access_roster(reader.actor, place.id), roster.access_confirmed(reader.actor, place.id)
    names = names_of(reader.actor, {one.by for one in confirmed if one.by})
    context = {
        "answer": _roster_words(found),
        "roster": found, "duty": roster.access_duty(reader.actor, place.id), "error": error, 
        "rows": [(one, [(who, [_WORDS.get(each, each) for each in who.methods]) for who in one.people]) for one in found.entries],
        "confirmed": [(one, names.get(one.by, "somebody")) for one in confirmed if one.by],
    }  # fmt: skip
    return render(request, "paging/roster.html", context, status=error.status if error else 200)


def _own_words(goes_out: bool, verified: bool) -> str:
    """What is wrong with one's own paging, in a sentence; empty where nothing is."""
    if not goes_out:
        return "No urgent page would reach you: look below for why."
    return "" if verified else "None of your contacts is verified: whether a page arrives, nobody knows."


@require_http_methods(["GET", "POST"])
def mine(request: HttpRequest, slug: str) -> HttpResponse:
    """One's own contacts and rules, and the button that tests them."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            _act(request, reader, place)
            return redirect("my_paging", slug)
        except WatchbillError as problem:
            if problem.status not in {*_ANSWERED, 404}:
                raise
            error = problem
    mine = own_contacts(reader.actor)
    ways = ways_from(place.id, mine)
    stopped = {one.id for one in ways if one.no_texts}
    here, habits = setup.available(place.id), own_habits(reader.actor, place.id)
    rules = []
    for urgency, words in (("high", "When it is urgent"), ("low", "When it can wait")):
        habit = habits.get(urgency)
        plans = ways_of(ways, urgency, here, habit.steps if habit else ())
        steps = [
            {"words": _WORDS.get(one.method, one.method), "method": one.method, "delay": int(one.delay), "stage": one.stage, "reason": one.reason}
            for one in plans
        ]  # fmt: skip
        rules.append((urgency, words, steps, habit.quiet if habit else {}))
    test = (
        pages_about(reader.actor, place.id, ("test", reader.person_id)).first() if reader.actor.may("page.read", place.id) else None
    )  # fmt: skip
    goes_out = any(not step["stage"] for step in rules[0][2])
    failed = own_failures(reader.actor, place.id)
    context = {
        "contacts": [(one, contact_text(one), one.id in stopped, failed.get(one.id)) for one in mine], "push_key": public_key() if "push" in here else "", "rules": rules, "test": test, "test_pill": STATES[outcome_of(test) or test.stands] if test else None, "error": error,
        "demo": is_demo(place.id), "notices": own_notices(reader.actor, place.id),
        "answer": _own_words(goes_out, any(one.verified for one in ways)),
    }  # fmt: skip
    return render(request, "paging/mine.html", context, status=error.status if error else 200)


def _act(request: HttpRequest, reader: Reader, place: Place) -> None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
    match post.get("do"):
        case "test":
            own.test_me(**common)
        case "code":
            own.send_code(**common, contact_id=as_uuid(post.get("contact", "")))
        case "verify":
            if not own.verify_contact(**common, contact_id=as_uuid(post.get("contact", "")), code=post.get("code", "")):
                # Raised after the try was kept: an answer below 500 is committed.
                raise Invalid(
                    "That is not the code.", hint="Look at the last message; five tries are open to you.", field="code"
                )
        case "first":
            own.make_first(**common, contact_id=as_uuid(post.get("contact", "")))
        case "push":
            contacts.add_browser(
                **common,
                subscription=post.get("subscription", "")[:5000],
                label=browser_of(request.headers.get("User-Agent", "")),
            )
        case "remove":
            contacts.remove_contact(**common, person_id=reader.person_id, contact_id=as_uuid(post.get("contact", "")))
        case "add":
            contacts.add_contact(
                **common, person_id=reader.person_id, kind=post.get("kind", ""), value=post.get("value", "")
            )
        case "notices":
            own.set_notices(**common, on=post.get("on") == "1")
        case "rules":
            start, end = post.get("quiet_start", "").strip(), post.get("quiet_end", "").strip()
            quiet = {"start": start, "end": end, "zone": place.time_zone} if start or end else None
            own.set_rules(
                **common, urgency=post.get("urgency", ""), steps=read_steps(post.get("steps", "")), quiet=quiet
            )
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")


def browser_of(agent: str) -> str:
    """What a browser calls itself, in a word or two: “Chrome on Android”. Order matters: most call themselves Safari, too."""
    name = next((word for mark, word in _BROWSERS if mark in agent), "A browser")
    system = next((word for mark, word in _SYSTEMS if mark in agent), "")
    return f"{name} on {system}" if system else name


@require_GET
def worker_script(request: HttpRequest) -> HttpResponse:
    """The script that shows notifications. A browser gives it the pages beside and below its own address, so it stands at the top."""
    found = finders.find("console/service-worker.js")
    response = HttpResponse(Path(str(found)).read_bytes(), content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    return response


def read_steps(text: str) -> list[dict[str, Any]]:
    """Lines “method seconds”. Raises Invalid naming the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) > 2 or (
            len(parts) == 2 and not (parts[1].isascii() and parts[1].isdecimal() and len(parts[1]) < 6)
        ):
            raise Invalid(
                f"Line {number} is not a method and its seconds.", hint="Write it as: voice 60", field="steps"
            )
        found.append({"method": parts[0].lower(), "delay": int(parts[1]) if len(parts) == 2 else 0})
    return found


@require_http_methods(["GET", "POST"])
def channels(request: HttpRequest, slug: str) -> HttpResponse:
    """The ways out: what is set up, what works."""
    reader, place = place_of(request, slug)
    error: WatchbillError | None = None
    if request.method == "POST":
        post = request.POST
        common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
        try:
            if post.get("do") == "remove":
                setup.remove_channel(**common, channel_id=as_uuid(post.get("channel", "")))
            elif post.get("do") == "test":
                trying.test_channel(**common, channel_id=as_uuid(post.get("channel", "")))
            else:
                config = {name[2:]: str(value) for name, value in post.items() if name.startswith("f-")}
                made = setup.set_channel(
                    **common, kind=post.get("kind", ""), name=post.get("name", ""), config=config, secret=post.get("secret", "")
                )  # fmt: skip
                if made.last_problem:
                    # Raised after it was kept: an answer below 500 is committed.
                    raise Invalid(f"“{made.name}” is saved, and {made.last_problem}", field="host")
            return redirect("channels", slug)
        except WatchbillError as problem:
            if problem.status not in {*_ANSWERED, 429}:
                raise
            error = problem
    found = [one for one in access_channels(reader.actor, place.id) if one.kind in KINDS]
    tests = trying.last_tests(place.id, found)
    rows = [(one, KINDS[one.kind], tests.get(one.id)) for one in found]
    context = {
        "rows": rows, "kinds": [one for one in KINDS.values() if one.name != "selftest"], "error": error, "asked": request.POST.get("kind", ""),
        "demo": is_demo(place.id),
    }  # fmt: skip
    return render(request, "paging/channels.html", context, status=error.status if error else 200)
