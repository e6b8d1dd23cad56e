"""Masking of personal data and secrets, for pages, API answers and logs."""

import re

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}")
_PHONE = re.compile(r"(?<![\w.:-])\+\d[\d ()./-]{6,18}\d(?![\w:-])")
_SECRET = re.compile(r"\b(wb[a-z]_)[A-Za-z0-9_-]{8,}|(?i:(bearer\s+))[A-Za-z0-9._~+/=-]{8,}")


def mask_email(value: str) -> str:
    """``ada@example.org`` → ``a•••@e•••.org``: enough to recognise your own, not enough to write to."""
    name, _, host = value.partition("@")
    domain, _, top = host.rpartition(".")
    return f"{name[:1]}•••@{domain[:1]}•••.{top}" if top else f"{name[:1]}•••"


def mask_phone(value: str) -> str:
    """``+44 7700 900123`` → ``+44 •••• 23``: country and the last two digits."""
    digits = re.sub(r"\D", "", value)
    return f"+{digits[:2]} •••• {digits[-2:]}" if len(digits) > 5 else "••••"


def mask_name(value: str) -> str:
    """``Ada Lovelace`` → ``A. L.``"""
    return " ".join(f"{part[0]}." for part in value.split() if part) or "•"


def mask_text(text: str) -> str:
    """Free text without e-mail addresses, international phone numbers, and the hub's own tokens."""
    text = _SECRET.sub(lambda found: (found.group(1) or found.group(2)) + "•••", text)
    text = _EMAIL.sub(lambda found: mask_email(found.group()), text)
    return _PHONE.sub(lambda found: mask_phone(found.group()), text)
