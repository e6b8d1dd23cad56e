"""How often: adverbs, “every 6 hours”, weekdays, days of the month, cron, events that trigger."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from watchbill.base.cron import normal, problem
from watchbill.language.values.duration import Length, Unit, find_deadlines, find_lengths
from watchbill.language.values.gaps import is_gap

_ADVERBS: dict[str, tuple[float, Unit]] = {
    "hourly": (1, "hour"), "daily": (1, "day"), "nightly": (1, "day"), "weekly": (1, "week"), "fortnightly": (2, "week"),
    "monthly": (1, "month"), "quarterly": (3, "month"), "yearly": (1, "year"), "annually": (1, "year"), "annual": (1, "year"),
    "semiannually": (6, "month"), "semi-annually": (6, "month"), "semiannual": (6, "month"), "semi-annual": (6, "month"),
    "biannually": (6, "month"), "biannual": (6, "month"), "bi-annually": (6, "month"), "bi-annual": (6, "month"), "half-yearly": (6, "month"),
    "biennially": (24, "month"), "bimonthly": (2, "month"), "bi-monthly": (2, "month"),
    "biweekly": (2, "week"), "bi-weekly": (2, "week"), "yearly-once": (1, "year"),
}  # fmt: skip
#: Words with two readings; the warning names both.
AMBIGUOUS = {
    "biweekly": ("every two weeks", "twice a week"),
    "bi-weekly": ("every two weeks", "twice a week"),
    "bimonthly": ("every two months", "twice a month"),
    "bi-monthly": ("every two months", "twice a month"),
    "biannual": ("twice a year", "every two years"),
    "biannually": ("twice a year", "every two years"),
    "bi-annual": ("twice a year", "every two years"),
    "bi-annually": ("twice a year", "every two years"),
}
_ADVERB = re.compile(r"\b(" + "|".join(sorted(map(re.escape, _ADVERBS), key=len, reverse=True)) + r")\b", re.I)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")  # fmt: skip
_WEEKDAY = re.compile(r"\b(mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?s?\b", re.I)
_WEEKDAYS = re.compile(r"\b(?:every|each|on)?\s*(?:weekdays?|business days?|working days?|mon(?:day)?\s*[-–]\s*fri(?:day)?)\b", re.I)  # fmt: skip
_MONTH = re.compile(r"\b(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b", re.I)  # fmt: skip
_TO = re.compile(r"\s*(?:[-–—]|to|through|thru)\s*", re.I)
_EVERY = re.compile(
    r"\b(?:every|each|once (?:per|a|an|every|each)|per|once in)\s+(?P<other>other |second |2nd )?(?P<rest>hour|day|night|morning|evening|week|fortnight|month|quarter|year|half[- ]year|shift|sprint)\b",
    re.I,
)
_TIMES = re.compile(
    r"\b(?P<count>twice|thrice|two times|three times|(?:\d+)\s?(?:x|×|times))\s*(?:per|a|an|/|each|every)?\s*(?P<unit>hour|day|daily|week|weekly|month|monthly|quarter|quarterly|year|yearly|annually)\b",
    re.I,
)
_CLOCK = re.compile(
    r"(?<![\d:./-])(?P<hour>[01]?\d|2[0-3])(?::(?P<minute>[0-5]\d))?(?::[0-5]\d)?\s*(?P<half>[ap]\.?m\.?)?(?![\w:%]|\.\d)",
    re.I,
)
_ZONE = re.compile(r"\b(UTC(?:[+-]\d{1,2}(?::?\d\d)?)?|GMT|Z(?=\b)|local(?: time)?|CES?T|E[SD]?T|P[SD]?T|C[SD]T|M[SD]T|BST|IST|JST|[A-Z][a-z]+/[A-Z][A-Za-z_]+)\b")  # fmt: skip
_NAMES = r"[A-Z]{3}(?:[-,][A-Z]{3})*"
_CRON = re.compile(
    rf"(?<![\w*/])((?:[\d*/,-]+\s+){{2}}(?:[\d*/,-]+|LW?)\s+(?:[\d*/,-]+|{_NAMES})\s+(?:[\d*/,-]+(?:L|#\d)?|{_NAMES}(?:#\d)?))(?![\w*/#])"
)
_FIRST = re.compile(r"\b(first|1st|second|2nd|third|3rd|fourth|4th|last)\s+(?=(?:mon|tue|wed|thu|fri|sat|sun|business|working|week)\w*)", re.I)  # fmt: skip
_DAY_OF_MONTH = re.compile(
    r"\b(?:the )?(\d{1,2})(?:st|nd|rd|th)\b(?=\s+(?:of\b|day\b)|\s*[)\]]|$)|\bday (\d{1,2})\b|\b(first|last) (?:day )?of\b",
    re.I,
)
_CONTINUOUS = re.compile(r"\b(?:continuous(?:ly)?|real[- ]?time|24/7|always(?: on)?|constant(?:ly)?|ongoing|streaming)\b", re.I)  # fmt: skip
_TRIGGER = re.compile(
    r"\b(?:as[- ]needed|as required|as necessary|when needed|if needed|when required|on[- ]demand|ad[- ]hoc|on request|"
    r"(?:per|each|every|after (?:each|every|any|an?)|before (?:each|every|any|an?)|following (?:each|every|any|an?)|on(?: (?:each|every|any|an?))?|upon|at (?:each|every)|post|pre|prior to|with each)[- ](?:[\w/-]+ ){0,3}?"
    r"(?:changes?|deploy(?:ment)?s?|releases?|incidents?|commits?|merges?|pushe?s?|pull requests?|PRs?|upgrades?|migrations?|events?|alerts?|hires?|departures?|terminations?|onboarding|offboarding|breach(?:es)?|failures?|updates?|launch(?:es)?|rollouts?|requests?|builds?|occurrences?|sprints?|modifications?|outages?|drills?|detection)"
    r"|event[- ]driven|post[- ]?(?:incident|deploy(?:ment)?|release|mortem)|when(?:ever)? [\w ,/-]{3,60}?(?:chang\w+|occurs?|happens?|detected|triggered|released|deployed|updated))\b",
    re.I,
)
_SHIFT = re.compile(r"\b(?:every|each|per)\s+shift\b|\bshift (?:change|hand[- ]?over)\b", re.I)


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often. ``every`` is the period; without one there is a ``trigger`` (an event) or ``continuous``.

    ``times`` per period (twice a day), ``at`` as HH:MM list, ``days`` weekdays, ``months``, ``day`` of the month (-1: last),
    ``nth`` (first Monday), ``cron``, ``within`` a clock that a trigger starts.
    """

    every: Length | None = None
    times: int = 1
    at: tuple[str, ...] = ()
    zone: str = ""
    days: tuple[str, ...] = ()
    months: tuple[int, ...] = ()
    day: int | None = None
    nth: str = ""
    cron: str = ""
    trigger: str = ""
    within: Length | None = None
    continuous: bool = False
    word: str = ""


