"""Trying a channel: one message through it to whoever asks, or to the channel itself, and what came of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, NotFound, TooMany
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging.channels import KINDS
from watchbill.paging.commands import end_about, start, told_once
from watchbill.paging.models import Channel, Delivery, Page
from watchbill.people.models import ContactMethod
from watchbill.runtime.now import now

#: What the page of a test is about.
ABOUT = "channel"
#: One test of a channel in so many seconds.
EVERY = timedelta(seconds=10)
_LACKS = {"email": "e-mail address", "phone": "telephone number", "push": "browser"}


@dataclass(frozen=True, slots=True)
class Tried:
    """The last test of a channel: “on its way”, “sent”, “refused”, and why; whom it went to."""

    at: datetime
    state: str
    to: str
    reason: str = ""


@command("channel.test", needs="channel.edit", quieter=harmless("it sends a test"))
def test_channel(*, by: Actor, workspace_id: UUID, channel_id: UUID) -> Page:
    """Sends one message through a channel: to one's own contact of its kind, or where the channel itself is told. No other channel stands in."""
    channel = (
        Channel.objects.select_for_update().filter(workspace_id=workspace_id, id=channel_id, removed_at=None).first()
    )
    if channel is None:
        raise NotFound("There is no such channel here.")
    last = (
        Page.objects.filter(workspace_id=workspace_id, subject_kind=ABOUT, subject_id=str(channel_id))
        .order_by("-id")
        .first()
    )
    if last is not None and now() - last.started_at < EVERY:
        raise TooMany("A test of this channel was sent a moment ago.", retry_after=int(EVERY.total_seconds()))
    kind = KINDS[channel.kind]
    target = {"kind": "channel", "id": str(channel.id), "name": channel.name, "why": "you asked for a test"}
    if kind.contact:
        rows = list(ContactMethod.objects.filter(person_id=by.id, kind=kind.contact).order_by("position", "id"))
        mine = next((one for one in rows if one.verified), rows[0] if rows else None)
        if mine is None:
            lacks = _LACKS[kind.contact]
            raise Conflict(f"You have no {lacks} that a test could go to.", hint="Add one under On-call → My paging.")
        target |= {"kind": "through", "contact": str(mine.id)}
    end_about(by=by, workspace_id=workspace_id, subject=(ABOUT, channel_id), why="another test began")
    page = start(
        by=by, workspace_id=workspace_id, subject=(ABOUT, channel_id), title=f"Test of the channel “{channel.name}”", policy=told_once("Test of a channel", target),
        text="Somebody with permission to edit channels asked Watchbill to send this. Nobody has to do anything.", why="you asked for a test",
        can_wait=True,
    )  # fmt: skip
    record((ABOUT, channel_id), detail={"page": str(page.id), "kind": channel.kind})
    return page


def last_tests(workspace_id: UUID, channels: list[Channel]) -> dict[UUID, Tried]:
    """The last test of each channel. For those who may see channels."""
    ids = [str(one.id) for one in channels]
    pages = (
        Page.objects.filter(workspace_id=workspace_id, subject_kind=ABOUT, subject_id__in=ids)
        .order_by("subject_id", "-id")
        .distinct("subject_id")
    )
    found: dict[UUID, Tried] = {}
    rows = {row.page_id: row for row in Delivery.objects.filter(page__in=list(pages), step=1)}
    for page in pages:
        row = rows.get(page.id)
        if row is not None:
            state = {"waiting": "on its way", "sending": "on its way", "sent": "sent", "delivered": "sent"}.get(
                row.state, "refused"
            )
            found[UUID(page.subject_id)] = Tried(
                row.done_at or row.sent_at or row.made_at, state, row.target, row.reason
            )
    return found
