"""Answers by text message: whether Twilio sent it, who answered, which page is meant, and a text back that says what came of it.

Source: https://www.twilio.com/docs/messaging/guides/webhook-request, /docs/usage/security#validating-requests.
"""

import hmac
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import parse_qsl
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Denied, NotFound
from watchbill.paging import commands
from watchbill.paging.answers import Answer, read_answer
from watchbill.paging.channels.twilio.channel import signature
from watchbill.paging.models import Channel, Delivery, Page, Press, TextsStopped
from watchbill.paging.rules import which
from watchbill.paging.shorten import number_in
from watchbill.paging.stopped import start_texts, stop_texts
from watchbill.people.models import ContactMethod, Membership, Person
from watchbill.people.queries import load_reader
from watchbill.runtime.now import now
from watchbill.secrets.commands import open_secret
from watchbill.signals.models import Source

#: What an answer that stands as a message's address is: it goes out as it is written.
ANSWER = "answer:"
#: How long after its text a page can be answered.
SERVES = timedelta(days=2)
#: How many texts back a person gets within an hour to what is not understood, and to what changes nothing: an automatic reply is no talk.
MOST_UNCLEAR, MOST_VAIN, HOUR = 3, 10, timedelta(hours=1)
#: Kinds of texts back: it was carried out; it changed nothing; it was not understood.
DONE, VAIN, UNCLEAR = "answer", "answer without effect", "answer not understood"
HOW = "Answer with nothing but 1 to acknowledge or 2 to escalate"


def takes_answers(workspace_id: UUID) -> bool:
    """Whether answers by text message reach this workspace."""
    return Source.objects.filter(workspace_id=workspace_id, protocol="twilio", revoked_at=None).exists()


