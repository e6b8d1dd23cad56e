"""Signed checkpoints: C2SP signed-note and tlog-checkpoint, Ed25519 (signature type 0x01).

A checkpoint's text is three lines: origin, tree size in decimal, root in base64. See c2sp.org/signed-note and
c2sp.org/tlog-checkpoint.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class BadNote(ValueError):
    """A checkpoint that is malformed or not signed by the expected key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's size and root, as signed."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The signed text, with its final newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _key_id(name: str, key: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n\x01" + _raw(key)).digest()[:4]


def verifier_key(name: str, key: Ed25519PublicKey) -> str:
    """The public key as signed-note writes it: ``name+hash+base64``."""
    encoded = base64.b64encode(b"\x01" + _raw(key)).decode()
    return f"{name}+{_key_id(name, key).hex()}+{encoded}"


def parse_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Reads ``name+hash+base64``. Raises BadNote saying what is wrong."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise BadNote("the key is not of the form name+hash+base64")
    try:
        data = base64.b64decode(parts[2], validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("the key's last part is not base64") from None
    if len(data) != 33 or data[0] != 1:
        raise BadNote("the key is not an Ed25519 key (type 0x01, 32 bytes)")
    key = Ed25519PublicKey.from_public_bytes(data[1:])
    if _key_id(parts[0], key).hex() != parts[1].lower():
        raise BadNote("the key's hash does not fit its name and bytes: it was mistyped or changed")
    return parts[0], key


def sign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey) -> str:
    """The whole note: text, blank line, one signature line."""
    text = checkpoint.text()
    signature = base64.b64encode(_key_id(name, key.public_key()) + key.sign(text.encode())).decode()
    return f"{text}\n\u2014 {name} {signature}\n"


def parse(note: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    """A note's checkpoint and signature lines (name, key id + signature), unverified. Raises BadNote."""
    text, blank, tail = note.rpartition("\n\n")
    if not blank:
        raise BadNote("the checkpoint has no signature block")
    lines = text.split("\n")
    if len(lines) < 3 or not lines[1].isdecimal():
        raise BadNote("the checkpoint does not have the lines origin, size and root")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("the checkpoint's root is not base64") from None
    if len(root) != 32:
        raise BadNote("the checkpoint's root is not 32 bytes")
    signatures = []
    for line in tail.rstrip("\n").split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise BadNote("a signature line is malformed")
        try:
            signatures.append((parts[1], base64.b64decode(parts[2], validate=True)))
        except (binascii.Error, ValueError):
            raise BadNote("a signature is not base64") from None
    return Checkpoint(lines[0], int(lines[1]), root), signatures


def verify(note: str, name: str, key: Ed25519PublicKey) -> Checkpoint:
    """The checkpoint, when the key signed it. Raises BadNote otherwise."""
    checkpoint, signatures = parse(note)
    text = note.rpartition("\n\n")[0] + "\n"
    for signer, blob in signatures:
        if signer == name and blob[:4] == _key_id(name, key):
            try:
                key.verify(blob[4:], text.encode())
            except InvalidSignature:
                raise BadNote(
                    f"the signature of the checkpoint at size {checkpoint.size} is forged or damaged"
                ) from None
            return checkpoint
    raise BadNote(f"the checkpoint at size {checkpoint.size} is not signed by {name}")
