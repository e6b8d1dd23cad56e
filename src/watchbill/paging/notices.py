"""“Taken by Ada”, “over”: whoever was paged hears once what became of it, by the quietest method that reached them; never by a call."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.paging.message import Message
from watchbill.paging.models import Delivery, Habit, NoticesOff, Page, PageEvent
from watchbill.paging.rules import NIGHT, Told, Way, is_quiet, notice_way
from watchbill.paging.setup import available
from watchbill.paging.stopped import ways_from
from watchbill.people.models import ContactMethod, Person, Workspace
from watchbill.runtime.now import now

#: The step of a message that nobody has to answer.
STEP = -1
TAKEN, OVER = "notice:taken", "notice:over"
#: What is told of: incidents, and calls to one. Tests, codes, handovers and reminders are over when they are read.
_ABOUT = ("incident", "call")


@subscribe("page.acknowledged", "paging.notice_taken")
def taken(fact: Fact) -> None:
    """Whoever was paged hears who takes it."""
    _tell(fact, TAKEN, "it is taken", {UUID(fact.data["by"])})


@subscribe("page.ended", "paging.notice_over")
def over(fact: Fact) -> None:
    """Whoever was paged hears that it is over; who takes it does not matter any more."""
    if not fact.data.get("over", True):
        return
    page = Page.objects.filter(id=UUID(fact.subject_id)).first()
    if page is None:
        return
    Delivery.objects.filter(page=page, step=STEP, state="waiting", address=TAKEN).update(
        state="stopped", stage="settle", reason="it was over before it went out", done_at=now()
    )
    if page.state != "ended":
        # It fires again already, and goes on.
        return
    knows = {one for one in (page.acknowledged_by, _closed_by(page)) if one}
    until = datetime.fromisoformat(fact.data["until"]) if fact.data.get("until") else None
    _tell(fact, OVER, f"it is over: {fact.data['why']}", knows, until)


def _closed_by(page: Page) -> UUID | None:
    return PageEvent.objects.filter(page=page, what="ended").order_by("-id").values_list("by", flat=True).first()


def _name(person_id: UUID | None) -> str:
    return Person.objects.filter(id=person_id).values_list("name", flat=True).first() or "" if person_id else ""


def _words(delivery: Delivery, page: Page) -> str:
    """What the notice says. Names are looked up when it goes out, so that an erased person's stands in no message that waits."""
    if OVER in (delivery.address, f"notice:{delivery.target.rpartition('(')[2].rstrip(')')}"):
        name = _name(_closed_by(page))
        return f"Over: {page.ended_why}{f' by {name}' if name else ''}"
    return f"Taken by {_name(page.acknowledged_by) or 'somebody'}"


def says_over(delivery: Delivery) -> bool:
    """Whether a message is a notice that it is over."""
    return delivery.step == STEP and (delivery.address == OVER or delivery.target.endswith("(over)"))


def _tell(fact: Fact, what: str, why: str, knows: set[UUID], until: datetime | None = None) -> None:
    """Makes the notices of a page: one to each whom a message about its subject reached, but not to who knows; ``until`` then they wait."""
    page = Page.objects.filter(id=UUID(fact.subject_id)).first()
    if page is None or page.once or page.shadow or page.subject_kind not in _ABOUT:
        return
    rows = Delivery.objects.filter(
        workspace_id=page.workspace_id, page__subject_kind=page.subject_kind, page__subject_id=page.subject_id, page__shadow=False
    ).filter(step__gte=0, sent_at__isnull=False)  # fmt: skip
    told: dict[tuple[UUID | None, str], list[Delivery]] = {}
    for row in rows.filter(method__in=["email", "sms", "voice", "push"]).order_by("id"):
        if row.person_id not in knows and (row.person_id or "@" in row.address):
            told.setdefault((row.person_id, "" if row.person_id else row.address), []).append(row)
    off = set(NoticesOff.objects.filter(workspace_id=page.workspace_id).values_list("person_id", flat=True))
    made = [_notice(page, what, why, sent) for (person, _), sent in told.items() if person not in off]
    for one in made:
        if one is not None:
            one.due_at = max(one.due_at, until or one.due_at)
            # One that was stopped because it fired again is the same message.
            same = Delivery.objects.filter(page=page, round=one.round, step=STEP, target=one.target, method=one.method)
            same = same.filter(contact_id=one.contact_id, address=one.address, state="stopped", stage="settle")
            if not same.update(state="waiting", stage="", reason="", done_at=None, due_at=one.due_at, why=one.why):
                Delivery.objects.bulk_create([one], ignore_conflicts=True)


