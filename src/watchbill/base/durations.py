"""Lengths of time as ISO 8601 durations: the one reader of the product, and their words. Pure; no clock, no calendar.

“PT15M”, “P5D”, “P2W”, “P1Y6M”, “P1DT12H”. A month is no number of days and a day no number of hours, so a span keeps them apart;
when one is over says `base.calendar`. Source: ISO 8601-1:2019, 5.5.2.4; fractions of any unit are read, as runbooks write them.
"""

import re
from dataclasses import dataclass

from watchbill.base.errors import Invalid

_NUMBER = r"\d+(?:\.\d+)?"
_ISO = re.compile(
    rf"P(?=.)(?:(?P<Y>{_NUMBER})Y)?(?:(?P<M>{_NUMBER})M)?(?:(?P<W>{_NUMBER})W)?(?:(?P<D>{_NUMBER})D)?"
    rf"(?:T(?=.)(?:(?P<TH>{_NUMBER})H)?(?:(?P<TM>{_NUMBER})M)?(?:(?P<TS>{_NUMBER})S)?)?$"
)
_WORDS = (("Y", "year"), ("M", "month"), ("W", "week"), ("D", "day"), ("TH", "h"), ("TM", "min"), ("TS", "s"))
_MONTH = 30.436875


@dataclass(frozen=True)
class Span:
    """A length of time: ``months`` and ``days`` of the calendar, then ``seconds`` elapsed or of business time; ``business`` says which days count."""

    seconds: float = 0.0
    days: float = 0.0
    months: int = 0
    business: bool = False

    @property
    def rough(self) -> float:
        """About how many seconds of elapsed time: to sort by, never to decide which of two is longer."""
        return self.seconds + (self.days + self.months * _MONTH) * 86400


def read_span(text: str, business: bool = False) -> Span:
    """Reads “PT15M”, “P5D”, “P1DT12H”. Raises Invalid for what is none, and for nothing at all."""
    match = _ISO.match(text)
    told = {name: float(found) for name, found in match.groupdict().items() if found} if match else {}
    if not any(told.values()) or max(told.values()) > 1e6:
        raise Invalid(
            f"“{text[:40]}” is no length of time.", hint="Write it as ISO 8601, e.g. PT15M or P5D.", field="duration"
        )
    months = told.get("Y", 0.0) * 12 + told.get("M", 0.0)
    return Span(
        told.get("TH", 0.0) * 3600 + told.get("TM", 0.0) * 60 + told.get("TS", 0.0),
        told.get("W", 0.0) * 7 + told.get("D", 0.0),
        max(1, round(months)) if months else 0,
        business,
    )


def is_length(text: str) -> bool:
    """Whether a text has the form of a duration; no time at all (“PT0S”) has it, too."""
    return _ISO.match(text) is not None


def rough_seconds(text: str) -> float:
    """About how many seconds a duration is; 0 where it is none or nothing."""
    try:
        return read_span(text).rough
    except Invalid:
        return 0.0


def words_of(text: str, business: bool = False) -> str:
    """A duration for people: “15 min”, “2 business days”, “1 day 12 h”."""
    match = _ISO.match(text)
    if match is None:
        return text
    found = []
    for name, word in _WORDS:
        if number := match[name]:
            many = "s" if number != "1" and word in ("year", "month", "week", "day") else ""
            found.append(f"{number} {'business ' if business else ''}{word}{many}")
    return " ".join(found)
