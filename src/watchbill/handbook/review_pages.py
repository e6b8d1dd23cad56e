"""The page Review: unbound names first, then what was read, each with its sentence beside its reading, and what applying would do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods

from watchbill.base.errors import Conflict, Invalid, NotFound, WatchbillError
from watchbill.gates.models import Request
from watchbill.gates.queries import access_asked
from watchbill.handbook import bindings, commands
from watchbill.handbook.pages import KIND_WORDS, facts, lock_file
from watchbill.handbook.queries import (
    Review,
    access_bindings,
    access_live,
    access_live_names,
    access_review,
    bound_names,
)
from watchbill.handbook.replay import Replay, replay, routes_from
from watchbill.paging.queries import access_targets
from watchbill.people.edge import place_of
from watchbill.people.pages import as_uuid
from watchbill.people.queries import Place, Reader
from watchbill.runtime.http import start_of

if TYPE_CHECKING:
    from watchbill.handbook.review import Row

#: Rows on one page: what a phone can scroll and the server renders well under a tenth of a second.
FEED = 150
ACTIONS = {
    "add": ("info", "new"),
    "change": ("notice", "changed"),
    "same": ("off", "as accepted"),
    "remove": ("notice", "gone"),
    "ask": ("notice", "renamed or gone"),
}
CHOICES = {"live": "Accepted", "shadow": "Shadow", "ignored": "Ignored", "gone": "Gone"}


@dataclass
class Line:
    """A row as the page shows it."""

    row: Row
    number: int
    label: str
    pill: tuple[str, str]
    excerpt: SafeString
    facts: list[tuple[str, str]] = field(default_factory=list)
    chosen: str = ""
    unbound: list[str] = field(default_factory=list)


def excerpt(text: str, row: Row) -> SafeString:
    """The lines that a row was read from, with one line around them; its own sentence is marked, or its lines where it is longer."""
    lines = text.replace("\r\n", "\n").split("\n")
    first, last = max(0, row.line - 1), min(len(lines), max(row.end_line, row.line), row.line + 12)
    own = "\n".join(lines[first:last])
    at = own.find(row.text) if row.text and "\n" not in row.text else -1
    parts: list[tuple[str, bool]] = [(own, True)]
    if at >= 0:
        parts = [(own[:at], False), (row.text, True), (own[at + len(row.text) :], False)]
    before = [(lines[first - 1] + "\n", False)] if first > 0 and lines[first - 1].strip() else []
    after = [("\n" + lines[last], False)] if last < len(lines) and lines[last].strip() else []
    pieces = (
        format_html("<mark>{}</mark>", part) if marked else format_html("{}", part)
        for part, marked in (*before, *parts, *after)
        if part
    )
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _lines(found: Review, rows: list[tuple[int, Row]], bound: set[str]) -> list[Line]:
    from watchbill.language.names import canonical

    texts = dict(found.draft.files)
    made = []
    for number, row in rows:
        chosen = CHOICES.get(row.choice, "")
        if row.choice.startswith("is:"):
            chosen = "Renamed to " + next((a[1] for a in row.answers if a[0] == row.choice[3:]), row.choice[3:])
        made.append(
            Line(
                row, number, KIND_WORDS.get(row.kind, row.kind), ACTIONS[row.action], excerpt(texts.get(row.path, ""), row) if row.line else SafeString(""),
                facts(row.data) if row.data else [], chosen, [name for name in row.needs if canonical(name) not in bound],
            )
        )  # fmt: skip
    return made


def _todo(row: Row) -> bool:
    return row.action != "same" and not row.choice


@dataclass
class View:
    """Which rows the page shows: those to decide or all, of one document or all, from one on."""

    show: str
    document: str
    start: int

    @staticmethod
    def of(request: HttpRequest) -> View:
        """From the address."""
        return View(
            "all" if request.GET.get("show") == "all" else "todo",
            request.GET.get("document", "").replace("\0", "")[:400],
            start_of(request),
        )


def _summary(reader: Reader, place: Place, found: Review) -> dict[str, Any]:
    """What stands at the top: what is left to decide, what applying would change, and whether an approval waits."""
    files = commands.Files(commands.files_of(found.draft).documents, found.lock_text, found.draft.config)
    live = access_live(reader.actor, place.id)
    asked = None
    if found.plan.weakens:
        digest = commands.exact_digest(found.plan, files, live.number if live else 0)
        asked = access_asked(reader.actor, place.id, commands.GATE, digest)
    weak = sum(1 for step in found.plan.steps if step.weakens)
    changed = any(step.kind == "route" for step in found.plan.steps)
    return {
        "replay": _replay(place, found) if changed else None,
        "found": found, "todo": sum(1 for row in found.rows if _todo(row)), "steps": commands.shown_steps(found.plan)[:100],
        "more_steps": max(0, len(found.plan.steps) - 100), "weak": weak, "asked": asked, "live": live,
        "can_apply": not found.draft.errors and not found.undecided and not found.unbound and bool(found.plan.steps),
    }  # fmt: skip


@require_http_methods(["GET", "POST"])
def review(request: HttpRequest, slug: str) -> HttpResponse:
    """Reviewing what was brought; choosing, binding, applying."""
    reader, place = place_of(request, slug)
    reader.actor.require("handbook.read", place.id)
    error: WatchbillError | None = None
    if request.method == "POST":
        try:
            answer = _act(request, reader, place)
            if answer is not None:
                return answer
        except WatchbillError as problem:
            if problem.status not in {403, 409, 422}:
                raise
            error = problem
    view, found, bound = View.of(request), access_review(reader.actor, place.id), bound_names(place.id)
    context: dict[str, Any] = {"error": error, "view": view, "bindings": _bindings(reader, place, bound)}
    wanted = found.unbound if found else access_live_names(reader.actor, place.id)
    context["unbound"] = _unbound(reader, place, found, wanted, bound)
    if found is not None:
        rows = [
            (number, row)
            for number, row in enumerate(found.rows)
            if (view.show == "all" or _todo(row)) and view.document in ("", row.path)
        ]
        page = rows[view.start : view.start + FEED]
        documents: dict[str, int] = {}
        for row in found.rows:
            documents[row.path] = documents.get(row.path, 0) + _todo(row)
        context |= _summary(reader, place, found) | {
            "lines": _lines(found, page, bound), "total": len(rows), "documents": documents, "stale": found.draft.compiler != _version(),
            "earlier": view.start > 0, "following": view.start + FEED if view.start + FEED < len(rows) else None,
        }  # fmt: skip
    else:
        context["live"] = access_live(reader.actor, place.id)
    return render(request, "handbook/review.html", context, status=error.status if error else 200)


def _replay(place: Place, found: Review) -> Replay:
    """What the routes that the choices make would have done with the last days' alerts."""
    from watchbill.handbook.lock import parse_lock

    lock = parse_lock(found.lock_text)[0]
    live = {key for key, one in lock.items.items() if one.state == "live"} if lock else set()
    rows = sorted(
        (row for row in found.rows if row.kind == "route" and row.key in live), key=lambda row: (row.path, row.line)
    )
    return replay(place.id, routes_from((row.key, row.data) for row in rows))


