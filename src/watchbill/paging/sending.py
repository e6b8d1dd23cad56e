"""Sending what is due: taken in turn (`turns.py`), weighed by the stages, sent outside of any transaction; `outcomes.py` writes what came of it.

A sender that dies leaves its lease; another one takes the message over. So a message may go out twice, and never not at all.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error as DatabaseProblem
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from watchbill.base.actor import system
from watchbill.base.errors import Broken, WatchbillError
from watchbill.base.mask import mask_text
from watchbill.outbound.deadline import Deadline
from watchbill.paging import announcements, notices
from watchbill.paging.channels import KINDS
from watchbill.paging.channels.slack.channel import THREAD
from watchbill.paging.commands import silence_of
from watchbill.paging.message import Gone, Message, Permanent, Temporary
from watchbill.paging.models import Channel, Delivery, Habit, Page, PageEvent, Reply, Verification
from watchbill.paging.outcomes import Outcome, finish, stop
from watchbill.paging.own import code_of
from watchbill.paging.rules import A_MINUTE, LEASE, MINUTE, SEND_SECONDS, Look, is_quiet, thread_of, weigh
from watchbill.paging.shorten import shorten
from watchbill.paging.texts import ANSWER, takes_answers
from watchbill.paging.turns import Turn, take_turn
from watchbill.paging.unanswered import at_the_end
from watchbill.people import tokens
from watchbill.people.models import ContactMethod, Membership, Person, Workspace
from watchbill.runtime.isolation import clear_failure, is_transient, note_failure
from watchbill.runtime.now import now
from watchbill.runtime.rows import row_of
from watchbill.secrets.commands import open_secret

log = structlog.get_logger("watchbill.paging")
#: How long the key in a message serves.
SERVES = timedelta(days=2)
#: How many seconds an outcome waits for the database: less than the lease leaves.
WRITES = 10.0
#: The unit of work under which a message is recorded that could not be weighed.
UNIT = "deliveries"
#: How long a message waits where the database had a moment's trouble. Where the trouble is its own: as long as `note_failure` says.
SOON = timedelta(seconds=1)


@dataclass(frozen=True)
class _Job:
    delivery: UUID
    method: str
    address: str
    message: Message
    channel: Channel
    workspace_id: UUID


def send_one(taken: Callable[[], None] = lambda: None) -> bool:
    """Deals with one message that is due. Says whether there was one; ``taken`` is called as soon as it is this sender's."""
    turn = take_turn()
    if turn is None:
        return False
    taken()
    try:
        with transaction.atomic():
            job = _claim(turn)
            if turn.failed:
                clear_failure(UNIT, str(turn.id))
    except Exception as error:
        if is_transient(error):
            _give_back(turn)
            raise
        # Recorded where what fails is listed; this sender goes on with others.
        _give_back(turn, note_failure(UNIT, str(turn.id), error))
        return True
    if job is not None:
        _write(job, _attempt(job))
    return True


def _write(job: _Job, outcome: Outcome) -> None:
    """Writes what came of it. A database that was away meanwhile is waited for a little: what went out should not go out twice."""
    until = time.monotonic() + WRITES
    while True:
        try:
            return finish(job.delivery, job.channel, outcome)
        except DatabaseProblem as error:
            if time.monotonic() > until:
                raise
            log.warning("paging.outcome_waits", delivery=str(job.delivery), error=type(error).__name__)
            connection.close()
            time.sleep(0.5)


def _give_back(turn: Turn, due_at: datetime | None = None) -> None:
    """What could not be weighed is due again then, or in a moment: one message that nobody can read holds up no other."""
    with contextlib.suppress(DatabaseProblem):
        mine = Delivery.objects.filter(id=turn.id, state="sending", leased_until=turn.until, attempted_at=None)
        mine.update(state="waiting", leased_until=None, due_at=due_at or now() + SOON, attempted_at=turn.attempted_at)


def _attempt(job: _Job) -> Outcome:
    """Sends a message, outside of any transaction."""
    try:
        secret = _secret(job)
        with Deadline(SEND_SECONDS):
            return Outcome(
                KINDS[job.channel.kind].send(job.method, job.address, job.message, job.channel.config, secret)
            )
    except Temporary as error:
        return Outcome(failure=mask_text(str(error))[:500], pause=error.retry_after, contact=error.contact)
    except Permanent as error:
        gone = isinstance(error, Gone)
        return Outcome(failure=mask_text(str(error))[:500], final=True, gone=gone, contact=gone or error.contact)
    except WatchbillError as error:
        return Outcome(failure=mask_text(error.detail)[:500])
    except Exception as error:
        log.exception("paging.send_failed", method=job.method)
        return Outcome(failure=f"the hub failed at it: {type(error).__name__}")


