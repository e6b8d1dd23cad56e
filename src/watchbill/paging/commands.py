"""Starting, answering and ending pages; the steps of an escalation. What a page does to whom, and why, stands in its history."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, Q

from watchbill.base.actor import Actor, system
from watchbill.base.errors import Conflict, Denied, NotFound
from watchbill.clocks import commands as clocks
from watchbill.facts.publish import declare, publish
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.paging.models import Delivery, Page, PageEvent, Policy
from watchbill.paging.reach import Reach, Target
from watchbill.paging.rules import go_on, wait_of
from watchbill.paging.shorten import shorten
from watchbill.paging.turns import set_priorities
from watchbill.paging.unanswered import WORDS, judged
from watchbill.people.queries import holders_of
from watchbill.runtime.isolation import together_or_apart
from watchbill.runtime.now import now
from watchbill.signals import silences

STARTED = declare("page.started", "somebody is paged", "about", "shadow")
ACKNOWLEDGED = declare("page.acknowledged", "somebody acknowledged a page", "about", "by", "via")
ESCALATED = declare("page.escalated", "a page went on to its next step", "about", "step")
ENDED = declare("page.ended", "a page is over", "about", "why", "over", "until")
RESUMED = declare("page.resumed", "a page that was over goes on", "about", "state")
EXHAUSTED = declare("page.exhausted", "all steps of a page went by, and nobody acknowledged", "about")
#: The clock that acknowledging meets.
ACKNOWLEDGE = "acknowledge"
#: The step of a message that nobody has to answer, what says that it is over, and why one is not sent.
NOTICE = -1
OVER_ROWS = Q(address="notice:over") | Q(target__endswith="(over)")
NOT_OVER = "it is not over: its alerts fire again"
Subject = tuple[str, object]
_SWEPT = 50


def told_once(name: str, *targets: Target) -> dict[str, Any]:
    """The policy of what is told once, at once, to these: nobody has to answer it, and where nobody reads it, nobody else is told."""
    return {"key": "", "name": name, "steps": [{"after": 0, "targets": list(targets)}], "repeat": 0, "once": True}


def admins_of(workspace_id: UUID, why: str) -> list[Target]:
    """Those who look after a workspace, as targets: they hear of what nobody else is named for."""
    found = sorted(holders_of(workspace_id, "workspace.edit"))
    return [{"kind": "person", "id": str(one), "name": "", "why": why} for one in found]


#: When the admins are paged again about what nobody else is named for, in seconds from the step before.
_ADMINS_AGAIN = (0, 300, 600)


def to_admins(workspace_id: UUID, name: str, why: str) -> dict[str, Any]:
    """An escalation to those who look after a workspace, which asks them again while nobody answers."""
    steps = [{"after": after, "targets": admins_of(workspace_id, why)} for after in _ADMINS_AGAIN]
    return {"key": "", "name": name, "steps": steps, "repeat": 0, "otherwise": []}


def end_about(*, by: Actor, workspace_id: UUID, subject: Subject, why: str) -> None:
    """Ends what still pages about a subject, if anything does."""
    rows = Page.objects.filter(workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]))
    for page in rows.exclude(state="ended"):
        end(by=by, workspace_id=workspace_id, page_id=page.id, why=why)


def replace_policies(*, workspace_id: UUID, policies: Iterable[Policy]) -> None:
    """Makes these the escalations of a workspace: a part of applying a handbook or binding a name, which write the entry."""
    Policy.objects.filter(workspace_id=workspace_id).delete()
    Policy.objects.bulk_create(policies)


def _say(page: Page, what: str, why: str = "", by: UUID | None = None) -> None:
    PageEvent(workspace_id=page.workspace_id, page=page, at=now(), what=what, why=why[:1000], by=by).save(
        force_insert=True
    )


def _about(page: Page) -> list[str]:
    return [page.subject_kind, page.subject_id]


@command("page.start", needs=None, quieter=harmless("it pages"))
def start(
    *, by: Actor, workspace_id: UUID, subject: Subject, title: str, policy: Mapping[str, Any], text: str = "", url: str = "", why: str = "",
    labels: Mapping[str, str] | None = None, urgency: str = "high", shadow: bool = False, can_wait: bool = False,
) -> Page:  # fmt: skip
    """Pages about a subject by a stamped policy; its first step begins at once. The command that opens the subject decides who may.

    ``can_wait``: its messages are sent as any others are, only behind those that wake somebody: a test, a code, a reminder.
    """
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
        workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]), title=shorten(title, 300), text=text[:2000], url=url, why=why[:500],
        labels=dict(labels or {}), urgency=urgency, shadow=shadow, policy={**policy, **({"can_wait": True} if can_wait else {})},
        started_at=at, next_at=at,
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


@command("page.step", needs=None, quieter=harmless("only the hub itself does this"))
def advance(*, by: Actor, workspace_id: UUID, page: Page, reach: Reach) -> None:
    """Begins the next step of a page whose time has come. Only the hub's own sweep does this."""
    _advance(by, page, reach)


