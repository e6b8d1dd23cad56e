"""Reads of the handbook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.base.ids import as_uuids
from watchbill.facts.subjects import Shown
from watchbill.handbook.models import Binding, Draft, DraftItem, PolicyItem, Revision, RunbookDocument
from watchbill.language.names import canonical
from watchbill.oncall.models import Schedule
from watchbill.paging.models import Channel
from watchbill.people.models import Membership, Team
from watchbill.signals.models import Route

# The compiler is imported where it is used: a web process starts faster without it.
if TYPE_CHECKING:
    from watchbill.handbook.config import Config
    from watchbill.handbook.heard import Gaps
    from watchbill.handbook.lock import Lock
    from watchbill.handbook.plan import Plan
    from watchbill.handbook.review import Row
    from watchbill.language.findings import Finding


def access_revisions(reader: Actor, workspace_id: UUID) -> QuerySet[Revision]:
    """All revisions, the live one first."""
    reader.require("handbook.read", workspace_id)
    return Revision.objects.filter(workspace_id=workspace_id).order_by("-number")


def access_live(reader: Actor, workspace_id: UUID) -> Revision | None:
    """The live revision; None before the first apply."""
    return access_revisions(reader, workspace_id).first()


def access_revision(reader: Actor, workspace_id: UUID, number: int) -> Revision:
    """One revision by its number. Raises NotFound."""
    found = access_revisions(reader, workspace_id).filter(number=number).first()
    if found is None:
        raise NotFound(f"There is no revision {number} here.")
    return found


def access_items(
    reader: Actor, revision: Revision, *, kind: str = "", words: str = "", path: str = ""
) -> QuerySet[PolicyItem]:
    """The items of a revision, by kind and place."""
    reader.require("handbook.read", revision.workspace_id)
    found = PolicyItem.objects.filter(workspace_id=revision.workspace_id, revision=revision)
    if kind:
        found = found.filter(kind=kind)
    if path:
        found = found.filter(path=path)
    for word in words.split()[:6]:
        found = found.filter(name__icontains=word)
    return found.order_by("kind", "path", "line", "key")


def count_items(reader: Actor, revision: Revision) -> dict[str, int]:
    """How many items of each kind."""
    return {
        row["kind"]: row["n"]
        for row in access_items(reader, revision).order_by().values("kind").annotate(n=Count("id")).order_by("kind")
    }


def access_documents(reader: Actor, revision: Revision) -> QuerySet[RunbookDocument]:
    """The documents of a revision, without their texts."""
    reader.require("handbook.read", revision.workspace_id)
    return (
        RunbookDocument.objects.filter(workspace_id=revision.workspace_id, revision=revision)
        .defer("text")
        .order_by("path")
    )


def access_document(reader: Actor, revision: Revision, path: str) -> RunbookDocument:
    """One document with its text. Raises NotFound."""
    reader.require("handbook.read", revision.workspace_id)
    found = RunbookDocument.objects.filter(workspace_id=revision.workspace_id, revision=revision, path=path).first()
    if found is None:
        raise NotFound("There is no such runbook in this revision.")
    return found


def access_draft(reader: Actor, workspace_id: UUID) -> Draft | None:
    """What is under review; None where nothing is."""
    reader.require("handbook.read", workspace_id)
    return Draft.objects.filter(workspace_id=workspace_id).first()


def access_draft_items(reader: Actor, draft: Draft) -> QuerySet[DraftItem]:
    """The rows of a review in the order of the documents."""
    reader.require("handbook.read", draft.workspace_id)
    return DraftItem.objects.filter(workspace_id=draft.workspace_id, draft=draft).order_by("position")


def rows_from(items: Iterable[DraftItem]) -> list[Row]:
    """A draft's rows for the rules."""
    from watchbill.handbook.review import Row

    names = [one.name for one in fields(Row)]
    return [Row(**{name: getattr(item, name) for name in names}) for item in items]


@dataclass(frozen=True)
class Review:
    """What is under review: its rows, the lock that the choices make, what applying it would change, and what stands in the way."""

    draft: Draft
    rows: list[Row]
    lock_text: str
    lock_digest: str
    plan: Plan
    undecided: list[Row]
    unbound: list[str]
    first: bool
    #: What alerts would page nobody, were it applied as it is chosen.
    warnings: list[Finding]


