"""Whom a target means at an instant, and the messages to them: the rows of a step, with the reason for each that does not go out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from watchbill.oncall.queries import who_is_on
from watchbill.paging.models import Channel, Delivery, Habit, Page
from watchbill.paging.rules import Plan, Way, quietly, ways_of
from watchbill.paging.setup import available
from watchbill.paging.stopped import ways_from
from watchbill.people.models import ContactMethod, Membership, Person, Team, TeamMember

Target = Mapping[str, Any]


@dataclass
class Reach:
    """Makes the messages of steps that begin at one instant. What several pages of a sweep ask is read once."""

    at: datetime
    _channels: dict[UUID, Mapping[str, Channel]] = field(default_factory=dict)
    _persons: dict[tuple[UUID, str, str], tuple[list[Person], str]] = field(default_factory=dict)
    _ways: dict[tuple[UUID, UUID], list[Way]] = field(default_factory=dict)
    _habits: dict[tuple[UUID, UUID, str], Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def messages(self, page: Page, target: Target) -> list[Delivery]:
        """The messages to one target, in the order of its ways; one that nobody gets, with its stage, where there is nobody."""
        kind, name, why = target["kind"], str(target.get("name", "")), str(target.get("why", ""))
        here = self._here(page.workspace_id)
        if kind == "email":
            return [self._to_address(name, why, str(target["id"]), here.get("email"))]
        if kind == "contact":
            return [self._to_contact(name, why, UUID(str(target["id"])), here)]
        if kind == "through":
            return [self._through(page, name, why, UUID(str(target["id"])), UUID(str(target["contact"])))]
        if kind == "channel":
            return [self._to_channel(page, name, why, UUID(str(target["id"])))]
        persons, note = self._people(page.workspace_id, kind, target)
        if not persons:
            return [self._nobody(name, why, "target", note)]
        told = "; ".join(part for part in (why, note) if part)
        return [row for person in persons for row in self._to_person(page, person, told, here)]

    def _here(self, workspace_id: UUID) -> Mapping[str, Channel]:
        if workspace_id not in self._channels:
            self._channels[workspace_id] = available(workspace_id)
        return self._channels[workspace_id]

    def _to_address(self, name: str, why: str, address: str, channel: Channel | None) -> Delivery:
        """An address that stands in a runbook and is nobody's own."""
        made = Delivery(target=name, why=why, method="email", channel=channel, address=address, due_at=self.at)
        if channel is None:
            made.stage, made.reason = "channel", "no channel for email is set up here"
        return made

    def _to_contact(self, name: str, why: str, contact_id: UUID, here: Mapping[str, Channel]) -> Delivery:
        """One contact of a person, whatever their rules say: to verify it."""
        contact = ContactMethod.objects.filter(id=contact_id).select_related("person").first()
        method = {"email": "email", "phone": "sms"}.get(contact.kind, "none") if contact else "none"
        if contact is None or method not in here:
            return self._nobody(name, why, "contact", "this contact was removed")
        return Delivery(
            person_id=contact.person_id, target=contact.person.name, why=why, method=method, contact_id=contact.id, channel=here[method], due_at=self.at
        )  # fmt: skip

    def _through(self, page: Page, name: str, why: str, channel_id: UUID, contact_id: UUID) -> Delivery:
        """One contact of a person through one channel, whichever else carries its kind: to test it."""
        channel = Channel.objects.filter(workspace_id=page.workspace_id, id=channel_id, removed_at=None).first()
        contact = ContactMethod.objects.filter(id=contact_id).select_related("person").first()
        if channel is None or contact is None:
            return self._nobody(name, why, "channel", "this channel or contact was removed")
        method = {"email": "email", "phone": "sms", "push": "push"}[contact.kind]
        return Delivery(
            person_id=contact.person_id, target=contact.person.name, why=why, method=method, contact_id=contact.id, channel=channel, due_at=self.at
        )  # fmt: skip

    def _to_channel(self, page: Page, name: str, why: str, channel_id: UUID) -> Delivery:
        channel = Channel.objects.filter(workspace_id=page.workspace_id, id=channel_id, removed_at=None).first()
        if channel is None:
            return self._nobody(name, why, "channel", "this channel was removed")
        return Delivery(target=channel.name, why=why, method=channel.kind, channel=channel, due_at=self.at)

    def _nobody(self, name: str, why: str, stage: str, reason: str) -> Delivery:
        return Delivery(target=name or "nobody", why=why, method="none", due_at=self.at, stage=stage, reason=reason)

    def _people(self, workspace_id: UUID, kind: str, target: Target) -> tuple[list[Person], str]:
        if kind not in ("person", "team", "schedule"):
            # A name that means nobody has its own reason.
            return [], str(target.get("reason") or "nobody bound this name")
        mark = (workspace_id, kind, str(target["id"]))
        if mark not in self._persons:
            self._persons[mark] = persons_of(workspace_id, kind, target, self.at)
        return self._persons[mark]

    def _to_person(self, page: Page, person: Person, why: str, here: Mapping[str, Channel]) -> list[Delivery]:
        mark = (page.workspace_id, person.id, page.urgency)
        here_mark = (page.workspace_id, person.id)
        if here_mark not in self._ways:
            rows = ContactMethod.objects.filter(person=person).order_by("position", "id")
            self._ways[here_mark] = ways_from(page.workspace_id, rows)
        if mark not in self._habits:
            habit = Habit.objects.filter(workspace_id=mark[0], person_id=mark[1], urgency=mark[2]).first()
            self._habits[mark] = habit.steps if habit else ()
        ways, steps = self._ways[here_mark], self._habits[mark]
        if page.policy.get("quietly"):
            steps = quietly(steps)
            here = {method: one for method, one in here.items() if method != "voice"}
        plans = ways_of(ways, page.urgency, here, steps)
        if page.policy.get("quietly") and not any(plan.contact_id and not plan.stage for plan in plans):
            # Who has a telephone only, or rules that only ring, gets a text.
            plans = ways_of(ways, "high", here) or plans
        if not plans:
            lacks = "nothing that this urgency uses" if ways else "no contact"
            plans = [Plan("none", None, 0, "contact", f"{lacks} is stored: add one under On-call → My paging")]
        return [
            Delivery(
                person_id=person.id, target=person.name, why=why, method=plan.method, contact_id=plan.contact_id, channel=here.get(plan.method),
                due_at=self.at + timedelta(seconds=plan.delay), stage=plan.stage, reason=plan.reason,
            )
            for plan in plans
        ]  # fmt: skip


