"""Pages of the handbook and its runbooks."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.gates.models import Request
from watchbill.handbook import commands
from watchbill.handbook.diff import diff_texts, page_of
from watchbill.handbook.models import Draft, Revision
from watchbill.handbook.queries import (
    access_document,
    access_documents,
    access_draft,
    access_items,
    access_live,
    access_revision,
    access_revisions,
    access_texts,
    count_items,
)
from watchbill.handbook.render import render as render_markdown
from watchbill.people.edge import place_of
from watchbill.people.pages import attempt
from watchbill.people.queries import names_of
from watchbill.runtime.http import start_of

KIND_WORDS = {
    "severity": "Severities", "contact": "Contacts and escalation", "role": "Roles", "rota": "On-call rotas", "duty": "Recurring duties", "sla": "Support SLAs",
    "procedure": "Procedures", "troubleshooting": "Troubleshooting", "alert-runbook": "Alert pages", "metadata": "Documents", "backup": "Backups",
    "objective": "Objectives", "threshold": "Thresholds", "budget-policy": "Error budgets", "change-policy": "Changes", "gate": "Gates", "backlog": "Backlog",
    "template": "To be written", "reference": "Kept for later",
}  # fmt: skip
FEED = 200


def broken(reader: Actor, workspace_id: UUID) -> Draft | None:
    """The handbook that could not go live because it has errors: said on every page of the handbook, the live one stays."""
    draft = access_draft(reader, workspace_id)
    return draft if draft is not None and draft.errors else None


@require_GET
def handbook(request: HttpRequest, slug: str) -> HttpResponse:
    """Every item by kind, with its state, its effect and its line."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    counts = count_items(reader.actor, live) if live else {}
    kind = request.GET.get("kind", "")
    kind = kind if kind in counts else next((name for name in KIND_WORDS if name in counts), "")
    words = request.GET.get("q", "").replace("\0", "")[:100]
    start = start_of(request)
    found = access_items(reader.actor, live, kind="" if words else kind, words=words) if live else None
    items = list(found[start : start + FEED + 1]) if found is not None else []
    rows = [{"item": item, "facts": facts(item.data)} for item in items[:FEED]]
    draft = access_draft(reader.actor, place.id)
    context = {
        "draft": draft, "broken": draft if draft is not None and draft.errors else None, "earlier": start > 0,
        "following": start + FEED if len(items) > FEED else None,
        "live": live, "rows": rows, "chosen": "" if words else kind, "q": words, "total": sum(counts.values()),
        "kinds": [(name, label, counts[name]) for name, label in KIND_WORDS.items() if name in counts],
    }  # fmt: skip
    return render(request, "handbook/handbook.html", context)


def facts(data: dict[str, object]) -> list[tuple[str, str]]:
    """An item's typed fields for people, the first ones first."""
    from watchbill.handbook.plan import words

    hidden = {
        "key",
        "kind",
        "name",
        "workspace",
        "source",
        "state",
        "effect",
        "reason",
        "map",
        "text",
        "rank",
        "symptom",
        "alert",
        "field",
        "times",
    }
    found = [
        (key.replace("_", " "), words(value))
        for key, value in data.items()
        if key not in hidden and value not in (None, "", [], {}, False)
    ]
    return [(label, text) for label, text in found if text != "nothing"][:6]


@require_GET
def runbooks(request: HttpRequest, slug: str) -> HttpResponse:
    """The documents of the live handbook."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    documents = list(access_documents(reader.actor, live)) if live else []
    guides = access_items(reader.actor, live, kind="troubleshooting").count() if live else 0
    context = {"live": live, "documents": documents, "guides": guides, "broken": broken(reader.actor, place.id)}
    return render(request, "handbook/runbooks.html", context)


_MARKS = {"enforced": "enforced", "proposed": "proposed", "later": "kept for a feature to come", "shown": "shown"}


@require_GET
def runbook(request: HttpRequest, slug: str, path: str) -> HttpResponse:
    """One runbook, rendered, with its items marked in place."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    if live is None:
        raise NotFound("No handbook was applied here yet.")
    document = access_document(reader.actor, live, path.replace("\0", ""))
    items = list(access_items(reader.actor, live, path=document.path).defer("data"))
    effects: dict[int, tuple[str, str]] = {}
    for item in items:
        for line in range(item.line, item.end_line + 1):
            effects.setdefault(line, (item.effect, f"{item.kind}: {_MARKS[item.effect]}"))
    notes: dict[int, list[tuple[str, str, str]]] = {}
    for code, level, line, message, hint in document.findings:
        effects.setdefault(line, ("finding", f"{code}: {message}"))
        notes.setdefault(line, []).append((level, f"{code}: {message}", hint))
    context = {
        "live": live, "document": document, "body": render_markdown(document.text, effects, notes), "items": [item for item in items if item.kind != "reference"],
        "reviewed": _reviewed(reader.actor, live, document.path), "broken": broken(reader.actor, place.id),
        "guides": [item for item in items if item.kind == "troubleshooting"],
        "findings": [dict(zip(("code", "level", "line", "message", "hint"), one, strict=True)) for one in document.findings],
    }  # fmt: skip
    return render(request, "handbook/runbook.html", context)