def _advance(by: Actor, page: Page, reach: Reach | None = None) -> None:
    """The next step. One that reaches nobody gives way to the one after it, so that a gap costs no time."""
    steps, at = page.policy.get("steps", []), now()
    reach = reach or Reach(at)
    while True:
        what = go_on(steps, int(page.policy.get("repeat", 0)), page.step, page.round, at)
        if what.what == "nobody":
            _exhaust(page, reach)
            return
        page.step, page.round = what.step, what.round
        if what.what == "again":
            _say(page, "began again", f"round {page.round + 1}")
        reached = _begin(page, steps[page.step - 1].get("targets", []), reach)
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


def _exhaust(page: Page, reach: Reach) -> None:
    page.state, page.next_at, page.exhausted_at = Page.State.EXHAUSTED, None, reach.at
    page.save()
    if page.once:
        _say(page, "told", "nobody has to answer it")
        record((page.subject_kind, page.subject_id), action="page.told", detail={"page": str(page.id)})
        return
    told = page.policy.get("otherwise") or admins_of(
        page.workspace_id, "admins hear of it where the handbook names nobody"
    )
    found = judged(page)
    if found == "unacknowledged":
        why = "all steps went by, and what went out was not answered"
    elif page.step:
        why = f"all steps went by, and nothing went out{_still_tried(page)}"
    else:
        why = "no step reaches anybody"
    _say(page, WORDS[found], why)
    _begin(page, told, reach, step=0)
    record(
        (page.subject_kind, page.subject_id),
        action="page.exhausted",
        detail={"page": str(page.id), "shadow": page.shadow, "outcome": found},
    )
    publish(EXHAUSTED, workspace_id=page.workspace_id, subject=("page", page.id), data={"about": _about(page)})


def _still_tried(page: Page) -> str:
    """Which messages were refused for now, and are tried again: they may reach somebody yet."""
    rows = Delivery.objects.filter(page=page, state="waiting", attempts__gt=0).order_by("due_at", "id")
    found = [f"{one.method} to {one.target} is tried again at {one.due_at:%H:%M:%S} UTC" for one in rows[:5]]
    return f"; {'; '.join(found)}" if found else ""


def _begin(page: Page, targets: Sequence[Target], reach: Reach, *, step: int | None = None) -> list[UUID | str]:
    """Makes the messages of a step. Answers whom they may reach."""
    number, at = page.step if step is None else step, reach.at
    rows = [row for target in targets for row in reach.messages(page, target)]
    for row in rows:
        if row.stage == "target":
            _say(page, f"“{row.target}” reaches nobody", row.reason)
    for position, row in enumerate(rows):
        row.page, row.workspace_id, row.round, row.step, row.made_at = page, page.workspace_id, page.round, number, at
        row.position = position
        if row.stage:
            row.state, row.done_at = Delivery.State.STOPPED, at
    set_priorities(page, rows, at)
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


def silence_of(page: Page) -> tuple[str, datetime] | None:
    """Why a silence holds a page back, and until when; None where none does, and for what is about no alert."""
    if not page.labels:
        return None
    found = silences.silenced(page.labels, silences.current(page.workspace_id, now()))
    return (silences.words(*found), found[1]) if found else None


def sweep(limit: int = _SWEPT) -> int:
    """Begins the steps whose time has come; several workers share the work. Answers how many pages went on."""

    def due(skip: list[str]) -> list[UUID]:
        rows = Page.objects.filter(next_at__lte=now()).exclude(id__in=skip).order_by("next_at")
        return list(rows.values_list("id", flat=True)[:limit])

    return together_or_apart("pages", due, _sweep)


def _sweep(ids: Sequence[UUID]) -> int:
    reach = Reach(now())
    rows = Page.objects.select_for_update(skip_locked=True, of=("self",)).filter(id__in=ids, next_at__lte=reach.at)
    found = list(rows.order_by("next_at"))
    for page in found:
        held = silence_of(page)
        if held is not None:
            page.next_at = held[1]
            page.save(update_fields=["next_at"])
            _say(page, "held back", held[0])
            continue
        advance(by=system("worker"), workspace_id=page.workspace_id, page=page, reach=reach)
    return len(found)


def _page(workspace_id: UUID, page_id: UUID) -> Page:
    found = Page.objects.select_for_update().filter(workspace_id=workspace_id, id=page_id).first()
    if found is None:
        raise NotFound("There is no such page here.")
    return found


def _may_answer(by: Actor, page: Page) -> None:
    paged = Delivery.objects.filter(page=page, person_id=by.id).exists()
    if not (paged or by.may("incident.respond", page.workspace_id)):
        raise Denied("You were not paged about this.", hint="Who holds incident.respond can acknowledge, too.")


