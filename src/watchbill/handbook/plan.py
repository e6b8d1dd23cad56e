"""What accepting the present reading would change: added, changed, removed, asked; what it weakens. Pure.

A plan speaks to reviewers: “Sev1 respond: 30 min → 15 min (operations.md:20)”.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from watchbill.base.durations import words_of
from watchbill.handbook.compile import VERSION, Handbook
from watchbill.handbook.config import FILE, Config
from watchbill.handbook.lock import Lock, digest, match, reading_of
from watchbill.language.findings import Finding
from watchbill.language.items import Item
from watchbill.signals.heard import NOBODY, is_nobody
from watchbill.signals.heard import sign as sign_of

#: Longer is weaker for deadlines and periods; shorter is weaker for what is kept or announced.
LONGER = ("acknowledge", "respond", "resolve", "update", "within", "after", "every", "rpo", "rto", "rotation", "budget")
SHORTER = ("retention", "announce", "hold", "calendar")
#: Fewer is weaker.
FEWER = (
    "primary", "secondary", "owners", "approvers", "chain", "conditions", "checklist", "artefacts", "participants", "channels", "escalate", "to", "via",
    "severities", "steps", "holders", "checks", "secondary_owners", "slots", "days", "months", "at", "layers", "otherwise",
)  # fmt: skip
#: Findings that a plan and a review say, too: no alert would page anybody, or none begin an incident of a severity.
UNHEARD = ("WB121", "WB122")


@dataclass(frozen=True, slots=True)
class Change:
    """One field: before and after in words; ``weaker`` says why it weakens the policy, empty where it does not."""

    field: str
    before: str
    after: str
    weaker: str = ""


@dataclass(slots=True)
class Step:
    """What happens to one item."""

    action: Literal["add", "change", "reread", "remove", "ask"]
    key: str
    kind: str
    name: str
    state: str
    place: str
    changes: list[Change] = field(default_factory=list)
    note: str = ""
    text: str = ""

    @property
    def weakens(self) -> bool:
        """Whether this step makes the live policy weaker."""
        # What is to be answered may be a removal: until it is answered it counts as one.
        return any(change.weaker for change in self.changes) or (
            self.action in {"remove", "ask"} and self.state == "live"
        )


@dataclass(slots=True)
class Plan:
    """All steps, in the order of documents, and the digest that an approval is bound to."""

    workspace: str
    steps: list[Step] = field(default_factory=list)
    unchanged: int = 0
    errors: int = 0
    compiler: tuple[int, int] = (VERSION, VERSION)
    #: Findings about alerts that would page nobody. No part of the digest: nothing changes by them.
    warnings: list[Finding] = field(default_factory=list)

    @property
    def weakens(self) -> bool:
        """Whether any step does."""
        return any(step.weakens for step in self.steps)

    @property
    def digest(self) -> str:
        """SHA-256 over every step: what an approval of this plan, and of no other, is bound to."""
        return sha256(json.dumps(as_json(self, with_digest=False), sort_keys=True).encode()).hexdigest()


def make_plan(book: Handbook, lock: Lock | None) -> Plan:
    """Compares what was accepted with what is read now."""
    lock = lock or Lock(VERSION)
    found = book.matched or match(lock, book.items)
    plan = Plan(
        book.slug, compiler=(lock.compiler, VERSION), errors=sum(1 for one in book.findings if one.level == "error"),
        warnings=[one for one in book.findings if one.code in UNHEARD],
    )  # fmt: skip
    for old, item in found.pairs:
        reading = reading_of(item)
        changes = compare(old.reading, reading) if old.reading != reading else []
        if old.name != item.name:
            changes.insert(0, Change("name", old.name, item.name))
        place = _place(item)
        if changes:
            plan.steps.append(
                Step("change", old.key, item.kind, item.name, old.state, place, changes, text=item.text[:400])
            )
        elif old.block != digest(item.text) or old.path != item.source.path:
            note = "it moved" if old.path != item.source.path else "its words changed; what is read is the same"
            plan.steps.append(
                Step("reread", old.key, item.kind, item.name, old.state, place, note=note, text=item.text[:400])
            )
        else:
            plan.unchanged += 1
    for old in found.gone:
        plan.steps.append(Step("remove", old.key, old.kind, old.name, old.state, old.path))
    for question in found.questions:
        names = "; ".join(f"“{item.name[:60]}” ({_place(item)})" for item in question.new)
        note = f"was it renamed to {names}, or removed and something new written? Answer with --renamed {question.old.key}=KEY or --removed {question.old.key}"
        plan.steps.append(
            Step(
                "ask",
                question.old.key,
                question.old.kind,
                question.old.name,
                question.old.state,
                question.old.path,
                note=note,
            )
        )
        plan.steps += [_added(item) for item in question.new]
    # What can only be shown cannot be accepted, so it is nothing new.
    plan.steps += [_added(item) for item in found.new if item.effect != "shown"]
    plan.steps.sort(key=lambda step: (step.place.partition(":")[0], int(step.place.partition(":")[2] or 0), step.key))
    return plan


def _added(item: Item) -> Step:
    return Step("add", item.key, item.kind, item.name, "proposed", _place(item), text=item.text[:400])


def _place(item: Item) -> str:
    return f"{item.source.path}:{item.source.line}"


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """The fields of two readings that differ, and which of them weaken."""
    return [
        Change(name, words(before.get(name)), words(after.get(name)), weaker(name, before.get(name), after.get(name)))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def weaker(name: str, before: Any, after: Any) -> str:
    """Why a change weakens the policy; empty where it does not."""
    if name in LONGER or name in SHORTER:
        if before is not None and after is None:
            return "it is gone"
        if before is None:
            return ""
        a, b = seconds(before), seconds(after)
        if name in LONGER and b > a:
            return "it takes longer"
        if name in SHORTER and b < a:
            return "it is shorter"
        return (
            "business time stands still at night"
            if not before.get("business") and after.get("business") and name in LONGER
            else ""
        )
    if name == "off_hours":
        return "; ".join(
            found for key in before or {} if (found := weaker("respond", before[key], (after or {}).get(key)))
        )
    if name in FEWER:
        kept = {json.dumps(one, sort_keys=True) for one in after or []}
        lost = [one for one in before or [] if json.dumps(one, sort_keys=True) not in kept]
        return f"without {words(lost[:3])}" if lost else ""
    if name in {"all_hands", "freeze", "continuous"} and before and not after:
        return "it no longer holds"
    if name in {"trigger", "cron", "command", "rank", "severity", "pages"} and before and not after:
        return "it is gone"
    if name == "pages" and before and is_nobody(str(after)):
        return "it pages nobody"
    if name == "match":
        more = [one for one in after or [] if one not in (before or [])]
        return f"it fits fewer alerts: {words(more[:3])}" if more else ""
    if name == "repeat" and (after or 0) < (before or 0):
        return "it gives up earlier"
    if name in {"value", "consumed", "remaining"} and before is not None and after is None:
        return "it is gone"
    return ""


def seconds(value: dict[str, Any] | None) -> float:
    """The size of a duration of a reading; business days count as days of eight hours' work, nothing as endless."""
    if not value:
        return float("inf")
    text = str(value.get("duration", ""))
    number = float("".join(c for c in text if c.isdigit() or c == ".") or 0)
    unit, inside = text[-1:], "T" in text
    size = {"S": 1, "H": 3600, "D": 86400, "Y": 31557600, "W": 604800}.get(unit, 60 if inside else 2629800)
    return number * size


