"""What became of a message: sent, stopped, refused for now, failed for good, or confirmed by its provider later; and what follows."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from watchbill.base.actor import Actor, system
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging.message import Sent
from watchbill.paging.models import Channel, Delivery, Page, PageEvent
from watchbill.paging.rules import FOR_SEVERAL, MOST_ATTEMPTS, PATIENCE, Retry, plan_retry
from watchbill.paging.setup import stand_ins
from watchbill.people.contacts import drop_contact
from watchbill.runtime.now import now

#: With failures of the addresses of so many persons at once, the channel is what fails.
MANY = 3
DELIVERED = declare("page.delivered", "a message of a page went out, or failed for good", "state", "method")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: what the provider said when it took it, else why it did not.

    ``final``: trying again is no use. ``gone``: the contact serves nobody any more. ``pause``: the seconds that the provider asked to wait.
    ``contact``: it is this receiver's address that failed, not the channel.
    """

    sent: Sent | None = None
    failure: str = ""
    final: bool = False
    gone: bool = False
    pause: float | None = None
    contact: bool = False


@command("page.stopped", needs=None, quieter=harmless("only the hub itself does this"))
def stop(*, by: Actor, workspace_id: UUID, delivery: Delivery, stage: str, reason: str) -> None:
    """Records that a message does not go out, and which stage stopped it. Only the hub's own senders do this.

    Where an attempt was lost before, it may have gone out: that is what it is from then on.
    """
    delivery.state, delivery.stage, delivery.reason, delivery.done_at, delivery.leased_until = (
        Delivery.State.UNKNOWN if delivery.lost and delivery.attempts == delivery.lost else Delivery.State.STOPPED,
        stage,
        reason[:500],
        now(),
        None,
    )
    delivery.save()
    _record(delivery, {"stage": stage})


@command("page.sent", needs=None, quieter=harmless("only the hub itself does this"))
def sent_out(*, by: Actor, workspace_id: UUID, delivery: Delivery, sent: Sent) -> None:
    """Records that a message went out. Only the hub's own senders do this."""
    at = now()
    delivery.state, delivery.sent_at, delivery.provider_id, delivery.reason, delivery.leased_until = (
        Delivery.State.SENT,
        at,
        sent.provider_id[:200],
        "",
        None,
    )
    delivery.done_at = None if sent.receipt else at
    delivery.save()
    _record(delivery, {"attempts": delivery.attempts})
    _tell(delivery, "sent")


@command("page.failed", needs=None, quieter=harmless("only the hub itself does this"))
def failed(*, by: Actor, workspace_id: UUID, delivery: Delivery, reason: str) -> None:
    """Records that a message failed for good: the target's next method, else the next step, comes at once. Only the hub does this."""
    delivery.state, delivery.reason, delivery.done_at, delivery.leased_until = (
        Delivery.State.FAILED,
        reason[:500],
        now(),
        None,
    )
    delivery.save()
    _record(delivery, {"reason": reason[:200], "attempts": delivery.attempts})
    _tell(delivery, "failed")
    hasten(delivery)


def _record(delivery: Delivery, detail: dict[str, object]) -> None:
    page = delivery.page
    # Whom it was for by id; an address is personal data and stays out of the ledger.
    told = {
        "page": str(page.id),
        "step": delivery.step,
        "method": delivery.method,
        "person": str(delivery.person_id or ""),
        **detail,
    }
    record((page.subject_kind, page.subject_id), detail=told)


def _tell(delivery: Delivery, state: str) -> None:
    publish(
        DELIVERED, workspace_id=delivery.workspace_id, subject=("page", delivery.page_id), data={"state": state, "method": delivery.method}
    )  # fmt: skip


def _next_method(delivery: Delivery, at: datetime) -> Delivery | None:
    """The next method of the same target, due now; None where none is left."""
    following = (
        Delivery.objects.filter(page_id=delivery.page_id, round=delivery.round, step=delivery.step)
        .filter(person_id=delivery.person_id, target=delivery.target, state="waiting", due_at__gt=at, attempts=0)
        .exclude(id=delivery.id)
        .order_by("due_at", "position")
        .first()
    )
    if following is not None:
        following.due_at = at
        following.save(update_fields=["due_at"])
    return following


