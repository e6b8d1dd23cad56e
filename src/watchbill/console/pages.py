"""The shell's own pages: due, search, audit, events, settings, account."""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.html import format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from watchbill.base.errors import Invalid, NotFound, TooLarge, WatchbillError
from watchbill.base.ids import HUB
from watchbill.blobs.queries import access_file
from watchbill.blobs.store import key as blob_key
from watchbill.blobs.store import store
from watchbill.console import commands, words
from watchbill.console.context import counts_of
from watchbill.console.tasks import tasks_of
from watchbill.console.templatetags.watchbill import count
from watchbill.facts.queries import access_facts
from watchbill.facts.subjects import SUBJECTS, resolve_all, search_all
from watchbill.ledger.export import export_ledger
from watchbill.ledger.notes import verifier_key
from watchbill.ledger.queries import (
    EntryShown,
    Filter,
    access_entries,
    access_entry,
    access_health,
    access_proof,
    hub_id,
)
from watchbill.ledger.sealer import signer_name
from watchbill.people import commands as people
from watchbill.people.edge import place_of, reader_of
from watchbill.people.queries import (
    Place,
    Reader,
    access_group_mappings,
    access_names,
    access_workspace,
    names_of,
    role_labels,
)
from watchbill.people.rules import PERMISSIONS, ROLE_DOCS, ROLES
from watchbill.runtime.lag import lag
from watchbill.runtime.now import now
from watchbill.secrets import commands as secrets
from watchbill.secrets.queries import access_secrets

MOST_IN_BROWSER = 200_000
#: Entries on a page of the feed: about what a person reads before filtering instead.
FEED = 30


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """To the workspace that was open last, or the first one."""
    reader = reader_of(request)
    slugs = [place.slug for place in reader.places if place.id != HUB] or [place.slug for place in reader.places]
    if not slugs:
        raise NotFound("No workspace is open to you.", hint="Ask an admin of one to add you.")
    last = request.COOKIES.get("watchbill_place", "")
    return redirect("overview", last if last in [place.slug for place in reader.places] else slugs[0])


def entry_rows(reader: Reader, place: Place, entries: Sequence[EntryShown]) -> list[dict[str, Any]]:
    """Entries with names and links: one query per kind of subject, however many entries."""
    subjects = resolve_all(
        reader.actor, place.id, place.slug, {(entry.subject_kind, entry.subject_id) for entry in entries}
    )
    names = names_of(reader.actor, {entry.actor_id for entry in entries})
    return [
        {
            "entry": entry,
            "who": names.get(entry.actor_id, "Somebody you cannot see"),
            "phrase": words.phrase(entry.action),
            "tone": words.tone(entry.action),
            "subject": subjects.get((entry.subject_kind, entry.subject_id)),
            "details": words.details(entry.detail, entry.personal),
            "brief": words.details(entry.detail, entry.personal, brief=True),
        }
        for entry in entries
    ]


@require_GET
def counts(request: HttpRequest, slug: str) -> HttpResponse:
    """The numbers beside the navigation, for a page that is open: each goes to its place there."""
    reader, place = place_of(request, slug)
    found = counts_of(reader, place)
    return HttpResponse(
        format_html_join("", "{}", ((count(name, number, oob=True),) for name, number in found.items()))
    )


@require_GET
def due(request: HttpRequest, slug: str) -> HttpResponse:
    """What somebody must do by a time: mine, my roles', all."""
    reader, place = place_of(request, slug)
    reader.actor.require("due.read", place.id)
    tab = request.GET.get("show", "")
    tab = tab if tab in {"role", "all"} else "mine"
    tasks = tasks_of(reader, place)
    shown = [task for task in tasks if tab == "all" or (task.mine if tab == "mine" else task.role)]
    names = names_of(reader.actor, {task.who for task in shown if task.who})
    counts = {"mine": sum(1 for task in tasks if task.mine), "role": sum(1 for task in tasks if task.role), "all": len(tasks)}  # fmt: skip
    context = {"tab": tab, "tasks": [(task, names.get(task.who, "")) for task in shown], "counts": counts}  # type: ignore[arg-type]
    return render(request, "console/due.html", context)


@require_GET
def search(request: HttpRequest, slug: str) -> HttpResponse:
    """Anything the reader may see, by its words."""
    reader, place = place_of(request, slug)
    text = request.GET.get("q", "").replace("\0", "").strip()[:100]
    hits = search_all(reader.actor, place.id, place.slug, text) if text else []
    template = "console/search_hits.html" if request.headers.get("HX-Request") else "console/search.html"
    return render(request, template, {"text": text, "hits": hits})


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        raise Invalid("The address holds an id that is none.", hint="Go back and follow a link.") from None


