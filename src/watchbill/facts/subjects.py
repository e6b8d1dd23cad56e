"""Subjects: (kind, id), registered by their feature, so that the ledger, Due and search show any feature without importing it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import Broken


@dataclass(frozen=True, slots=True)
class Shown:
    """A subject as a reader may see it."""

    kind: str
    id: str
    title: str
    url: str
    note: str = ""


#: (reader, workspace id, workspace slug, ids) → what the reader may see of them, by id.
Resolver = Callable[[Actor, UUID, str, Iterable[str]], Mapping[str, Shown]]
#: (reader, workspace id, workspace slug, words, limit) → hits, best first.
Searcher = Callable[[Actor, UUID, str, str, int], list[Shown]]


@dataclass(frozen=True)
class Subject:
    """A registered kind: its word, how to show it, and how to find it."""

    kind: str
    word: str
    resolve: Resolver
    search: Searcher | None = None


SUBJECTS: dict[str, Subject] = {}


def register(kind: str, word: str, *, resolve: Resolver, search: Searcher | None = None) -> None:
    """Registers a kind of subject (in the feature's AppConfig.ready). Raises Broken when it is there already."""
    if kind in SUBJECTS:
        raise Broken(f"subject {kind} is registered twice")
    SUBJECTS[kind] = Subject(kind, word, resolve, search)


def resolve_all(
    reader: Actor, workspace_id: UUID, slug: str, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Shown]:
    """What the reader may see of these subjects: one query per kind, however many there are."""
    by_kind: dict[str, set[str]] = {}
    for kind, identifier in wanted:
        by_kind.setdefault(kind, set()).add(identifier)
    found: dict[tuple[str, str], Shown] = {}
    for kind, ids in by_kind.items():
        if kind in SUBJECTS:
            shown = SUBJECTS[kind].resolve(reader, workspace_id, slug, sorted(ids))
            found |= {(kind, identifier): value for identifier, value in shown.items()}
    return found


def search_all(reader: Actor, workspace_id: UUID, slug: str, words: str, *, limit: int = 8) -> list[Shown]:
    """Hits of every kind that can be searched."""
    return [
        hit
        for subject in SUBJECTS.values()
        if subject.search
        for hit in subject.search(reader, workspace_id, slug, words, limit)
    ]
