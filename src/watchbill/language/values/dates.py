"""Days of a calendar: 2026-11-02, “Nov 2 – Nov 8, 2026”, “2.–8. November 2026”, 02.11.2026, 2026-W45."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?(?!\d)"
_YEAR = r"(?P<year>\d{4})"
_FORMS = tuple(
    re.compile(form, re.I)
    for form in (
        rf"(?<!\d){_YEAR}-(?P<month>\d\d)-(?P<day>\d\d)(?!\d)",
        rf"(?<!\d)(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?:{_YEAR})?",
        rf"\b{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?",
        rf"(?<!\d){_DAY}\s+{_MONTH}(?:,?\s+{_YEAR})?",
        # The second half of “Nov 2 – 8, 2026”, the first of “2–8 Nov 2026”.
        rf"^\D*{_DAY}(?:,?\s+{_YEAR})?\D*$",
    )
)
_WEEK = re.compile(
    r"\b(?P<year>\d{4})[ -]?W(?P<week>\d\d?)\b|\b(?:W|KW|CW|(?:calendar |iso )?week)\s?(?P<week2>\d\d?)(?:[ ,/]+(?P<year2>\d{4}))?\b", re.I
)  # fmt: skip
_SLASHES = re.compile(r"(?<!\d)(?!24/7)\d{1,2}/\d{1,2}(?:/\d{2,4})?(?!\d)")
_WHOLE_WEEK = re.compile(r"\bweek\b", re.I)
_BETWEEN = re.compile(r"\s*(?:–|—|→|\.\.\.?|\bto\b|\bthrough\b|\buntil\b)\s*|\s+-\s+|(?<=\d)-(?=\d{1,2}(?:st|nd|rd|th)?\s+[a-z]{3})|(?<=\d)-(?=\d{1,2},)", re.I)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Days:
    """From a day to another, both inside; ``end`` is None where one day alone is named. Without a value, the reason why not."""

    start: date | None = None
    end: date | None = None
    named: Literal["", "no year", "two readings", "no such day", "backwards"] = ""


@lru_cache(maxsize=2048)
def read_days(text: str) -> Days | None:
    """The days that a cell names; None where it names none. A date without a year is no value: the compiler has no clock."""
    week = _WEEK.search(text)
    if week and (week["year"] or week["year2"]):
        try:
            monday = date.fromisocalendar(int(week["year"] or week["year2"]), int(week["week"] or week["week2"]), 1)
        except ValueError:
            return Days(named="no such day")
        return Days(monday, monday + timedelta(days=6))
    if _SLASHES.search(text):
        return Days(named="two readings")
    halves = [one for one in _BETWEEN.split(text) if one and re.search(r"\d", one)]
    parts = [found for found in map(_part, halves[:2]) if found]
    # A bare number is a day only beside a month.
    if not parts or not any(one["month"] for one in parts) or len(parts) < min(len(halves), 2):
        return None
    first, last = parts[0], parts[-1]
    first["month"] = first["month"] or last["month"]
    last["month"] = last["month"] or first["month"]
    if not (first["year"] or last["year"]):
        return Days(named="no year")
    stated = bool(first["year"])
    first["year"] = first["year"] or last["year"]
    last["year"] = last["year"] or first["year"]
    try:
        start, end = (date(one["year"], one["month"], one["day"]) for one in (first, last))
        if end < start and not stated:
            start = start.replace(year=start.year - 1)
        elif end < start and "-" not in halves[-1] and not re.search(r"\d{4}", halves[-1]):
            end = end.replace(year=end.year + 1)
    except ValueError:
        return Days(named="no such day")
    if end < start:
        return Days(named="backwards")
    if len(parts) == 1:
        return Days(start, start + timedelta(days=6) if _WHOLE_WEEK.search(text) else None)
    return Days(start, end)


def calendar_week(text: str) -> int | None:
    """The number of a week that is named without a year: “W45”, “Week 3”."""
    week = _WEEK.search(text)
    return int(week["week2"]) if week and week["week2"] and not week["year2"] else None


def _part(text: str) -> dict[str, int] | None:
    """Year, month and day of one end; 0 for what is not said."""
    for form in _FORMS:
        match = form.search(text)
        if match:
            told = match.groupdict()
            month = told.get("month") or "0"
            number = int(month) if month.isdigit() else 1 + _MONTHS.index(month[:3].lower())
            return {"year": int(told["year"] or 0), "month": number, "day": int(told["day"])}
    return None
