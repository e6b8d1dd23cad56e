"""Telephone numbers: read as people write them, kept in E.164, or refused with the reason. Pure; what is known of countries is `phonenumbers`'."""

import re
from functools import lru_cache

from watchbill.base.errors import Invalid
from watchbill.base.unseen import without_unseen

_HINT = "Begin with + and the country: +44 20 7946 0000."
#: How people group digits. The full-width plus is what some keyboards type.
_TYPED = re.compile(r"[+＋]?[0-9 ()./\-\u00a0\u2009\u202f\u2010-\u2015\u2212]+")
#: How links and address books write it.
_LINK = re.compile(r"tel:\s*", re.IGNORECASE)
#: Mexico: a 1 before mobile numbers is no longer dialled (WhatsApp still shows it); 01, 044 and 045 were only ever dialled there.
_MEXICO = re.compile(r"52(1|01|044|045)(\d{10})")
#: The zero that is dialled only inside the country, as letterheads write it: “+49 (0)30 …”.
_ASIDE = re.compile(r"\(\s*0\s*\)")
_LONGEST = 40


def read_phone(text: str) -> str:
    """A number in E.164: “+49 (0)30 1234567” is “+49301234567”. Raises Invalid with what is wrong and how to write it.

    Whether anybody answers there is not known before a code was sent; a range that is not given out (yet) is taken.
    """
    seen = " ".join(without_unseen(text).split())
    value, problem, hint = _read(_LINK.sub("", seen, count=1) if _LINK.match(seen) else seen)
    if problem:
        raise Invalid(problem, hint=hint, field="phone")
    return value


@lru_cache(maxsize=4096)
def problem_of(value: str) -> str:
    """Why a stored number cannot be called; empty where it can. Numbers were once stored by a looser rule.

    It names no digit after the country: whoever sees a number masked may see what is wrong with it.
    """
    found, problem, _ = _read(value)
    return problem or ("" if found == value else "It is not written as it is dialled.")


def _read(text: str) -> tuple[str, str, str]:
    """The number; else what is wrong with it, and how to write it."""
    import phonenumbers
    from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

    if not text or len(text) > _LONGEST or not _TYPED.fullmatch(text):
        return "", "That is not an international phone number.", _HINT
    text = text.replace("＋", "+")
    if not text.startswith("+"):
        hint = f"{_HINT} In place of 00, write +." if re.match(r"[ (]*00", text) else _HINT
        return "", "That number does not say its country.", hint
    digits = re.sub(r"\D", "", text if _keeps_zero(text) else _ASIDE.sub("", text))
    if mexico := _MEXICO.fullmatch(digits):
        found = f"+52{mexico[2]}"
        if mexico[1] != "1":
            return "", f"The {mexico[1]} after +52 is dialled only inside the country.", f"Write it as {found}."
        digits = found[1:]
    try:
        number = phonenumbers.parse("+" + digits, None)
    except NumberParseException:
        code = digits[:3] or "nothing"
        problem = (
            "That number is too short." if len(digits) < 6 else f"No country has the code that +{code}… begins with."
        )
        return "", problem, _HINT
    found = str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    country = number.country_code or 0
    region = phonenumbers.region_code_for_country_code(country) or ""
    prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""
    home = f"+{country}"
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason == ValidationResult.TOO_SHORT:
        return "", f"That number is too short for {home}.", _HINT
    if reason == ValidationResult.TOO_LONG and not _kept_prefix(digits, country, prefix):
        return "", f"That number is too long for {home}.", _HINT
    if reason == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        return "", f"That number lacks its area code after {home}.", _HINT
    if found != "+" + digits or _kept_prefix(digits, country, prefix):
        shown = _without_prefix(digits, country, prefix) if found == "+" + digits else found
        typed = _typed_prefix(digits, shown, country)
        what = (
            f"The {typed} after {home} is dialled only inside the country."
            if typed
            else f"{home} numbers are not written like this."
        )
        return "", what, f"Write it as {shown}."
    if reason != ValidationResult.IS_POSSIBLE:
        return "", f"No number of {home} has so many digits.", _HINT
    return found, "", ""


def _keeps_zero(text: str) -> bool:
    """Whether the 0 in parentheses belongs to the number, as in Italy, where nothing else is dialled before it."""
    import phonenumbers

    try:
        number = phonenumbers.parse("+" + re.sub(r"\D", "", text), None)
    except phonenumbers.NumberParseException:
        return False
    return bool(number.italian_leading_zero) and phonenumbers.is_valid_number(number)


def _kept_prefix(digits: str, country: int, prefix: str) -> bool:
    """Whether the number still carries the 0 that is dialled inside the country. Italy's 0 is part of its numbers, and is no prefix there."""
    return prefix == "0" and digits.removeprefix(str(country)).startswith("0")


def _typed_prefix(digits: str, shown: str, country: int) -> str:
    """What was typed between the country and the number itself; empty where the two differ elsewhere."""
    typed, number = digits.removeprefix(str(country)), shown.removeprefix(f"+{country}")
    return typed.removesuffix(number) if typed.endswith(number) else ""


def _without_prefix(digits: str, country: int, prefix: str) -> str:
    return f"+{country}{digits.removeprefix(str(country)).removeprefix(prefix)}"