def words(value: Any) -> str:
    """A field's value for people."""
    if value is None or value == "" or value == []:
        return "nothing"
    if isinstance(value, dict) and "duration" in value:
        return words_of(str(value["duration"]), bool(value.get("business")))
    if isinstance(value, dict):
        return str(
            value.get("name") or value.get("text") or ", ".join(f"{key}: {words(one)}" for key, one in value.items())
        )[:120]
    if isinstance(value, list):
        return ", ".join(words(one) for one in value)[:240]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:240]


_TITLES = {
    "add": "New, proposed",
    "change": "Changed",
    "reread": "Read again, the same",
    "remove": "Removed",
    "ask": "To be answered",
}


def as_json(plan: Plan, *, with_digest: bool = True) -> dict[str, Any]:
    """The plan for other programs."""
    found: dict[str, Any] = {
        "version": 1,
        "workspace": plan.workspace,
        "compiler": {"accepted": plan.compiler[0], "now": plan.compiler[1]},
        "weakens": plan.weakens,
        "unchanged": plan.unchanged,
        "errors": plan.errors,
        "steps": [
            {
                "action": step.action, "key": step.key, "kind": step.kind, "name": step.name, "state": step.state, "place": step.place, "weakens": step.weakens,
                "note": step.note,
                "changes": [{"field": one.field, "before": one.before, "after": one.after, "weaker": one.weaker} for one in step.changes],
            }
            for step in plan.steps
        ],
    }  # fmt: skip
    if not with_digest:
        return found
    warnings = [
        {"code": one.code, "message": one.message, "hint": one.hint, "path": one.path, "line": one.line}
        for one in plan.warnings
    ]
    return found | {"digest": plan.digest, "warnings": warnings}