def access_review(reader: Actor, workspace_id: UUID) -> Review | None:
    """What is under review, weighed against the live handbook; None where nothing is."""
    from watchbill.handbook.compile import VERSION
    from watchbill.handbook.config import read_text
    from watchbill.handbook.lock import Lock, dump, parse_lock
    from watchbill.handbook.plan import policy_changes
    from watchbill.handbook.review import lock_of, undecided

    draft = access_draft(reader, workspace_id)
    if draft is None:
        return None
    rows = rows_from(access_draft_items(reader, draft))
    live = access_live(reader, workspace_id)
    base = parse_lock(draft.base_lock)[0] if draft.base_lock else None
    lock = lock_of(base or Lock(VERSION), rows)
    text = dump(lock)
    before = parse_lock(live.lock)[0] if live else None
    settings = read_text(live.config) if live else None
    plan = policy_changes(before or Lock(VERSION), lock, settings, read_text(draft.config))
    bound = bound_names(workspace_id)
    wanted = {
        canonical(name): name
        for row in rows
        if row.key in lock.items and lock.items[row.key].state == "live"
        for name in row.needs
    }
    return Review(
        draft, rows, text, sha256(text.encode()).hexdigest(), plan, undecided(rows),
        [name for key, name in wanted.items() if key not in bound], live is None, _unheard(rows, lock, read_text(draft.config)),
    )  # fmt: skip


def _unheard(rows: Iterable[Row], lock: Lock, config: Config) -> list[Finding]:
    """Which alerts would page nobody by the items that are chosen to be live; before anything is chosen, by all that was read."""
    from watchbill.handbook.heard import of_items
    from watchbill.handbook.plan import UNHEARD

    there = [row for row in rows if row.line and row.choice not in ("ignored", "shadow", "gone")]
    chosen = [row for row in there if row.key in lock.items and lock.items[row.key].state == "live"]
    kept = [(row.kind, row.name, row.path, row.line, row.data) for row in chosen or there]
    return [one for one in of_items(kept, config) if one.code in UNHEARD]


def gaps_of_live(workspace_id: UUID) -> Gaps:
    """Which alerts the live handbook lets page nobody whom it names, as `watchbill check` and Review see it. For rules.

    The routes are those by which alerts are taken (`signals.Route`): whatever the revision says, no other one pages.
    """
    from watchbill.handbook.config import Config, read_text
    from watchbill.handbook.heard import gaps, heads_of

    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").values_list("id", "config").first()
    rows: list[tuple[str, str, str, int, dict[str, str]]] = []
    if live is not None:
        found = PolicyItem.objects.filter(
            revision_id=live[0], state="live", kind__in=("severity", "escalation", "contact", "rota")
        )
        items = found.order_by("path", "line", "key").values_list("kind", "name", "path", "line")
        rows += [(kind, name, path, line, {}) for kind, name, path, line in items]
    routes = Route.objects.filter(workspace_id=workspace_id, state="live").order_by("position")
    for name, severity, pages, path, line in routes.values_list("name", "severity", "pages", "path", "line"):
        rows.append(("route", name, path, line, {"severity": severity, "pages": pages}))
    return gaps(heads_of(rows), read_text(live[1]) if live else Config())


def has_live(workspace_id: UUID) -> bool:
    """Whether a handbook is live. For rules."""
    return Revision.objects.filter(workspace_id=workspace_id).exists()


def access_bindings(reader: Actor, workspace_id: UUID) -> QuerySet[Binding]:
    """Whom the names of the runbooks mean here."""
    reader.require("handbook.read", workspace_id)
    return Binding.objects.filter(workspace_id=workspace_id).order_by("name")