@dataclass(frozen=True, slots=True)
class Often:
    """What a cell says about frequency: a value, or the named reason why there is none; and why its cron line cannot be used."""

    value: Frequency | None = None
    named: Literal["", "empty", "gap", "unread"] = ""
    other_readings: tuple[str, ...] = ()
    bad_cron: str = ""


def weekdays(text: str) -> tuple[str, ...]:
    """Weekdays in a text, in order, without repeats; Mon–Thu is four, Fri–Mon too."""
    if _WEEKDAYS.search(text):
        return _DAYS[:5]
    found: list[int] = []
    after = 0
    for match in _WEEKDAY.finditer(text):
        day = next(number for number, name in enumerate(_DAYS) if name.startswith(match[1][:3].lower()))
        if found and _TO.fullmatch(text, after, match.start()):
            found += [number % 7 for number in range(found[-1] + 1, day + (7 if day <= found[-1] else 0))]
        found.append(day)
        after = match.end()
    return tuple(dict.fromkeys(_DAYS[number] for number in found))


def times_of_day(text: str) -> tuple[str, ...]:
    """Clock times in a text as HH:MM: “09:00”, “3 AM”, “at 17”; a bare number needs a half of the day or a colon."""
    found = []
    for match in _CLOCK.finditer(text):
        half = (match["half"] or "").lower().replace(".", "")
        if match["minute"] is None and not half:
            continue
        hour = int(match["hour"])
        if half == "pm" and hour < 12:
            hour += 12
        elif half == "am" and hour == 12:
            hour = 0
        found.append(f"{hour:02}:{match['minute'] or '00'}")
    if not found and re.search(r"\bmidnight\b", text, re.I):
        found = ["00:00"]
    if not found and re.search(r"\bnoon\b", text, re.I):
        found = ["12:00"]
    return tuple(dict.fromkeys(found))


def zone_of(text: str) -> str:
    """A time zone's name as written: UTC, ET, local, Europe/Berlin."""
    match = _ZONE.search(text)
    return (
        ""
        if not match
        else "local"
        if match[1].startswith("local")
        else "UTC"
        if match[1] in {"Z", "GMT"}
        else match[1]
    )


def _period(text: str) -> tuple[Length | None, int, str]:
    """Period, times per period, and the word it was read from."""
    times = _TIMES.search(text)
    if times:
        count = {"twice": 2, "thrice": 3, "two times": 2, "three times": 3}.get(times["count"].lower())
        unit = times["unit"].lower()
        key = {"day": "daily", "hour": "hourly", "week": "weekly", "month": "monthly", "quarter": "quarterly", "year": "yearly"}.get(unit, unit)  # fmt: skip
        number, name = _ADVERBS[key]
        return Length(number, name), count or int(re.sub(r"\D", "", times["count"]) or 1), times[0]
    every = re.search(r"\bevery\s+|\beach\s+|\bonce (?:every|in)\s+", text, re.I)
    if every:
        length = next((one for one in find_lengths(text[every.end() :]) if one.start == 0), None)
        if length and length.length.unit != "ms":
            return replace(length.length, sign="", low=None), 1, text[every.start() : every.end() + length.end]
    match = _EVERY.search(text)
    if match and match["rest"].lower() not in {"shift", "sprint"}:
        words: dict[str, tuple[float, Unit]] = {"hour": (1, "hour"), "week": (1, "week"), "fortnight": (2, "week"), "month": (1, "month"), "quarter": (3, "month"), "year": (1, "year")}  # fmt: skip
        number, name = (
            (6, "month") if match["rest"].lower().startswith("half") else words.get(match["rest"].lower(), (1, "day"))
        )
        return Length(number * (2 if match["other"] else 1), name), 1, match[0]
    adverb = _ADVERB.search(text)
    if adverb:
        number, name = _ADVERBS[adverb[1].lower()]
        return Length(number, name), 1, adverb[1]
    return None, 1, ""