def _is_spent(delivery: Delivery, at: datetime) -> bool:
    """Whether nothing else of this step may still reach somebody soon. What waits for a long pause counts for nothing."""
    others = Delivery.objects.filter(page_id=delivery.page_id, round=delivery.round, step=delivery.step)
    others = others.exclude(id=delivery.id).exclude(state="waiting", attempts__gt=0, due_at__gt=at + PATIENCE)
    return not others.filter(state__in=["waiting", "sending", "sent", "delivered", "unknown"]).exists()


def _next_step(delivery: Delivery, at: datetime, what: str, *, last_too: bool) -> bool:
    """Makes the next step due now, where this one is the page's current one. Says whether it did.

    ``last_too``: also where no step follows, which ends in “nobody could be reached”.
    """
    page = (
        Page.objects.select_for_update()
        .filter(id=delivery.page_id, state="running", step=delivery.step, round=delivery.round)
        .first()
    )
    if page is None:
        return False
    follows = page.step < len(page.policy.get("steps", [])) or page.round < int(page.policy.get("repeat", 0))
    if not follows and not last_too:
        return False
    page.next_at = at
    page.save(update_fields=["next_at"])
    _note(delivery, what, delivery.reason)
    return True


def _note(delivery: Delivery, what: str, why: str) -> None:
    """A line in the page's history."""
    PageEvent(
        workspace_id=delivery.workspace_id, page_id=delivery.page_id, at=now(), what=what, why=why[:1000]
    ).save(force_insert=True)  # fmt: skip


def hasten(delivery: Delivery, what: str = "nobody of this step could be reached") -> None:
    """After a failure for good, or a call that no key answered: the target's next method is due now; where nothing of the step is left to hope
    for, the next step is, and the page's history says ``what``."""
    at = now()
    if _next_method(delivery, at) is None and delivery.step > 0 and _is_spent(delivery, at):
        _next_step(delivery, at, what, last_too=True)


def _go_round(delivery: Delivery) -> str:
    """After a refusal for now, where nobody should wait: the next method goes at once, else the next step. Answers what does.

    That is no “nobody could be reached”: a page without another step keeps its time, and the message is tried again.
    """
    at = now()
    following = _next_method(delivery, at)
    if following is not None:
        return f"{following.method} to {following.target} goes at once"
    what = "the next step begins early: nothing of this one has gone out yet"
    if delivery.step > 0 and _is_spent(delivery, at) and _next_step(delivery, at, what, last_too=False):
        return "the next step begins at once"
    return ""


def finish(delivery_id: UUID, channel: Channel, outcome: Outcome) -> None:
    """Writes what came of an attempt, and plans what follows."""
    by = system("worker")
    with transaction.atomic():
        delivery = (
            Delivery.objects.select_for_update(of=("self",)).select_related("page").filter(id=delivery_id).first()
        )
        if delivery is None or delivery.state != "sending":
            # Another sender took it over while this one was slow, and has finished it.
            return
        workspace_id = delivery.workspace_id
        if outcome.sent is not None:
            sent_out(by=by, workspace_id=workspace_id, delivery=delivery, sent=outcome.sent)
            Channel.objects.filter(id=channel.id).update(last_ok_at=now(), last_problem="", last_problem_at=None)
            return
        whole = not outcome.contact
        if whole or _fails_for_many(channel, delivery):
            problem = outcome.failure if whole else f"{FOR_SEVERAL}{outcome.failure}"
            Channel.objects.filter(id=channel.id).update(last_problem=problem, last_problem_at=now())
        # A test is of this one channel: it is tried once, and says what came of that.
        tests = delivery.page.subject_kind == "channel"
        others = [] if tests else stand_ins(channel)
        # Each channel of this kind is tried once before anything else: one provider's trouble is not another's.
        stands_in = bool(others) and not outcome.gone and delivery.attempts <= len(others)
        if not stands_in and (outcome.final or tests or delivery.attempts >= MOST_ATTEMPTS):
            failed(by=by, workspace_id=workspace_id, delivery=delivery, reason=outcome.failure)
            if outcome.gone and delivery.contact_id is not None:
                drop_contact(by=by, workspace_id=workspace_id, contact_id=delivery.contact_id)
            return
        retry = plan_retry(max(1, delivery.attempts - len(others)), outcome.pause, now(), delivery.page.next_at)
        delivery.state, delivery.reason, delivery.leased_until = Delivery.State.WAITING, outcome.failure, None
        delivery.channel = others[0] if others else delivery.channel
        delivery.due_at = now() if stands_in else retry.at
        delivery.save()
        if stands_in:
            why = f"{delivery.method} to {delivery.target} by {channel.name}: {outcome.failure}"
            _note(delivery, f"{others[0].name} stands in", why)
        elif outcome.pause is not None:
            _paused(delivery, outcome.pause, retry)
        elif delivery.attempts == 1 + len(others):
            # Nobody waits for a server to come back while there is another way.
            _go_round(delivery)


