"""Asking, answering, and passing a gate."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.clocks import commands as clocks
from watchbill.clocks.rules import Policy, due_at
from watchbill.facts.publish import declare, publish
from watchbill.gates.models import Approval, DecisionRow, Request
from watchbill.gates.rules import Context, Decision, Given, decide
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import gated, harmless
from watchbill.people.queries import holders_of
from watchbill.runtime.now import now

GATE_ASKED = declare("gate.asked", "somebody asks for an approval", "gate")
GATE_ANSWERED = declare("gate.answered", "somebody approved or refused", "gate", "approves")
GATE_DECIDED = declare("gate.decided", "something passed a gate", "gate", "broken")
#: How long a request may wait, and how long an approval may be used.
LASTS = Policy("P3D")
#: The clock that a request starts.
APPROVE = "approve"
LONGEST = 500


def _clean(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:LONGEST]


@command("gate.ask", needs=None, quieter=harmless("it asks somebody else"))
def ask(
    *, by: Actor, workspace_id: UUID, gate: str, title: str, digest: str, shown: Sequence[Mapping[str, Any]], policy: Sequence[Mapping[str, Any]],
    needs: str, reason: str, url: str = "",
) -> Request:  # fmt: skip
    """Asks others whether something may happen. The feature that asks has checked the asker's permission; asking twice is one request."""
    at = now()
    found = _open(workspace_id, gate, digest)
    if found is not None and found.expires_at > at:
        record(("request", found.id), detail={"gate": gate, "digest": digest, "again": True})
        return found
    if found is not None:
        expire(found)
    request = Request(
        workspace_id=workspace_id, gate=gate, title=title[:300], digest=digest, shown=list(shown), policy=list(policy), needs=needs, url=url,
        reason=_clean(reason), requested_by=by.id, opened_at=at, expires_at=due_at(LASTS, at),
    )  # fmt: skip
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError:
        raise Conflict("Somebody asked for the same in this moment.", hint="Look under Due.") from None
    record(("request", request.id), detail={"gate": gate, "digest": digest, "reason": request.reason})
    clocks.start(
        by=by, workspace_id=workspace_id, subject=("request", request.id), kind=APPROVE, policy=LASTS, started_at=at
    )
    publish(GATE_ASKED, workspace_id=workspace_id, subject=("request", request.id), data={"gate": gate})
    return request


def expire(request: Request) -> None:
    """Notes that nobody answered in time, or that an approval was not used: what the request's clock says."""
    request.state, request.closed_at = Request.State.EXPIRED, now()
    request.save(update_fields=["state", "closed_at"])


def _open(workspace_id: UUID, gate: str, digest: str) -> Request | None:
    return (
        Request.objects.select_for_update()
        .filter(workspace_id=workspace_id, gate=gate, digest=digest, state__in=["open", "approved"])
        .first()
    )


def _request(workspace_id: UUID, request_id: UUID) -> Request:
    found = Request.objects.select_for_update().filter(workspace_id=workspace_id, id=request_id).first()
    if found is None:
        raise NotFound("There is no such request here.")
    return found


@command(
    "gate.answer",
    needs=None,
    quieter=gated("it is the second person's answer, and counts only if they are independent"),
)
def answer(*, by: Actor, workspace_id: UUID, request_id: UUID, approves: bool, digest: str, note: str = "") -> Request:
    """Approves or refuses a request. Decides itself: only who holds the request's permission may, and never the requester."""
    request = _request(workspace_id, request_id)
    by.require(request.needs, workspace_id)
    if by.kind != "person":
        raise Denied("Only a person can approve.")
    if by.id == request.requested_by and approves:
        raise Denied(
            "You asked for this; somebody else approves it.", hint="Withdraw it, if it is not wanted any more."
        )
    if request.state not in {"open", "approved"}:
        raise Conflict(f"This request is {request.state} already.")
    if now() >= request.expires_at:
        raise Conflict("This request has expired.", hint="Whoever wants it asks again.")
    if digest != request.digest:
        raise Conflict("This is not what you were shown.", hint="Load the page again and read what would be done.")
    note, waited = _clean(note), request.state == "open"
    if not approves and not note:
        raise Invalid("Say why you refuse it.", field="note")
    try:
        with transaction.atomic():
            Approval(
                workspace_id=workspace_id, request=request, person_id=by.id, approves=approves, digest=digest, note=note, at=now()
            ).save(force_insert=True)  # fmt: skip
    except IntegrityError:
        raise Conflict("You answered this request already.") from None
    if not approves:
        request.state, request.closed_at = Request.State.REFUSED, now()
    elif decide(request.gate, request.policy, context_of(request), now()).allowed:
        request.state = Request.State.APPROVED
    request.save(update_fields=["state", "closed_at"])
    if waited and request.state != "open":
        clocks.meet(by=by, workspace_id=workspace_id, subject=("request", request.id), kind=APPROVE)
    record(
        ("request", request.id),
        detail={"gate": request.gate, "approves": approves, "digest": digest, "note": note},
    )
    publish(
        GATE_ANSWERED, workspace_id=workspace_id, subject=("request", request.id), data={"gate": request.gate, "approves": approves}
    )  # fmt: skip
    return request


