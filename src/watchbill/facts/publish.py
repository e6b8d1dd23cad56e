"""Declaring kinds and subscribers, publishing, delivering."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from watchbill.base.errors import Broken
from watchbill.base.mask import mask_text
from watchbill.facts.models import Delivery, Fact
from watchbill.runtime.now import now

Handler = Callable[[Fact], None]
MAX_ATTEMPTS = 12
log = structlog.get_logger("watchbill.facts")


@dataclass(frozen=True)
class Kind:
    """A kind of fact: its name, its meaning, and the keys its data must have."""

    name: str
    doc: str
    keys: frozenset[str]


KINDS: dict[str, Kind] = {}
SUBSCRIBERS: dict[str, tuple[str, Handler]] = {}


def declare(name: str, doc: str, *keys: str) -> str:
    """Declares a kind of fact, once, beside the command that publishes it. Returns its name."""
    if name in KINDS:
        raise Broken(f"fact {name} is declared twice")
    KINDS[name] = Kind(name, doc, frozenset(keys))
    return name


def subscribe(kind: str, name: str) -> Callable[[Handler], Handler]:
    """Declares a subscriber. It runs in one transaction with its delivery's row, so that its effects happen once."""

    def decorate(handler: Handler) -> Handler:
        if name in SUBSCRIBERS:
            raise Broken(f"subscriber {name} is declared twice")
        SUBSCRIBERS[name] = (kind, handler)
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
    Fact.objects.bulk_create(facts)
    Delivery.objects.bulk_create(
        Delivery(fact=fact, workspace_id=fact.workspace_id, subscriber=name, due_at=at)
        for fact in facts
        for name, (wanted, _) in sorted(SUBSCRIBERS.items())
        if wanted == fact.kind
    )
    return facts


def deliver_one() -> bool:
    """Claims one due delivery and carries it out. Says whether there was one.

    A failure is kept with its reason and tried again after 2^attempts seconds (with jitter), MAX_ATTEMPTS times.
    """
    with transaction.atomic():
        delivery = (
            Delivery.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(state=Delivery.State.WAITING, due_at__lte=now())
            .select_related("fact")
            # Of one transaction in the order in which they were published.
            .order_by("due_at", "id")
            .first()
        )
        if delivery is None:
            return False
        delivery.attempts += 1
        try:
            with transaction.atomic():
                _handler(delivery.subscriber)(delivery.fact)
        except Exception as error:
            _failed(delivery, error)
        else:
            delivery.state, delivery.error = Delivery.State.DONE, ""
        delivery.save(update_fields=["attempts", "state", "error", "due_at"])
    return True


def _handler(name: str) -> Handler:
    if name not in SUBSCRIBERS:
        raise LookupError(f"no subscriber is called {name} in this version")
    return SUBSCRIBERS[name][1]


def _failed(delivery: Delivery, error: Exception) -> None:
    delivery.error = mask_text(f"{type(error).__name__}: {error}")[:500]
    if delivery.attempts >= MAX_ATTEMPTS:
        delivery.state = Delivery.State.FAILED
    seconds = min(3600, 2**delivery.attempts) * (0.75 + random.random() / 2)  # noqa: S311 - jitter
    delivery.due_at = now() + timedelta(seconds=seconds)
    log.warning(
        "fact.delivery_failed", subscriber=delivery.subscriber, fact=str(delivery.fact_id), error=delivery.error
    )