def _day_of_month(text: str) -> int | None:
    match = _DAY_OF_MONTH.search(text)
    if not match:
        return None
    if match[3]:
        return 1 if match[3].lower() == "first" else -1
    day = int(match[1] or match[2])
    return day if 1 <= day <= 31 else None


def _cron(text: str) -> tuple[str, str]:
    """The cron line in a text; or why it cannot be used. Five bare numbers that are none are just numbers."""
    match = _CRON.search(text)
    if not match:
        return "", ""
    why = problem(match[1])
    return ("", why if "*" in match[1] else "") if why else (normal(match[1]), "")


@lru_cache(maxsize=8192)
def read_frequency(text: str) -> Often:
    """A frequency cell (or heading). Answers what it says, or why it says nothing."""
    if not text.strip():
        return Often(named="empty")
    if is_gap(text):
        return Often(named="gap")
    cron, bad_cron = _cron(text)
    if bad_cron:
        # Its weekdays and numbers are part of what cannot be used.
        text = _CRON.sub(" ", text)
    every, times, word = _period(text)
    days = weekdays(text) if not (every and every.business) else ()
    trigger = _TRIGGER.search(text) or re.fullmatch(r"\s*on (?:\w+ ){0,2}\w+\s*", text, re.I)
    months = tuple(
        dict.fromkeys(
            1 + next(n for n, name in enumerate(_MONTHS) if name.startswith(match[1][:3].lower()))
            for match in _MONTH.finditer(text)
        )
    )
    day = _day_of_month(text)
    if every is None and not trigger:
        if days:
            every = (
                Length(1, "week") if len(days) < 5 or not _WEEKDAYS.search(text) else Length(1, "day", business=True)
            )
        elif day is not None and re.search(r"\bmonth\b", text, re.I):
            every = Length(1, "month")
        elif re.fullmatch(
            r"\s*\d+[\s-]*(?:day|week|month|year|hour|minute|min|hr|h|d|w|y)s?\s*(?:\(.*\))?\s*", text, re.I
        ):
            every = find_lengths(text)[0].length if find_lengths(text) else None
    found = Frequency(
        every, times, times_of_day(text) if every else (), zone_of(text), days, months if every else (), day,
        (match[1].lower() if (match := _FIRST.search(text)) else ""), cron,
        word=word,
    )  # fmt: skip
    others = AMBIGUOUS.get(word.lower(), ())
    if every or cron:
        if trigger and every and trigger.start() < text.lower().find(word.lower()):
            # “After every release, weekly at least”: the period rules, the event is kept.
            found = replace(found, trigger=trigger[0].lower())
        return Often(found, other_readings=others, bad_cron=bad_cron)
    if trigger or _SHIFT.search(text):
        what = trigger[0] if trigger else "each shift"
        within = find_deadlines(text)
        return Often(replace(found, trigger=what.lower(), within=within[0] if within else None))
    if _CONTINUOUS.search(text):
        return Often(replace(found, continuous=True))
    return Often(named="unread", bad_cron=bad_cron)


_IN_SENTENCE = re.compile(
    r"\(\s*(?:[\w ]{0,20})?(?:hourly|daily|nightly|weekly|bi-?weekly|fortnightly|monthly|quarterly|(?:semi-?)?annual(?:ly)?|yearly|every [\w ]+)\b[^()]*\)"
    r"|\b(?:hourly|daily|nightly|weekly|bi-?weekly|fortnightly|monthly|quarterly|annually|yearly)\b(?!\s*[-/])"
    r"|\bevery (?:\d+ |other |two |three |six )?(?:hours?|days?|weeks?|months?|quarters?|years?|mon|tue|wed|thu|fri|sat|sun)\w*"
    r"|\b(?:once|twice|at least once) (?:a|an|per|each|every) (?:hour|day|week|month|quarter|year)\b"
    r"|\bafter (?:any|every|each) [\w/ -]{2,40}?(?:change|release|deployment|incident)s?\b",
    re.I,
)


def find_frequency(text: str) -> Often:
    """A frequency inside of a sentence; nothing unless it is said plainly."""
    match = _IN_SENTENCE.search(text)
    if not match:
        return Often(named="empty")
    found = read_frequency(text[match.start() :])
    return found if found.value and (found.value.every or found.value.trigger) else read_frequency(match[0])
