"""Starting, answering and ending pages; the steps of an escalation. What a page does to whom, and why, stands in its history."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.clocks import commands as clocks
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import command, record
from watchbill.oncall.queries import who_is_on
from watchbill.paging.channels import CARRIERS, KINDS
from watchbill.paging.models import Channel, Delivery, Habit, Page, PageEvent, Policy, Verification
from watchbill.paging.rules import Plan, Way, go_on, ways_of
from watchbill.people.models import ContactMethod, Membership, Person, Team, TeamMember
from watchbill.people.queries import holders_of
from watchbill.people.values import clean_name, clean_zone
from watchbill.runtime.now import now
from watchbill.secrets import commands as secrets
from watchbill.secrets.models import Secret
from watchbill.signals import silences

STARTED = declare("page.started", "somebody is paged", "about", "shadow")
ACKNOWLEDGED = declare("page.acknowledged", "somebody acknowledged a page", "about", "by", "via")
ESCALATED = declare("page.escalated", "a page went on to its next step", "about", "step")
ENDED = declare("page.ended", "a page is over", "about", "why")
EXHAUSTED = declare("page.exhausted", "nobody could be reached", "about")
#: The clock that acknowledging meets.
ACKNOWLEDGE = "acknowledge"
Subject = tuple[str, object]
Target = Mapping[str, Any]
_SWEPT = 50
#: For what is told once: that nobody reads it concerns nobody else.
ONCE = [{"kind": "none", "id": "", "name": "nobody", "reason": "it is told once"}]


def replace_policies(*, workspace_id: UUID, policies: Iterable[Policy]) -> None:
    """Makes these the escalations of a workspace: a part of applying a handbook or binding a name, which write the entry."""
    Policy.objects.filter(workspace_id=workspace_id).delete()
    Policy.objects.bulk_create(policies)


def stamp(policy: Policy) -> dict[str, Any]:
    """An escalation as a page keeps it."""
    return {
        "key": policy.key, "name": policy.name, "path": policy.path, "line": policy.line, "steps": policy.steps, "repeat": policy.repeat,
        "otherwise": policy.otherwise,
    }  # fmt: skip


def _say(page: Page, what: str, why: str = "", by: UUID | None = None) -> None:
    PageEvent(workspace_id=page.workspace_id, page=page, at=now(), what=what, why=why[:1000], by=by).save(
        force_insert=True
    )


def _about(page: Page) -> list[str]:
    return [page.subject_kind, page.subject_id]


@command("page.start", needs=None)
def start(
    *, by: Actor, workspace_id: UUID, subject: Subject, title: str, policy: Mapping[str, Any], text: str = "", url: str = "", why: str = "",
    labels: Mapping[str, str] | None = None, urgency: str = "high", shadow: bool = False,
) -> Page:  # fmt: skip
    """Pages about a subject by a stamped policy; its first step begins at once. The command that opens the subject decides who may."""
    found = (
        Page.objects.filter(subject_kind=subject[0], subject_id=str(subject[1]), shadow=shadow)
        .exclude(state="ended")
        .first()
    )
    if found is not None:
        record(subject, detail={"page": str(found.id), "again": True})
        return found
    at = now()
    page = Page(
        workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]), title=title[:300], text=text[:2000], url=url, why=why[:500],
        labels=dict(labels or {}), urgency=urgency, shadow=shadow, policy=dict(policy), started_at=at, next_at=at,
    )  # fmt: skip
    page.save(force_insert=True)
    record(
        subject,
        detail={
            "page": str(page.id),
            "policy": policy.get("name", ""),
            "steps": len(policy.get("steps", [])),
            "shadow": shadow,
        },
    )
    publish(
        STARTED, workspace_id=workspace_id, subject=("page", page.id), data={"about": _about(page), "shadow": shadow}
    )
    _advance(by, page)
    return page


@command("page.step", needs=None)
def advance(*, by: Actor, workspace_id: UUID, page: Page) -> None:
    """Begins the next step of a page whose time has come. Only the hub's own sweep does this."""
    _advance(by, page)