def persons_of(workspace_id: UUID, kind: str, target: Target, at: datetime) -> tuple[list[Person], str]:
    """The persons that a target means at this instant, with a note of how; nobody, with the reason."""
    if target.get("even_gone"):
        # Whoever was just taken out hears of that, too.
        return list(Person.objects.filter(id=UUID(str(target["id"])), erased_at=None)), ""
    if kind == "person":
        ids, note = [UUID(str(target["id"]))], ""
    elif kind == "team":
        ids = list(
            TeamMember.objects.filter(workspace_id=workspace_id, team_id=target["id"]).values_list(
                "person_id", flat=True
            )
        )
        team = Team.objects.filter(workspace_id=workspace_id, id=target["id"]).first()
        note = f"in the team {team.name}" if team else "the team is gone"
        if not ids:
            return [], "the team has no members"
    else:
        found = who_is_on(workspace_id, UUID(str(target["id"])), at)
        if found is None:
            return [], "nobody is on call in this schedule now"
        ids, note = [found], "on call now"
    members = Membership.objects.filter(workspace_id=workspace_id, person_id__in=ids, ended_at=None).values_list(
        "person_id", flat=True
    )
    people = list(Person.objects.filter(id__in=list(members), active=True).order_by("name", "id"))
    return people, note if people else "this person is not here any more"
