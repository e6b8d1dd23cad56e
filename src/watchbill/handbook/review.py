"""What a person decides about a handbook that was read: its rows, and the lock that their choices make. Pure.

The command line does the same on whole files (`watchbill accept`); here each item is a row that waits for its answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from watchbill.handbook.compile import VERSION, Handbook
from watchbill.handbook.lock import ACCEPTABLE, Lock, Locked, State, digest, match, reading_of
from watchbill.handbook.names import needed
from watchbill.handbook.plan import make_plan
from watchbill.language.names import canonical

Action = Literal["add", "change", "same", "remove", "ask"]
#: What may be chosen for a row that is there: a state. For one that is gone: “gone”. For a question: “gone” or “is:KEY”.
STATES: tuple[State, ...] = ("live", "shadow", "ignored")
#: Rows that hold up an apply until they are decided: what is live is what was accepted, to the letter.
PENDING = ("change", "remove", "ask")


@dataclass(slots=True)
class Row:
    """One item: what is read, how it was accepted before, and what would change."""

    key: str
    kind: str
    name: str
    action: Action
    state: str
    effect: str
    path: str
    line: int = 0
    end_line: int = 0
    text: str = ""
    block: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)
    changes: list[list[str]] = field(default_factory=list)
    weakens: bool = False
    answers: list[list[str]] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    choice: str = ""


def rows_of(book: Handbook, lock: Lock) -> list[Row]:
    """All rows in the order of the documents. What can only be shown is none: nothing could act on it."""
    matched = book.matched or match(lock, book.items)
    steps = {step.key: step for step in make_plan(book, lock).steps}
    accepted = {id(item) for _, item in matched.pairs}
    rows = []
    for item in book.items:
        if item.kind not in ACCEPTABLE or (item.effect == "shown" and id(item) not in accepted):
            continue
        step = steps.get(item.key)
        changed = step is not None and step.action == "change"
        rows.append(
            Row(
                key=item.key, kind=item.kind, name=item.name, action="change" if changed else "same" if id(item) in accepted else "add",
                state=item.state if id(item) in accepted else "proposed", effect=item.effect, path=item.source.path, line=item.source.line,
                end_line=item.source.end_line, text=item.text, block=digest(item.text), data=item.model_dump(mode="json"), reading=reading_of(item),
                changes=[[one.field, one.before, one.after, one.weaker] for one in step.changes] if changed and step else [],
                weakens=bool(changed and step and step.weakens and item.state == "live"), needs=list({canonical(name): name[:200] for name in needed(item) if canonical(name)}.values()),
            )
        )  # fmt: skip
    for gone in matched.gone:
        rows.append(
            Row(gone.key, gone.kind, gone.name, "remove", gone.state, "shown", gone.path, weakens=gone.state == "live")
        )
    for question in matched.questions:
        old = question.old
        answers = [[item.key, item.name, f"{item.source.path}:{item.source.line}"] for item in question.new]
        row = Row(old.key, old.kind, old.name, "ask", old.state, "shown", old.path, weakens=old.state == "live")
        row.answers = answers
        rows.append(row)
    rows.sort(key=lambda row: (row.path, row.line, row.key))
    return rows


def allowed(row: Row) -> list[str]:
    """What may be chosen for a row."""
    if row.action == "remove":
        return ["gone"]
    if row.action == "ask":
        return ["gone", *(f"is:{answer[0]}" for answer in row.answers)]
    return list(STATES)


def lock_of(base: Lock, rows: Iterable[Row]) -> Lock:
    """The lock with the choices in it. What nobody chose stays as it was accepted; what only moved is noted where it is now."""
    rows = list(rows)
    by_key = {row.key: row for row in rows if row.action not in ("remove", "ask")}
    entries = dict(base.items)
    for row in rows:
        if row.action in ("remove", "ask"):
            continue
        if row.choice in STATES:
            entries[row.key] = _entry(row, row.key, row.choice)
        elif row.action == "same" and row.key in entries:
            entries[row.key] = _entry(row, row.key, entries[row.key].state)
    for row in rows:
        if row.action not in ("remove", "ask") or not row.choice:
            continue
        old = entries.pop(row.key, None)
        to = by_key.get(row.choice.removeprefix("is:")) if row.choice.startswith("is:") else None
        if old is not None and to is not None:
            entries.pop(to.key, None)
            entries[row.key] = _entry(to, row.key, old.state)
    return Lock(VERSION, entries)


def _entry(row: Row, key: str, state: State) -> Locked:
    return Locked(key, row.kind, row.name, state, row.path, row.block, row.reading)


def undecided(rows: Iterable[Row]) -> list[Row]:
    """The rows that hold up an apply."""
    return [row for row in rows if row.action in PENDING and not row.choice]