def _version() -> int:
    from watchbill.handbook.compile import VERSION

    return VERSION


def _unbound(
    reader: Reader, place: Place, found: Review | None, wanted: list[str], bound: set[str]
) -> list[dict[str, Any]]:
    """Names to bind: those that hold something up first, then those that proposed items would need. The likeliest is chosen."""
    from watchbill.language.names import canonical

    if not reader.actor.may("handbook.bind", place.id):
        return [{"name": name, "holds": True, "groups": []} for name in wanted]
    names = {canonical(name): (name, True) for name in wanted}
    for row in found.rows if found else []:
        for name in row.needs:
            if canonical(name) not in bound and row.choice != "ignored":
                names.setdefault(canonical(name), (name, False))
    groups = access_targets(reader.actor, place.id, policies=False) if names else []
    rows = []
    for key, (name, holds) in names.items():
        like = next((value for _, group in groups for value, label in group if canonical(label) == key), "")
        rows.append({"name": name, "holds": holds, "groups": groups, "like": like})
    return rows


def _bindings(reader: Reader, place: Place, bound: set[str]) -> list[dict[str, Any]]:
    """Who is meant by each name that is bound; somebody who left is said so."""
    rows = list(access_bindings(reader.actor, place.id)[:1000])
    if not rows:
        return []
    labels = dict(pair for _, group in access_targets(reader.actor, place.id, policies=False) for pair in group)
    return [
        {"name": one.text, "who": labels.get(f"{one.target_kind}:{one.target_id}", "somebody who left"), "kind": one.target_kind, "gone": one.name not in bound}
        for one in rows
    ]  # fmt: skip


