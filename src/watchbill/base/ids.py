"""Identifiers: UUIDv7 inside (RFC 9562, section 5.7), short pronounceable names outside."""

import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterable
from uuid import UUID

#: The hub's own workspace: its log holds what belongs to no team (people, sign-ins, workspaces, settings).
HUB = UUID("00000000-0000-7000-8000-000000000001")

_CONSONANTS, _VOWELS = "bdfghjklmnprstvz", "aeiou"


_lock = threading.Lock()
_last = 0


def uuid7() -> UUID:
    """A time-ordered UUID: 48 bits of Unix milliseconds, then 74 random bits.

    Those of one process rise also within a millisecond (RFC 9562, section 6.2, method 2: the random part grows by a random step), so
    that what one transaction writes stays in its order. Between processes nothing may depend on it (the ledger's order is the sealer's).
    """
    global _last
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << 74 | secrets.randbits(74)
        _last = fresh if fresh >> 74 > _last >> 74 else _last + 1 + secrets.randbits(32)
        milliseconds, tail = _last >> 74, _last & ((1 << 74) - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (tail >> 62) << 64 | 0b10 << 62 | (tail & ((1 << 62) - 1)))


def pronounceable(syllables: int = 3) -> str:
    """A random word such as ``kotipa``: 6.3 bits a syllable, for people to read aloud, never as a secret."""
    return "".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(syllables))


def as_uuids(texts: Iterable[str]) -> list[UUID]:
    """Those of some texts that are ids."""
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def slugify(text: str) -> str:
    """Lower-case ASCII words joined by hyphens, at most 60 characters; empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")
