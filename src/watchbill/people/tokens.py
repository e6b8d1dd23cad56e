"""Keys of persons (`wbt_`) and of senders (`wbi_`): 256 random bits. Only the SHA-256 is kept; with that much randomness no slower hash is needed."""

import hashlib
import secrets


def fresh(sign: str = "wbt_") -> str:
    """A new key's text; ``sign`` says what it opens."""
    return sign + secrets.token_urlsafe(32)


def prefix(text: str) -> str:
    """What stays visible of it: 32 of its 256 bits."""
    return text[:9]


def digest(text: str) -> bytes:
    """What is kept of it (32 bytes)."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