@command(
    "page.acknowledge", needs=None, quieter=harmless("whoever answers is named to the others, and the clocks go on")
)
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


@command("page.escalate", needs=None, quieter=harmless("it pages more people"))
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


@command("page.end", needs=None, quieter=harmless("a part of other commands, which are declared themselves"))
def end(
    *, by: Actor, workspace_id: UUID, page_id: UUID, why: str, over: bool = True, until: datetime | None = None
) -> Page:
    """Ends a page: its subject is over, or where ``over`` is false another page follows. The command that closes the subject decides who may.

    ``until``: it may reopen by itself as long, so nobody is told before that it is over."""
    page = _page(workspace_id, page_id)
    record((page.subject_kind, page.subject_id), detail={"page": str(page.id), "why": why[:200]})
    if page.state != "ended":
        page.ended_from, page.ended_next_at = page.state, page.next_at
        page.state, page.next_at, page.ended_at, page.ended_why = Page.State.ENDED, None, now(), why[:300]
        page.save()
        publish(
            ENDED,
            workspace_id=workspace_id,
            subject=("page", page.id),
            data={
                "about": _about(page),
                "why": why[:300],
                "over": over,
                "until": until.isoformat() if until else "",
            },
        )
        _say(page, "ended", why, by.id if by.kind == "person" else None)
    return page


@command("page.resume", needs=None, quieter=harmless("it pages again"))
def resume(*, by: Actor, workspace_id: UUID, subject: Subject, quiet: timedelta) -> Page | None:
    """Lets the latest page about a subject go on as if the subject had not been over: acknowledged stays acknowledged, and the next step begins when
    it would have begun, at the latest now. Where nobody had acknowledged, messages that the end had stopped go out, and who was paged by now is
    paged again unless that was less than ``quiet`` ago; at once where anybody was told that it was over, and the next step counts from there.
    None where there was no page. The command that reopens the subject decides who may."""
    rows = Page.objects.select_for_update().filter(
        workspace_id=workspace_id, subject_kind=subject[0], subject_id=str(subject[1]), shadow=False
    )
    page = rows.order_by("-id").first()
    if page is None or page.state != "ended":
        record(subject, detail={"page": str(page.id) if page else "", "nothing": True})
        return page
    at, ended_at = now(), page.ended_at
    # A page that ended under the release before this one does not know its state.
    page.state = page.ended_from or (Page.State.ACKNOWLEDGED if page.acknowledged_at else Page.State.RUNNING)
    page.next_at = max(at, page.ended_next_at or at) if page.state == "running" else None
    page.ended_at, page.ended_why = None, ""
    page.save()
    _say(page, "goes on", "what it is about was over, and is not")
    record(subject, detail={"page": str(page.id), "state": page.state})
    publish(
        RESUMED, workspace_id=workspace_id, subject=("page", page.id), data={"about": _about(page), "state": page.state}
    )
    if page.state != "acknowledged":
        stopped = Delivery.objects.filter(
            page=page, step__gte=0, state="stopped", stage="settle", done_at__gte=ended_at
        )
        stopped.update(state="waiting", stage="", reason="", done_at=None)
        _page_again(by, page, at, quiet, _take_back(page, ended_at))
    else:
        _take_back(page, ended_at)
    return page


def _take_back(page: Page, ended_at: datetime | None) -> bool:
    """Stops what waits to say that it is over. Answers whether anybody was told so already, or is being told now."""
    said = Delivery.objects.filter(page=page, step=NOTICE, due_at__gte=ended_at or page.started_at).filter(OVER_ROWS)
    said.filter(state="waiting").update(state="stopped", stage="settle", reason=NOT_OVER, done_at=now())
    return said.filter(state__in=["sending", "sent", "delivered", "unknown"]).exists()


def _page_again(by: Actor, page: Page, at: datetime, quiet: timedelta, calmed: bool) -> None:
    """Who was paged by now believes that it is over: they are paged again, as a further round, but not at every flap."""
    paged = Delivery.objects.filter(page=page, step__gte=0)
    last = paged.aggregate(last=Max("made_at"))["last"] or page.started_at
    if at - last < quiet and not calmed:
        return
    page.round += 1
    page.policy = {**page.policy, "repeat": int(page.policy.get("repeat", 0)) + 1}
    if page.state == "exhausted" or not page.step:
        page.state, page.step, page.exhausted_at, page.next_at = Page.State.RUNNING, 0, None, at
        page.save()
        _advance(by, page)
        return
    if calmed:
        page.next_at = at + wait_of(page.policy.get("steps", []), page.step)
    page.save()
    so_far = [target for step in page.policy.get("steps", [])[: page.step] for target in step.get("targets", [])]
    _begin(page, so_far, Reach(at))
