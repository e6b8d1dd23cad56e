"""Shortening what a message says, so that the incident's number stays; and how many parts a text message is sent in. Pure.

Source for text messages: 3GPP TS 23.038, 6.2.1 (the GSM 7-bit default alphabet and its extension table) and TS 23.040, 9.2.3.24.1 (parts).
"""

import re
import unicodedata
from collections.abc import Callable

from watchbill.base.unseen import without_unseen

#: One septet each. Everything of the extension table costs two: an escape and the character.
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
#: What a single message holds, and each part of several: septets, or UTF-16 code units.
GSM_ONE, GSM_PART, UCS2_ONE, UCS2_PART = 160, 153, 70, 67
#: A page by text message is sent in at most so many parts. Letters outside GSM fill a part more than twice as fast.
MOST_PARTS, MOST_PARTS_UCS2 = 2, 4
#: Three points and not “…”: one sign outside GSM would more than halve what a part holds.
DOTS = "..."
_PLAIN = str.maketrans({
    "…": "...", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-",
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\t": " ", "•": "-", "→": "->", "×": "x", "`": "'",
})  # fmt: skip
_AT_THE_END = re.compile(r"\(INC-(\d{1,9})\)\s*$")
_ANYWHERE = re.compile(r"\bINC-(\d{1,9})\b")


def number_in(title: str) -> int | None:
    """The number of the incident that a title is about. The hub writes it at the end; a name may mention another one."""
    found = _AT_THE_END.search(title) or _ANYWHERE.search(title)
    return int(found[1]) if found else None


def shorten(title: str, limit: int, fits: Callable[[str], bool] | None = None) -> str:
    """The title within ``limit`` characters (and where ``fits`` says so): the name gives way, the incident's number stays."""
    good = fits or (lambda text: True)

    def right(text: str) -> bool:
        return len(text) <= limit and good(text)

    if right(title):
        return title
    number = number_in(title)
    code, low, high = f"INC-{number}" if number is not None else "", 0, len(title)
    while low < high:
        # The longest beginning of the name that still fits: a longer one never fits better.
        middle = (low + high + 1) // 2
        low, high = (middle, high) if right(_cut(title, middle, code)) else (low, middle - 1)
    found = _cut(title, low, code) if low else ""
    return found if found and right(found) else code or title[: max(0, limit)]


def _cut(title: str, length: int, code: str) -> str:
    head = title[:length].rstrip()
    if not code or re.search(rf"\b{code}\b(?!\d)", head):
        return f"{head}{DOTS}"
    # The number itself is not cut in two.
    head = re.sub(r"\s*\(?\bI(?:N(?:C(?:-\d*)?)?)?$", "", head) if _ends_in_code(title, length, code) else head
    return f"{head}{DOTS} ({code})"


def _ends_in_code(title: str, length: int, code: str) -> bool:
    at = title.rfind(code)
    return at < length < at + len(code)


def plain(text: str) -> str:
    """Text with typographic signs as GSM has them: quotes, dashes, points; without characters that nobody sees. Letters stay as they are,
    an accent that is typed apart from its letter joins it."""
    return unicodedata.normalize("NFC", without_unseen(text.translate(_PLAIN), joiners=True))


def is_gsm(text: str) -> bool:
    """Whether a text message goes out in the GSM 7-bit alphabet; else it is UCS-2."""
    return all(char in GSM or char in GSM_EXTENSION for char in text)


def parts(text: str) -> int:
    """In how many parts a text message is sent. No character is split between two of them."""
    gsm = is_gsm(text)
    sizes = [2 if char in GSM_EXTENSION else 1 for char in text] if gsm else [2 if ord(char) > 0xFFFF else 1 for char in text]  # fmt: skip
    one, each = (GSM_ONE, GSM_PART) if gsm else (UCS2_ONE, UCS2_PART)
    if sum(sizes) <= one:
        return 1
    count, room = 1, each
    for size in sizes:
        if size > room:
            count, room = count + 1, each
        room -= size
    return count


def fits_text(text: str) -> bool:
    """Whether a text message keeps to the number of parts that a page may have."""
    return parts(text) <= (MOST_PARTS if is_gsm(text) else MOST_PARTS_UCS2)
