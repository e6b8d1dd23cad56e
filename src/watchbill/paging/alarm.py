"""Looking again and again whether each workspace could page, and telling its admins, by whatever still works, when it could not.

What was found last is kept in one row a workspace: for the metrics, and so that the same problem is told once, then once a day.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse

from watchbill.base.actor import Actor, system
from watchbill.base.ids import HUB
from watchbill.facts.subjects import Shown
from watchbill.paging.ability import Ability, ability, count_of, in_use
from watchbill.paging.commands import admins_of, end_about, start, told_once
from watchbill.paging.models import AbilityState
from watchbill.people.models import Workspace
from watchbill.runtime.isolation import clear_failure, database_is_gone, note_failure, one_by_one
from watchbill.runtime.now import now

#: The unit of work under which a workspace is recorded that could not be looked at; ``telling:ID`` where only its admins were not told.
UNIT = "ability"
_TELLING = "telling:"
#: What the pages to the admins are about.
ABILITY = "ability"
#: How often each workspace is looked at.
EVERY = timedelta(seconds=30)
#: How long something must last before anybody is told: one message that failed and went out on the second try is no news.
SETTLES = timedelta(seconds=45)
AGAIN = timedelta(days=1)
_SHOWN = 8
#: Of these the admins hear by a page of its own, at once (`paging/unrouted.py`): they are shown, and not told twice.
TOLD_ELSEWHERE = frozenset({"unrouted"})


def sweep() -> int:
    """Looks at the workspaces whose time has come; several workers share the work. One that fails stops no other. Answers how many
    were looked at."""

    def due(skip: list[str]) -> list[UUID]:
        at, seen = now(), dict(AbilityState.objects.values_list("workspace_id", "looked_at"))
        rows = Workspace.objects.exclude(id=HUB).order_by("id").values_list("id", flat=True)
        return [one for one in rows if str(one) not in skip and not _lately(seen.get(one), at)]

    return one_by_one(UNIT, due, _look)


def _lately(looked_at: datetime | None, at: datetime) -> bool:
    """Whether somebody has looked in the last half minute. What lies ahead was before the clock was set back."""
    return looked_at is not None and at - EVERY < looked_at <= at


def _look(workspace_id: UUID) -> int:
    """Looks at one workspace, unless another worker does, and tells what there is to tell."""
    AbilityState.objects.bulk_create([AbilityState(workspace_id=workspace_id)], ignore_conflicts=True)
    state = AbilityState.objects.select_for_update(skip_locked=True).filter(workspace_id=workspace_id).first()
    at = now()
    if state is None or _lately(state.looked_at, at):
        return 0
    found = ability(workspace_id, at)
    state.looked_at, state.can_page, state.demo, state.counts = at, found.can_page, found.demo, found.counts
    before = state.since
    state.since = {one.code: before.get(one.code, at.isoformat()) for one in found.broken}
    # A failure to tell must not undo what was found: it is tried again at the next look.
    telling = f"{_TELLING}{workspace_id}"
    try:
        with transaction.atomic():
            _tell(state, found)
            clear_failure(UNIT, telling)
    except Exception as error:
        if database_is_gone():
            raise
        note_failure(UNIT, telling, error)
    state.save()
    return 1


def _tell(state: AbilityState, found: Ability) -> None:
    """New problems at once, the same ones once a day, and that it is over."""
    if found.demo:
        return
    broken = [one for one in found.broken if one.code not in TOLD_ELSEWHERE]
    if not broken:
        # What Overview says decides: as long as that is no, nobody hears that it is over.
        if state.told_codes and found.can_page:
            still = " ".join(one.text for one in found.alarms)
            title = "This hub can page again" + (", but something fires and pages nobody" if still else "")
            _page(state, title, still or "Everything that kept it from paging is put right.", "low")
            state.told_codes, state.told_at = [], None
        return
    codes = {one.code for one in broken}
    lasting = [code for code in sorted(codes) if found.at - datetime.fromisoformat(state.since[code]) >= SETTLES]
    fresh = [code for code in lasting if code not in state.told_codes]
    again = state.told_at is not None and found.at - state.told_at >= AGAIN
    if not (fresh or (again and lasting)) or not in_use(state.workspace_id):
        state.told_codes = [code for code in state.told_codes if code in state.since]
        return
    lines = [f"{one.text} {one.fix}." for one in broken]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    title = f"This hub cannot page: {count_of(len(lines), 'problem')}"
    _page(state, title, "\n".join([*lines[:_SHOWN], *more]), "high" if fresh else "low")
    state.told_codes, state.told_at = lasting, found.at


def _page(state: AbilityState, title: str, text: str, urgency: str) -> None:
    by, about = system("worker"), (ABILITY, state.workspace_id)
    slug = Workspace.objects.filter(id=state.workspace_id).values_list("slug", flat=True).get()
    end_about(by=by, workspace_id=state.workspace_id, subject=about, why="it is told anew")
    why = "admins hear when this hub cannot page, and when it can again"
    common: dict[str, Any] = {"by": by, "workspace_id": state.workspace_id, "subject": about, "urgency": urgency}
    start(
        **common,
        title=title,
        text=text,
        url=f"{reverse('overview', args=[slug])}#can-page",
        policy=told_once("Can this hub page?", *admins_of(state.workspace_id, why)),
        why=why,
    )


def resolve_ability(reader: Actor, workspace_id: UUID, slug: str, ids: Any) -> dict[str, Shown]:
    """“Can this hub page?” as a subject."""
    if not reader.may("page.read", workspace_id):
        return {}
    url = f"{reverse('overview', args=[slug])}#can-page"
    return {one: Shown(ABILITY, one, "whether this hub can page", url) for one in ids}