def _filter(request: HttpRequest, place: Place) -> tuple[Filter, dict[str, str]]:
    chosen = {
        key: request.GET.get(key, "").replace("\0", "")[:200]
        for key in ("who", "what", "when", "kind", "subject", "from", "to", "before")
    }
    since, until = words.day_bounds(chosen["when"], now(), place.time_zone)
    for key, name in (("from", "since"), ("to", "until")):
        if chosen[key]:
            since, until = _explicit(chosen[key], place.time_zone, name, since, until)
    action = words.GROUPS[chosen["what"]][1] if chosen["what"] in words.GROUPS else chosen["what"]
    found = Filter(
        actor_id=_uuid(chosen["who"]), action=action, subject_kind=chosen["kind"], subject_id=chosen["subject"],
        since=since, until=until, before=_uuid(chosen["before"]),
    )  # fmt: skip
    return found, chosen


def _explicit(
    text: str, zone: str, name: str, since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    from zoneinfo import ZoneInfo

    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None or not 1970 < day.year < 9000:
        raise Invalid(
            f"“{text[:40]}” is no date.", hint="Write it as 2026-11-21.", field="from" if name == "since" else "to"
        )
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return (start, until) if name == "since" else (since, start + timedelta(days=1))


@require_GET
def audit(request: HttpRequest, slug: str) -> HttpResponse:
    """The audit feed with its filters, all in the address."""
    reader, place = place_of(request, slug)
    wanted, chosen = _filter(request, place)
    entries = access_entries(reader.actor, place.id, wanted, limit=FEED + 1)
    more = entries[FEED - 1].id if len(entries) > FEED else None
    context = {
        "rows": entry_rows(reader, place, entries[:FEED]),
        "more": more,
        "chosen": chosen,
        "filtered": any(value for key, value in chosen.items() if key != "before"),
        "groups": words.GROUPS,
        "days": (("today", "Today"), ("yesterday", "Yesterday"), ("week", "7 days")),
        "people": access_names(reader.actor, place.id) if reader.actor.may("person.read", place.id) else [],
        "kinds": sorted(SUBJECTS),
        "log": access_health(reader.actor, place.id),
    }
    return render(request, "console/audit.html", context)


@require_GET
def audit_entry(request: HttpRequest, slug: str, entry_id: UUID) -> HttpResponse:
    """One entry with its inclusion proof."""
    reader, place = place_of(request, slug)
    entry = access_entry(reader.actor, place.id, entry_id)
    proof = access_proof(reader.actor, place.id, entry)
    hub = hub_id()
    context = {
        "row": entry_rows(reader, place, [entry])[0],
        "proof": proof,
        "path": [base64.b64encode(step).decode() for step in proof.path] if proof else [],
        "root": base64.b64encode(proof.root).decode() if proof else "",
        "leaf": base64.b64encode(proof.leaf).decode() if proof else "",
        "verifier": verifier_key(signer_name(hub), settings.KEYS.signer().public_key()),
    }
    return render(request, "console/audit_entry.html", context)


@require_POST
def audit_export(request: HttpRequest, slug: str) -> HttpResponse:
    """The ledger as a file; that it was taken is recorded first."""
    reader, place = place_of(request, slug)
    if access_health(reader.actor, place.id).size > MOST_IN_BROWSER:
        raise TooLarge(
            f"The log has more than {MOST_IN_BROWSER:,} entries.",
            hint="On the hub's machine: watchbill export ledger --workspace " + place.slug,
        )
    commands.note_export(by=reader.actor, workspace_id=place.id)
    body = b"".join(export_ledger(place.id))
    response = HttpResponse(body, content_type="application/jsonl")
    response["Content-Disposition"] = f'attachment; filename="ledger-{place.slug}.jsonl"'
    return response


@require_GET
def events(request: HttpRequest, slug: str) -> HttpResponse:
    """Facts and their deliveries."""
    reader, place = place_of(request, slug)
    facts = list(access_facts(reader.actor, place.id)[:100])
    subjects = resolve_all(reader.actor, place.id, place.slug, {(fact.subject_kind, fact.subject_id) for fact in facts})
    rows = [(fact, subjects.get((fact.subject_kind, fact.subject_id))) for fact in facts]
    return render(request, "console/events.html", {"rows": rows})


@require_POST
def event_replay(request: HttpRequest, slug: str, fact_id: UUID) -> HttpResponse:
    """Delivers an event again."""
    reader, place = place_of(request, slug)
    commands.replay_fact(by=reader.actor, workspace_id=place.id, fact_id=fact_id)
    return redirect("settings_events", slug)


@require_http_methods(["GET", "POST"])
def workspace_settings(request: HttpRequest, slug: str) -> HttpResponse:
    """Name, sign-in rules, groups, secrets."""
    reader, place = place_of(request, slug)
    workspace = access_workspace(reader.actor, place.id)
    reader.actor.require("workspace.edit", place.id)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            _change_settings(request, reader, place)
            return redirect(reverse("settings", args=[slug]) + f"#{request.POST.get('section', '')}")
        except WatchbillError as problem:
            if problem.status not in {403, 409, 422}:
                raise
            error = problem
    context = {
        "workspace": workspace,
        "labels": role_labels(place.id),
        "roles": ROLES,
        "mappings": access_group_mappings(reader.actor, place.id),
        "secrets": list(access_secrets(reader.actor, place.id)),
        "today": now().date(),
        "error": error,
        "section": request.POST.get("section", ""),
        "oidc": settings.OIDC,
        "late": [(one, one.reason if place.id == HUB else one.text) for one in lag()],
    }
    return render(request, "console/settings.html", context, status=error.status if error else 200)


def _change_settings(request: HttpRequest, reader: Reader, place: Place) -> None:
    post, by = request.POST, reader.actor
    match post.get("do"):
        case "workspace":
            people.edit_workspace(
                by=by,
                workspace_id=place.id,
                name=post.get("name", ""),
                time_zone=post.get("time_zone", ""),
                require_mfa=bool(post.get("require_mfa")),
            )
        case "label":
            people.label_role(by=by, workspace_id=place.id, role=post.get("role", ""), label=post.get("label", ""))
        case "map":
            people.map_group(by=by, workspace_id=place.id, group=post.get("group", ""), role=post.get("role", ""))
        case "unmap":
            people.unmap_group(by=by, workspace_id=place.id, mapping_id=_uuid(post.get("mapping", "")) or HUB)
        case "secret":
            rotate_by = parse_date(post["rotate_by"]) if post.get("rotate_by") else None
            secrets.store_secret(
                by=by,
                workspace_id=place.id,
                name=post.get("name", ""),
                value=post.get("value", ""),
                purpose=post.get("purpose", ""),
                rotate_by=rotate_by,
            )
        case "replace":
            secrets.replace_secret(
                by=by,
                workspace_id=place.id,
                secret_id=_uuid(post.get("secret", "")) or HUB,
                value=post.get("value", ""),
            )
        case "delete":
            secrets.delete_secret(by=by, workspace_id=place.id, secret_id=_uuid(post.get("secret", "")) or HUB)
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")


@require_http_methods(["GET", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """One's own sessions, second factor, password, tokens."""
    from watchbill.console.account import account_page

    return account_page(request)


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or as the device says."""
    target = request.POST.get("next", "/")
    safe = target if target.startswith("/") and url_has_allowed_host_and_scheme(target, allowed_hosts=None) else "/"
    response = redirect(safe)
    theme = request.POST.get("theme", "")
    if theme in {"light", "dark"}:
        response.set_cookie(
            "watchbill_theme",
            theme,
            max_age=31536000,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    else:
        response.delete_cookie("watchbill_theme")
    return response


@require_GET
def file(request: HttpRequest, slug: str, blob_id: UUID) -> HttpResponse | FileResponse:
    """A stored file, always as a download and never as a page of ours."""
    reader, place = place_of(request, slug)
    blob = access_file(reader.actor, place.id, blob_id)
    response = FileResponse(
        store().open(blob_key(place.id, blob.sha256)),
        as_attachment=True,
        filename=blob.name,
        content_type="application/octet-stream",
    )
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


@require_GET
def access(request: HttpRequest, slug: str) -> HttpResponse:
    """Who can do what, and why."""
    from watchbill.people.queries import access_matrix

    reader, place = place_of(request, slug)
    reader.actor.require("person.read", place.id)
    labels = role_labels(place.id)
    rows = access_matrix(reader.actor, place.id)
    context = {
        "rows": rows,
        "roles": [(role, labels[role], ROLE_DOCS[role], sorted(ROLES[role])) for role in ROLES],
        "labels": labels,
        "permissions": PERMISSIONS,
        "mine": sorted(reader.actor.grants.get(place.id, ())),
    }
    return render(request, "console/access.html", context)
