"""Values that people type: each answers the clean value, or raises Invalid naming the field and the fix. Pure."""

import re
from zoneinfo import available_timezones

from watchbill.base.errors import Invalid
from watchbill.people.rules import ROLES

_EMAIL = re.compile(r"^[^@\s<>\"',;:\\\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
_PHONE = re.compile(r"^\+[1-9][0-9 ()./-]{5,22}$")


def clean_name(value: str, field: str = "name", longest: int = 120) -> str:
    """A one-line name. Raises Invalid naming the field."""
    value = " ".join(value.split())
    if not value or len(value) > longest or any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise Invalid(f"The {field} must have 1 to {longest} visible characters.", field=field)
    return value


def clean_contact(kind: str, value: str) -> str:
    """An e-mail address or an international phone number. Raises Invalid saying what is missing."""
    value = value.strip()
    if kind == "email":
        if len(value) > 254 or not _EMAIL.match(value):
            raise Invalid("That is not an e-mail address.", hint="Write it as name@example.org.", field="email")
        return value
    if kind == "phone":
        if not _PHONE.match(value):
            raise Invalid(
                "That is not an international phone number.",
                hint="Begin with + and the country: +44 20 7946 0000.",
                field="phone",
            )
        return "+" + re.sub(r"\D", "", value)
    raise Invalid(f"“{kind}” is no kind of contact.", hint="Use email or phone.", field="kind")


def clean_role(role: str) -> str:
    """A built-in role's name. Raises Invalid listing them."""
    if role not in ROLES:
        raise Invalid(f"“{role}” is no role.", hint=f"Roles are {', '.join(ROLES)}.", field="role")
    return role


def clean_zone(value: str) -> str:
    """An IANA time zone's name. Raises Invalid."""
    if value not in available_timezones():
        raise Invalid(f"“{value[:60]}” is no time zone.", hint="Use a name such as Europe/Helsinki.", field="time_zone")
    return value
