"""What recognisers and explicit items answer: typed values as JSON, common fields, units of a block."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from watchbill.base.cron import read_cron
from watchbill.base.durations import is_length
from watchbill.base.errors import Invalid
from watchbill.language.values.duration import Length, read_deadline
from watchbill.language.values.frequency import Frequency
from watchbill.language.values.owner import Who, read_ways

Effect = Literal["enforced", "shown", "proposed", "later"]
#: The closed list of reasons why a line can only be shown.
REASONS = (
    "no owner",
    "no time or trigger",
    "no verifiable outcome",
    "reference",
    "history",
    "template",
    "ignored by comment",
)
#: The nine kinds that are compiled to full depth; the others are typed, and enforced later.
FULL = (
    "severity",
    "contact",
    "role",
    "rota",
    "duty",
    "sla",
    "procedure",
    "troubleshooting",
    "metadata",
    "alert-runbook",
    "route",
    "escalation",
)


class Model(BaseModel):
    """Strict: an unknown field is an error with its name."""

    model_config = ConfigDict(extra="forbid")


def _length(text: str) -> str:
    if not is_length(text):
        raise ValueError(f"“{text[:40]}” is no length of time; write ISO 8601, e.g. PT15M or P5D")
    return text


class Duration(Model):
    """A length of time, ISO 8601 in the unit as written; ``business`` time counts the workspace's business hours only."""

    duration: Annotated[str, AfterValidator(_length)] = Field(description="ISO 8601, e.g. PT15M")
    business: bool = False
    at_least: str | None = Field(None, description="the near end of a range")
    note: str = ""


def duration(length: Length | None, note: str = "") -> Duration | None:
    """A length as JSON."""
    if length is None:
        return None
    return Duration(duration=length.iso, business=length.business, at_least=length.low_iso, note=note or length.note)


def _read_duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"P[\dTWYMDHS.]+", value):
        return {"duration": value}
    found = read_deadline(value)
    if found.first is None or value.lstrip().startswith(("-", "P-")):
        raise ValueError(f"“{value[:40]}” is no length of time; write “15 min”, “2 business days” or ISO 8601 (PT15M)")
    made = duration(found.first)
    return made


Time = Annotated[Duration | None, BeforeValidator(_read_duration)]


class Target(Model):
    """Somebody or something a runbook names: bound in the hub to a person, team, schedule or channel."""

    name: str
    type: Literal["role", "person", "email", "phone", "channel", "handle", "service", "url"] = "role"


def targets(found: tuple[Who, ...]) -> list[Target]:
    """Those of ``found`` that are no placeholders."""
    return [Target(name=who.name, type=who.type) for who in found if who.type != "gap"]


def _read_targets(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        found: list[Any] = []
        for one in value:
            found += targets(read_ways(one)) if isinstance(one, str) else [one]
        return found
    return value


Targets = Annotated[list[Target], BeforeValidator(_read_targets)]


class Source(Model):
    """Where an item was read."""

    path: str = ""
    line: int = 0
    end_line: int = 0


class Item(Model):
    """What all items have. ``map`` names the rows of the product's map that act on it; ``text`` is what it was read from."""

    kind: str
    key: str = Field("", max_length=200)
    name: str = Field(min_length=1, max_length=400)
    workspace: str = ""
    source: Source = Field(default_factory=Source)
    state: Literal["proposed", "shadow", "live", "ignored"] = "proposed"
    effect: Effect = "proposed"
    reason: str | None = None
    map: list[str] = Field(default_factory=list)
    text: str = ""


def _cron(text: str) -> str:
    try:
        return read_cron(text) if text.strip() else ""
    except Invalid as error:
        raise ValueError(error.detail) from None


class Recurs(Item):
    """An item that recurs: a period, or an event that triggers it, or continuously."""

    every: Time = None
    times: int = Field(1, ge=1, le=1440, description="how many times in each period")
    at: list[str] = Field(default_factory=list, description="times of day, HH:MM")
    zone: str = ""
    days: list[str] = Field(default_factory=list)
    months: list[int] = Field(default_factory=list)
    day: int | None = Field(None, description="day of the month, -1 for the last", ge=-1, le=31)
    nth: str = ""
    cron: Annotated[str, AfterValidator(_cron)] = ""
    trigger: str = ""
    within: Time = None
    continuous: bool = False


def recurrence(found: Frequency | None) -> dict[str, Any]:
    """A frequency as fields of Recurs."""
    if found is None:
        return {}
    return {
        "every": duration(found.every), "times": found.times, "at": list(found.at), "zone": found.zone, "days": list(found.days),
        "months": list(found.months), "day": found.day, "nth": found.nth, "cron": found.cron, "trigger": found.trigger,
        "within": duration(found.within), "continuous": found.continuous,
    }  # fmt: skip


@dataclass(slots=True)
class Unit:
    """One row, step, bullet, entry or sentence of a block, and what becomes of it."""

    line: int
    end_line: int
    kind: str
    text: str = ""
    effect: Effect = "shown"
    reason: str | None = None
    map: tuple[str, ...] = ()
    items: list[Item] = field(default_factory=list)
    finding: bool = False
