"""One's own paging: the test, the codes that verify contacts, and the rules by which one is reached. Each decides itself: one's own, nobody else's."""

import hmac
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound, TooMany
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging.channels import CARRIERS
from watchbill.paging.commands import end_about, start, told_once
from watchbill.paging.models import Habit, NoticesOff, Page, Verification
from watchbill.paging.setup import available
from watchbill.people.models import ContactMethod
from watchbill.people.values import clean_zone
from watchbill.runtime.now import now

CODE_SERVES = timedelta(minutes=15)
MOST_TRIES = 5
#: *Test my pages*, for one person: enough to mend one's settings, too few to keep senders busy.
MOST_TESTS, TESTS_WITHIN = 5, timedelta(minutes=5)


@command("page.test", needs=None, quieter=harmless("a test to oneself"))
def test_me(*, by: Actor, workspace_id: UUID) -> Page:
    """Pages oneself by all own methods, as a real page would. Decides itself: a member, about nobody but themselves."""
    if by.kind != "person" or not by.may("workspace.read", workspace_id):
        raise Denied("Only a member of this workspace can test their pages.")
    at = now()
    mine = Page.objects.filter(
        workspace_id=workspace_id, subject_kind="test", subject_id=str(by.id), started_at__gt=at - TESTS_WITHIN
    )
    times = sorted(mine.values_list("started_at", flat=True))
    if len(times) >= MOST_TESTS:
        wait = max(1, math.ceil((times[-MOST_TESTS] + TESTS_WITHIN - at).total_seconds()))
        raise TooMany(
            f"You tested your pages {MOST_TESTS} times in {TESTS_WITHIN // timedelta(minutes=1)} minutes.",
            retry_after=wait,
        )
    end_about(by=by, workspace_id=workspace_id, subject=("test", by.id), why="another test began")
    target = {"kind": "person", "id": str(by.id), "name": "", "why": "you asked for a test"}
    page = start(
        by=by, workspace_id=workspace_id, subject=("test", by.id), title="Test page: this is only a test", policy=told_once("Test", target),
        text="You asked Watchbill to page you. Acknowledge it to see that this works, too.", why="you asked for it", can_wait=True,
    )  # fmt: skip
    record(("person", by.id), detail={"page": str(page.id)})
    return page


def code_of(contact_id: UUID, made_at: datetime) -> str:
    """The six digits that verify a contact: computed from the hub's key, so that no table holds them."""
    mark = hmac.new(
        settings.KEYS.derive("contact-code"), f"{contact_id}/{made_at.isoformat()}".encode(), "sha256"
    ).digest()
    return f"{int.from_bytes(mark[:8], 'big') % 1_000_000:06d}"


def _own_contact(by: Actor, contact_id: UUID) -> ContactMethod:
    found = ContactMethod.objects.select_for_update().filter(id=contact_id, person_id=by.id).first()
    if found is None:
        raise NotFound("There is no such contact of yours.")
    return found


@command("contact.code", needs=None, quieter=harmless("a code to one's own contact"))
def send_code(*, by: Actor, workspace_id: UUID, contact_id: UUID) -> None:
    """Sends a code to a contact of one's own. Decides itself: nobody else's."""
    contact, at = _own_contact(by, contact_id), now()
    if contact.problem:
        raise Conflict(contact.problem, hint="Add the number as it is dialled from abroad, then remove this one.")
    if contact.verified_at is not None:
        raise Conflict("This contact is verified already.")
    method = {"email": "email", "phone": "sms"}[contact.kind]
    if method not in available(workspace_id):
        raise Conflict(
            f"No channel for {method} is set up here.", hint="An admin sets one up under Settings → Channels."
        )
    known = Verification.objects.filter(contact_id=contact_id).first()
    if known is not None and at - known.made_at < timedelta(seconds=30):
        raise Conflict("A code was sent a moment ago.", hint="Wait half a minute, then ask for another one.")
    Verification.objects.filter(contact_id=contact_id).delete()
    Verification(workspace_id=workspace_id, contact_id=contact_id, made_at=at).save(force_insert=True)
    end_about(by=by, workspace_id=workspace_id, subject=("contact", contact_id), why="another code was asked for")
    target = {"kind": "contact", "id": str(contact_id), "name": "", "why": "you asked for a code"}
    start(
        by=by, workspace_id=workspace_id, subject=("contact", contact_id), title="Your code for Watchbill",
        policy=told_once("Code", target), can_wait=True,
    )  # fmt: skip
    record(("person", by.id), detail={"kind": contact.kind})


