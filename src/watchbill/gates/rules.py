"""May this happen? Named conditions, evaluated to a decision with a reason for each. Pure.

A feature contributes conditions by registering them; gates import no feature.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from watchbill.base.errors import Broken


@dataclass(frozen=True, slots=True)
class Given:
    """One person's answer: ``digest`` is of what they saw, ``holds`` whether they may approve at this moment."""

    person_id: UUID
    approves: bool
    digest: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Context:
    """All that a condition may look at. ``digest`` is of exactly what would be done."""

    digest: str
    requested_by: UUID | None = None
    expires_at: datetime | None = None
    given: tuple[Given, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """What a condition says: met or not, and why."""

    condition: str
    met: bool
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Every condition's reason; allowed when all are met, or when somebody broke the glass."""

    gate: str
    reasons: tuple[Reason, ...]
    broken: bool = False

    @property
    def allowed(self) -> bool:
        """Whether it may happen."""
        return self.broken or all(reason.met for reason in self.reasons)

    @property
    def missing(self) -> str:
        """What stands in the way, in one sentence."""
        return " ".join(reason.text for reason in self.reasons if not reason.met)


Evaluate = Callable[[Context, Mapping[str, Any], datetime], Reason]
CONDITIONS: dict[str, Evaluate] = {}


def condition(name: str) -> Callable[[Evaluate], Evaluate]:
    """Registers a condition under its name. Raises Broken when there is one."""

    def decorate(evaluate: Evaluate) -> Evaluate:
        if name in CONDITIONS:
            raise Broken(f"condition {name} is registered twice")
        CONDITIONS[name] = evaluate
        return evaluate

    return decorate


def decide(
    gate: str, policy: Iterable[Mapping[str, Any]], context: Context, now: datetime, *, broken: bool = False
) -> Decision:
    """Evaluates a gate's policy: conditions by name with their parameters. An unknown condition is never met."""
    reasons = []
    for one in policy:
        name = str(one.get("condition", ""))
        evaluate = CONDITIONS.get(name)
        reasons.append(
            evaluate(context, one, now)
            if evaluate
            else Reason(name, False, f"The condition “{name}” is not known to this version.")
        )
    return Decision(gate, tuple(reasons), broken)


@condition("approval")
def approval(context: Context, policy: Mapping[str, Any], now: datetime) -> Reason:
    """Enough persons approved exactly this, none of them the requester, all of them still entitled, and nobody refused."""
    wanted, said = int(policy.get("count", 1)), "approval"
    if context.expires_at is not None and now >= context.expires_at:
        return Reason(said, False, "The request has expired; ask again.")
    if any(not one.approves for one in context.given):
        return Reason(said, False, "Somebody refused it.")
    fitting = [
        one
        for one in context.given
        if one.holds and one.person_id != context.requested_by and hmac.compare_digest(one.digest, context.digest)
    ]
    if len({one.person_id for one in fitting}) >= wanted:
        return Reason(said, True, f"Approved by {'another person' if wanted == 1 else f'{wanted} other persons'}.")
    stale = [one for one in context.given if not hmac.compare_digest(one.digest, context.digest)]
    lost = [one for one in context.given if not one.holds]
    why = (
        "What was approved is not what would be done now."
        if stale
        else "Who approved may no longer do so."
        if lost
        else f"It needs the approval of {'another person' if wanted == 1 else f'{wanted} other persons'} who may give it."
    )
    return Reason(said, False, why)


@condition("reason")
def reason(context: Context, policy: Mapping[str, Any], now: datetime) -> Reason:
    """Somebody says why."""
    met = len(context.reason.split()) > 0
    return Reason("reason", met, f"Reason: {context.reason}" if met else "It needs a reason.")
