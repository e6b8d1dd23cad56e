"""Reads of the handbook."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from watchbill.base.actor import Actor
from watchbill.base.errors import NotFound
from watchbill.facts.subjects import Shown
from watchbill.handbook.models import PolicyItem, Revision, RunbookDocument


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


def access_items(reader: Actor, revision: Revision, *, kind: str = "", words: str = "") -> QuerySet[PolicyItem]:
    """The items of a revision, by kind and place."""
    reader.require("handbook.read", revision.workspace_id)
    found = PolicyItem.objects.filter(workspace_id=revision.workspace_id, revision=revision)
    if kind:
        found = found.filter(kind=kind)
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


def _uuids(ids: Iterable[str]) -> list[UUID]:
    found = []
    for text in ids:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def resolve_revisions(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """Revisions as subjects."""
    if not reader.may("handbook.read", workspace_id):
        return {}
    rows = Revision.objects.filter(workspace_id=workspace_id, id__in=_uuids(ids))
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
    rows = RunbookDocument.objects.filter(workspace_id=workspace_id, id__in=_uuids(ids)).defer("text")
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
    rows = PolicyItem.objects.filter(workspace_id=workspace_id, id__in=_uuids(ids)).defer("data")
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
