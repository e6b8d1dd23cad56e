"""Pages of the handbook and its runbooks."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import NotFound
from watchbill.handbook import commands
from watchbill.handbook.queries import (
    access_document,
    access_documents,
    access_items,
    access_live,
    access_revision,
    access_revisions,
    count_items,
)
from watchbill.handbook.render import render as render_markdown
from watchbill.people.edge import place_of
from watchbill.people.pages import attempt
from watchbill.people.queries import names_of

KIND_WORDS = {
    "severity": "Severities", "contact": "Contacts and escalation", "role": "Roles", "rota": "On-call rotas", "duty": "Recurring duties", "sla": "Support SLAs",
    "procedure": "Procedures", "troubleshooting": "Troubleshooting", "alert-runbook": "Alert pages", "metadata": "Documents", "backup": "Backups",
    "objective": "Objectives", "threshold": "Thresholds", "budget-policy": "Error budgets", "change-policy": "Changes", "gate": "Gates", "backlog": "Backlog",
    "template": "To be written", "reference": "Kept for later",
}  # fmt: skip
_MOST = 500


@require_GET
def handbook(request: HttpRequest, slug: str) -> HttpResponse:
    """Every item by kind, with its state, its effect and its line."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    counts = count_items(reader.actor, live) if live else {}
    kind = request.GET.get("kind", "")
    kind = kind if kind in counts else next((name for name in KIND_WORDS if name in counts), "")
    words = request.GET.get("q", "").replace("\0", "")[:100]
    items = list(access_items(reader.actor, live, kind="" if words else kind, words=words)[:_MOST]) if live else []
    rows = [{"item": item, "facts": facts(item.data)} for item in items]
    context = {
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
    documents = list(access_documents(reader.actor, live)[:2000]) if live else []
    return render(request, "handbook/runbooks.html", {"live": live, "documents": documents})


_MARKS = {"enforced": "enforced", "proposed": "proposed", "later": "kept for a feature to come", "shown": "shown"}


@require_GET
def runbook(request: HttpRequest, slug: str, path: str) -> HttpResponse:
    """One runbook, rendered, with its items marked in place."""
    reader, place = place_of(request, slug)
    live = access_live(reader.actor, place.id)
    if live is None:
        raise NotFound("No handbook was applied here yet.")
    document = access_document(reader.actor, live, path.replace("\0", ""))
    items = [item for item in access_items(reader.actor, live).defer("data") if item.path == document.path]
    effects: dict[int, tuple[str, str]] = {}
    for item in items:
        for line in range(item.line, min(item.end_line, item.line + 400) + 1):
            effects.setdefault(line, (item.effect, f"{item.kind}: {_MARKS[item.effect]}"))
    for finding in document.findings:
        effects.setdefault(finding[2], ("finding", f"{finding[0]}: {finding[3]}"))
    context = {
        "live": live, "document": document, "body": render_markdown(document.text, effects), "items": [item for item in items if item.kind != "reference"],
        "findings": [dict(zip(("code", "level", "line", "message", "hint"), one, strict=True)) for one in document.findings],
    }  # fmt: skip
    return render(request, "handbook/runbook.html", context)


@require_http_methods(["GET", "POST"])
def revisions(request: HttpRequest, slug: str) -> HttpResponse:
    """What was applied, by whom, with what it changed; going back."""
    reader, place = place_of(request, slug)
    error = None
    if request.method == "POST":
        text = request.POST.get("number", "")
        number = int(text) if text.isdecimal() and len(text) < 9 else 0
        access_revision(reader.actor, place.id, number)
        error = attempt(
            lambda: commands.roll_back(
                by=reader.actor,
                workspace_id=place.id,
                slug=place.slug,
                number=number,
                reason=request.POST.get("reason", ""),
            )
        )
        if error is None:
            return redirect("handbook_revisions", slug)
    found = list(access_revisions(reader.actor, place.id).defer("lock", "config")[:50])
    names = names_of(reader.actor, {one.applied_by for one in found})
    rows = [
        {
            "revision": one,
            "who": names.get(one.applied_by, "Somebody you cannot see"),
            "steps": one.steps[:40],
            "more": max(0, len(one.steps) - 40),
        }
        for one in found
    ]
    return render(
        request, "handbook/revisions.html", {"rows": rows, "error": error}, status=error.status if error else 200
    )
