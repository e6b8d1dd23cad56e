"""From the live handbook to what runs: routes, schedules, escalations, severities with their clocks, guides.

Names become whom they are bound to at this moment; it runs again whenever a handbook is applied, a name is bound, or somebody
left. What has begun keeps what was stamped on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction

from watchbill.base.calendar import DAYS, Calendar
from watchbill.base.durations import read_span
from watchbill.base.errors import Invalid
from watchbill.clocks.rules import Policy, policy_json
from watchbill.handbook.models import Binding, PolicyItem, Revision
from watchbill.handbook.rotas import layers_of
from watchbill.incidents.commands import replace_severities
from watchbill.incidents.models import Guide, SeverityLevel
from watchbill.language.names import canonical, severity_name
from watchbill.oncall.commands import Plan, replace_schedules
from watchbill.oncall.models import Schedule
from watchbill.oncall.queries import layer_json
from watchbill.paging.commands import replace_policies
from watchbill.paging.models import Channel
from watchbill.paging.models import Policy as Escalation
from watchbill.paging.roster import OWNERS, TELL
from watchbill.paging.roster import keep as keep_roster
from watchbill.paging.spec import confirms_roster
from watchbill.people.models import Membership, Person, Team, TeamMember
from watchbill.runtime.isolation import clear_failure, database_is_gone, note_failure
from watchbill.runtime.now import now
from watchbill.signals.commands import replace_routes
from watchbill.signals.models import Route
from watchbill.signals.spec import window_of
from watchbill.signals.unrouted import Setting

# The compiler is imported where it is used: a web process starts faster without it.
if TYPE_CHECKING:
    from watchbill.cadence.spec import Duty
    from watchbill.handbook.config import Config
    from watchbill.language.items import Duration, Target
    from watchbill.oncall.spec import Rota
    from watchbill.people.spec import Contact

RUNS = ("live", "shadow")
#: The unit of work under which a workspace is recorded whose handbook could not be brought up to date.
BRINGING = "handbook at start"
_KINDS = ("severity", "contact", "rota", "route", "escalation", "alert-runbook", "troubleshooting", "duty")


def bring(workspace_id: UUID) -> None:
    """Makes the live handbook run. A part of the commands that apply a handbook and bind names; they write the entries."""
    from watchbill.handbook.config import read_text
    from watchbill.handbook.kinds import KINDS

    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").first()
    if live is None:
        return
    with connection.cursor() as cursor:
        # One at a time for a workspace: two would meet in the constraints.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('handbook.bring'), hashtext(%s))", [str(workspace_id)])
    rows = PolicyItem.objects.filter(revision=live, kind__in=_KINDS, state__in=RUNS).order_by("path", "line", "key")
    items: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for row in rows:
        items[row.kind].append(KINDS[row.kind].model_validate(row.data))
    made = _Made(workspace_id, read_text(live.config), _Names(workspace_id))
    schedules = [plan for rota in items["rota"] for plan in made.schedules(rota)]
    kept = replace_schedules(workspace_id=workspace_id, plans=schedules)
    for plan in schedules:
        made.names.schedules.setdefault(canonical(plan.name), (kept[plan.key], plan.name))
    for rota in items["rota"]:
        # “Platform engineer on-call (rotates weekly)”: the name means whoever is on, not everybody who takes turns.
        if rota.key in kept and len(rota.participants) == 1 and not rota.layers and not rota.slots:
            name = rota.participants[0].name
            made.names.schedules.setdefault(canonical(name), (kept[rota.key], name))
    policies = [*made.escalations(items["escalation"]), *made.contacts(items["contact"])]
    levels = made.severities(items["severity"], items["contact"])
    asked, roster = made.roster(items["duty"])
    replace_policies(workspace_id=workspace_id, policies=[*policies, *made.ladders, *asked])
    keep_roster(workspace_id, roster)
    replace_routes(
        workspace_id=workspace_id, routes=made.routes(items["route"]), revision=live.number, unrouted=made.unrouted()
    )
    replace_severities(
        workspace_id=workspace_id, levels=levels, guides=made.guides(items["alert-runbook"], items["troubleshooting"])
    )


def bring_all() -> int:
    """Every workspace's, when a worker starts: what a newer release makes of a handbook, and the holidays of years to come. Answers how many."""
    count = 0
    for workspace_id in Revision.objects.order_by().values_list("workspace_id", flat=True).distinct():
        try:
            with transaction.atomic():
                bring(workspace_id)
                clear_failure(BRINGING, str(workspace_id))
                count += 1
        except Exception as error:
            # What runs there stays as it was; the others are brought up to date all the same.
            if database_is_gone():
                raise
            note_failure(BRINGING, str(workspace_id), error)
    return count


