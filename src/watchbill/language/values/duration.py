"""Durations and deadlines as runbooks write them.

A length keeps the unit as written: “48 hours” is PT48H and “2 days” is P2D; “5 business days” is P5D in business time. A
range keeps both ends and its deadline is the far one.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Literal

from watchbill.language.values.gaps import is_gap

Unit = Literal["ms", "second", "minute", "hour", "day", "week", "month", "year"]
_SECONDS = {"ms": 0.001, "second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2629800, "year": 31557600}  # fmt: skip
_WORDS = {"a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "ten": 10.0, "twelve": 12.0, "fifteen": 15.0, "thirty": 30.0, "sixty": 60.0, "ninety": 90.0, "half": 0.5}  # fmt: skip
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\b(?:an?|one|two|three|four|five|six|seven|eight|ten|twelve|fifteen|thirty|sixty|ninety|half(?: an?)?)\b)"
_UNIT = r"(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|min|m|hours?|hrs?|hr|h|business days?|days?|d|weeks?|wks?|w|months?|mos?|quarters?|years?|yrs?|y)"
_LENGTH = re.compile(
    rf"(?P<sign>[<>≤≥~≈=]=?\s*|\b(?:under|within|less than|up to|at most|max(?:imum)?|no (?:more|later) than|approx(?:imately|\.)?|about|around|over|more than|at least|T\s?\+)\s*)?"
    rf"(?P<low>{_NUMBER})(?:\s*(?P<lowunit>{_UNIT})?\s*(?:-{{1,2}}|–|—|to)\s*(?P<high>{_NUMBER}))?"
    rf"[\s-]*(?P<kind>business|working|work|calendar|consecutive)?[\s-]*(?P<unit>{_UNIT})(?![\w%/])(?!\.\d)",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\b(?:(?:by )?(?:the )?(?:end of (?:the )?)?(?:next|following|same|1) (?:business|working|work)[ -]day|next day|same day|(?:by )?end of (?:the )?(?:business )?day|EOD|COB|NBD|next BD)\b", re.IGNORECASE)  # fmt: skip
_NOW = re.compile(r"\b(?:immediate(?:ly)?|instant(?:ly|aneous)?|asap|as soon as possible|right away|at once|straight away|without (?:undue )?delay|drop everything|now)\b", re.IGNORECASE)  # fmt: skip
_NONE = re.compile(r"^\W*(?:n/?a|none|no (?:sla|target|guarantee|commitment|clock)\b.*|best[ -]efforts?\b.*|varies|variable|not applicable|as (?:time|capacity|available).*|when(?:ever)? possible|discretionary|backlog|flexible|n\.a\.|[-–—]+)?\W*$", re.IGNORECASE)  # fmt: skip
_FOREVER = re.compile(r"\b(?:indefinite(?:ly)?|forever|permanent(?:ly)?|lifetime|unlimited|never (?:deleted|expires?|purged))\b", re.IGNORECASE)  # fmt: skip
_BUSINESS = re.compile(r"\b(?:business|working|office|work)[ -](?:hours?|days?|time)\b|\(business\)", re.IGNORECASE)
_OFF_HOURS = re.compile(
    r"^\s*outside\b|\b(?:after|out[- ]of|outside|off|non)[- ]?(?:of )?(?:business|office|working)?[ -]?hours?\b",
    re.IGNORECASE,
)
_ZERO = re.compile(r"^\W*(?:T\s?\+\s?)?0(?:\s*(?:s|sec(?:onds?)?|m|min(?:utes?)?|h|hours?|days?|data loss))?\b(?!\.\d|\d|[-–])", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Length:
    """A length of time. ``low`` is the near end of a range; ``sign`` what stood before it (<, ≤, ~, T+)."""

    count: float
    unit: Unit
    business: bool = False
    low: float | None = None
    sign: str = ""
    note: str = ""

    @property
    def seconds(self) -> float:
        """Its size in seconds; a month is 30.4 days, a year 365.25."""
        return self.count * _SECONDS[self.unit]

    @property
    def span(self) -> timedelta:
        """As a timedelta, business time counted like any other."""
        return timedelta(seconds=self.seconds)

    @property
    def iso(self) -> str:
        """ISO 8601, in the unit as written."""
        return _iso(self.count, self.unit)

    @property
    def low_iso(self) -> str | None:
        """The near end of a range."""
        return None if self.low is None else _iso(self.low, self.unit)


def _iso(count: float, unit: Unit) -> str:
    if unit == "week":
        count, unit = count * 7, "day"
    if unit in {"day", "month", "year"} and count != int(count):
        count, unit = count * _SECONDS[unit] / 3600, "hour"
    if unit in {"hour", "minute"} and count != int(count):
        count, unit = (count * 60, "minute") if unit == "hour" else (count * 60, "second")
        if unit == "minute" and count != int(count):
            count, unit = count * 60, "second"
    if unit == "ms":
        count, unit = count / 1000, "second"
    number = f"{count:.3f}".rstrip("0").rstrip(".") if count != int(count) else str(int(count))
    letter = {"second": "S", "minute": "M", "hour": "H", "day": "D", "month": "M", "year": "Y"}[unit]
    return f"P{number}{letter}" if unit in {"day", "month", "year"} else f"PT{number}{letter}"


def _unit(text: str) -> tuple[Unit, float]:
    word = text.lower()
    if word.startswith(("ms", "milli")):
        return "ms", 1
    if word.startswith("mo"):
        return "month", 1
    if word.startswith("q"):
        return "month", 3
    if word.startswith("business"):
        return "day", 1
    known: dict[str, Unit] = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "y": "year"}
    return known[word[0]], 1


def _number(text: str) -> float:
    word = text.lower().split()[0]
    return _WORDS[word] if word in _WORDS else float(text.replace(",", ""))


@dataclass(frozen=True, slots=True)
class Found:
    """A length in a text, with where it stands."""

    length: Length
    start: int
    end: int


@lru_cache(maxsize=8192)
def find_lengths(text: str) -> tuple[Found, ...]:
    """All lengths of time in a text, in order."""
    found: list[Found] = []
    for match in _LENGTH.finditer(text):
        unit, factor = _unit(match["unit"])
        raw_unit = match["unit"]
        if raw_unit in {"M", "S", "D", "H", "W", "Y"} and not match["low"][0].isdigit():
            continue
        if match["low"].lower() in {"a", "an"} and len(raw_unit) == 1:
            continue
        high = match["high"] or match["low"]
        count = _number(high) * factor
        low = _number(match["low"]) * factor if match["high"] else None
        if low is not None and match["lowunit"]:
            near, times = _unit(match["lowunit"])
            low = _number(match["low"]) * times * _SECONDS[near] / _SECONDS[unit]
        tail = text[match.end() : match.end() + 24]
        business = (
            (match["kind"] or "").lower() in {"business", "working", "work"}
            or raw_unit.lower().startswith("business")
            or bool(re.match(r"\s*\(?\s*(?:in |during |of )?(?:business|working|office)[ -](?:hours|time)", tail, re.I))
        )
        sign = (match["sign"] or "").strip()
        found.append(Found(Length(count, unit, business, low, sign), match.start(), match.end()))
    for match in _NEXT.finditer(text):
        if not any(one.start <= match.start() < one.end for one in found):
            day = match[0].lower()
            business = day not in {"next day", "same day"}
            found.append(Found(Length(1, "day", business, note=day), match.start(), match.end()))
    return tuple(sorted(found, key=lambda one: one.start))


Named = Literal["immediate", "none", "indefinite", "gap", "unread", "empty", "zero"]


@dataclass(frozen=True, slots=True)
class Clock:
    """A deadline of one cell: ``what`` it is for where the cell says so, ``when`` it applies (in or out of hours)."""

    length: Length
    what: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Deadline:
    """What a cell says about time: clocks, or the named reason why there is none."""

    clocks: tuple[Clock, ...] = ()
    named: Named | None = None

    @property
    def first(self) -> Length | None:
        """The first clock's length."""
        return self.clocks[0].length if self.clocks else None