def _advance(by: Actor, page: Page) -> None:
    """The next step. One that reaches nobody gives way to the one after it, so that a gap costs no time."""
    steps, at = page.policy.get("steps", []), now()
    while True:
        what = go_on(steps, int(page.policy.get("repeat", 0)), page.step, page.round, at)
        if what.what == "nobody":
            _exhaust(page, at)
            return
        page.step, page.round = what.step, what.round
        if what.what == "again":
            _say(page, "began again", f"round {page.round + 1}")
        reached = _begin(page, steps[page.step - 1].get("targets", []), at)
        record(
            (page.subject_kind, page.subject_id), action="page.step",
            detail={"page": str(page.id), "step": page.step, "round": page.round, "reached": [str(one) for one in reached], "shadow": page.shadow},
        )  # fmt: skip
        if page.step > 1 or page.round:
            publish(
                ESCALATED,
                workspace_id=page.workspace_id,
                subject=("page", page.id),
                data={"about": _about(page), "step": page.step},
            )
        if reached:
            page.state, page.next_at = Page.State.RUNNING, what.at
            page.save()
            return
        _say(page, f"step {page.step} reaches nobody", "it goes on to the next one at once")


def _exhaust(page: Page, at: datetime) -> None:
    page.state, page.next_at, page.exhausted_at = Page.State.EXHAUSTED, None, at
    page.save()
    told = page.policy.get("otherwise") or [
        {"kind": "person", "id": str(one), "why": "admins hear of it where the handbook names nobody"}
        for one in sorted(holders_of(page.workspace_id, "workspace.edit"))
    ]
    _say(
        page,
        "nobody could be reached",
        "all steps went by without an acknowledgement" if page.step else "no step reaches anybody",
    )
    _begin(page, told, at, step=0)
    record(
        (page.subject_kind, page.subject_id),
        action="page.exhausted",
        detail={"page": str(page.id), "shadow": page.shadow},
    )
    publish(EXHAUSTED, workspace_id=page.workspace_id, subject=("page", page.id), data={"about": _about(page)})


def _begin(page: Page, targets: Sequence[Target], at: datetime, *, step: int | None = None) -> list[UUID | str]:
    """Makes the messages of a step. Answers whom they may reach."""
    number = page.step if step is None else step
    rows: list[Delivery] = []
    for target in targets:
        rows += _messages(page, target, at)
    for position, row in enumerate(rows):
        row.page, row.workspace_id, row.round, row.step, row.made_at = page, page.workspace_id, page.round, number, at
        row.position = position
        if row.stage:
            row.state, row.done_at = Delivery.State.STOPPED, at
    # A step that was begun already (a crash between) makes nothing twice.
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    names = list(dict.fromkeys(row.target for row in rows if not row.stage))
    if names:
        _say(
            page,
            f"pages {', '.join(names)}" if number else f"tells {', '.join(names)}",
            f"step {number}" if number else "",
        )
    return list(dict.fromkeys(row.person_id or row.target for row in rows if not row.stage))


def available(workspace_id: UUID) -> dict[str, Channel]:
    """Which methods are set up here, with the channel that carries each."""
    rows = {
        one.kind: one
        for one in Channel.objects.filter(workspace_id=workspace_id, removed_at=None).order_by("-created_at")
    }
    return {method: rows[kind] for method, kind in CARRIERS.items() if kind in rows}