def _secret(job: _Job) -> str:
    if not job.channel.secret:
        return ""
    with transaction.atomic():
        return open_secret(
            by=system("worker"),
            workspace_id=job.workspace_id,
            name=job.channel.secret,
            purpose=f"a page by {job.method}",
        )


def _claim(turn: Turn) -> _Job | None:
    """The message whose turn it is, weighed: what to send, where it is to go out. Another sender may have taken it over meanwhile."""
    delivery = row_of(Delivery, turn.id, "UPDATE")
    if delivery is None or delivery.state != Delivery.State.SENDING or delivery.leased_until != turn.until:
        return None
    at = now()
    delivery.attempted_at = turn.attempted_at
    delivery.channel = row_of(Channel, delivery.channel_id) if delivery.channel_id else None
    _alone(delivery)
    page, address = _hold(delivery), _address(delivery)
    if turn.lost:
        _lose(delivery, page, at)
    verdict = weigh(_look(delivery, page, at), at)
    if verdict.again is not None:
        delivery.state, delivery.due_at, delivery.leased_until, delivery.reason = (
            Delivery.State.WAITING,
            verdict.again,
            None,
            verdict.reason,
        )
        delivery.save()
        if verdict.stage == "bundle":
            _postpone(delivery, verdict.again, verdict.reason)
        return None
    stage, reason = verdict.stage, verdict.reason
    if not stage and not address and delivery.channel is not None and not KINDS[delivery.channel.kind].target:
        stage, reason = "contact", "this contact was removed"
    if stage or delivery.channel is None:
        stop(
            by=system("worker"),
            workspace_id=page.workspace_id,
            delivery=delivery,
            stage=stage or "channel",
            reason=reason or "the channel was removed",
        )
        return None
    delivery.state, delivery.leased_until, delivery.attempts = Delivery.State.SENDING, at + LEASE, delivery.attempts + 1
    delivery.attempted_at = at
    delivery.save()
    message = replace(_message(delivery, page), more=verdict.more if delivery.step >= 0 else 0)
    return _Job(delivery.id, delivery.method, address, message, delivery.channel, page.workspace_id)


def _hold(delivery: Delivery) -> Page:
    """Its page as it is, until the attempt has begun or not: an acknowledgement comes before it, and stops it, or after it, and waits."""
    page = row_of(Page, delivery.page_id, "SHARE")
    if page is None:
        raise Broken(f"delivery {delivery.id} has no page")
    delivery.page = page
    return page


def _lose(delivery: Delivery, page: Page, at: datetime) -> None:
    """Notes that nobody knows what came of an attempt: its sender ended while it was under way."""
    begun = f"{delivery.attempted_at:%H:%M:%S} UTC" if delivery.attempted_at else "an unknown time"
    why = f"{delivery.method} to {delivery.target}, begun at {begun}: its sender ended while it was under way"
    PageEvent(workspace_id=page.workspace_id, page=page, at=at, what="outcome unknown", why=why).save(force_insert=True)
    delivery.lost = (delivery.lost or 0) + 1


def _address(delivery: Delivery) -> str:
    if delivery.contact_id is None or delivery.person_id is None:
        return delivery.address
    found = ContactMethod.objects.filter(id=delivery.contact_id, person_id=delivery.person_id).first()
    return found.value if found else ""


def _same(delivery: Delivery) -> QuerySet[Delivery]:
    """The messages to the same target by the same method."""
    return Delivery.objects.filter(
        person_id=delivery.person_id, target=delivery.target, method=delivery.method, contact_id=delivery.contact_id, address=delivery.address
    )  # fmt: skip


