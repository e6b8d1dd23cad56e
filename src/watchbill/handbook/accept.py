"""Accepting: which items go to the lock, in which state. Pure; the caller writes the file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchbill.handbook.compile import VERSION, Handbook
from watchbill.handbook.lock import ACCEPTABLE, Lock, State, locked, match


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose: everything, documents, keys; the state; answers to the plan's questions."""

    everything: bool = False
    documents: Iterable[str] = ()
    keys: Iterable[str] = ()
    state: State = "live"
    renamed: Mapping[str, str] | None = None
    removed: Iterable[str] = ()


def accept_items(book: Handbook, choice: Choice) -> tuple[Lock, list[str], int]:
    """The new lock, what stands in the way (then the lock is not to be written), and how many items were accepted.

    Entries that nobody chose stay as they were accepted. A chosen document's entries whose items are gone go, too. An item
    that can only be shown is not accepted: nothing could act on it.
    """
    old = book.lock or Lock(VERSION)
    found = book.matched or match(old, book.items)
    problems: list[str] = []
    by_key = {item.key: item for item in book.items}
    renamed, removed = dict(choice.renamed or {}), set(choice.removed)
    documents = set(choice.documents)
    paths = {item.source.path for item in book.items} | {entry.path for entry in old.items.values()}
    problems += [f"there is no document {name!r} with items" for name in sorted(documents - paths)]
    problems += [
        f"there is no item {key!r}; `watchbill plan` lists the keys"
        for key in choice.keys
        if key not in by_key and key not in old.items
    ]
    entries = dict(old.items)
    for key in removed:
        if entries.pop(key, None) is None:
            problems.append(f"there is no accepted item {key!r}")
    for before, after in renamed.items():
        item = by_key.get(after)
        if before not in entries or item is None or item.kind != entries[before].kind:
            problems.append(f"{before!r} cannot be {after!r}: both must be there, and of one kind")
            continue
        state = entries.pop(before).state
        item.key = before
        entries[before] = locked(item, state)
    chosen = set(choice.keys)
    for question in found.questions:
        key = question.old.key
        asked = choice.everything or question.old.path in documents or key in chosen
        if asked and key not in renamed and key not in removed:
            problems.append(f"{key} is not there any more: say --renamed {key}=KEY or --removed {key}")
    count = 0
    for gone in found.gone:
        if choice.everything or gone.path in documents or gone.key in chosen:
            entries.pop(gone.key, None)
    taken = set(renamed.values())
    for item in book.items:
        if item.kind not in ACCEPTABLE or item.key in taken:
            continue
        if not (choice.everything or item.source.path in documents or item.key in chosen):
            continue
        if item.state == "proposed" and item.effect == "shown" and choice.state != "ignored":
            if item.key in chosen:
                problems.append(f"{item.key} can only be shown ({item.reason}); mend the runbook first")
            continue
        keep = item.state if choice.everything and item.state in {"ignored", "shadow"} else choice.state
        entries[item.key] = locked(item, keep)
        count += 1
    return Lock(VERSION, entries), problems, count
