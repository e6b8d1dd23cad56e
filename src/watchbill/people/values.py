"""Values that people type: each answers the clean value, or raises Invalid naming the field and the fix. Pure."""

import base64
import binascii
import json
import re
from dataclasses import dataclass

from watchbill.base.errors import Invalid
from watchbill.base.zones import meant, zones
from watchbill.people.phones import read_phone
from watchbill.people.rules import ROLES

_EMAIL = re.compile(r"^[^@\s<>\"',;:\\\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")


def clean_name(value: str, field: str = "name", longest: int = 120) -> str:
    """A one-line name. Raises Invalid naming the field."""
    value = " ".join(value.split())
    if not value or len(value) > longest or any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise Invalid(f"The {field} must have 1 to {longest} visible characters.", field=field)
    return value


def clean_contact(kind: str, value: str) -> str:
    """An e-mail address, an international phone number, or a browser's subscription. Raises Invalid saying what is missing."""
    value = value.strip()
    if kind == "email":
        if len(value) > 254 or not _EMAIL.match(value):
            raise Invalid("That is not an e-mail address.", hint="Write it as name@example.org.", field="email")
        return value
    if kind == "phone":
        return read_phone(value)
    if kind == "push":
        read_subscription(value)
        return value
    raise Invalid(f"“{kind}” is no kind of contact.", hint="Use email or phone.", field="kind")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser's subscription to notifications, as the Push API gives it (https://www.w3.org/TR/push-api/): where, and for which keys."""

    endpoint: str
    #: The browser's public point on P-256, uncompressed: 65 bytes.
    p256dh: bytes
    #: 16 bytes that only the browser and the hub know.
    auth: bytes


def read_subscription(text: str) -> Subscription:
    """A subscription from its JSON. Raises Invalid."""
    problem = Invalid(
        "That is no subscription of a browser.", hint="Let the browser subscribe again.", field="subscription"
    )
    try:
        told = json.loads(text)
        endpoint, keys = str(told["endpoint"]), told["keys"]
        p256dh, auth = (base64.urlsafe_b64decode(str(keys[name]) + "==") for name in ("p256dh", "auth"))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise problem from None
    # Push services are reached by TLS; plain HTTP is for a peer on this machine, which the rules for outgoing requests have to allow.
    if len(text) > 4000 or not re.fullmatch(r"(https://|http://(127\.0\.0\.1|localhost)(?=[:/]))[^\s@]+", endpoint):
        raise problem
    if len(p256dh) != 65 or p256dh[0] != 4 or len(auth) != 16:
        raise problem
    return Subscription(endpoint, p256dh, auth)


def clean_role(role: str) -> str:
    """A built-in role's name. Raises Invalid listing them."""
    if role not in ROLES:
        raise Invalid(f"“{role}” is no role.", hint=f"Roles are {', '.join(ROLES)}.", field="role")
    return role


def clean_zone(value: str) -> str:
    """An IANA time zone's name. Raises Invalid."""
    if value not in zones():
        like = meant(value)
        hint = f"Did you mean {like}?" if like else "Use a name such as Europe/Helsinki."
        raise Invalid(f"“{value[:60]}” is no time zone.", hint=hint, field="time_zone")
    return value