def bound_names(workspace_id: UUID) -> set[str]:
    """The canonical names that mean somebody who is still here. For rules; the pages use access_bindings."""
    rows = list(Binding.objects.filter(workspace_id=workspace_id).values_list("name", "target_kind", "target_id"))
    persons = {target for _, kind, target in rows if kind == "person"}
    here = set(
        Membership.objects.filter(
            workspace_id=workspace_id, person_id__in=persons, person__active=True, ended_at=None
        ).values_list("person_id", flat=True)
    )
    there = {
        "person": here,
        "team": set(Team.objects.filter(workspace_id=workspace_id).values_list("id", flat=True)),
        "schedule": set(
            Schedule.objects.filter(workspace_id=workspace_id, retired_at=None).values_list("id", flat=True)
        ),
        "channel": set(Channel.objects.filter(workspace_id=workspace_id, removed_at=None).values_list("id", flat=True)),
    }
    # A schedule of the live handbook is meant by its own name, too.
    named = Schedule.objects.filter(workspace_id=workspace_id, retired_at=None).values_list("name", flat=True)
    return {name for name, kind, target in rows if target in there[kind]} | {canonical(name) for name in named}


def access_texts(reader: Actor, workspace_id: UUID, number: int) -> list[tuple[str, str]]:
    """Path and text of all documents of a revision."""
    reader.require("handbook.read", workspace_id)
    rows = RunbookDocument.objects.filter(workspace_id=workspace_id, revision__number=number)
    return list(rows.order_by("path").values_list("path", "text"))


def access_live_names(reader: Actor, workspace_id: UUID) -> list[str]:
    """Names that live items need and that mean nobody any more: somebody left, a binding was taken away."""
    from watchbill.handbook.kinds import KINDS
    from watchbill.handbook.names import unbound

    live = access_live(reader, workspace_id)
    if live is None:
        return []
    kinds = ("contact", "duty", "rota", "severity")
    rows = access_items(reader, live).filter(state="live", kind__in=kinds)
    items = [KINDS[row.kind].model_validate(row.data) for row in rows]
    return [name.text for name in unbound(items, bound_names(workspace_id)).values()]


def resolve_drafts(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """What is, or was, under review."""
    if not reader.may("handbook.read", workspace_id):
        return {}
    url = reverse("handbook_review", args=[slug])
    return {one: Shown("draft", one, "the handbook under review", url) for one in ids}


def resolve_revisions(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Revisions as subjects."""
    if not reader.may("handbook.read", workspace_id):
        return {}
    rows = Revision.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids))
    return {
        str(r.id): Shown("revision", str(r.id), f"Revision {r.number}", reverse("handbook_revisions", args=[slug]))
        for r in rows
    }


def _runbook(slug: str, path: str, line: int = 0) -> str:
    return reverse("runbook", args=[slug, path]) + (f"#L{line}" if line else "")


def resolve_documents(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Runbooks as subjects."""
    if not reader.may("handbook.read", workspace_id):
        return {}
    rows = RunbookDocument.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids)).defer("text")
    return {str(d.id): Shown("runbook", str(d.id), d.title or d.path, _runbook(slug, d.path)) for d in rows}


def search_documents(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Live runbooks by title and path."""
    if not reader.may("handbook.read", workspace_id):
        return []
    live = access_live(reader, workspace_id)
    if live is None:
        return []
    found = access_documents(reader, live)
    for word in words.split()[:6]:
        found = found.filter(Q(title__icontains=word) | Q(path__icontains=word))
    return [Shown("runbook", str(d.id), d.title or d.path, _runbook(slug, d.path), "runbook") for d in found[:limit]]


def resolve_items(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Items as subjects."""
    if not reader.may("handbook.read", workspace_id):
        return {}
    rows = PolicyItem.objects.filter(workspace_id=workspace_id, id__in=as_uuids(ids)).defer("data")
    return {str(i.id): Shown("policy", str(i.id), i.name, _runbook(slug, i.path, i.line)) for i in rows}


def search_items(reader: Actor, workspace_id: UUID, slug: str, words: str, limit: int) -> list[Shown]:
    """Live items by name."""
    if not reader.may("handbook.read", workspace_id):
        return []
    live = access_live(reader, workspace_id)
    if live is None:
        return []
    rows = access_items(reader, live, words=words).exclude(kind="reference")[:limit]
    return [Shown("policy", str(i.id), i.name, _runbook(slug, i.path, i.line), i.kind) for i in rows]
