"""The page about alerts that fire and page nobody: to the admins, or to whom `unrouted:` of the handbook names; one for a workspace.

It is made at once, lists them all, and is made again each hour while one of them fires and nobody acknowledged. Acknowledging it is
for what it lists: another group that no route takes pages at once. A silence holds back what it fits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse

from watchbill.base.actor import Actor, system
from watchbill.facts.subjects import Shown
from watchbill.language.names import canonical
from watchbill.paging.commands import admins_of, end, start
from watchbill.paging.models import Delivery, Page
from watchbill.paging.queries import policy_named
from watchbill.people.models import Workspace
from watchbill.people.queries import names_of
from watchbill.runtime.isolation import one_by_one
from watchbill.runtime.now import now
from watchbill.signals import silences
from watchbill.signals.heard import ADMINS
from watchbill.signals.models import Alert, Group
from watchbill.signals.unrouted import UNPAGED, Setting, Unpaged, must_be_heard, setting_of, suggest, unrouted

#: What such a page is about; its id is the workspace's.
SUBJECT = "unrouted"
#: How often it is said again while nobody acknowledges.
AGAIN = timedelta(hours=1)
#: What begins to fire shortly after a page that nobody acknowledged yet is told together: a storm is one page, not hundreds.
TOGETHER = timedelta(seconds=10)
_LISTED = 10


def sweep() -> int:
    """Looks at every workspace in which something fires and pages nobody; several workers share the work. Answers how many pages it made or ended."""

    def due(skip: list[str]) -> list[UUID]:
        firing = Group.objects.filter(UNPAGED).order_by().values_list("workspace_id", flat=True).distinct()
        paged = Page.objects.filter(subject_kind=SUBJECT, shadow=False).exclude(state="ended")
        found = {*firing, *paged.values_list("workspace_id", flat=True)}
        return sorted(one for one in found if str(one) not in skip)

    return one_by_one("unrouted", due, _look)


def _look(workspace_id: UUID) -> int:
    with connection.cursor() as cursor:
        # One worker at a time for a workspace; another one has looked already.
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtext('paging.unrouted'), hashtext(%s))", [str(workspace_id)]
        )
        if not cursor.fetchone()[0]:
            return 0
    at, by, setting = now(), system("worker"), setting_of(workspace_id)
    page = _open_page(workspace_id)
    found = must_be_heard(unrouted(workspace_id, setting), setting)
    heard = _not_silenced(workspace_id, found, at)
    told = Page.objects.in_bulk({one.told for one in heard if one.told})
    known = {one.id: told.get(one.told) for one in heard if one.told}
    # What another page told of, that ended while it fired and without an answer, is new again.
    fresh = [one for one in heard if _is_new(known.get(one.id))]
    waiting = [one for one in heard if page is not None and one.told == page.id and page.acknowledged_at is None]
    if fresh and page is not None and page.acknowledged_at is None and waiting and at < page.started_at + TOGETHER:
        return 0
    if fresh or (page is not None and waiting and at >= page.started_at + AGAIN):
        if page is not None:
            why = "further alerts page nobody: it is said anew" if fresh else "it is said again each hour"
            # Nothing is over: whoever was paged is paged again, or hears of more.
            end(by=by, workspace_id=workspace_id, page_id=page.id, why=why, over=False)
        _start(by, workspace_id, setting, sorted([*fresh, *waiting], key=lambda one: (one.since, one.id)), bool(fresh))
        return 1
    if page is not None and not any(one.told == page.id for one in heard):
        why = "a silence holds it back" if found else "nothing that it is about fires without a route any more"
        end(by=by, workspace_id=workspace_id, page_id=page.id, why=why)
        return 1
    return 0


def _open_page(workspace_id: UUID) -> Page | None:
    rows = Page.objects.select_for_update().filter(subject_kind=SUBJECT, subject_id=str(workspace_id), shadow=False)
    return rows.exclude(state="ended").first()


def _is_new(told: Page | None) -> bool:
    """Whether nobody heard of a group yet: no page told of it, or one that ended before anybody answered."""
    return told is None or (told.state == "ended" and told.acknowledged_at is None)


def _not_silenced(workspace_id: UUID, found: list[Unpaged], at: datetime) -> list[Unpaged]:
    """Those that no silence fits. What one fits is held back until it ends, as what a route takes is."""
    there = silences.current(workspace_id, at)
    if not there or not found:
        return found
    labels: dict[UUID, list[dict[str, str]]] = {}
    rows = Alert.objects.filter(workspace_id=workspace_id, firing=True, group_id__in=[one.id for one in found])
    for group_id, told in rows.values_list("group_id", "labels"):
        labels.setdefault(group_id, []).append(told)
    quiet = {
        one.id for one in found
        if labels.get(one.id) and all(silences.silenced({**one.labels, **told}, there) for told in labels[one.id])
    }  # fmt: skip
    for group in Group.objects.select_for_update().filter(id__in=quiet):
        silences.hold_back(group, at)
    return [one for one in found if one.id not in quiet]


def _start(by: Actor, workspace_id: UUID, setting: Setting, about: list[Unpaged], fresh: bool) -> None:
    slug = Workspace.objects.filter(id=workspace_id).values_list("slug", flat=True).get()
    policy, why = policy_of(workspace_id, setting)
    page = start(
        by=by, workspace_id=workspace_id, subject=(SUBJECT, workspace_id), title=title_of(about), text=text_of(workspace_id, about),
        url=f"{reverse('alerts', args=[slug])}?show=unrouted", policy=policy, why=why,
    )  # fmt: skip
    Group.objects.filter(id__in=[one.id for one in about]).update(told_id=page.id)


def policy_of(workspace_id: UUID, setting: Setting) -> tuple[dict[str, Any], str]:
    """Whom alerts page that no route takes, as a stamped escalation (the admins' has no key), and why. For rules."""
    if setting.pages != ADMINS:
        named = policy_named(workspace_id, canonical(setting.pages))
        if named is not None:
            return named.stamp(), f"no route takes these alerts, and `unrouted` of {setting.path} names {setting.pages}"
    admins = admins_of(workspace_id, "no route takes these alerts: the admins hear of them")
    # It is said anew after an hour: the second step is there only for an hour in which no worker ran.
    steps = [{"after": 0, "targets": admins}, {"after": 2 * AGAIN.total_seconds(), "targets": admins}]
    return (
        {"key": "", "name": "Alerts without a route", "steps": steps, "repeat": 0, "otherwise": []},
        "no route takes these alerts: the admins hear of them",
    )


def title_of(about: list[Unpaged]) -> str:
    """“HighLatency: checkout (critical) fires and pages nobody”, or how many do."""
    if len(about) == 1:
        return f"{about[0].title[:200]} ({about[0].severity or 'no severity'}) fires and pages nobody"
    return f"{len(about)} groups of alerts fire and page nobody"


def text_of(workspace_id: UUID, about: list[Unpaged]) -> str:
    """Which they are, and how to make a route."""
    lines = [
        f"{one.title[:120]} ({one.severity or 'no severity'}) since {one.since:%Y-%m-%d %H:%M} UTC: {one.why[:160]}"
        for one in about[:_LISTED]
    ]
    if len(about) > _LISTED:
        lines.append(f"and {len(about) - _LISTED} more")
    route = suggest(workspace_id, about[0].labels, about[0].severity)
    hint = "Add a route to the handbook, for example in routes.watchbill.yaml, and apply it:"
    return "\n".join(
        [*lines, "", hint, route, "Acknowledge it, and these are not paged again. Otherwise it comes again each hour."]
    )


@dataclass(frozen=True)
class Told:
    """The page that tells now of what fires and pages nobody; ``by`` acknowledged it."""

    id: UUID
    can_answer: bool
    by: str


def access_told(reader: Actor, workspace_id: UUID) -> Told | None:
    """The page about what no route takes, as a reader may answer it; None where there is none, or they may not see it."""
    if not reader.may("page.read", workspace_id):
        return None
    rows = Page.objects.filter(subject_kind=SUBJECT, subject_id=str(workspace_id), shadow=False)
    page = rows.exclude(state="ended").first()
    if page is None:
        return None
    by = names_of(reader, [page.acknowledged_by]).get(page.acknowledged_by, "somebody") if page.acknowledged_by else ""
    waits = page.acknowledged_at is None
    may = (
        reader.may("incident.respond", workspace_id) or Delivery.objects.filter(page=page, person_id=reader.id).exists()
    )
    return Told(page.id, waits and may, by)


def resolve_unrouted(reader: Actor, workspace_id: UUID, slug: str, ids: Iterable[str]) -> dict[str, Shown]:
    """What fires without a route, as a subject."""
    if not reader.may("alert.read", workspace_id):
        return {}
    url = f"{reverse('alerts', args=[slug])}?show=unrouted"
    return {one: Shown(SUBJECT, one, "alerts that page nobody", url) for one in ids}