def owners_of(workspace_id: UUID, paths: Iterable[str]) -> list[dict[str, Any]]:
    """The owners of documents of the live handbook whose names are bound, as targets of a page."""
    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").first()
    rows = PolicyItem.objects.filter(revision=live, kind="metadata", path__in=list(paths)).order_by("path", "line")
    told = [(one["name"], row.path) for row in rows for one in row.data.get("owners", [])]
    if not told:
        return []
    names = _Names(workspace_id)
    found = [names.target(name, f"{name} owns {path}") for name, path in told]
    return list({(one["kind"], one["id"]): one for one in found if one["kind"] != "none"}.values())


class _Names:
    """Whom the names of a workspace's runbooks mean now."""

    def __init__(self, workspace_id: UUID) -> None:
        self.bound = {
            one.name: (one.target_kind, one.target_id) for one in Binding.objects.filter(workspace_id=workspace_id)
        }
        ids = {
            kind: [target for one, target in self.bound.values() if one == kind]
            for kind in ("person", "team", "schedule", "channel")
        }
        self.persons = dict(Person.objects.filter(id__in=ids["person"]).values_list("id", "name"))
        self.teams = dict(Team.objects.filter(workspace_id=workspace_id).values_list("id", "name"))
        self.channels = dict(
            Channel.objects.filter(workspace_id=workspace_id, removed_at=None).values_list("id", "name")
        )
        self.schedules: dict[str, tuple[UUID, str]] = {}
        self.known_schedules = dict(
            Schedule.objects.filter(workspace_id=workspace_id, retired_at=None).values_list("id", "name")
        )
        self.workspace_id = workspace_id

    def target(self, name: str, why: str = "") -> dict[str, Any]:
        """A name as a target, with what the runbook ``said``; nobody, with the reason, where it means nobody."""
        key = canonical(name)
        kind, target_id = self.bound.get(key, ("", None))
        shown = {
            "person": self.persons,
            "team": self.teams,
            "schedule": self.known_schedules,
            "channel": self.channels,
        }.get(kind, {})
        there = target_id is not None and target_id in shown
        # A rota of that very name: whoever is on, not everybody who takes turns.
        if key in self.schedules and (kind in ("", "person", "team") or not there):
            schedule_id, title = self.schedules[key]
            return {"kind": "schedule", "id": str(schedule_id), "name": title, "why": why or name, "said": name[:200]}
        if target_id is not None and there:
            return {
                "kind": kind,
                "id": str(target_id),
                "name": str(shown[target_id]),
                "why": why or name,
                "said": name[:200],
            }
        return {
            "kind": "none",
            "id": "",
            "name": name[:200],
            "why": why or name,
            "reason": f"“{name[:80]}” is not bound to anybody",
        }

    def one(self, target: Target, why: str) -> dict[str, Any] | None:
        """A target of a runbook. An address is itself; a channel or service counts only where it is bound."""
        if target.type == "email":
            return {"kind": "email", "id": target.name, "name": target.name, "why": why}
        if target.type in ("phone", "url"):
            return None
        found = self.target(target.name, why)
        return found if found["kind"] != "none" or target.type not in ("channel", "service") else None

    def persons_of(self, target: Target) -> list[str]:
        """The persons that a participant of a rota means: a team takes turns as its members, by name."""
        kind, target_id = self.bound.get(canonical(target.name), ("", None))
        if kind == "person" and target_id is not None:
            here = Membership.objects.filter(
                workspace_id=self.workspace_id, person_id=target_id, ended_at=None, person__active=True
            )
            return [str(target_id)] if here.exists() else []
        if kind == "team" and target_id is not None:
            rows = TeamMember.objects.filter(workspace_id=self.workspace_id, team_id=target_id, person__active=True)
            return [str(one) for one in rows.order_by("person__name", "person_id").values_list("person_id", flat=True)]
        return []


