"""What waits for somebody in a workspace: the rows of Due, and what Overview says first."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.urls import reverse

from watchbill.clocks.models import Clock
from watchbill.clocks.queries import access_open_clocks
from watchbill.gates.models import Request
from watchbill.gates.pages import STATES
from watchbill.gates.queries import access_waiting
from watchbill.handbook.queries import access_draft, access_draft_items
from watchbill.incidents.queries import access_waiting as incidents_waiting
from watchbill.incidents.rules import WORDS
from watchbill.paging.queries import paged_about
from watchbill.paging.roster import access_duty
from watchbill.people.queries import Place, Reader


@dataclass(frozen=True)
class Task:
    """Something that waits for somebody. ``mine``: the reader can do it now, or asked for it; ``role``: the reader's roles can."""

    title: str
    note: str
    url: str
    pill: tuple[str, str]
    who: UUID | None = None
    until: datetime | None = None
    mine: bool = True
    role: bool = True


def _pill(one: Request, clock: Clock | None) -> tuple[str, str]:
    """The request's state; once its clock has warned, how much of its time is over."""
    return ("notice", f"{clock.warned} % of its time is over") if clock and clock.warned else STATES[one.state]


def _clock_pill(clock: Clock) -> tuple[str, str]:
    """How a clock stands that somebody has to meet."""
    if clock.state == "breached":
        return ("wrong", "late")
    return ("notice", f"{clock.warned} % of its time is over") if clock.warned else ("info", "running")


#: Clocks of an incident whose meeting the reader can press, with what Due calls it.
_DO = {
    "acknowledge": "Acknowledge",
    "respond": "Begin to work on",
    "update": "Tell how it stands:",
    "resolve": "Resolve",
    "brief": "Brief about",
}


def _incidents(reader: Reader, place: Place) -> list[Task]:
    """What incidents wait for: mine where I was paged or have acknowledged it, and what is late, for everybody who may respond; my role's
    where I may respond."""
    if not reader.actor.may("incident.read", place.id):
        return []
    waits = incidents_waiting(reader.actor, place.id)
    paged = paged_about(reader.actor, place.id, [str(one.incident.id) for one in waits])
    responds, found = reader.actor.may("incident.respond", place.id), []
    for one in waits:
        clock, incident = one.clock, one.incident
        late = clock.state == "breached"
        mine = responds and (late or str(incident.id) in paged or incident.acknowledged_by == reader.person_id)
        found.append(
            Task(
                f"{_DO.get(clock.kind, clock.kind)} {incident.code} {incident.title}", f"{incident.severity}: {WORDS.get(clock.kind, clock.kind)}".lstrip(": "),
                reverse("incident", args=[place.slug, incident.number]), _clock_pill(clock), None, one.due, mine, responds,
            )
        )  # fmt: skip
    return found


def _roster(reader: Reader, place: Place) -> list[Task]:
    """The contact roster, where the handbook has it confirmed: everybody's who may, and mine once most of its time is over."""
    duty = access_duty(reader.actor, place.id) if reader.actor.may("page.read", place.id) else None
    if duty is None:
        return []
    clock, path, line = duty
    may, url = reader.actor.may("roster.confirm", place.id), reverse("oncall_roster", args=[place.slug])
    mine = may and (clock.warned > 0 or clock.state == "breached")
    return [Task("Confirm the contact roster", f"{path}:{line} has it confirmed", url, _clock_pill(clock), None, clock.due_at, mine, may)]  # fmt: skip


def tasks_of(reader: Reader, place: Place) -> list[Task]:
    """What waits in this workspace: incidents' clocks, requests for approval, and the handbook."""
    found = []
    if reader.actor.may("due.read", place.id):
        clocks = {(one.subject_kind, one.subject_id): one for one in access_open_clocks(reader.actor, place.id)[:500]}
        for one in access_waiting(reader.actor, place.id).defer("shown"):
            asked, holds = one.requested_by == reader.person_id, reader.actor.may(one.needs, place.id)
            answered = any(answer.person_id == reader.person_id for answer in one.answers.all())
            note = {"open": "waits for approval", "approved": "approved, to be carried out", "broken": "the glass was broken; somebody else reviews it"}[one.state]  # fmt: skip
            found.append(
                Task(
                    one.title, note, reverse("request", args=[place.slug, one.id]), _pill(one, clocks.get(("request", str(one.id)))), one.requested_by,
                    None if one.state == "broken" else one.expires_at, asked or (holds and not answered), holds and not asked,
                )
            )  # fmt: skip
        found += _roster(reader, place)
    found += _incidents(reader, place)
    draft = access_draft(reader.actor, place.id) if reader.actor.may("handbook.read", place.id) else None
    if draft is not None:
        applies = reader.actor.may("handbook.apply", place.id)
        left = access_draft_items(reader.actor, draft).filter(choice="").exclude(action="same").count()
        url = reverse("handbook_review", args=[place.slug])
        if draft.errors:
            found.append(Task("Mend the handbook", f"{len(draft.errors)} errors; the live one stays", url, ("wrong", "errors"), None, None, applies, applies))  # fmt: skip
        else:
            note = f"{left} items to decide" if left else "decided, to be applied"
            found.append(Task("Review the handbook", note, url, ("info", "to review"), None, None, applies, applies))
    return found
