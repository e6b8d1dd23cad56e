"""Characters that nobody sees: what comes along when text is copied from a page, a chat or an address book. Pure."""

import unicodedata

#: They join letters, or keep them apart, in scripts that need it; between others they are a leftover.
_JOINERS = "\u200c\u200d"


def without_unseen(text: str, *, joiners: bool = False) -> str:
    """Text without marks of direction, zero-width characters, soft hyphens, byte order marks and variation selectors.

    With ``joiners``, those that stand after a letter or sign outside of the Latin, Greek and Cyrillic scripts stay, as they change what is read.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    for char in text:
        joins = joiners and char in _JOINERS and bool(kept) and ord(kept[-1]) > 0x0530
        if joins or (unicodedata.category(char) != "Cf" and not _selects(char)):
            kept.append(char)
    return "".join(kept)


def _selects(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
