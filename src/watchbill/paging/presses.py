"""Buttons that were pressed in Slack, and answers by text message (`texts.py`): kept as they came, carried out once by a job.

Of a button: whether Slack sent it, who pressed, and what follows. A late press does no harm.
"""

import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Denied, NotFound
from watchbill.paging import commands, texts
from watchbill.paging.channels.slack.channel import call, is_signed, secrets_of
from watchbill.paging.message import Permanent, Temporary
from watchbill.paging.models import Channel, Delivery, Press
from watchbill.people.models import ContactMethod, Membership
from watchbill.people.queries import load_reader
from watchbill.runtime.jobs import defer, job
from watchbill.runtime.now import now
from watchbill.secrets.commands import open_secret

log = structlog.get_logger("watchbill.paging")


def keep_press(
    workspace_id: UUID, body: bytes, signature: str, at: datetime, *, kind: str = "slack", timestamp: str = "", path: str = ""
) -> None:  # fmt: skip
    """Puts a press or an answer aside, in the transaction that takes it in. An observation, so no command."""
    press = Press(
        workspace_id=workspace_id, kind=kind, body=body, timestamp=timestamp, signature=signature, path=path, at=at
    )
    press.save(force_insert=True)
    defer("paging.press", press_id=press.id)


@job("paging.press")
def carry_out(press_id: str) -> None:
    """Carries a press out, once. Slack not answering makes the job try again."""
    press = Press.objects.select_for_update().filter(id=UUID(press_id), done_at=None).first()
    if press is None:
        return
    problem = texts.carry_out(press) if press.kind == "twilio" else _carry_out(press)
    press.problem, press.done_at = problem[:500], now()
    press.body, press.path = b"", ""
    press.save(update_fields=["problem", "done_at", "body", "path", "mark"])
    if press.problem:
        log.warning("paging.press_refused", reason=press.problem)


def _carry_out(press: Press) -> str:
    """What is wrong with it; nothing where it was carried out."""
    body, found = bytes(press.body), None
    for channel in Channel.objects.filter(workspace_id=press.workspace_id, kind="slack", removed_at=None):
        secret = open_secret(
            by=system("worker"),
            workspace_id=press.workspace_id,
            name=channel.secret,
            purpose="checking Slack's signature",
        )
        token, signing = secrets_of(secret)
        if is_signed(signing, press.timestamp, press.signature, body, press.at.timestamp()):
            found = (channel, token)
            break
    if found is None:
        return "it does not carry Slack's signature, or is too old"
    try:
        told = json.loads(parse_qs(body.decode())["payload"][0])
        action, user = told["actions"][0], str(told["user"]["id"])
        what, delivery_id = str(action["action_id"]), UUID(str(action["value"]))
    except (ValueError, KeyError, IndexError, TypeError):
        return "it is no press of one of our buttons"
    delivery = Delivery.objects.select_related("page").filter(workspace_id=press.workspace_id, id=delivery_id).first()
    if delivery is None:
        return "the message is not one of ours"
    by = _person(press.workspace_id, *found, user)
    if by is None:
        thread(
            delivery,
            "unknown",
            f"<@{user}> is nobody here: their Slack address is no contact of a person of this workspace.",
        )
        return "whoever pressed is nobody here"
    try:
        if what == "escalate":
            commands.escalate(by=by, workspace_id=press.workspace_id, page_id=delivery.page_id, reason="in Slack")
        else:
            commands.acknowledge(by=by, workspace_id=press.workspace_id, page_id=delivery.page_id, via="slack")
    except (Conflict, Denied, NotFound) as error:
        thread(delivery, "refused", f"<@{user}>: {error.detail}")
        return error.detail
    return ""


def _person(workspace_id: UUID, channel: Channel, token: str, user: str) -> Actor | None:
    """Who pressed: the member of the workspace whose e-mail address Slack knows them by."""
    try:
        told: dict[str, Any] = call("users.info", channel.config, token, user=user)
        email = str(told["user"]["profile"]["email"])
    except (Permanent, KeyError, TypeError):
        return None
    except Temporary:
        raise
    contact = ContactMethod.objects.filter(kind="email", value__iexact=email, person__active=True).first()
    if (
        contact is None
        or not Membership.objects.filter(workspace_id=workspace_id, person_id=contact.person_id, ended_at=None).exists()
    ):
        return None
    reader = load_reader(
        person_id=contact.person_id,
        via="slack",
        request_id="",
        mfa=False,
        only=workspace_id,
        scopes=("incident.respond",),
    )
    return reader.actor if reader else None


def thread(delivery: Delivery, what: str, text: str) -> None:
    """A line in the thread of a message: a row before it is sent, like every message."""
    number = delivery.provider_id.rpartition(":")[2]
    if delivery.channel_id is None or not number:
        return
    Delivery.objects.bulk_create(
        [
            Delivery(
                workspace_id=delivery.workspace_id, page_id=delivery.page_id, round=delivery.round, step=0, target=f"{delivery.target} ({what})", why=text[:1000],
                method="slack", channel_id=delivery.channel_id, address=f"thread:{number}", due_at=now(), made_at=now(),
            )
        ],
        ignore_conflicts=True,
    )  # fmt: skip
