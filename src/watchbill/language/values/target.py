"""Targets and thresholds: “>99.9%”, “<15 minutes”, “>4.5/5”, “≥ 50 RPS”, “< 100ms p95”, ranges."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from watchbill.language.values.duration import Length, find_lengths
from watchbill.language.values.gaps import is_gap

_OPERATORS = {"<": "<", ">": ">", "≤": "<=", "≥": ">=", "<=": "<=", ">=": ">=", "=": "=", "~": "~", "≈": "~", "==": "="}
_WORDS = (
    (re.compile(r"\b(?:less than|under|below|fewer than|max(?:imum)?|at most|up to|no more than|not exceed|within)\b", re.I), "<="),
    (re.compile(r"\b(?:more than|over|above|greater than|at least|min(?:imum)?|exceed(?:s|ing)?|or (?:more|higher|better))\b", re.I), ">="),
)  # fmt: skip
_VALUE = re.compile(
    r"(?P<op><=|>=|==|[<>≤≥=~≈])?\s*(?P<money>[$€£])?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:\s*(?:-|–|to)\s*(?P<high>\d+(?:\.\d+)?))?(?:\s*/\s*(?P<of>\d+(?:\.\d+)?)(?!\w))?"
    r"\s*(?P<unit>%|percent\b|[A-Za-z][\w/]*(?:\s*/\s*\w+)?)?"
)
_PERCENTILE = re.compile(r"\b[pP](50|75|90|95|99|99\.9)\b")


@dataclass(frozen=True, slots=True)
class Target:
    """``operator`` (<, <=, >, >=, =, ~), ``value`` in ``unit`` (or ``of`` a scale), or a ``duration``; ``high`` ends a range."""

    operator: str
    value: float | None = None
    unit: str = ""
    of: float | None = None
    high: float | None = None
    duration: Length | None = None
    percentile: str = ""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a target cell says: a value, or the named reason why there is none."""

    value: Target | None = None
    named: Literal["", "empty", "gap", "verbal"] = ""


@lru_cache(maxsize=8192)
def read_target(text: str) -> Aim:
    """A target cell."""
    if not text.strip() or re.fullmatch(r"[-–—\s]+", text):
        return Aim(named="empty")
    if is_gap(text):
        return Aim(named="gap")
    match = _VALUE.search(text)
    if not match:
        return Aim(named="verbal")
    operator = _OPERATORS.get(match["op"] or "", "")
    if not operator:
        operator = next((sign for words, sign in _WORDS if words.search(text)), "=")
    percentile = _PERCENTILE.search(text)
    lengths = [one for one in find_lengths(text) if one.start <= match.end() and one.end >= match.start("number")]
    is_rate = bool(re.match(r"\s*/", text[lengths[0].end :])) if lengths else False
    if lengths and (match["unit"] or "") not in {"%", "percent"} and not is_rate:
        return Aim(Target(operator, duration=lengths[0].length, percentile=f"p{percentile[1]}" if percentile else ""))
    unit = (match["unit"] or match["money"] or "").strip()
    if unit.lower() == "percent":
        unit = "%"
    if re.fullmatch(r"p\d+(?:\.\d)?", unit, re.I):
        unit = ""
    return Aim(
        Target(
            operator,
            float(match["number"].replace(",", "")),
            unit,
            float(match["of"]) if match["of"] else None,
            float(match["high"]) if match["high"] else None,
            percentile=f"p{percentile[1]}" if percentile else "",
        )
    )
