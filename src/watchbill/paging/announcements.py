"""What made the hub quieter without a second person: every other admin, and whoever loses a page, hear of it within a minute, and can undo it.

It goes out by their own methods, never by a call, without a sound at night; several changes within half a minute are one message.
Where nobody else looks after the workspace, it goes to whoever did it: somebody else may have used their session.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.urls import reverse

from watchbill.base.actor import SYSTEM_NAMES, Actor, system
from watchbill.base.errors import Conflict, NotFound
from watchbill.facts.subjects import Shown
from watchbill.ledger.command import CALLS, command, keeps_announcements, record
from watchbill.ledger.command import Announcement as Made
from watchbill.ledger.quieter import harmless
from watchbill.paging.commands import start, told_once
from watchbill.paging.message import Message
from watchbill.paging.models import Announcement, Delivery, Page
from watchbill.paging.notices import is_night
from watchbill.people.models import Person, Workspace
from watchbill.people.queries import holders_of, shown_name
from watchbill.runtime.isolation import one_by_one
from watchbill.runtime.now import now

#: The unit of work under which a workspace is recorded whose announcements could not be sent, and what their pages are about.
UNIT, SUBJECT = "announcements", "announcement"
#: How long one waits for others to go with it. With a sweep every second it is out well within a minute.
TOGETHER = timedelta(seconds=30)
_SHOWN = 10
_WHY = "you look after this workspace, or were paged until now"


@keeps_announcements
def keep(made: Made) -> None:
    """Keeps what a command announces, in its own transaction."""
    undo = (
        {"command": made.undo[0], "values": {key: _pack(value) for key, value in made.undo[1].items()}}
        if made.undo
        else {}
    )
    # As it is now: whoever is taken out a moment later hears what was done before that.
    admins = holders_of(made.workspace_id, "workspace.edit")
    hears = (admins - {made.by.id} or admins) | (set(made.loses) - {made.by.id})
    Announcement(
        workspace_id=made.workspace_id, at=now(), by=made.by.id, command=made.command, words=made.words[:1000], people=list(made.people),
        loses=list(made.loses), hears=sorted(hears), undo=undo,
    ).save(force_insert=True)  # fmt: skip


def _pack(value: Any) -> Any:
    """A command's value as JSON that says what it was."""
    if isinstance(value, UUID):
        return {"uuid": str(value)}
    return {"time": value.isoformat()} if isinstance(value, datetime) else {"is": value}


def _unpack(value: Mapping[str, Any]) -> Any:
    if "uuid" in value:
        return UUID(value["uuid"])
    return datetime.fromisoformat(value["time"]) if "time" in value else value["is"]


def sweep() -> int:
    """Sends what has waited for others long enough; several workers share the work. One workspace that fails stops no other."""

    def due(skip: list[str]) -> list[UUID]:
        rows = Announcement.objects.filter(sent_at=None, at__lte=now() - TOGETHER)
        found = rows.order_by("workspace_id").values_list("workspace_id", flat=True).distinct()
        return [one for one in found if str(one) not in skip]

    return one_by_one(UNIT, due, _send)


def _send(workspace_id: UUID) -> int:
    """Pages whoever is to hear of all that waits in a workspace: one page for those who hear of the same."""
    waiting = Announcement.objects.select_for_update(skip_locked=True).filter(workspace_id=workspace_id, sent_at=None)
    rows = list(waiting.order_by("at", "id"))
    if not rows:
        return 0
    audience: dict[tuple[UUID, ...], list[UUID]] = {}
    heard: dict[UUID, list[UUID]] = {}
    for row in rows:
        for person in row.hears:
            heard.setdefault(person, []).append(row.id)
    for person, mine in sorted(heard.items()):
        audience.setdefault(tuple(mine), []).append(person)
    slug = Workspace.objects.filter(id=workspace_id).values_list("slug", flat=True).get()
    for about, people in audience.items():
        targets = [{"kind": "person", "id": str(one), "name": "", "why": _WHY, "even_gone": True} for one in people]
        demo = any(row.command == "workspace.demo" for row in rows if row.id in about)
        start(
            by=system("worker"), workspace_id=workspace_id, subject=(SUBJECT, f"{about[0]}.{people[0]}"), title=title_of(len(about)), urgency="low",
            url=reverse("announcements", args=[slug]), why=_WHY,
            policy={**told_once("Made quieter", *targets), "quietly": True, "rows": [str(one) for one in about], "even_demo": demo},
        )  # fmt: skip
    waiting.filter(id__in=[one.id for one in rows]).update(sent_at=now())
    return len(rows)


def title_of(count: int) -> str:
    """What a message about so many changes is called."""
    return "A change made this hub quieter" if count == 1 else f"{count} changes made this hub quieter"