def _lines(step: Step) -> Iterator[str]:
    for change in step.changes:
        yield f"{change.field.replace('_', ' ')}: {change.before} → {change.after}" + (
            f"  [weaker: {change.weaker}]" if change.weaker else ""
        )
    if step.note:
        yield step.note


def as_text(plan: Plan) -> Iterator[str]:
    """The plan for people."""
    yield f"Plan for {plan.workspace}: {_summary(plan)}"
    if plan.errors:
        yield f"  It has {plan.errors} errors and cannot be accepted; see `watchbill check`."
    for one in plan.warnings:
        yield f"  Warning {one.code}: {one.message}  {one.path}:{one.line}"
        yield f"      {one.hint}"
    if plan.compiler[0] != plan.compiler[1]:
        yield f"  The compiler changed: {plan.compiler[0]} → {plan.compiler[1]}."
    for action, title in _TITLES.items():
        steps = [step for step in plan.steps if step.action == action]
        if not steps:
            continue
        yield ""
        yield f"{title}:"
        for step in steps:
            mark = " (weakens)" if step.weakens else ""
            yield f"  {step.kind} “{step.name[:80]}” [{step.state}]{mark}  {step.place}  {step.key}"
            for line in _lines(step):
                yield f"      {line}"
    if plan.weakens:
        yield ""
        yield "This plan weakens the live policy: in the hub it needs another person's approval."


def _summary(plan: Plan) -> str:
    counts = [
        f"{sum(1 for step in plan.steps if step.action == action)} {word}"
        for action, word in (("add", "new"), ("change", "changed"), ("remove", "removed"), ("ask", "to be answered"))
    ]
    return (
        ", ".join([*counts, f"{plan.unchanged + sum(1 for step in plan.steps if step.action == 'reread')} the same"])
        + "."
    )


def as_markdown(plan: Plan) -> Iterator[str]:
    """The plan as a comment on a pull request."""
    yield f"### Watchbill: plan for `{plan.workspace}`"
    yield ""
    yield _summary(plan) + (" **It weakens the live policy.**" if plan.weakens else "")
    for one in plan.warnings:
        yield ""
        yield f"⚠️ {_escape(one.message)} (`{one.path}:{one.line}`)"
    for action, title in _TITLES.items():
        steps = [step for step in plan.steps if step.action == action]
        if not steps:
            continue
        yield ""
        many = len(steps) > 10
        yield f"<details><summary>{title} ({len(steps)})</summary>\n" if many else f"**{title}**\n"
        for step in steps:
            mark = " ⚠️ weakens" if step.weakens else ""
            yield f"- {step.kind} **{_escape(step.name[:80])}** (`{step.place}`){mark}"
            for line in _lines(step):
                yield f"  - {_escape(line)}"
        if many:
            yield "\n</details>"