def _reviewed(reader: Actor, live: Revision, path: str) -> list[tuple[str, str]]:
    """What a document says of its own review: last reviewed, review cycle, version."""
    wanted = ("review", "updated", "version", "cycle", "next")
    rows = access_items(reader, live, kind="metadata", path=path)
    return [
        (str(item.name), str(item.data.get("value") or item.data.get("text", ""))[:120])
        for item in rows
        if any(word in item.name.lower() for word in wanted)
    ][:6]


@require_http_methods(["GET", "POST"])
def revisions(request: HttpRequest, slug: str) -> HttpResponse:
    """What was applied, by whom; going back."""
    reader, place = place_of(request, slug)
    error = None
    if request.method == "POST":
        text = request.POST.get("number", "")
        number = int(text) if text.isdecimal() and len(text) < 9 else 0
        access_revision(reader.actor, place.id, number)
        made: list[Revision | Request] = []
        error = attempt(
            lambda: made.append(
                commands.roll_back(
                    by=reader.actor, workspace_id=place.id, slug=place.slug, number=number, reason=request.POST.get("reason", ""),
                    place_url=reverse("handbook_review", args=[slug]),
                )
            )
        )  # fmt: skip
        if error is None:
            if made and isinstance(made[0], Request):
                return redirect("request", slug, made[0].id)
            return redirect("handbook_revisions", slug)
    start = start_of(request)
    found = list(access_revisions(reader.actor, place.id).defer("lock", "config")[start : start + 51])
    names = names_of(reader.actor, {one.applied_by for one in found})
    context = {
        "rows": [(one, names.get(one.applied_by, "Somebody you cannot see")) for one in found[:50]],
        "live": access_live(reader.actor, place.id), "following": start + 50 if len(found) > 50 else None, "error": error,
    }  # fmt: skip
    return render(request, "handbook/revisions.html", context, status=error.status if error else 200)


@require_GET
def revision(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One revision: every change of policy, and what changed in the texts since the one before."""
    reader, place = place_of(request, slug)
    found = access_revision(reader.actor, place.id, number)
    live = access_live(reader.actor, place.id)
    names = names_of(reader.actor, {found.applied_by})
    steps = [
        {
            "what": f"{step['action'].capitalize()}: {step['kind']} “{step['name']}”", "weakens": step["weakens"],
            "changes": [dict(zip(("field", "before", "after", "note"), change, strict=True)) for change in step["changes"]],
        }
        for step in found.steps
    ]  # fmt: skip
    before = dict(access_texts(reader.actor, place.id, number - 1)) if number > 1 else {}
    after = dict(access_texts(reader.actor, place.id, number))
    files, following = page_of(diff_texts(before, after), start_of(request))
    context = {
        "revision": found, "is_live": live is not None and live.number == number, "who": names.get(found.applied_by, "Somebody you cannot see"),
        "steps": steps, "files": files, "following": following,
    }  # fmt: skip
    return render(request, "handbook/revision.html", context)


@require_GET
def revision_lock(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """watchbill.lock of a revision, to be committed beside the runbooks where the folder is read-only."""
    reader, place = place_of(request, slug)
    return lock_file(access_revision(reader.actor, place.id, number).lock)


def lock_file(text: str) -> HttpResponse:
    """A lock as a download."""
    response = HttpResponse(text, content_type="application/octet-stream")
    response["Content-Disposition"] = 'attachment; filename="watchbill.lock"'
    return response


@require_GET
def troubleshooting(request: HttpRequest, slug: str) -> HttpResponse:
    """All symptoms of the live handbook, to begin from at 03:00."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    words = request.GET.get("q", "").replace("\0", "")[:100]
    found = []
    if live is not None:
        for kind in ("troubleshooting", "alert-runbook"):
            found += list(access_items(reader.actor, live, kind=kind, words=words)[:FEED])
    return render(request, "handbook/troubleshooting.html", {"live": live, "items": found, "q": words})


@require_GET
def guide(request: HttpRequest, slug: str, item_id: UUID) -> HttpResponse:
    """One symptom, led through: what it means, what to check, what to do."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    item = access_items(reader.actor, live).filter(id=item_id).first() if live else None
    if item is None or item.kind not in {"troubleshooting", "alert-runbook"}:
        raise NotFound("There is no such guide in the live handbook.", hint="It may have changed; look under Runbooks.")
    data = item.data
    told = [
        ("What it means", [data.get("meaning", ""), data.get("impact", "")]),
        ("What may be the cause", data.get("causes", [])),
    ]
    steps = [
        ("Check", "Look at these in order; stop at the first that explains it.", data.get("checks") or data.get("diagnosis") or []),
        ("Do", "Then check again that the symptom is gone.", data.get("mitigation", [])),
    ]  # fmt: skip
    context = {
        "item": item,
        "told": [(title, [line for line in lines if line]) for title, lines in told if any(lines)],
        "steps": [(title, note, lines) for title, note, lines in steps if lines],
        "others": list(access_items(reader.actor, live, kind=item.kind, path=item.path).exclude(id=item.id)[:20]) if live else [],
    }  # fmt: skip
    return render(request, "handbook/guide.html", context)
