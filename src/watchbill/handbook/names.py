"""Names in runbooks (a title, a rotation, a channel): which there are, and which an item needs to act. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from watchbill.cadence.spec import Duty
from watchbill.incidents.spec import Severity
from watchbill.language.items import Item, Target
from watchbill.language.names import canonical
from watchbill.oncall.spec import Rota
from watchbill.paging.spec import Escalation
from watchbill.people.spec import Contact

Sort = Literal["somebody", "channel"]
_SOMEBODY = {"role", "person", "handle"}
#: Channels and schedules arrive with their features; until then nothing waits for them.
_CHANNEL = {"channel", "service"}


@dataclass(slots=True)
class Name:
    """A name as it is first written, how many items name it, and the keys of those that cannot act without it."""

    text: str
    sort: Sort
    items: int = 0
    needed_by: list[str] = field(default_factory=list)


def needed(item: Item) -> list[str]:
    """The names without which an item cannot act: whom it pages, who has to do it."""
    if isinstance(item, Contact):
        steps = [*item.to, *item.chain]
        return steps or ([item.name] if item.primary or item.secondary else [])
    if isinstance(item, Duty):
        return [one.name for one in item.owners if one.type in _SOMEBODY]
    if isinstance(item, Rota):
        on = [*item.participants, *(one for slot in item.slots for one in (*slot.primary, *slot.secondary))]
        on += [one for layer in item.layers for one in layer.participants]
        return [one.name for one in on if one.type in _SOMEBODY]
    if isinstance(item, Escalation):
        paged = [one for step in item.steps for one in step.to]
        return [one.name for one in [*paged, *item.otherwise] if one.type in _SOMEBODY]
    if isinstance(item, Severity):
        return list(item.escalate)
    return []


def _targets(value: Any) -> Iterator[Target]:
    if isinstance(value, Target):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _targets(one)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _targets(getattr(value, name))


def names_of(items: Iterable[Item]) -> dict[str, Name]:
    """All names of some items by their canonical form."""
    found: dict[str, Name] = {}
    for item in items:
        here: dict[str, tuple[str, Sort]] = {}
        for one in _targets(item):
            if one.type in _SOMEBODY | _CHANNEL:
                here.setdefault(canonical(one.name), (one.name, "channel" if one.type in _CHANNEL else "somebody"))
        wanted = {canonical(name): name for name in needed(item)}
        here |= {key: (name, "somebody") for key, name in wanted.items() if key not in here}
        for key, (text, sort) in here.items():
            if not key:
                continue
            name = found.setdefault(key, Name(text, sort))
            name.items += 1
            if key in wanted and name.sort == "somebody":
                name.needed_by.append(item.key)
    return found


def unbound(items: Iterable[Item], bound: Mapping[str, Any] | set[str]) -> dict[str, Name]:
    """The names that live items need and that nobody bound."""
    return {
        key: name
        for key, name in names_of(item for item in items if item.state == "live").items()
        if name.needed_by and key not in bound
    }
