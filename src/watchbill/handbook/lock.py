"""`watchbill.lock`: what was accepted, beside the runbooks. A changed block or a changed compiler yields a plan, never a
silently changed policy.

The file is JSON, sorted by key, one field a line, so that a pull request shows what changed. Each entry has the item's
state, where it was read, the digest of the text it was read from, and the reading itself.
"""

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, get_args

from watchbill.language.findings import Finding, finding
from watchbill.language.items import Item

FILE = "watchbill.lock"
State = Literal["shadow", "live", "ignored"]
#: Beyond so many comparisons likeness is not asked: a folder that changed wholly is read as removed and new.
MOST_GUESSES = 40_000
#: What is no part of a reading: where it stands and what the lock itself says.
_OUTSIDE = {"key", "workspace", "source", "effect", "reason", "map", "text", "state", "kind", "name"}
#: Kinds that can be accepted. The rest is kept for reading.
ACCEPTABLE = (
    "severity", "contact", "role", "rota", "duty", "sla", "procedure", "troubleshooting", "alert-runbook", "metadata", "backup", "objective", "threshold",
    "budget-policy", "change-policy", "gate", "backlog", "route", "escalation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Locked:
    """One accepted item."""

    key: str
    kind: str
    name: str
    state: State
    path: str
    block: str
    reading: dict[str, Any]


@dataclass(slots=True)
class Lock:
    """All accepted items of a handbook."""

    compiler: int
    items: dict[str, Locked] = field(default_factory=dict)


def reading_of(item: Item) -> dict[str, Any]:
    """An item's typed fields without what is default: what was accepted. Lines of steps and conditions are left out."""
    found: dict[str, Any] = item.model_dump(mode="json", exclude=_OUTSIDE, exclude_defaults=True)
    return {key: _without_lines(value) for key, value in found.items()}


def _without_lines(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_lines(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_lines(one) for key, one in value.items() if key != "line"}
    return value


def digest(text: str) -> str:
    """A short digest of a text: enough to see that it changed."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def locked(item: Item, state: State) -> Locked:
    """An item as it is written to the lock."""
    return Locked(item.key, item.kind, item.name, state, item.source.path, digest(item.text), reading_of(item))


def dump(lock: Lock) -> str:
    """The lock file's text."""
    items = {
        one.key: {
            "kind": one.kind,
            "name": one.name,
            "state": one.state,
            "path": one.path,
            "block": one.block,
            "reading": one.reading,
        }
        for one in sorted(lock.items.values(), key=lambda one: one.key)
    }
    return json.dumps({"version": 1, "compiler": lock.compiler, "items": items}, indent=1, ensure_ascii=False) + "\n"


def parse_lock(text: str) -> tuple[Lock | None, list[Finding]]:
    """Reads a lock file. A lock that cannot be read is an error: what was accepted would be forgotten otherwise."""
    try:
        found = json.loads(text)
        if found["version"] != 1:
            return None, [finding("WB025", FILE, 1, why=f"its version is {found['version']!r}, this compiler knows 1")]
        lock = Lock(int(found["compiler"]))
        for key, one in found["items"].items():
            if one["state"] not in get_args(State):
                return None, [finding("WB025", FILE, _line_of(text, key), why=f"“{one['state']}” is no state")]
            lock.items[str(key)] = Locked(
                str(key),
                str(one["kind"]),
                str(one["name"]),
                one["state"],
                str(one["path"]),
                str(one["block"]),
                dict(one["reading"]),
            )
        return lock, []
    except json.JSONDecodeError as error:
        return None, [
            finding(
                "WB025", FILE, error.lineno, why=f"it is no JSON ({error.msg.lower()}); was a merge left unfinished?"
            )
        ]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return None, [finding("WB025", FILE, 1, why=f"a field is missing or wrong: {error}")]


def _line_of(text: str, key: str) -> int:
    at = text.find(json.dumps(key, ensure_ascii=False))
    return text.count("\n", 0, max(at, 0)) + 1


@dataclass(slots=True)
class Question:
    """Where no match is certain: was ``old`` renamed to one of ``new``, or removed and something new written?"""

    old: Locked
    new: list[Item]


@dataclass(slots=True)
class Matched:
    """Which item is which: pairs, items that are new, entries whose item is gone, and questions."""

    pairs: list[tuple[Locked, Item]] = field(default_factory=list)
    new: list[Item] = field(default_factory=list)
    gone: list[Locked] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


def match(lock: Lock, items: Iterable[Item]) -> Matched:
    """Finds each accepted item again. Items get the key they were accepted with, also after renaming and moving.

    Certain are, in this order: the same key in the same document; the same key elsewhere; the same text; the same reading
    under another name. Likeness alone is a question.
    """
    found = Matched()
    rest = [item for item in items if item.kind in ACCEPTABLE]
    left = dict(lock.items)
    readings = {id(item): reading_of(item) for item in rest}
    flat = {id(item): _flat(reading) for item, reading in ((item, readings[id(item)]) for item in rest)}
    ways: tuple[tuple[Callable[[Locked], Any], Callable[[Item], Any]], ...] = (
        (lambda old: (old.key, old.path), lambda item: (item.key, item.source.path)),
        (lambda old: old.key, lambda item: item.key),
        (lambda old: (old.block, old.path), lambda item: (digest(item.text), item.source.path)),
        (lambda old: old.reading and (_flat(old.reading), old.path), lambda item: (flat[id(item)], item.source.path)),
        (lambda old: old.reading and (_flat(old.reading), old.block), lambda item: (flat[id(item)], digest(item.text))),
    )
    for of_old, of_item in ways:
        there: dict[Any, list[Item]] = {}
        for item in rest:
            there.setdefault((item.kind, of_item(item)), []).append(item)
        wanted: dict[Any, list[Locked]] = {}
        for old in left.values():
            if of_old(old):
                wanted.setdefault((old.kind, of_old(old)), []).append(old)
        paired: set[int] = set()
        for sign, olds in wanted.items():
            fitting = there.get(sign, [])
            if len(olds) == 1 == len(fitting):
                found.pairs.append((olds[0], fitting[0]))
                paired.add(id(fitting[0]))
                del left[olds[0].key]
        rest = [item for item in rest if id(item) not in paired]
    taken: set[int] = set()
    many = len(left) * len(rest) > MOST_GUESSES
    for old in left.values():
        alike = (
            []
            if many
            else [
                item
                for item in rest
                if item.kind == old.kind and id(item) not in taken and likeness(old, item, readings[id(item)]) >= 0.6
            ]
        )
        if alike:
            found.questions.append(Question(old, alike[:5]))
            taken |= {id(item) for item in alike}
        else:
            found.gone.append(old)
    found.new = [item for item in rest if id(item) not in taken]
    keys = (
        {old.key for old, _ in found.pairs} | {one.old.key for one in found.questions} | {one.key for one in found.gone}
    )
    for old, item in found.pairs:
        item.__dict__["key"] = old.key
    for item in rest:
        # A new item may not take the key of another that was accepted.
        base, number = item.key, 2
        while item.key in keys:
            item.__dict__["key"] = f"{base}-{number}"
            number += 1
        keys.add(item.key)
    return found


def likeness(old: Locked, item: Item, reading: dict[str, Any]) -> float:
    """How alike an accepted and a present item are, 0 to 1: names and readings, most for the reading."""
    names = _ratio(old.name.lower(), item.name.lower())
    readings = _ratio(_flat(old.reading), _flat(reading))
    return max(0.4 * names + 0.6 * readings, readings if readings > 0.85 else 0.0)


def _flat(reading: dict[str, Any]) -> str:
    return json.dumps(reading, sort_keys=True, ensure_ascii=False)[:4000]


@lru_cache(maxsize=4096)
def _ratio(a: str, b: str) -> float:
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= 0.5 else 0.0
