"""API tokens: `wbt_` and 256 random bits. Only the SHA-256 is kept; with that much randomness no slower hash is needed."""

import hashlib
import secrets


def fresh() -> str:
    """A new token's text."""
    return "wbt_" + secrets.token_urlsafe(32)


def prefix(text: str) -> str:
    """What stays visible of it: 32 of its 256 bits."""
    return text[:9]


def digest(text: str) -> bytes:
    """What is kept of it (32 bytes)."""
    return hashlib.sha256(text.encode()).digest()
