"""Envelope encryption: AES-256-GCM with a fresh data key for each secret, the data key wrapped by a key-encryption key.

The key-encryption key is derived from the master key; its id (8 hex digits of SHA-256) is kept beside what it wraps, so
that a change of the master key can be carried out while both keys are known. The context (workspace, name) is bound in
as associated data: a stored secret moved to another place does not open.
"""

import base64
import os
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from watchbill.base.errors import Unavailable
from watchbill.base.keys import Keys


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value: the wrapping key's id, the wrapped data key, the encrypted value (nonces in front)."""

    key_id: str
    wrapped: bytes
    data: bytes


def key_id(keys: Keys) -> str:
    """Which key-encryption key these keys give."""
    return sha256(keys.derive("secrets")).hexdigest()[:8]


def _encrypt(key: bytes, value: bytes, context: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, value, context)


def _decrypt(key: bytes, value: bytes, context: bytes) -> bytes:
    return AESGCM(key).decrypt(value[:12], value[12:], context)


def seal(keys: Keys, context: str, value: bytes) -> Sealed:
    """Encrypts a value for a context."""
    data_key = os.urandom(32)
    bound = context.encode()
    return Sealed(key_id(keys), _encrypt(keys.derive("secrets"), data_key, bound), _encrypt(data_key, value, bound))


def unseal(candidates: list[Keys], context: str, sealed: Sealed) -> bytes:
    """Decrypts. Raises Unavailable when no known key wrapped it, or when it was tampered with or moved."""
    bound = context.encode()
    for keys in candidates:
        if key_id(keys) == sealed.key_id:
            try:
                return _decrypt(_decrypt(keys.derive("secrets"), sealed.wrapped, bound), sealed.data, bound)
            except InvalidTag:
                raise Unavailable(
                    "A stored secret does not open: it was changed or moved in the database.", hint="Store it anew."
                ) from None
    raise Unavailable(
        f"A stored secret was wrapped by another master key ({sealed.key_id}).",
        hint="Set WATCHBILL_KEY_PREVIOUS to that key and run: watchbill rewrap",
    )


def rewrap(old: list[Keys], new: Keys, context: str, sealed: Sealed) -> Sealed:
    """The same secret, wrapped by the new key; its value is encrypted anew, too."""
    return seal(new, context, unseal(old, context, sealed))


def seal_text(keys: Keys, context: str, text: str) -> str:
    """A sealed value as one piece of text, for places that keep text."""
    sealed = seal(keys, context, text.encode())
    return f"{sealed.key_id}.{base64.b64encode(sealed.wrapped).decode()}.{base64.b64encode(sealed.data).decode()}"


def open_text(candidates: list[Keys], context: str, text: str) -> str:
    """The opposite of seal_text, with the current keys and, during a change, the previous ones."""
    identifier, wrapped, data = text.split(".")
    return unseal(candidates, context, Sealed(identifier, base64.b64decode(wrapped), base64.b64decode(data))).decode()
