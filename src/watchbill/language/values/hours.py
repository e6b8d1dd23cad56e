"""When somebody is there: 24/7, business hours, Mon-Fri 9am-5pm ET."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from watchbill.language.values.frequency import times_of_day, weekdays, zone_of

_ALWAYS = re.compile(r"\b24\s?[/x×]\s?7\b|\baround the clock\b|\b24 hours\b", re.I)
_BUSINESS = re.compile(r"\b(?:business|office|working|core)[ -]hours?\b", re.I)
_OFF = re.compile(r"\b(?:after|out[- ]of|outside|off|non)[- ]?(?:of )?(?:business|office|working)?[ -]?hours\b", re.I)
_TIME = r"(\d{1,2}(?::\d\d)?\s*(?:[ap]\.?m\.?)?)"
_SPAN = re.compile(rf"(?<![\d/-]){_TIME}\s*(?:-|–|to)\s*{_TIME}(?![\d/]|\s*(?:min|hour|h\b|day|week))", re.I)


@dataclass(frozen=True, slots=True)
class Hours:
    """``kind``: always, business, out of hours, or stated with ``days``, ``start``, ``end`` (HH:MM) and ``zone``."""

    kind: Literal["always", "business", "out of hours", "stated"]
    days: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    zone: str = ""


def _end(text: str) -> str:
    """One end of a span as HH:MM: “9am”, “17:00”, a bare “9”."""
    found = times_of_day(text.strip()) or times_of_day(text.strip() + ":00")
    return found[0] if found else ""


@lru_cache(maxsize=2048)
def read_hours(text: str) -> Hours | None:
    """Hours of a cell; None where it names none."""
    if _ALWAYS.search(text):
        return Hours("always")
    span = _SPAN.search(text)
    if span:
        near, far = _end(span[1]), _end(span[2])
        if near and far:
            return Hours("stated", weekdays(text), near, far, zone_of(text))
    if _OFF.search(text):
        return Hours("out of hours", zone=zone_of(text))
    return Hours("business", weekdays(text), zone=zone_of(text)) if _BUSINESS.search(text) else None