@command("gate.withdraw", needs=None, quieter=harmless("what was asked for does not happen"))
def withdraw(*, by: Actor, workspace_id: UUID, request_id: UUID) -> Request:
    """Takes a request back. Decides itself: only the requester may."""
    request = _request(workspace_id, request_id)
    if by.id != request.requested_by:
        raise Denied("Only who asked can withdraw it.", hint="You can refuse it, if you hold its permission.")
    if request.state not in {"open", "approved"}:
        raise Conflict(f"This request is {request.state} already.")
    request.state, request.closed_at = Request.State.WITHDRAWN, now()
    request.save(update_fields=["state", "closed_at"])
    clocks.cancel(by=by, workspace_id=workspace_id, subject=("request", request.id), kind=APPROVE)
    record(("request", request.id), detail={"gate": request.gate})
    return request


@command("gate.review", needs=None, quieter=harmless("it says that an emergency was looked at"))
def review(*, by: Actor, workspace_id: UUID, request_id: UUID) -> Request:
    """Says that a broken glass was looked at. Decides itself: somebody else who holds the request's permission."""
    request = _request(workspace_id, request_id)
    by.require(request.needs, workspace_id)
    if request.state != "broken" or request.reviewed_at is not None:
        raise Conflict("There is nothing to review here.")
    if by.id == request.requested_by:
        raise Denied("You broke the glass; somebody else reviews it.")
    request.reviewed_by, request.reviewed_at = by.id, now()
    request.save(update_fields=["reviewed_by", "reviewed_at"])
    record(("request", request.id), detail={"gate": request.gate})
    return request


def context_of(request: Request, digest: str = "", reason: str = "") -> Context:
    """What the conditions look at: the answers so far, and who of them may approve at this moment."""
    answers = list(Approval.objects.filter(request=request).order_by("id"))
    holders = holders_of(request.workspace_id, request.needs) if answers else set()
    given = tuple(Given(one.person_id, one.approves, one.digest, one.person_id in holders) for one in answers)
    return Context(
        digest or request.digest,
        request.requested_by,
        request.expires_at,
        given,
        reason or request.reason,
    )


def pass_gate(
    *, by: Actor, workspace_id: UUID, gate: str, title: str, digest: str, shown: Sequence[Mapping[str, Any]], policy: Sequence[Mapping[str, Any]],
    needs: str, reason: str, break_glass: bool = False,
) -> tuple[Decision, Request | None]:  # fmt: skip
    """Within a command: may exactly this happen now? Answers the decision, and the request that it used up: an approval serves once.

    A decision that says no is answered, not kept: the caller's transaction ends with it. ``break_glass`` passes without the
    approval, and leaves a request that somebody else has to review; whether ``by`` may is for the caller to say.
    """
    at, request = now(), _open(workspace_id, gate, digest)
    context = context_of(request, digest, reason) if request else Context(digest, by.id, reason=reason)
    decision = decide(gate, policy, context, at)
    if not decision.allowed and break_glass:
        decision = Decision(gate, decision.reasons, broken=True)
        request = request or Request(
            workspace_id=workspace_id, gate=gate, title=title[:300], digest=digest, shown=list(shown), policy=list(policy), needs=needs, opened_at=at,
            expires_at=at,
        )  # fmt: skip
        request.state, request.requested_by, request.reason = Request.State.BROKEN, by.id, _clean(context.reason)
    elif decision.allowed and request is not None:
        request.state = Request.State.USED
    if not decision.allowed:
        return decision, request
    if request is not None:
        request.closed_at = at
        request.save()
        if decision.broken:
            clocks.cancel(by=by, workspace_id=workspace_id, subject=("request", request.id), kind=APPROVE)
    DecisionRow(
        workspace_id=workspace_id, gate=gate, request=request, digest=digest, broken=decision.broken, by=by.id, at=at,
        reasons=[[one.condition, one.met, one.text] for one in decision.reasons],
    ).save(force_insert=True)  # fmt: skip
    record(
        ("request", request.id) if request else ("workspace", workspace_id),
        action="gate.break_glass" if decision.broken else "gate.pass",
        detail={"gate": gate, "digest": digest, "reason": _clean(context.reason), "conditions": [one.condition for one in decision.reasons if one.met]},
    )  # fmt: skip
    publish(
        GATE_DECIDED, workspace_id=workspace_id, subject=("request", request.id) if request else ("workspace", workspace_id),
        data={"gate": gate, "broken": decision.broken},
    )  # fmt: skip
    return decision, request
