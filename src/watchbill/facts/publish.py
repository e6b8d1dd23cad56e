"""Declaring kinds and subscribers, publishing, delivering."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from watchbill.base.errors import Broken
from watchbill.facts.models import Delivery, Fact
from watchbill.runtime.isolation import database_is_gone, describe, reraise_if_ending
from watchbill.runtime.now import now

Handler = Callable[[Fact], None]
MAX_ATTEMPTS = 12
log = structlog.get_logger("watchbill.facts")
#: Every fact of every command comes this way: by hand, since the ORM takes longer to write these two than the database to run them.
_FACTS = (
    "INSERT INTO facts_fact (id, workspace_id, kind, subject_kind, subject_id, data, at) "
    "SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])"
)
_DELIVERIES = (
    "INSERT INTO facts_delivery (fact_id, workspace_id, subscriber, state, attempts, due_at, error) "
    "SELECT f, w, s, 'waiting', 0, d, '' FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[]) AS t(f, w, s, d)"
)
#: Of one transaction in the order in which they were published.
_CLAIM = (
    "SELECT d.id, d.subscriber, d.attempts, f.id, f.workspace_id, f.kind, f.subject_kind, f.subject_id, f.data, f.at "
    "FROM facts_delivery d JOIN facts_fact f ON f.id = d.fact_id WHERE d.state = 'waiting' AND d.due_at <= wb_now() "
    "ORDER BY d.due_at, d.id LIMIT 1 FOR UPDATE OF d SKIP LOCKED"
)
_SETTLE = "UPDATE facts_delivery SET attempts = %s, state = %s, error = %s, due_at = coalesce(%s, due_at) WHERE id = %s"


@dataclass(frozen=True)
class Kind:
    """A kind of fact: its name, its meaning, and the keys its data must have."""

    name: str
    doc: str
    keys: frozenset[str]


@dataclass(frozen=True)
class Subscriber:
    """Who hears of a kind of fact; with ``about``, only of those whose data is about such a subject."""

    kind: str
    handler: Handler
    about: str = ""

    def hears(self, fact: Fact) -> bool:
        """Whether a fact is for it."""
        return fact.kind == self.kind and (not self.about or fact.data["about"][0] == self.about)


KINDS: dict[str, Kind] = {}
SUBSCRIBERS: dict[str, "Subscriber"] = {}


def declare(name: str, doc: str, *keys: str) -> str:
    """Declares a kind of fact, once, beside the command that publishes it. Returns its name."""
    if name in KINDS:
        raise Broken(f"fact {name} is declared twice")
    KINDS[name] = Kind(name, doc, frozenset(keys))
    return name


def subscribe(kind: str, name: str, *, about: str = "") -> Callable[[Handler], Handler]:
    """Declares a subscriber. It runs in one transaction with its delivery's row, so that its effects happen once.

    With ``about`` it hears only of facts about that kind of subject, as their data's “about” says: thousands of others cost it nothing.
    """

    def decorate(handler: Handler) -> Handler:
        if name in SUBSCRIBERS:
            raise Broken(f"subscriber {name} is declared twice")
        if about and "about" not in KINDS[kind].keys:
            raise Broken(f"subscriber {name}: fact {kind} does not say what it is about")
        SUBSCRIBERS[name] = Subscriber(kind, handler, about)
        return handler

    return decorate


def publish(
    kind: str, *, workspace_id: UUID, subject: tuple[str, object], data: Mapping[str, Any] | None = None
) -> Fact:
    """Writes a fact and a delivery for each subscriber, in the caller's transaction. Raises Broken on wrong data."""
    if kind not in KINDS:
        raise Broken(f"fact {kind} is not declared")
    if set(data or {}) != KINDS[kind].keys:
        raise Broken(f"fact {kind} needs exactly the keys {sorted(KINDS[kind].keys)}, got {sorted(data or {})}")
    if not transaction.get_connection().in_atomic_block:
        raise Broken(f"fact {kind} was published outside of a transaction")
    (fact,) = publish_all([(kind, workspace_id, subject, data or {})])
    return fact


def publish_all(news: Iterable[tuple[str, UUID, tuple[str, object], Mapping[str, Any]]]) -> list[Fact]:
    """Writes many facts as (kind, workspace, subject, data) with two statements: for what changes thousands of rows at once."""
    at = now()
    facts = [
        Fact(
            workspace_id=workspace_id,
            kind=kind,
            subject_kind=subject[0],
            subject_id=str(subject[1]),
            data=dict(data),
            at=at,
        )
        for kind, workspace_id, subject, data in news
    ]
    for fact in facts:
        if fact.kind not in KINDS or set(fact.data) != KINDS[fact.kind].keys:
            raise Broken(f"fact {fact.kind} is not declared with the keys {sorted(fact.data)}")
    if not facts:
        return facts
    everybody = sorted(SUBSCRIBERS.items(), key=lambda one: one[0])
    told = [(fact, name) for fact in facts for name, one in everybody if one.hears(fact)]
    with connection.cursor() as cursor:
        rows = [
            (one.id, one.workspace_id, one.kind, one.subject_kind, one.subject_id, json.dumps(one.data), one.at) for one in facts
        ]  # fmt: skip
        cursor.execute(_FACTS, [list(column) for column in zip(*rows, strict=True)])
        if told:
            copies = [(fact.id, fact.workspace_id, name, at) for fact, name in told]
            cursor.execute(_DELIVERIES, [list(column) for column in zip(*copies, strict=True)])
    return facts


def deliver_one() -> bool:
    """Claims one due delivery and carries it out. Says whether there was one.

    A failure is kept with its reason and tried again after 2^attempts seconds (with jitter), MAX_ATTEMPTS times.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM)
        row = cursor.fetchone()
        if row is None:
            return False
        number, subscriber, attempts = row[:3]
        state, error, again = Delivery.State.DONE, "", None
        try:
            with transaction.atomic():
                _handler(subscriber)(_fact(row[3:]))
                # What is only checked when the transaction ends is checked here, where it is this subscriber's.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except BaseException as problem:
            reraise_if_ending(problem)
            if database_is_gone():
                raise
            state, error, again = _failed(subscriber, row[3], attempts + 1, problem)
        cursor.execute(_SETTLE, [attempts + 1, state, error, again, number])
    return True


def _fact(row: Sequence[Any]) -> Fact:
    names = ("id", "workspace_id", "kind", "subject_kind", "subject_id", "data", "at")
    return Fact(**dict(zip(names, (*row[:5], json.loads(row[5]), row[6]), strict=True)))


def _handler(name: str) -> Handler:
    if name not in SUBSCRIBERS:
        raise LookupError(f"no subscriber is called {name} in this version")
    return SUBSCRIBERS[name].handler


def _failed(subscriber: str, fact: UUID, attempts: int, problem: BaseException) -> tuple[Delivery.State, str, datetime]:
    """What becomes of a delivery that failed: its state, why, and when it is tried again."""
    error = describe(problem)
    seconds = min(3600, 2**attempts) * (0.75 + random.random() / 2)  # noqa: S311 - jitter
    log.warning("fact.delivery_failed", subscriber=subscriber, fact=str(fact), error=error)
    state = Delivery.State.FAILED if attempts >= MAX_ATTEMPTS else Delivery.State.WAITING
    return state, error, now() + timedelta(seconds=seconds)