def carry_out(press: Press) -> str:
    """What is wrong with an answer; nothing where it was carried out."""
    params = parse_qsl(bytes(press.body).decode("utf-8", "replace"), keep_blank_values=True)
    channel = _channel(press, params)
    if channel is None:
        return "it does not carry Twilio's signature"
    told = dict(params)
    press.mark = told.get("MessageSid", "")[:100]
    again = Press.objects.filter(workspace_id=press.workspace_id, kind="twilio", mark=press.mark).exclude(id=press.id)
    if not press.mark or again.exists():
        return "it came twice, or has no number"
    mine = (
        ContactMethod.objects.filter(kind="phone", value=told.get("From", ""), verified_at__isnull=False, person__active=True)
        .filter(person_id__in=Membership.objects.filter(workspace_id=press.workspace_id, ended_at=None).values("person_id"))
        .select_related("person").order_by("id")
    )  # fmt: skip
    if not mine:
        return "its sender's number is no verified contact of anybody here"
    answer = read_answer(told.get("Body", ""))
    if answer.carrier and _carrier_obeys(press, answer, mine):
        # The carrier answers these itself, and takes no text of ours after STOP.
        return ""
    paged = {one.id: _paged(press, one.person_id) for one in mine}
    found = sorted(
        {one.id: one for pages in paged.values() for one in pages}.values(), key=lambda one: one.id, reverse=True
    )
    # An answer means what waits for one, before what was only told.
    pages = [one for one in found if not one.once] or found
    meant, doubt = which(pages, answer)
    page = meant or (pages[0] if pages else None)
    if page is None:
        return doubt
    # A telephone that several share answers for whoever was paged about it.
    contact = next(one for one in mine if page.id in {each.id for each in paged[one.id]})
    reader = load_reader(
        person_id=contact.person_id, via="sms", request_id="", mfa=False, only=press.workspace_id, scopes=("incident.respond",)
    )  # fmt: skip
    if reader is None:
        return "whoever sent it may do nothing here"
    said, kind = _answer(reader.actor, press, meant, answer) if meant else (doubt, UNCLEAR)
    if not _may_reply(press, contact, kind):
        return "no more texts back to this person within the hour: it was not understood, or changed nothing, too often"
    Delivery.objects.bulk_create(
        [
            Delivery(
                workspace_id=press.workspace_id, page=page, round=page.round, step=0, target=f"{contact.person.name} ({kind} {press.at:%H:%M:%S.%f})",
                person_id=contact.person_id, contact_id=contact.id, why=said, method="sms", channel=channel, address=ANSWER, due_at=now(), made_at=now(),
            )
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    return ""


def _channel(press: Press, params: list[tuple[str, str]]) -> Channel | None:
    """The channel whose account signed it."""
    url = f"{settings.PUBLIC_URL}{press.path}"
    for channel in Channel.objects.filter(workspace_id=press.workspace_id, kind="twilio", removed_at=None).order_by(
        "-id"
    ):
        token = open_secret(
            by=system("worker"),
            workspace_id=press.workspace_id,
            name=channel.secret,
            purpose="checking Twilio's signature",
        )
        if hmac.compare_digest(signature(token, url, params).encode(), press.signature.encode("utf-8", "replace")):
            return channel
    return None


def _paged(press: Press, person_id: UUID) -> list[Page]:
    """What a person was texted or called about lately, the newest first."""
    asked = Delivery.objects.filter(workspace_id=press.workspace_id, person_id=person_id, made_at__gt=now() - SERVES)
    texted = Q(id__in=asked.filter(method__in=["sms", "voice"], step__gt=0).values("page_id"))
    return list(Page.objects.filter(texted, workspace_id=press.workspace_id, shadow=False).order_by("-id")[:50])


def _carrier_obeys(press: Press, answer: Answer, contacts: Iterable[ContactMethod]) -> bool:
    """Notes what STOP and START do at the carrier. Answers whether that is all that was meant: “yes” to a number that is not stopped is an answer."""
    by, word, known = system("worker"), answer.carrier, TextsStopped.objects.filter(workspace_id=press.workspace_id)
    for contact in contacts:
        there = known.filter(contact_id=contact.id).exists()
        if word == "stop" and not there:
            stop_texts(by=by, workspace_id=press.workspace_id, contact=contact)
        elif word == "start" and there:
            start_texts(by=by, workspace_id=press.workspace_id, contact=contact)
    return word == "stop" or answer.what == "unknown"


def _may_reply(press: Press, contact: ContactMethod, kind: str) -> bool:
    """Whether a person gets a text back: not without end to what is not understood or changes nothing."""
    most = {UNCLEAR: MOST_UNCLEAR, VAIN: MOST_VAIN}.get(kind)
    if most is None:
        return True
    lately = Delivery.objects.filter(
        workspace_id=press.workspace_id, person_id=contact.person_id, address=ANSWER, made_at__gt=now() - HOUR
    )
    return lately.filter(target__contains=f" ({kind} ").count() < most


def _answer(by: Actor, press: Press, page: Page, answer: Answer) -> tuple[str, str]:
    """Carries an answer out. Answers what to say, and of which kind that is."""
    code = answer_code(page)
    if answer.what == "unknown":
        return f"That is not understood, and nothing was done. {HOW}: {code}.", UNCLEAR
    try:
        if answer.what == "escalate":
            commands.escalate(by=by, workspace_id=press.workspace_id, page_id=page.id, reason="by text message")
            return f"Escalated: the next step is paged now. {code}", DONE
        page, first = commands.acknowledge(by=by, workspace_id=press.workspace_id, page_id=page.id, via="sms")
    except (Conflict, Denied, NotFound) as error:
        return f"{error.detail} {code}", VAIN
    if first:
        return f"Acknowledged: it is yours. {code}", DONE
    person = Person.objects.filter(id=page.acknowledged_by).first() if page.acknowledged_by else None
    who = person.name if person else "somebody"
    over = page.state == "ended"
    return f"It is over already. {code}" if over else f"It was acknowledged already, by {who}. {code}", VAIN


def answer_code(page: Page) -> str:
    """How a text names a page."""
    number = number_in(page.title)
    return f"INC-{number}" if number is not None else page.title[:60]
