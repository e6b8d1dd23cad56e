"""Reads of sessions."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.people.models import Membership, Person
from watchbill.people.queries import shown_name
from watchbill.runtime.now import now
from watchbill.signin.models import Session


@dataclass(frozen=True)
class SessionShown:
    """A session as a reader may see it; the address only of one's own."""

    id: UUID
    person_id: UUID
    person: str
    agent: str
    address: str
    created_at: datetime
    seen_at: datetime
    current: bool


def access_sessions(
    reader: Actor, workspace_id: UUID, *, everybody: bool = False, current: UUID | None = None
) -> list[SessionShown]:
    """One's own live sessions, or those of the workspace's people for who manages them."""
    people = {reader.id}
    if everybody:
        reader.require("session.manage", workspace_id)
        people = set(
            Membership.objects.filter(workspace_id=workspace_id, ended_at=None).values_list("person_id", flat=True)
        )
    rows = list(Session.objects.filter(person_id__in=people, expires_at__gt=now("signin")).order_by("-seen_at")[:500])
    names = {
        person.id: shown_name(person, reader)
        for person in Person.objects.filter(id__in={row.person_id for row in rows})
    }
    return [
        SessionShown(
            row.id, row.person_id, names.get(row.person_id, ""), agent_words(row.agent),
            row.address or "" if row.person_id == reader.id else "•••", row.created_at, row.seen_at, row.id == current,
        )
        for row in rows
        if row.person_id
    ]  # fmt: skip


def agent_words(agent: str) -> str:
    """A browser's name as people say it: “Firefox on Linux”."""
    browser = next(
        (
            name
            for mark, name in (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
            if mark in agent
        ),
        "",
    )
    system = next(
        (
            name
            for mark, name in (
                ("Android", "Android"),
                ("iPhone", "iPhone"),
                ("Windows", "Windows"),
                ("Mac OS", "macOS"),
                ("Linux", "Linux"),
            )
            if mark in agent
        ),
        "",
    )
    return " on ".join(part for part in (browser, system) if part) or agent[:40] or "unknown"
