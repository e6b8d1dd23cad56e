"""What an answer by text message means: pure.

An answer is a key (1 or 2) or a word for it, with the incident's number where one is meant, and nothing else. Whatever says more, or less, is
not understood: a page that nobody has must never be taken for acknowledged, and nobody is paged for “No problem”.
"""

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer by text message: acknowledge, escalate or unknown; the incident's number, where it names one.

    ``carrier``: stop or start, where it is also a word by which the carrier stops or delivers texts.
    """

    what: str
    number: int | None = None
    carrier: str = ""


_KEYS = {"1": "acknowledge", "2": "escalate"}
_PHRASES = {
    "acknowledge": (
        "i am on it", "i'm on it", "im on it", "on it", "i have got it", "i've got it", "ive got it", "i have it", "i got it", "got it",
        "it is mine", "it's mine", "its mine", "mine", "acknowledged", "acknowledge", "acked", "ack", "okay", "ok", "yes", "y",
    ),
    "escalate": ("escalate", "esc", "pass", "not me", "no", "n"),
}  # fmt: skip
#: Said besides, and means nothing.
_POLITE = re.compile(r"\b(?:please|thank you|thanks|thx|ty)\b|[👍👌✅✔]")
_WORDS = {words: what for what, all_of_it in _PHRASES.items() for words in all_of_it}
_PHRASE = re.compile(
    "|".join(rf"(?<![a-z']){re.escape(one)}(?![a-z'])" for one in sorted(_WORDS, key=len, reverse=True))
)
_TOKEN = re.compile(r"#\d+|\d+|[a-z]+")
#: “INC-41”, “inc 41”, “#41”.
_NAMED = re.compile(r"(?:\binc(?:ident)?[\s\-.]*#?|#)\s*(\d+)")
_BETWEEN = re.compile(r"[\s,;.!/_()\-]+")
_SIGNATURE = re.compile(r"^(?:--|—|__|>|sent from |get outlook|sent with )", re.I)
_DOUBT = re.compile(r"\?|n't\b|\b(?:not?|never|cannot|cant|wrong|unable|wait|sorry)\b")
_STOP = {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"}
_START = {"start", "unstop"}
_LONGEST = 1600


def read_answer(text: str) -> Answer:
    """What somebody means who answers a page by text: “1”, “ack 142”, “Escalate INC-142”, “INC-142 ok”."""
    lines = [line for one in _plain(text).splitlines() if (line := one.strip())]
    if not lines:
        return Answer("unknown")
    carrier = "" if len(lines) > 1 else "stop" if lines[0] in _STOP else "start" if lines[0] in _START | {"yes"} else ""
    found = _read_line(lines[0])
    rest = lines[1:]
    # Below a key may be a name and a number; below a word only what is surely a signature.
    if rest and not _SIGNATURE.match(rest[0]) and (not lines[0][0].isdigit() or _DOUBT.search(" ".join(rest))):
        return Answer("unknown")
    return Answer(found.what, found.number, carrier)


def _plain(text: str) -> str:
    """Digits and letters as they are everywhere, without what is invisible."""
    plain = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold().replace("’", "'")
    kept = (one for one in plain if one in "\n\r\t" or unicodedata.category(one) not in ("Cc", "Cf", "Mn", "Sk"))
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in kept)


def _read_line(line: str) -> Answer:
    unknown = Answer("unknown")
    line = " ".join(_POLITE.sub(" ", line).split())
    named = [int(one) for one in _NAMED.findall(line) if len(one) <= 9]
    bare_line = _NAMED.sub(" ", line)
    if re.search(r"\d[.:]\d\d\b", bare_line) and ":" in bare_line:
        return unknown
    # “ack41” is “ack 41”.
    bare_line = re.sub(r"(?<=[a-z])(?=\d)", " ", bare_line)
    words = [one[0] for one in _PHRASE.finditer(bare_line)]
    rest = _BETWEEN.sub(" ", _PHRASE.sub(" ", bare_line)).replace(":", " ").split()
    first = (_BETWEEN.sub(" ", bare_line).split() or [""])[0]
    if not all(re.fullmatch(r"\d{1,9}", one, re.A) for one in rest) or len(set(named)) > 1:
        return unknown
    meant = {_WORDS[one] for one in words}
    if len(meant) > 1:
        return unknown
    if words:
        return _with_word(meant.pop(), words, rest, named, first)
    return _with_key(rest, named)


def _with_word(what: str, words: list[str], bare: list[str], named: list[int], first: str) -> Answer:
    """“ack 41”, “41 ack”, “1 ack”, “INC-41 ack”."""
    if bare and first == bare[0] and first in _KEYS:
        if _KEYS[first] != what:
            return Answer("unknown")
        bare = bare[1:]
    # “No 5” may mean number five.
    if len(bare) + len(set(named)) > 1 or (bare and set(words) & {"no", "n"}):
        return Answer("unknown")
    return Answer(what, int(bare[0]) if bare else named[0] if named else None)


def _with_key(bare: list[str], named: list[int]) -> Answer:
    """“1”, “1 41”, “41 1”, “INC-41 1”."""
    if len(bare) == 1 and bare[0] in _KEYS:
        return Answer(_KEYS[bare[0]], named[0] if named else None)
    if len(bare) == 2 and not named:
        key, number = bare if bare[0] in _KEYS else reversed(bare)
        if key in _KEYS:
            return Answer(_KEYS[key], int(number))
    return Answer("unknown")