def _messages(page: Page, target: Target, at: datetime) -> list[Delivery]:
    kind, name, why = target["kind"], str(target.get("name", "")), str(target.get("why", ""))
    here = available(page.workspace_id)
    if kind == "email":
        channel = here.get("email")
        stage = ("", "") if channel else ("channel", "no channel for email is set up here")
        return [
            Delivery(
                target=name,
                why=why,
                method="email",
                channel=channel,
                address=target["id"],
                due_at=at,
                stage=stage[0],
                reason=stage[1],
            )
        ]
    if kind == "contact":
        contact = ContactMethod.objects.filter(id=target["id"]).select_related("person").first()
        method = {"email": "email", "phone": "sms"}[contact.kind] if contact else "none"
        if contact is None or method not in here:
            return [_nobody(name, why, "contact", "this contact was removed", at)]
        return [
            Delivery(
                person_id=contact.person_id,
                target=contact.person.name,
                why=why,
                method=method,
                contact_id=contact.id,
                channel=here[method],
                due_at=at,
            )
        ]
    if kind == "channel":
        channel = Channel.objects.filter(workspace_id=page.workspace_id, id=target["id"], removed_at=None).first()
        if channel is None:
            return [_nobody(name, why, "channel", "this channel was removed", at)]
        return [
            Delivery(
                target=channel.name,
                why=why,
                method=channel.kind,
                channel=channel,
                address=str(target.get("address", "")),
                due_at=at,
            )
        ]
    persons, note = _persons(page.workspace_id, kind, target, at)
    if not persons:
        _say(page, f"“{name}” reaches nobody", note)
        return [_nobody(name, why, "target", note, at)]
    return [
        row
        for person in persons
        for row in _to_person(page, person, f"{why}{f'; {note}' if note else ''}".strip("; "), here, at)
    ]


def _nobody(name: str, why: str, stage: str, reason: str, at: datetime) -> Delivery:
    return Delivery(target=name or "nobody", why=why, method="none", due_at=at, stage=stage, reason=reason)


def _persons(workspace_id: UUID, kind: str, target: Target, at: datetime) -> tuple[list[Person], str]:
    """The persons that a target means at this instant, with a note of how; nobody, with the reason."""
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
    elif kind == "schedule":
        found = who_is_on(workspace_id, UUID(str(target["id"])), at)
        if found is None:
            return [], "nobody is on call in this schedule now"
        ids, note = [found], "on call now"
    else:
        return [], str(target.get("reason") or "nobody bound this name")
    members = Membership.objects.filter(workspace_id=workspace_id, person_id__in=ids, ended_at=None).values_list(
        "person_id", flat=True
    )
    people = list(Person.objects.filter(id__in=list(members), active=True).order_by("name", "id"))
    return people, note if people else "this person is not here any more"


def _to_person(page: Page, person: Person, why: str, here: Mapping[str, Channel], at: datetime) -> list[Delivery]:
    rows = ContactMethod.objects.filter(person=person).order_by("position", "id")
    ways = [Way(one.id, one.kind, one.verified_at is not None) for one in rows]
    habit = Habit.objects.filter(workspace_id=page.workspace_id, person_id=person.id, urgency=page.urgency).first()
    plans = ways_of(ways, page.urgency, here, habit.steps if habit else ())
    if not plans:
        plans = [Plan("none", None, 0, "contact", "no contact details are stored")]
    return [
        Delivery(
            person_id=person.id, target=person.name, why=why, method=plan.method, contact_id=plan.contact_id, channel=here.get(plan.method),
            due_at=at + timedelta(seconds=plan.delay), stage=plan.stage, reason=plan.reason,
        )
        for plan in plans
    ]  # fmt: skip


def silence_of(page: Page) -> tuple[str, datetime] | None:
    """Why a silence holds a page back, and until when; None where none does, and for what is about no alert."""
    if not page.labels:
        return None
    found = silences.silenced(page.labels, silences.current(page.workspace_id, now()))
    return (silences.words(*found), found[1]) if found else None


def sweep(limit: int = _SWEPT) -> int:
    """Begins the steps whose time has come; several workers share the work. Answers how many pages went on."""
    with transaction.atomic():
        due = list(
            Page.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(next_at__lte=now())
            .order_by("next_at")[:limit]
        )
        for page in due:
            held = silence_of(page)
            if held is not None:
                page.next_at = held[1]
                page.save(update_fields=["next_at"])
                _say(page, "held back", held[0])
                continue
            advance(by=system("worker"), workspace_id=page.workspace_id, page=page)
    return len(due)