def _fails_for_many(channel: Channel, delivery: Delivery) -> bool:
    """Whether messages to this many persons fail, and none has gone out since: then it is no longer the one's own address.

    So a hub that has lost the internet says so, and one browser that is gone takes the channel from nobody.
    """
    failing = Delivery.objects.filter(
        workspace_id=channel.workspace_id, channel_id=channel.id, state="waiting", attempts__gt=0
    )
    if channel.last_ok_at is not None:
        failing = failing.filter(attempted_at__gt=channel.last_ok_at)
    others = failing.exclude(id=delivery.id).values_list("person_id", "address").order_by().distinct()[: 2 * MANY]
    return len({*others, (delivery.person_id, delivery.address)}) >= MANY


def _paused(delivery: Delivery, pause: float, retry: Retry) -> None:
    """The provider asked for a pause: what is done about it, and when it is tried again, stand in the page's history."""
    taken_over = _go_round(delivery) if retry.out else ""
    why = f"{delivery.method} to {delivery.target}: {delivery.reason}; asked to wait {pause:.0f} s, tried again at {retry.at:%H:%M:%S} UTC"
    _note(
        delivery,
        f"{delivery.method} is out for now" if retry.out else "asked to wait",
        f"{why}; {taken_over}" if taken_over else why,
    )


def receipt(
    *, workspace_id: UUID, delivery_id: UUID, provider_id: str, state: str, reason: str = "", current: bool = True
) -> bool:  # fmt: skip
    """What a provider says later about a message: “delivered”; “answered”, a call without a key; or “failed”; with its reason. Says whether it
    changed anything.

    It can come before the provider's own answer to us was written, or after we gave up waiting for that: whoever got the message got it.
    ``current``: it is about the last attempt; a failure of an earlier one says nothing of that.
    """
    kinds = Delivery.State
    with transaction.atomic():
        delivery = (
            Delivery.objects.select_for_update(of=("self",)).select_related("page").filter(workspace_id=workspace_id, id=delivery_id).first()
        )  # fmt: skip
        if delivery is None or not delivery.attempts or delivery.state in (kinds.DELIVERED, kinds.FAILED):
            return False
        known = delivery.state == kinds.SENT
        if known and delivery.done_at is not None and state != "delivered":
            # The end of this call was heard already.
            return False
        if state == "failed":
            return _failed_later(delivery, provider_id, reason, current)
        if not known:
            _sent_after_all(delivery, provider_id)
        if state == "answered":
            delivery.reason, delivery.done_at = reason[:500], now()
            delivery.save(update_fields=["reason", "done_at"])
            _tell(delivery, "sent")
            hasten(delivery, "a call was answered, and no key was pressed")
            return True
        delivery.state, delivery.reason, delivery.done_at = kinds.DELIVERED, "", now()
        delivery.save(update_fields=["state", "reason", "done_at"])
        _tell(delivery, "delivered")
    return True


def _failed_later(delivery: Delivery, provider_id: str, reason: str, current: bool) -> bool:
    """A provider says that a message failed. Sent by another attempt, tried again anyway, or not wanted any more: that is none of the message."""
    kinds = Delivery.State
    if delivery.state == kinds.SENT:
        theirs = delivery.provider_id == provider_id
    else:
        theirs = current and delivery.state in (kinds.SENDING, kinds.UNKNOWN)
    if theirs:
        delivery.provider_id = provider_id[:200]
        failed(by=system("worker"), workspace_id=delivery.workspace_id, delivery=delivery, reason=reason)
    return theirs


def _sent_after_all(delivery: Delivery, provider_id: str) -> None:
    """A provider has a message of which we do not know that it went out."""
    delivery.stage = ""
    sent_out(
        by=system("worker"), workspace_id=delivery.workspace_id, delivery=delivery, sent=Sent(provider_id, receipt=True)
    )  # fmt: skip
    Channel.objects.filter(id=delivery.channel_id or UUID(int=0)).update(
        last_ok_at=now(), last_problem="", last_problem_at=None
    )
