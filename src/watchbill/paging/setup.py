"""Setting up the ways out: channels and their secrets, and which methods they give."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced
from watchbill.outbound.ahead import refused
from watchbill.paging.channels import CARRIERS, KINDS
from watchbill.paging.channels.base import REFUSED
from watchbill.paging.models import Channel
from watchbill.people.values import clean_name
from watchbill.runtime.now import now
from watchbill.secrets import commands as secrets
from watchbill.secrets.models import Secret


def available(workspace_id: UUID) -> dict[str, Channel]:
    """Which methods are set up here, with the channel that carries each: of several of a kind the oldest."""
    rows = Channel.objects.filter(workspace_id=workspace_id, removed_at=None).order_by("-created_at", "-id")
    first = {one.kind: one for one in rows}
    return {method: first[kind] for method, kind in CARRIERS.items() if kind in first}


def stand_ins(channel: Channel) -> list[Channel]:
    """The other channels of its kind that carry its messages when it cannot, the next one first; none where the channel itself is whom a page names."""
    if KINDS[channel.kind].target:
        return []
    rows = list(
        Channel.objects.filter(workspace_id=channel.workspace_id, kind=channel.kind, removed_at=None).order_by("created_at", "id")
    )  # fmt: skip
    at = next((number for number, one in enumerate(rows) if one.id == channel.id), len(rows) - 1)
    return [one for one in rows[at + 1 :] + rows[: at + 1] if one.id != channel.id]


@command("channel.set", needs="channel.edit", quieter=announced("a channel that works is given other settings"))
def set_channel(
    *, by: Actor, workspace_id: UUID, kind: str, name: str, config: Mapping[str, Any], secret: str = ""
) -> Channel:
    """Sets up a channel, or changes the one of that name. Its password goes to the secrets; left empty, the stored one stays.

    One whose address the hub may not reach is kept with that as its problem: an operator changes the setting, not the admin.
    """
    if kind not in KINDS:
        raise Invalid(f"“{kind[:40]}” is no kind of channel.", hint=f"Kinds are {', '.join(KINDS)}.", field="kind")
    sort, name = KINDS[kind], clean_name(name, longest=60)
    channel = Channel.objects.select_for_update().filter(workspace_id=workspace_id, name=name, removed_at=None).first()
    if channel is not None and channel.kind != kind:
        raise Conflict(f"“{name}” is a channel of another kind.", field="name")
    old = dict(channel.config) if channel is not None else None
    channel = channel or Channel(workspace_id=workspace_id, kind=kind, name=name, created_at=now())
    channel.config = sort.clean(config)
    label = f"channel {name}"
    known = Secret.objects.filter(workspace_id=workspace_id, name=label).first()
    if secret and not sort.asks:
        raise Invalid(f"{sort.label} has no secret.", field="secret")
    if sort.asks and not secret and known is None and not sort.asks_optional:
        raise Invalid(f"{sort.asks} is missing.", field="secret")
    if secret:
        sort.check_secret(secret)
    if secret and known is None:
        secrets.store_secret(
            by=by, workspace_id=workspace_id, name=label, value=secret, purpose=f"{sort.label}: {sort.asks}"
        )
    elif secret and known is not None:
        secrets.replace_secret(by=by, workspace_id=workspace_id, secret_id=known.id, value=secret)
    channel.secret = label if secret or known else ""
    # Said at once, not when the first page does not go out.
    wrong = refused(sort.hosts(channel.config, secret))
    channel.last_problem, channel.last_problem_at = (f"{REFUSED}{wrong}", now()) if wrong else ("", None)
    channel.save()
    record(
        ("channel", channel.id),
        detail={"kind": kind, "name": name, "settings": {k: v for k, v in channel.config.items() if k != "user"}},
    )
    if old is not None and (secret or old != channel.config):
        # Another secret cannot be taken back: the old one is gone.
        back = {"kind": kind, "name": name, "config": old}
        announce(f"The channel “{name}” has other settings", undo=None if secret else ("channel.set", back))
    return channel


@command(
    "channel.remove", needs="channel.edit", quieter=announced("what goes out by this channel does not go out any more")
)
def remove_channel(*, by: Actor, workspace_id: UUID, channel_id: UUID) -> None:
    """Removes a channel, and its password."""
    channel = (
        Channel.objects.select_for_update().filter(workspace_id=workspace_id, id=channel_id, removed_at=None).first()
    )
    if channel is None:
        raise NotFound("There is no such channel here.")
    channel.removed_at = now()
    known = Secret.objects.filter(workspace_id=workspace_id, name=channel.secret).first() if channel.secret else None
    if known is not None:
        secrets.delete_secret(by=by, workspace_id=workspace_id, secret_id=known.id)
    channel.save(update_fields=["removed_at"])
    record(("channel", channel.id), detail={"kind": channel.kind, "name": channel.name})
    announce(f"The channel “{channel.name}” was removed: nothing goes out by it")