@dataclass
class _Made:
    """What a handbook becomes."""

    workspace_id: UUID
    config: Config
    names: _Names
    ladders: list[Escalation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calendar = _calendar(self.config)
        self.wait = _seconds(self.config.escalation_wait, 300.0)

    # Routes

    def routes(self, items: Sequence[Any]) -> list[Route]:
        """Routes in the order of files and lines."""
        return [
            Route(
                workspace_id=self.workspace_id, key=one.key, position=number, name=one.name[:200], state=one.state, match=one.match, severity=one.severity,
                pages=one.pages, group_by=one.group_by, reason=one.because, path=one.source.path, line=one.source.line,
                reopen_within=None if one.reopen_within is None else window_of(one.reopen_within),
            )
            for number, one in enumerate(items)
        ]  # fmt: skip

    def unrouted(self) -> Setting:
        """What happens to alerts that no route takes."""
        from watchbill.handbook.config import FILE

        told = self.config.unrouted
        return Setting(told.pages, told.reason, tuple(told.quiet), path=FILE, line=self.config.line_of("unrouted"))

    # Schedules

    def schedules(self, rota: Rota) -> list[Plan]:
        """A schedule for each level of a rota. A shadow rota is none: who would be on call by it stands in Review."""
        if rota.state != "live":
            return []
        found = []
        for level, layers, problems in layers_of(rota, self.config, self.names.persons_of):
            suffix, name = ("", rota.name) if level == "primary" else (f"#{level}", f"{rota.name} ({level})")
            found.append(
                Plan(
                    f"{rota.key}{suffix}",
                    name[:200],
                    level,
                    [layer_json(one) for one in layers],
                    problems,
                    rota.source.path,
                    rota.source.line,
                )
            )
        return found

    # Escalations

    def _policy(
        self, item: Any, steps: Sequence[tuple[float, list[dict[str, Any]]]], names: Iterable[str], **more: Any
    ) -> Escalation:
        return Escalation(
            workspace_id=self.workspace_id, key=item.key, name=item.name[:200], names=sorted({canonical(one) for one in names if canonical(one)}),
            state=item.state, steps=[{"after": 0.0 if number == 0 else after, "targets": targets} for number, (after, targets) in enumerate(steps)],
            path=item.source.path, line=item.source.line, **more,
        )  # fmt: skip

    def escalations(self, items: Sequence[Any]) -> list[Escalation]:
        """Escalations as they are written."""
        made = []
        for item in items:
            steps = [(_seconds(step.after, self.wait), self._targets(step.to, item.name)) for step in item.steps]
            made.append(
                self._policy(
                    item,
                    steps,
                    [item.name, item.key],
                    repeat=item.repeat,
                    otherwise=self._targets(item.otherwise, item.name),
                )
            )
        return made

    def _targets(self, targets: Sequence[Target], why: str) -> list[dict[str, Any]]:
        found = (
            self.names.one(one, f"{why}: {one.name}") or self.names.target(one.name, f"{why}: {one.name}")
            for one in targets
        )
        return list(found)

    def contacts(self, items: Sequence[Contact]) -> list[Escalation]:
        """Every contact as an escalation of its own: whom its name means, with where its first column points; then its second; then its chain."""
        return [self._policy(one, steps, [one.name, one.key]) for one in items if (steps := self._contact_steps(one))]

    def _contact_steps(self, one: Contact) -> list[tuple[float, list[dict[str, Any]]]]:
        wait = _seconds(one.after, self.wait)
        if one.chain or one.to:
            return [(wait, [self.names.target(name, f"{one.name}: {name}")]) for name in [*one.to, *one.chain]]
        named = self.names.target(one.name)
        first = [] if named["kind"] == "none" else [named]
        for target in one.primary:
            made = self.names.one(target, one.name)
            # A bound person has own ways; the address in the runbook is for a name that means nobody else.
            if (
                made is not None
                and made["kind"] != "none"
                and not (made["kind"] == "email" and named["kind"] in ("person", "schedule"))
            ):
                first += [made] if made not in first else []
        if not first and one.via:
            first = [
                made for name in one.via if (made := self.names.target(name, f"{one.name}: {name}"))["kind"] != "none"
            ]
        # One that means nobody stays: “Can this hub page?” and Contacts name it, and a page says who was not there.
        second = [
            made for target in one.secondary if (made := self.names.one(target, f"{one.name}, secondary")) is not None
        ]
        return [step for step in ((0.0, first or ([named] if one.primary else [])), (wait, second)) if step[1]]

    # Severities

    def severities(self, items: Sequence[Any], contacts: Sequence[Contact]) -> list[SeverityLevel]:
        """Severities with their clocks, and by which escalations each pages: its own chain, contacts that name it, the general ladder."""
        ladder = self._ladder(contacts)
        levels = []
        for item in items:
            sign = severity_name(item.name)
            mine = [one for one in contacts if sign in {severity_name(each) for each in one.severities}]
            pages: list[str] = []
            if item.escalate:
                pages.append(
                    self._joined(
                        item,
                        "chain",
                        [(self.wait, [self.names.target(name, f"{item.name}: {name}")]) for name in item.escalate],
                    )
                )
            steps = [
                step
                for one in sorted(mine, key=lambda one: _seconds(one.after, 0.0))
                if one.within is None
                for step in self._contact_steps(one)
            ]
            if steps:
                pages.append(self._joined(item, "contacts", steps))
            if ladder:
                pages.append(ladder)
            levels.append(
                SeverityLevel(
                    workspace_id=self.workspace_id, key=item.key, name=item.name[:200], canonical=sign, rank=item.rank, state=item.state,
                    definition=item.definition[:2000], clocks=self._clocks(item), off_hours=self._off_hours(item), calendar={}, pages=pages,
                    all_hands=item.all_hands, briefs=self._briefs(mine), path=item.source.path, line=item.source.line,
                )
            )  # fmt: skip
        return levels

    def roster(self, duties: Sequence[Duty]) -> tuple[list[Escalation], Policy | None]:
        """Whoever confirms the contact roster, as an escalation of one step, and the clock of how often; nothing where no duty says so."""
        for duty in duties:
            if duty.state == "live" and duty.every and confirms_roster([duty.name, *duty.activities, *duty.checklist]):
                targets = [self.names.target(one.name, f"{duty.name}: {one.name}") for one in duty.owners]
                made = self._policy(duty, [(0.0, targets)], [])
                made.key = OWNERS
                return [made], Policy(duty.every.duration, duty.every.business, (TELL,), self.calendar)
        return [], None

    def _joined(self, item: Any, what: str, steps: list[tuple[float, list[dict[str, Any]]]]) -> str:
        name = f"{item.key}#{what}"
        made = self._policy(item, steps, [name])
        made.key, made.name = name, f"{item.name[:160]}: escalation"
        self.ladders.append(made)
        return canonical(name)

    def _ladder(self, contacts: Sequence[Contact]) -> str:
        """The steps of an escalation ladder (“Level 1, Level 2 …”) of the first document that has one."""
        rungs = [one for one in contacts if one.level is not None and not one.severities and one.state == "live"]
        rungs = sorted(
            (one for one in rungs if one.source.path == rungs[0].source.path), key=lambda one: one.level or 0
        )
        if len(rungs) < 2:
            return ""
        steps = []
        for one in rungs:
            named = [
                made
                for target in one.primary
                if (made := self.names.one(target, one.name)) is not None and made["kind"] != "none"
            ]
            own = self.names.target(one.name)
            targets = named or (
                [own]
                if own["kind"] != "none"
                else [self.names.target(target.name, one.name) for target in one.primary[:1]]
            )
            if targets:
                steps.append((_seconds(one.after, self.wait), targets))
        if not steps:
            return ""
        policy = self._policy(rungs[0], steps, ["escalation ladder"])
        policy.key, policy.name = f"{rungs[0].key}#ladder", "Escalation ladder"
        self.ladders.append(policy)
        return "escalation ladder"

    def _clock(self, length: Duration | None) -> dict[str, Any] | None:
        """A clock of a length of time; none where it is none (“0 min”): the handbook still runs, and Review shows the row without a clock."""
        try:
            return policy_json(Policy(length.duration, length.business, calendar=self.calendar)) if length else None
        except Invalid:
            return None

    def _clocks(self, item: Any) -> dict[str, Any]:
        found = {kind: self._clock(getattr(item, kind)) for kind in ("acknowledge", "respond", "update", "resolve")}
        return {kind: one for kind, one in found.items() if one}

    def _off_hours(self, item: Any) -> dict[str, Any]:
        found = {kind: self._clock(length) for kind, length in item.off_hours.items()}
        return {kind: one for kind, one in found.items() if one}

    def _briefs(self, contacts: Sequence[Contact]) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name[:200], "within": one.within.duration,
                "targets": [self.names.target(name, one.name) for name in one.to] or [self.names.target(one.name, one.name)],
            }
            for one in contacts
            if one.within is not None and (one.to or one.primary) and one.state == "live"
        ]  # fmt: skip

    # Guides

    def guides(self, pages: Sequence[Any], symptoms: Sequence[Any]) -> list[Guide]:
        """Pages of alerts, and symptoms."""
        common = {"workspace_id": self.workspace_id}
        found = [
            Guide(
                **common, key=one.key, alert=one.alert[:400], exact=True, title=one.name[:300], meaning=(one.meaning or one.impact)[:1000],
                steps=[*one.diagnosis, *one.mitigation][:30], path=one.source.path, line=one.source.line,
            )
            for one in pages
        ]  # fmt: skip
        return found + [
            Guide(
                **common, key=one.key, alert=one.symptom[:400], exact=False, title=one.name[:300], meaning="; ".join(one.causes)[:1000],
                steps=[*one.checks, *one.mitigation][:30], path=one.source.path, line=one.source.line,
            )
            for one in symptoms
        ]  # fmt: skip


def _seconds(length: Duration | None, default: float) -> float:
    """A wait in seconds: whole calendar time, since somebody waits to be paged; at most thirty days."""
    try:
        span = read_span(length.duration) if length else None
    except Invalid:
        # “At once”: no time at all.
        return 0.0
    if span is None:
        return default
    return min(span.seconds + span.days * 86400 + span.months * 30 * 86400, 30 * 86400.0)


def _calendar(config: Config) -> Calendar:
    """A handbook's business time for clocks: its hours, and its holidays from last year on for the next five."""
    from watchbill.handbook.simulate import holidays_of

    first = now().year - 1
    off = set(config.holidays.also)
    if config.holidays.country:
        for year in range(first, first + 7):
            off |= set(holidays_of(config.holidays.country, config.holidays.subdivision, year))
    hours = config.business_hours
    return Calendar(
        config.time_zone, frozenset(DAYS.index(day) for day in hours.days), time.fromisoformat(hours.start), time.fromisoformat(hours.end), frozenset(off),
    )  # fmt: skip
