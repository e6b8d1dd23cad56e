"""Keys: one master key from the environment, a file or a command; everything else is derived from it.

Derivation is HKDF-SHA-256 (RFC 5869) with the purpose as ``info``, so no purpose can stand in for another.
"""

import base64
import binascii
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from watchbill.base.errors import SettingError


@dataclass(frozen=True)
class Keys:
    """The master key (32 bytes) and what is derived from it. Never logged: its repr is empty of it."""

    master: bytes

    def __repr__(self) -> str:
        return "Keys(…)"

    def derive(self, purpose: str, length: int = 32) -> bytes:
        """``length`` bytes that only this master key and this purpose give."""
        return HKDF(hashes.SHA256(), length, salt=None, info=f"watchbill/{purpose}".encode()).derive(self.master)

    def text(self, purpose: str) -> str:
        """A derived key as 43 URL-safe characters: passwords of database roles, Django's secret key."""
        return base64.urlsafe_b64encode(self.derive(purpose)).decode().rstrip("=")

    def signer(self) -> Ed25519PrivateKey:
        """The key that signs ledger checkpoints (RFC 8032)."""
        return Ed25519PrivateKey.from_private_bytes(self.derive("ledger-signing"))


def _decode(text: str, where: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise SettingError(
            f"{where} does not hold a master key: 32 bytes in base64 (44 characters) are needed.",
            hint="Make one with: head -c 32 /dev/urandom | base64",
            field=where,
        )
    return raw


def load_keys(env: Mapping[str, str], data: Path, *, create: bool) -> Keys:
    """The master key from WATCHBILL_KEY, WATCHBILL_KEY_FILE, WATCHBILL_KEY_COMMAND, or ``<data>/keys/master``.

    With ``create`` a missing file is made (mode 0600). Raises SettingError naming the variable and the fix.
    """
    if value := env.get("WATCHBILL_KEY"):
        return Keys(_decode(value, "WATCHBILL_KEY"))
    if name := env.get("WATCHBILL_KEY_FILE"):
        try:
            return Keys(_decode(Path(name).read_text(), f"WATCHBILL_KEY_FILE ({name})"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(
                f"WATCHBILL_KEY_FILE names {name}, which cannot be read: {getattr(error, 'strerror', error)}.",
                hint="Give the hub's user permission to read it, or correct the path.",
            ) from None
    if command := env.get("WATCHBILL_KEY_COMMAND"):
        try:
            done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=20, check=True)
        except (OSError, ValueError, subprocess.SubprocessError):
            raise SettingError(
                "WATCHBILL_KEY_COMMAND did not print a key (it failed, was not found, or took over 20 s).",
                hint="Run it by hand as the hub's user; it must print 32 bytes in base64 and exit 0.",
            ) from None
        return Keys(_decode(done.stdout, "The output of WATCHBILL_KEY_COMMAND"))
    path = data / "keys" / "master"
    if not path.exists():
        if not create:
            raise SettingError(
                f"There is no master key: none of WATCHBILL_KEY, WATCHBILL_KEY_FILE and WATCHBILL_KEY_COMMAND is set, "
                f"and {path} does not exist.",
                hint="Set one of them to the key this hub was made with, or point WATCHBILL_DATA at its data folder.",
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".new").rename(path)
    try:
        return Keys(_decode(path.read_text(), str(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"{path} cannot be read: {getattr(error, 'strerror', error)}.", hint="Run as its owner."
        ) from None