def message_of(delivery: Delivery, page: Page, url: str, thread: str) -> Message:
    """As a channel sends it: nobody has to answer, and it makes no sound at night."""
    return Message(
        str(delivery.id), page.title, text_of(page.policy["rows"]), delivery.why, url, urgency="low", thread=thread,
        silent=is_night(page.workspace_id, delivery.person_id, now()),
    )  # fmt: skip


def text_of(rows: Iterable[str]) -> str:
    """What a message says. Names are looked up when it goes out, so that an erased person's stands in no message that waits."""
    found = list(Announcement.objects.filter(id__in=list(rows)).order_by("at", "id"))
    names = _names(found)
    lines = [
        f"{one.at:%H:%M} UTC, {names.get(one.by, 'somebody')}: {_words(one, names)}." for one in _mixed(found)[:_SHOWN]
    ]
    more = [f"And {len(found) - _SHOWN} more."] if len(found) > _SHOWN else []
    return "\n".join([*lines, *more, "Nothing is asked of you where this is right; else undo it on the page."])


def _mixed(rows: Iterable[Announcement]) -> list[Announcement]:
    """One of each command first, then the second of each: what matters does not hide behind a dozen of one kind."""
    seen: Counter[str] = Counter()
    order: list[tuple[int, Announcement]] = []
    for row in rows:
        order.append((seen[row.command], row))
        seen[row.command] += 1
    return [row for _, row in sorted(order, key=lambda one: one[0])]


def _names(rows: Iterable[Announcement]) -> dict[UUID, str]:
    wanted = {one for row in rows for one in (row.by, row.undone_by, *row.people) if one}
    return {**SYSTEM_NAMES, **dict(Person.objects.filter(id__in=wanted).values_list("id", "name"))}


def _words(row: Announcement, names: Mapping[UUID, str]) -> str:
    def name(found: re.Match[str]) -> str:
        at = int(found[1])
        return names.get(row.people[at], "somebody") if at < len(row.people) else found[0]

    return re.sub(r"\{(\d)\}", name, row.words)


@dataclass(frozen=True)
class Shows:
    """An announcement as a reader may see it."""

    id: UUID
    at: datetime
    by: str
    words: str
    command: str
    can_undo: bool
    sent_at: datetime | None
    undone_at: datetime | None
    undone_by: str


def access_announcements(reader: Actor, workspace_id: UUID, *, start: int = 0, limit: int = 100) -> list[Shows]:
    """What made a workspace quieter without a second person, the newest first, from the ``start``-th on."""
    reader.require("page.read", workspace_id)
    rows = list(Announcement.objects.filter(workspace_id=workspace_id).order_by("-at", "-id")[start : start + limit])
    wanted = {one for row in rows for one in (row.by, row.undone_by, *row.people) if one}
    names = {**SYSTEM_NAMES, **{one.id: shown_name(one, reader) for one in Person.objects.filter(id__in=wanted)}}
    return [
        Shows(
            row.id, row.at, names.get(row.by, "somebody"), _words(row, names), row.command, bool(row.undo) and row.undone_at is None, row.sent_at,
            row.undone_at, names.get(row.undone_by, "somebody") if row.undone_by else "",
        )
        for row in rows
    ]  # fmt: skip


@command("announcement.undo", needs=None, quieter=harmless("it takes back what made the hub quieter"))
def undo(*, by: Actor, workspace_id: UUID, announcement_id: UUID) -> None:
    """Undoes what made the hub quieter, by the command that does the opposite; whoever may not do that may not undo it."""
    row = Announcement.objects.select_for_update().filter(workspace_id=workspace_id, id=announcement_id).first()
    if row is None:
        raise NotFound("There is no such change here.")
    if row.undone_at is not None:
        raise Conflict("This was undone already.")
    if not row.undo:
        raise Conflict("Nothing in the hub undoes this.", hint="Set it up again where it was set up.")
    values = {key: _unpack(value) for key, value in row.undo["values"].items()}
    CALLS[row.undo["command"]](by=by, workspace_id=workspace_id, **values)
    row.undone_at, row.undone_by = now(), by.id
    row.save(update_fields=["undone_at", "undone_by"])
    record((SUBJECT, row.id), detail={"command": row.undo["command"]})


def resolve_announcements(reader: Actor, workspace_id: UUID, slug: str, ids: Any) -> dict[str, Shown]:
    """Announcements as subjects of pages and ledger entries."""
    if not reader.may("page.read", workspace_id):
        return {}
    url = reverse("announcements", args=[slug])
    return {one: Shown(SUBJECT, one, "what made the hub quieter", url) for one in ids}