def _escape(text: str) -> str:
    """Text that is no Markdown and no HTML of its own, and mentions nobody."""
    for sign in "\\`*_{}[]<>#|":
        text = text.replace(sign, "\\" + sign)
    return text.replace("@", "@\u200b").replace("\n", " ")


#: Settings whose change is no change of policy by itself: what they do shows in the items.
_NO_POLICY = {"name", "slug", "immediate", "escalation_wait", "precedence", "exclude"}


def settings_changes(before: Config, after: Config) -> list[Change]:
    """What a changed watchbill.yaml does to clocks and access: fewer business hours and more days off make every business deadline later."""
    found = []
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    for name in sorted(old.keys() - _NO_POLICY):
        if old[name] == new[name]:
            continue
        weak = ""
        if name == "business_hours" and _week(new[name]) < _week(old[name]):
            weak = "business time stands still for longer"
        if name == "holidays" and new[name] != {**new[name], **{k: v for k, v in old[name].items() if k != "also"}}:
            weak = "other days are off"
        if name == "holidays" and set(new[name]["also"]) - set(old[name]["also"]):
            weak = "more days are off"
        if name == "unrouted":
            weak = _less_heard(old[name], new[name])
        if name == "groups":
            weak = "; ".join(
                f"{group} gets {role}" for group, role in new[name].items() if old[name].get(group) != role
            )
        found.append(Change(name, words(old[name]), words(new[name]), weak))
    return found


def _less_heard(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Why another `unrouted:` weakens: fewer alerts that no route takes are heard."""
    if after["pages"] == NOBODY and before["pages"] != NOBODY:
        return "alerts that no route takes page nobody"
    more = {sign_of(one) for one in after["quiet"]} - {sign_of(one) for one in before["quiet"]}
    return f"more severities page nobody without a route: {', '.join(sorted(more))}" if more else ""


def _week(hours: dict[str, Any]) -> int:
    """Minutes of business time a week."""
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (hours["start"], hours["end"]))
    return len(set(hours["days"])) * (end - start)


def policy_changes(
    before: Lock, after: Lock, before_settings: Config | None = None, after_settings: Config | None = None
) -> Plan:
    """What going from one accepted policy to another changes: the plan that an apply carries out."""
    plan = Plan("", compiler=(before.compiler, after.compiler))
    if before_settings is not None and after_settings is not None:
        changes = settings_changes(before_settings, after_settings)
        if changes:
            plan.steps.append(Step("change", "settings", "settings", FILE, "live", FILE, changes))
    strength = {"ignored": 0, "shadow": 1, "live": 2}
    for key in sorted(before.items.keys() | after.items.keys()):
        old, new = before.items.get(key), after.items.get(key)
        if old is None and new is not None:
            plan.steps.append(Step("add", key, new.kind, new.name, new.state, new.path))
        elif old is not None and new is None:
            plan.steps.append(Step("remove", key, old.kind, old.name, old.state, old.path))
        elif old is not None and new is not None:
            changes = compare(old.reading, new.reading)
            if old.name != new.name:
                changes.insert(0, Change("name", old.name, new.name))
            if old.state != new.state:
                weak = "it no longer acts" if old.state == "live" and strength[new.state] < strength[old.state] else ""
                changes.insert(0, Change("state", old.state, new.state, weak))
            if old.state != "live":
                changes = [Change(one.field, one.before, one.after) for one in changes]
            if changes:
                plan.steps.append(Step("change", key, new.kind, new.name, new.state, new.path, changes))
            else:
                plan.unchanged += 1
    return plan
