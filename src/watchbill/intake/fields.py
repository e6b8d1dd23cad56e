"""Reads the fields of any sender leniently: pure. A field that is not needed never costs an alert, whatever stands in it."""

import contextlib
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import msgspec

from watchbill.base.errors import Invalid

#: Beyond these an alert is not taken in: nobody could read it, and somebody is at fault.
MOST_LABELS = 200
LONGEST = 4000
#: What begins before this is not said: Go's zero time, the epoch.
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
#: What ends after this goes on.
LATEST = datetime(2999, 12, 31, tzinfo=UTC)
#: How far a sender's clock may be ahead, before its times are not believed.
AHEAD = timedelta(days=1)
#: The most digits of a number; a longer one is kept as text.
LONGEST_NUMBER = 300
#: How deep it is read where it nests too deeply to be read whole.
DEEPEST = 60
#: With fewer brackets than this nothing nests too deeply.
_SHALLOW = 200
#: What may be half of a surrogate pair, as it is written, and as it is read.
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
#: Problems of one arrival that are kept.
MOST_PROBLEMS = 5


class Unusable(ValueError):
    """One alert cannot be used: which field, and why."""


def decode(body: bytes) -> Any:
    """The JSON of a body, read leniently: what one value is costs no other one. Raises Invalid.

    A number out of range, and NaN and Infinity, which Python writes, stay as their text. Half of a surrogate pair, as a text that was cut
    ends with, becomes a replacement character; a byte order mark is passed over.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error)[:200]
    try:
        return _decode_leniently(body)
    except (ValueError, RecursionError):
        raise Invalid(f"This is no JSON: {reason}") from None


def _decode_leniently(body: bytes) -> Any:
    text = body.decode("utf-8-sig")
    if text.count("[") + text.count("{") < _SHALLOW:
        return _mend(_load(text), text)
    # What the door could read is read here however deep the worker's own calls are: a thread begins with none.
    found: list[Any] = []

    def work() -> None:
        with contextlib.suppress(ValueError, RecursionError):
            found.append(_prune(_load(text)))

    thread = threading.Thread(target=work, name="json")
    thread.start()
    thread.join()
    if not found:
        raise ValueError("this is no JSON, or nested too deeply")
    return _mend(found[0], text)


def _load(text: str) -> Any:
    return json.loads(text, parse_float=_float, parse_int=_int, parse_constant=str)


def _mend(value: Any, text: str) -> Any:
    """With each half of a surrogate pair replaced."""
    return _load(_HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False))) if _ESCAPED.search(text) else value


def _float(told: str) -> float | str:
    found = float(told)
    return found if isfinite(found) else told


def _int(told: str) -> int | str:
    return int(told) if len(told) <= LONGEST_NUMBER else told


def _prune(value: Any) -> Any:
    """Without what lies deeper than anybody nests what is meant to be read."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            one
            for part in level
            if isinstance(part, dict | list)
            for one in (part.values() if isinstance(part, dict) else part)
        ]
    for part in level:
        if isinstance(part, dict | list):
            part.clear()
    return value


def kind(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    for types, name in ((bool, "a boolean"), (str, "a string"), (dict, "an object"), (list, "a list")):
        if isinstance(value, types):
            return name
    return "a number"


def clean(text: str) -> str:
    """Without NUL, which the database cannot hold, and not longer than anybody reads."""
    return text.replace("\0", "\ufffd")[:LONGEST]


def text(value: Any) -> str:
    """A value as text: nothing for null, JSON for what is no string."""
    if value is None:
        return ""
    try:
        return clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    except (msgspec.MsgspecError, RecursionError, ValueError):
        # Nested more deeply than anybody reads.
        return ""


def texts(value: Any) -> dict[str, str]:
    """Names and values that the database can hold. A value of null is none; what is no object is empty."""
    if not isinstance(value, dict):
        return {}
    return {clean(name)[:200]: text(found) for name, found in value.items() if found is not None}


def labels(value: Any) -> dict[str, str]:
    """The labels of an alert: one without a name or a value is none, as at Prometheus.

    Raises Unusable for too many, or where labels were given and none is left.
    """
    if isinstance(value, dict) and len(value) > MOST_LABELS:
        raise Unusable(f"labels: {len(value):,} labels; this hub reads up to {MOST_LABELS}")
    given = texts(value)
    found = {name: text for name, text in given.items() if name and text}
    if given and not found:
        raise Unusable("labels: an alert has at least one label with a name and a value")
    return found


def moment(value: Any) -> datetime | None:
    """An instant in UTC, between 1971 and 2999; None where there is none, or nothing that could be read. Without a zone it is UTC."""
    found: datetime | None = None
    try:
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, str):
            found = datetime.fromisoformat(value.strip().upper())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            # Seconds, milliseconds, or nanoseconds since 1970.
            found = datetime.fromtimestamp(value / (1e9 if value > 1e17 else 1000 if value > 1e11 else 1), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if found is None or found.year < EARLIEST.year:
        return None
    if found.year >= LATEST.year:
        return LATEST
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found if found >= EARLIEST else None


def start(value: Any, received_at: datetime) -> datetime | None:
    """When something began; None where it is not said, or lies so far ahead that the sender's clock is not believed."""
    found = moment(value)
    return found if found is not None and found <= received_at + AHEAD else None


def problems(found: list[str]) -> list[str]:
    """The first ones, and how many more there are."""
    if len(found) <= MOST_PROBLEMS:
        return found
    return [*found[:MOST_PROBLEMS], f"and {len(found) - MOST_PROBLEMS:,} more"]