def _page(workspace_id: UUID, page_id: UUID) -> Page:
    found = Page.objects.select_for_update().filter(workspace_id=workspace_id, id=page_id).first()
    if found is None:
        raise NotFound("There is no such page here.")
    return found


def _may_answer(by: Actor, page: Page) -> None:
    paged = Delivery.objects.filter(page=page, person_id=by.id).exists()
    if not (paged or by.may("incident.respond", page.workspace_id)):
        raise Denied("You were not paged about this.", hint="Who holds incident.respond can acknowledge, too.")


@command("page.acknowledge", needs=None)
def acknowledge(*, by: Actor, workspace_id: UUID, page_id: UUID, via: str = "") -> tuple[Page, bool]:
    """Says that somebody takes it: escalation stops, the clock is met. Decides itself: who was paged, or holds incident.respond.

    Answers the page and whether this was it: too late, or twice, does no harm.
    """
    page = _page(workspace_id, page_id)
    _may_answer(by, page)
    subject, via = (page.subject_kind, page.subject_id), via or by.via
    if page.state in ("acknowledged", "ended"):
        record(subject, detail={"page": str(page.id), "via": via, "late": True})
        _say(page, "acknowledged again", f"{via}: it was {page.state} already", by.id)
        return page, False
    page.state, page.next_at, page.acknowledged_at = Page.State.ACKNOWLEDGED, None, now()
    page.acknowledged_by, page.acknowledged_via = by.id, via
    page.save()
    clocks.meet(by=by, workspace_id=workspace_id, subject=subject, kind=ACKNOWLEDGE)
    record(subject, detail={"page": str(page.id), "via": via})
    _say(page, "acknowledged", via, by.id)
    publish(
        ACKNOWLEDGED, workspace_id=workspace_id, subject=("page", page.id), data={"about": _about(page), "by": str(by.id), "via": via}
    )  # fmt: skip
    return page, True


@command("page.escalate", needs=None)
def escalate(*, by: Actor, workspace_id: UUID, page_id: UUID, reason: str = "") -> Page:
    """Begins the next step at once, also of what was acknowledged. Decides itself: who was paged, or holds incident.respond."""
    page = _page(workspace_id, page_id)
    _may_answer(by, page)
    if page.state == "ended":
        raise Conflict("This is over; there is nobody to page any more.")
    if page.step >= len(page.policy.get("steps", [])) and page.round >= int(page.policy.get("repeat", 0)):
        raise Conflict(
            "Its last step has begun already: there is nobody else to escalate to.",
            hint="Page somebody in person, or mend the escalation.",
        )
    reason = " ".join(reason.split())[:300]
    _say(page, "escalated", reason or by.via, by.id)
    record((page.subject_kind, page.subject_id), detail={"page": str(page.id), "reason": reason})
    _advance(by, page)
    return page


@command("page.end", needs=None)
def end(*, by: Actor, workspace_id: UUID, page_id: UUID, why: str) -> Page:
    """Ends a page: its subject is over. The command that closes the subject decides who may."""
    page = _page(workspace_id, page_id)
    record((page.subject_kind, page.subject_id), detail={"page": str(page.id), "why": why[:200]})
    if page.state != "ended":
        page.state, page.next_at, page.ended_at, page.ended_why = Page.State.ENDED, None, now(), why[:300]
        page.save()
        publish(
            ENDED, workspace_id=workspace_id, subject=("page", page.id), data={"about": _about(page), "why": why[:300]}
        )
        _say(page, "ended", why, by.id if by.kind == "person" else None)
    return page