_WHAT = (
    ("acknowledge", re.compile(r"\back(?:nowledge(?:ment|d)?)?\b", re.I)),
    ("resolve", re.compile(r"\b(?:resol(?:ve|ution|ved)|fix(?:ed)?|restor(?:e|ed|ation)|mitigat(?:e|ed|ion)|patch)\b", re.I)),
    ("update", re.compile(r"\bupdates?\b|\bevery\b", re.I)),
    ("escalate", re.compile(r"\bescalat", re.I)),
    ("respond", re.compile(r"\b(?:respon[ds]\w*|page|first|initial|reply|triage|investigat\w*)\b", re.I)),
)  # fmt: skip


def _role(text: str, start: int, end: int) -> str:
    """What a length in the middle of a cell is for: the words of its own part of the cell, those behind it first."""
    left = max((text.rfind(sign, 0, start) for sign in ",;/\n|"), default=-1) + 1
    rights = [position for sign in ",;/\n|" if (position := text.find(sign, end)) != -1]
    right = min(rights) if rights else len(text)
    for part in (text[end:right], text[left:start]):
        for name, words in _WHAT:
            if words.search(part):
                return name
    return ""


def _when(text: str, end: int) -> str:
    tail = text[end : end + 40]
    cut = min((tail.find(sign) for sign in ",;/\n" if sign in tail), default=len(tail))
    if _OFF_HOURS.search(tail[:cut]):
        return "out of hours"
    return "business hours" if _BUSINESS.search(tail[:cut]) else ""


@lru_cache(maxsize=8192)
def read_deadline(text: str) -> Deadline:
    """A deadline cell. “Immediate” alone has no length: the workspace says what it means (5 min unless said)."""
    if not text.strip():
        return Deadline(named="empty")
    if is_gap(text):
        return Deadline(named="gap")
    found = find_lengths(text) if not re.match(r"\s*[-−]\s?\d", text) else ()
    if found:
        clocks = tuple(Clock(one.length, _role(text, one.start, one.end), _when(text, one.end)) for one in found)
        return Deadline(clocks)
    if _NOW.search(text):
        return Deadline(named="immediate")
    if _FOREVER.search(text):
        return Deadline(named="indefinite")
    if _ZERO.match(text):
        return Deadline(named="zero")
    if _NONE.match(text):
        return Deadline(named="none")
    return Deadline(named="unread")


_WITHIN = re.compile(
    r"\b(?:within|in under|no later than|not later than|at the latest|by the end of|in less than|SLA\s*\(|under|inside(?: of)?|before|deadline(?: of)?)\W{0,3}(?:the )?(?:first |next )?$",
    re.I,
)


def find_deadlines(text: str) -> list[Length]:
    """Deadlines in a sentence: “within 48 hours”, “regulatory SLA (30 days)”, “no later than the next business day”."""
    found = []
    for one in find_lengths(text):
        before = text[: one.start]
        sign = one.length.sign.lower()
        if (
            sign in {"within", "<", "≤", "no later than", "under", "less than"}
            or _WITHIN.search(before)
            or text[one.end : one.end + 14].lower().lstrip(") ").startswith(("at the latest", "max", "or less"))
        ):
            found.append(one.length)
    return found