def _notice(page: Page, what: str, why: str, sent: list[Delivery]) -> Delivery | None:
    first, here, at = sent[-1], available(page.workspace_id), now()
    ways: list[Way] = []
    if first.person_id is not None:
        rows = ContactMethod.objects.filter(person_id=first.person_id).order_by("position", "id")
        ways = ways_from(page.workspace_id, rows)
    way = notice_way(_told(sent), ways, here)
    if way is None or _heard(page, first, what):
        return None
    made = Delivery(
        workspace_id=page.workspace_id, page=page, round=page.round, step=STEP, person_id=first.person_id, why=why[:1000], method=way.method,
        contact_id=way.contact_id, channel=here[way.method], due_at=at, made_at=at, position=0,
    )  # fmt: skip
    # A person's own address stays with the person; what is told keeps the two notices of a page apart.
    made.target, made.address = (
        (first.target, what) if first.person_id else (f"{first.target} ({what[7:]})", way.address)
    )
    return made


def _told(sent: Iterable[Delivery]) -> list[Told]:
    # A call that nobody took stands in the telephone's list; a text that did not arrive reached nobody.
    arrived = [one for one in sent if one.method == "voice" or one.state != "failed"]
    return [Told(one.method, one.contact_id, "" if one.person_id else one.address) for one in arrived]


def _heard(page: Page, of: Delivery, what: str) -> bool:
    """Whether they hear it already by another page about the same incident: somebody who was paged and called in."""
    if what != OVER or of.person_id is None:
        return False
    name = page.title.rpartition("(")[2]
    others = Page.objects.filter(workspace_id=page.workspace_id, subject_kind__in=_ABOUT, title__endswith=f"({name}")
    if page.ended_at is None or not name.startswith("INC-"):
        return False
    others = others.exclude(id=page.id).filter(ended_at__gt=page.ended_at - timedelta(minutes=1))
    return Delivery.objects.filter(page__in=others, step=STEP, person_id=of.person_id, address=OVER).exists()


def is_night(workspace_id: UUID, person_id: UUID | None, at: datetime) -> bool:
    """Whether a person sleeps: their own quiet hours, else from ten in the evening until seven in their workspace's time zone."""
    mine = Habit.objects.filter(workspace_id=workspace_id, urgency="low")
    habit = mine.filter(person_id=person_id).first() if person_id else None
    if habit is not None and habit.quiet:
        return is_quiet(habit.quiet, at) is not None
    zone = Workspace.objects.filter(id=workspace_id).values_list("time_zone", flat=True).first() or "UTC"
    return is_quiet({**NIGHT, "zone": zone}, at) is not None


def message_of(delivery: Delivery, page: Page, url: str, thread: str) -> Message:
    """A notice as a channel sends it: a reply in the incident's mail thread, without a key and without a sound at night or after a call."""
    called = Delivery.objects.filter(
        page=page, person_id=delivery.person_id, method="voice", sent_at__isnull=False
    ).exists()
    silent = called or is_night(page.workspace_id, delivery.person_id, now())
    return Message(
        str(delivery.id), f"{_words(delivery, page)}. {page.title}", "Nothing is asked of you.", page_url=url, urgency="low", thread=thread,
        subject=f"Re: {page.title}", silent=silent,
    )  # fmt: skip