@command("page.test", needs=None)
def test_me(*, by: Actor, workspace_id: UUID) -> Page:
    """Pages oneself by all own methods, as a real page would. Decides itself: a member, about nobody but themselves."""
    if by.kind != "person" or not by.may("workspace.read", workspace_id):
        raise Denied("Only a member of this workspace can test their pages.")
    for one in Page.objects.filter(workspace_id=workspace_id, subject_kind="test", subject_id=str(by.id)).exclude(
        state="ended"
    ):
        end(by=by, workspace_id=workspace_id, page_id=one.id, why="another test began")
    target = {"kind": "person", "id": str(by.id), "name": "", "why": "you asked for a test"}
    policy = {"key": "", "name": "Test", "steps": [{"after": 0, "targets": [target]}], "repeat": 0, "otherwise": ONCE}
    page = start(
        by=by, workspace_id=workspace_id, subject=("test", by.id), title="Test page: nothing is wrong", policy=policy,
        text="You asked Watchbill to page you. Acknowledge it to see that this works, too.", why="you asked for it",
    )  # fmt: skip
    record(("person", by.id), detail={"page": str(page.id)})
    return page


# One's own contacts and rules

CODE_SERVES = timedelta(minutes=15)
MOST_TRIES = 5


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


@command("contact.code", needs=None)
def send_code(*, by: Actor, workspace_id: UUID, contact_id: UUID) -> None:
    """Sends a code to a contact of one's own. Decides itself: nobody else's."""
    contact, at = _own_contact(by, contact_id), now()
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
    for one in Page.objects.filter(subject_kind="contact", subject_id=str(contact_id)).exclude(state="ended"):
        end(by=by, workspace_id=one.workspace_id, page_id=one.id, why="another code was asked for")
    target = {"kind": "contact", "id": str(contact_id), "name": "", "why": "you asked for a code"}
    start(
        by=by, workspace_id=workspace_id, subject=("contact", contact_id), title="Your code for Watchbill",
        policy={"key": "", "name": "Code", "steps": [{"after": 0, "targets": [target]}], "repeat": 0, "otherwise": ONCE},
    )  # fmt: skip
    record(("person", by.id), detail={"kind": contact.kind})


@command("contact.verify", needs=None)
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
        for one in Page.objects.filter(subject_kind="contact", subject_id=str(contact_id)).exclude(state="ended"):
            end(by=by, workspace_id=one.workspace_id, page_id=one.id, why="the contact is verified")
    else:
        known.save(update_fields=["tries"])
    record(("person", by.id), detail={"kind": contact.kind, "right": right})
    return right


@command("contact.first", needs=None)
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


@command("paging.rules", needs=None)
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


def clock_text(value: str) -> str:
    """A time of day as HH:MM. Raises Invalid."""
    try:
        return f"{time.fromisoformat(value.strip()):%H:%M}"
    except ValueError:
        raise Invalid(f"“{value[:20]}” is no time of day.", hint="Write it as 22:00.", field="quiet") from None


# Channels


@command("channel.set", needs="channel.edit")
def set_channel(
    *, by: Actor, workspace_id: UUID, kind: str, name: str, config: Mapping[str, Any], secret: str = ""
) -> Channel:
    """Sets up a channel, or changes the one of that name. Its password goes to the secrets; left empty, the stored one stays."""
    if kind not in KINDS:
        raise Invalid(f"“{kind[:40]}” is no kind of channel.", hint=f"Kinds are {', '.join(KINDS)}.", field="kind")
    sort, name = KINDS[kind], clean_name(name, longest=60)
    channel = Channel.objects.select_for_update().filter(workspace_id=workspace_id, name=name, removed_at=None).first()
    if channel is not None and channel.kind != kind:
        raise Conflict(f"“{name}” is a channel of another kind.", field="name")
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
    channel.last_problem, channel.last_problem_at = "", None
    channel.save()
    record(
        ("channel", channel.id),
        detail={"kind": kind, "name": name, "settings": {k: v for k, v in channel.config.items() if k != "user"}},
    )
    return channel


@command("channel.remove", needs="channel.edit")
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