def _act(request: HttpRequest, reader: Reader, place: Place) -> HttpResponse | None:
    post = request.POST
    common: dict[str, Any] = {"by": reader.actor, "workspace_id": place.id}
    back = redirect(request.get_full_path())
    number = post.get("version", "")
    version = int(number) if number.isdecimal() and len(number) < 10 else 0
    match post.get("do"):
        case "choose":
            return _choose(request, reader, place, version)
        case "bind":
            kind, _, target = post.get("target", "").partition(":")
            if not target:
                raise Invalid("Say who is meant.", field="target")
            bindings.bind_name(**common, name=post.get("name", ""), target_kind=kind, target_id=as_uuid(target))
        case "unbind":
            bindings.unbind_name(**common, name=post.get("name", ""))
        case "live":
            commands.review_live(**common, slug=place.slug)
            return redirect(reverse("handbook_review", args=[place.slug]) + "?show=all")
        case "discard":
            commands.discard_draft(**common)
        case "again":
            found = access_review(reader.actor, place.id)
            if found is None:
                raise NotFound("There is nothing to review here.")
            files = commands.files_of(found.draft)
            commands.keep_draft(
                **common, slug=place.slug, files=files.documents, lock=files.lock, config=files.config, origin=found.draft.origin
            )  # fmt: skip
        case "apply":
            made = commands.apply_draft(
                **common, slug=place.slug, version=version, lock_digest=post.get("lock_digest", ""), reason=post.get("reason", ""),
                break_glass=bool(post.get("break_glass")), place_url=reverse("handbook_review", args=[place.slug]),
            )  # fmt: skip
            if isinstance(made, Request):
                return redirect("request", place.slug, made.id)
            return redirect("handbook_revision", place.slug, made.number)
        case other:
            raise Invalid(f"“{str(other)[:40]}” is nothing this page can do.")
    return back


def _choose(request: HttpRequest, reader: Reader, place: Place, version: int) -> HttpResponse:
    """One row, the rows of a document, or all; with htmx only the row and the summary come back, so that nothing moves."""
    from watchbill.handbook.review import PENDING

    post = request.POST
    found = access_review(reader.actor, place.id)
    if found is None:
        raise Conflict("There is nothing to review any more.", hint="Load the page again.")
    if post.get("key"):
        keys = [post["key"].replace("\0", "")]
    else:
        # Many at once: what is new or changed; what is gone or renamed is asked one by one.
        documents = {post["document"]} if post.get("document") else {row.path for row in found.rows}
        keys = [
            row.key
            for row in found.rows
            if row.path in documents and _todo(row) and (row.action == "add" or row.action == PENDING[0])
        ]
        if not keys:
            raise Conflict("There is nothing left to accept there.")
    commands.choose(
        by=reader.actor, workspace_id=place.id, version=version, keys=keys, choice=post.get("choice", "").replace("\0", "")
    )  # fmt: skip
    if not (request.headers.get("HX-Request") and post.get("key")):
        return redirect(request.get_full_path())
    fresh = access_review(reader.actor, place.id)
    if fresh is None:
        raise Conflict("There is nothing to review any more.", hint="Load the page again.")
    number = next(number for number, row in enumerate(fresh.rows) if row.key == keys[0])
    (line,) = _lines(fresh, [(number, fresh.rows[number])], bound_names(place.id))
    return render(request, "handbook/review_row.html", {"line": line, "swap": True, **_summary(reader, place, fresh)})


@require_GET
def review_lock(request: HttpRequest, slug: str) -> HttpResponse:
    """watchbill.lock with the choices in it, to be committed beside the runbooks."""
    reader, place = place_of(request, slug)
    found = access_review(reader.actor, place.id)
    if found is None:
        raise NotFound("There is nothing to review here.")
    return lock_file(found.lock_text)
