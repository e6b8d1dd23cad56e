"""Who: roles, teams, names, addresses, joined owners, arrow chains."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from watchbill.language.values.gaps import is_gap

Type = Literal["role", "person", "email", "phone", "channel", "handle", "service", "url", "gap"]
EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
PHONE = re.compile(r"(?<![\w.])\+?\(?\d{1,4}\)?(?:[ .-]?\(?\d{2,5}\)?){2,5}(?:\s*(?:x|ext\.?)\s*\d+)?(?![\w.])")
CHANNEL = re.compile(r"(?<![\w&/])#[a-zA-Z][\w-]{1,60}")
HANDLE = re.compile(r"(?<![\w.])@[A-Za-z][\w./-]{1,50}")
URL = re.compile(r"https?://[^\s<>()|]+")
_SERVICE = re.compile(r"\b(?:pagerduty|opsgenie|victorops|splunk on-call|slack|teams|discord|telegram|zoom|jira|statuspage|servicenow|zendesk|intercom|ntfy|pushover|grafana oncall|incident\.io|rootly)\b", re.I)  # fmt: skip
_SPLIT = re.compile(r"\s*(?:,|;|\+|&|\n|(?<!\w)/(?!\w)|(?<=\w)\s*/\s*(?=[A-Z])|\band\b|\bor\b|\bwith\b)\s*")
_ARROW = re.compile(r"\s*(?:→|->|–>|=>|⇒|>|»)\s*")
_ONE_WORD = re.compile(r"\b(?:CI/CD|UI/UX|QA/QC|I/O|A/B|R/W|M/W|HR/IT|DB/Ops|SRE/Ops|TCP/IP|N/A)\b")
_NOTHING = re.compile(r"^(?:n/?a|none|automat(?:ed|ic)|[-–—]+|\?|varies|all)?$", re.I)


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody or something that can be reached or is responsible, as the runbook names it."""

    name: str
    type: Type


def _type(text: str) -> Type:
    if is_gap(text):
        return "gap"
    if EMAIL.fullmatch(text):
        return "email"
    if CHANNEL.match(text):
        return "channel"
    if HANDLE.fullmatch(text):
        return "handle"
    if URL.match(text):
        return "url"
    if PHONE.fullmatch(text) and sum(c.isdigit() for c in text) >= 7:
        return "phone"
    return "service" if _SERVICE.search(text) else "role"


@lru_cache(maxsize=4096)
def read_owners(text: str) -> tuple[Who, ...]:
    """The owners of a cell: “DevOps + Security”, “Legal/Compliance”, “Product Lead, FinOps”; gaps keep their type."""
    flat = _ONE_WORD.sub(lambda match: match[0].replace("/", "\u2215"), re.sub(r"\([^()]*\)", " ", text)).strip(" .;:")
    if _NOTHING.match(flat):
        return ()
    if is_gap(text) and len(flat) < 60:
        return (Who(flat or text.strip(), "gap"),)
    found = []
    for part in _SPLIT.split(flat):
        name = part.replace("\u2215", "/").strip(" .;:*")
        if name and not _NOTHING.match(name):
            found.append(Who(name, _type(name)))
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def read_chain(text: str) -> tuple[str, ...]:
    """The steps of an arrow chain “Lead → Manager → Director”; one element where there is no arrow."""
    return tuple(part.strip(" .;") for part in _ARROW.split(text) if part.strip(" .;"))


@lru_cache(maxsize=4096)
def read_ways(text: str) -> tuple[Who, ...]:
    """Everything by which somebody can be reached in a cell: addresses, numbers, channels, handles, services."""
    found: list[tuple[int, Who]] = []
    taken = text
    for pattern, kind in ((EMAIL, "email"), (URL, "url"), (CHANNEL, "channel"), (HANDLE, "handle"), (PHONE, "phone")):
        for match in pattern.finditer(taken):
            value = match[0].strip(" .")
            if kind == "phone" and sum(c.isdigit() for c in value) < 7:
                continue
            found.append((match.start(), Who(value, "gap" if is_gap(value) else kind)))  # type: ignore[arg-type]
        taken = pattern.sub(lambda match: " " * len(match[0]), taken)
    if not found:
        return read_owners(text)
    return tuple(dict.fromkeys(who for _, who in sorted(found, key=lambda one: one[0])))