def _look(delivery: Delivery, page: Page, at: datetime) -> Look:
    """What the stages look at."""
    here, habit, name = None, None, ""
    if delivery.person_id is not None and page.subject_kind != announcements.SUBJECT:
        mine = Membership.objects.filter(workspace_id=page.workspace_id, person_id=delivery.person_id)
        here = mine.filter(person__active=True, ended_at=None).exists()
    if page.urgency == "low" and delivery.person_id is not None:
        habit = Habit.objects.filter(
            workspace_id=page.workspace_id, person_id=delivery.person_id, urgency="low"
        ).first()
    # A silence begins later than what is taken or over, and holds back none of that.
    quietly = bool(page.policy.get("quietly"))
    silence = (silence_of(page) if delivery.step >= 0 and not quietly else None) or ("", None)
    if page.acknowledged_by:
        name = Person.objects.filter(id=page.acknowledged_by).values_list("name", flat=True).first() or ""
    same = _same(delivery).exclude(id=delivery.id)
    # What is under way now counts as gone out: two senders at once are no way around the limit.
    lately = same.filter(Q(sent_at__gt=at - MINUTE) | Q(state="sending", attempted_at__gt=at - MINUTE))
    recent = [one for sent, begun in lately.values_list("sent_at", "attempted_at") if (one := sent or begun)]
    return Look(
        page.state, name, page.shadow, not page.policy.get("even_demo") and Workspace.objects.filter(id=page.workspace_id, demo=True).exists(), here,
        delivery.channel is not None and delivery.channel.removed_at is None,
        silence=silence[0], silence_until=silence[1],
        already=same.filter(page=page, round=delivery.round, step=delivery.step, state__in=["sent", "delivered"]).exists(),
        recent=recent, waiting=same.filter(state="waiting", due_at__lte=at + MINUTE).count() if len(recent) == A_MINUTE - 1 else 0,
        urgency=page.urgency, quiet_until=is_quiet(habit.quiet, at) if habit and not quietly else None,
        # That nobody answered is told also when somebody turned up in between.
        settles=delivery.step > 0, says_over=notices.says_over(delivery),
        first=not page.once and delivery.step >= 0 and not delivery.address.startswith((THREAD, ANSWER)) and not same.filter(page=page, sent_at__isnull=False).exists(),
    )  # fmt: skip


def _alone(delivery: Delivery) -> None:
    """One sender at a time decides about a target and method, until it has decided: the limit a minute holds whoever asks."""
    about = f"{delivery.person_id or delivery.target}/{delivery.method}/{delivery.contact_id or delivery.address}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('paging.target'), hashtext(%s))", [about])


def _postpone(delivery: Delivery, until: datetime, reason: str) -> None:
    """What else is due there waits as long, at once: hundreds need not be weighed one by one to hear the same."""
    others = _same(delivery).filter(state="waiting", due_at__lt=until).exclude(id=delivery.id)
    # The first message of another urgent incident is never held back.
    again = Exists(_same(delivery).filter(page=OuterRef("page"), sent_at__isnull=False))
    others = others.filter(
        Q(page__urgency="low") | Q(page__policy__contains={"once": True}) | Q(address__startswith=THREAD) | Q(address__startswith=ANSWER) | again
    )  # fmt: skip
    ids = others.select_for_update(skip_locked=True).values_list("id", flat=True)
    Delivery.objects.filter(id__in=list(ids)).update(due_at=until, reason=reason)


def _message(delivery: Delivery, page: Page) -> Message:
    reply = ""
    if delivery.address.startswith((THREAD, ANSWER)):
        # What happened since, in the thread of the message; what came of an answer.
        return Message(str(delivery.id), delivery.why)
    url = f"{settings.PUBLIC_URL}{page.url}" if page.url else ""
    thread = thread_of(page.workspace_id, page.title, page.subject_kind, page.subject_id, settings.PUBLIC_URL)
    if delivery.step == notices.STEP:
        return notices.message_of(delivery, page, url, thread)
    if page.subject_kind == "contact":
        known = Verification.objects.filter(contact_id=delivery.contact_id).first() if delivery.contact_id else None
        words = (
            f"{code_of(known.contact_id, known.made_at)} is your code. It serves for 15 minutes."
            if known
            else "Your code serves no more."
        )
        return Message(str(delivery.id), words, urgency="low")
    if page.subject_kind == announcements.SUBJECT:
        return announcements.message_of(delivery, page, url, thread)
    if delivery.step > 0:
        text = tokens.fresh("wbr_")
        Reply(
            workspace_id=page.workspace_id, delivery=delivery, person_id=delivery.person_id, digest=tokens.digest(text), expires_at=now() + SERVES
        ).save(force_insert=True)  # fmt: skip
        reply = f"{settings.PUBLIC_URL}/reply/{text}"
    # Whoever is told at the end hears what is true then: somebody may have answered, or a message have gone out, in between.
    title = page.title if delivery.step else f"{at_the_end(page)}: {page.title}"
    return Message(
        str(delivery.id), shorten(title, 300), page.text, delivery.why, url, reply if delivery.person_id else "",
        page.urgency, delivery.method == "sms" and bool(reply) and takes_answers(page.workspace_id), 0, Workspace.objects.filter(id=page.workspace_id).values_list("name", flat=True).first() or "",
        thread=thread,
    )  # fmt: skip