@command("contact.verify", needs=None, quieter=harmless("one's own contact can be used"))
def verify_contact(*, by: Actor, workspace_id: UUID, contact_id: UUID, code: str) -> bool:
    """Says whether a code is the one that was sent; then the contact is verified. Decides itself: nobody else's.

    A wrong code is answered, not raised: that it was tried has to be kept.
    """
    contact, at = _own_contact(by, contact_id), now()
    known = Verification.objects.select_for_update().filter(contact_id=contact_id).first()
    if known is None or at - known.made_at > CODE_SERVES or known.tries >= MOST_TRIES:
        raise Conflict("This code serves no more.", hint="Ask for another one.")
    known.tries += 1
    right = hmac.compare_digest(
        code_of(contact_id, known.made_at).encode(), "".join(code.split()).encode("utf-8", "replace")
    )
    if right:
        contact.verified_at = at
        contact.save(update_fields=["verified_at"])
        known.delete()
        end_about(
            by=by, workspace_id=known.workspace_id, subject=("contact", contact_id), why="the contact is verified"
        )
    else:
        known.save(update_fields=["tries"])
    record(("person", by.id), detail={"kind": contact.kind, "right": right})
    return right


@command("contact.first", needs=None, quieter=harmless("the order of one's own contacts"))
def make_first(*, by: Actor, workspace_id: UUID, contact_id: UUID) -> None:
    """Puts a contact of one's own before the others of its kind. Decides itself: nobody else's."""
    contact = _own_contact(by, contact_id)
    lowest = (
        ContactMethod.objects.filter(person_id=by.id).order_by("position").values_list("position", flat=True).first()
        or 0
    )
    contact.position = lowest - 1
    contact.save(update_fields=["position"])
    record(("person", by.id), detail={"kind": contact.kind})


@command(
    "paging.rules", needs=None, quieter=harmless("one's own methods; Can this hub page? names whom nothing reaches")
)
def set_rules(
    *, by: Actor, workspace_id: UUID, urgency: str, steps: Sequence[Mapping[str, Any]], quiet: Mapping[str, str] | None = None
) -> None:  # fmt: skip
    """Says by which methods one is paged, in which order, after how many seconds. Decides itself: one's own; none is the default."""
    if urgency not in ("high", "low"):
        raise Invalid("The urgency is high or low.", field="urgency")
    if len(steps) > 20:
        raise Invalid("At most twenty methods.", field="steps")
    clean = []
    for one in steps:
        method, delay = str(one.get("method", "")), one.get("delay", 0)
        if method not in CARRIERS:
            raise Invalid(f"“{method[:40]}” is no method.", hint=f"Methods are {', '.join(CARRIERS)}.", field="steps")
        if not isinstance(delay, int) or not 0 <= delay <= 3600:
            raise Invalid("A method waits 0 to 3,600 seconds.", field="steps")
        clean.append((method, delay))
    if urgency == "high" and clean and all(seconds > 300 for _, seconds in clean):
        raise Invalid("The first message of an urgent page goes out within five minutes.", field="steps")
    told = dict(quiet or {})
    if told:
        told = {
            "start": clock_text(told.get("start", "")),
            "end": clock_text(told.get("end", "")),
            "zone": clean_zone(told.get("zone", "UTC")),
        }
        if urgency == "high":
            raise Invalid("What is urgent knows no quiet hours.", field="quiet")
    Habit.objects.filter(workspace_id=workspace_id, person_id=by.id, urgency=urgency).delete()
    if clean or told:
        Habit(
            workspace_id=workspace_id,
            person_id=by.id,
            urgency=urgency,
            steps=[{"method": method, "delay": delay} for method, delay in clean],
            quiet=told,
        ).save(force_insert=True)
    record(
        ("person", by.id),
        detail={
            "urgency": urgency,
            "steps": [f"{method} {delay} s" for method, delay in clean],
            "quiet": bool(told),
        },
    )


@command("paging.notices", needs=None, quieter=harmless("one's own notices, which ask for nothing"))
def set_notices(*, by: Actor, workspace_id: UUID, on: bool) -> None:
    """Says whether one hears that what one was paged for is taken or over. Decides itself: one's own; without a word one hears it."""
    if by.kind != "person" or not by.may("workspace.read", workspace_id):
        raise Denied("Only a member of this workspace can change how they are told.")
    mine = NoticesOff.objects.filter(workspace_id=workspace_id, person_id=by.id)
    if on:
        mine.delete()
    elif not mine.exists():
        NoticesOff(workspace_id=workspace_id, person_id=by.id).save(force_insert=True)
    record(("person", by.id), detail={"on": on})


def clock_text(value: str) -> str:
    """A time of day as HH:MM. Raises Invalid."""
    try:
        return f"{time.fromisoformat(value.strip()):%H:%M}"
    except ValueError:
        raise Invalid(f"“{value[:20]}” is no time of day.", hint="Write it as 22:00.", field="quiet") from None
