"""`watchbill.yaml`: what a handbook says about itself."""

import re
from datetime import date
from fnmatch import fnmatch
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from watchbill.base.calendar import DAYS
from watchbill.base.zones import known, meant
from watchbill.language.items import Duration, Model, Time
from watchbill.signals.heard import ADMINS, NOBODY, QUIET

FILE = "watchbill.yaml"


def _zone(value: str) -> str:
    if not known(value):
        raise ValueError(f"“{value[:60]}” is no time zone; write {meant(value) or 'one such as Europe/Berlin'}")
    return value


def _clock(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"“{value}” is no time of day; write 09:00")
    return value


def _day(value: Any) -> Any:
    found = [day for day in DAYS if isinstance(value, str) and len(value) >= 3 and day.startswith(value.lower())]
    if len(found) != 1:
        raise ValueError(f"“{value}” is no weekday")
    return found[0]


class BusinessHours(Model):
    """When business time runs."""

    days: list[Annotated[str, BeforeValidator(_day)]] = Field(default_factory=lambda: list(DAYS[:5]))
    start: Annotated[str, AfterValidator(_clock)] = "09:00"
    end: Annotated[str, AfterValidator(_clock)] = "17:00"

    @field_validator("end")
    @classmethod
    def _after(cls, value: str, info: Any) -> str:
        if "start" in info.data and value <= info.data["start"]:
            raise ValueError(f"it ends at {value}, not after it starts at {info.data['start']}")
        return value


class Holidays(Model):
    """Whose public holidays are no business time, and further days off."""

    country: str = Field("", description="ISO 3166 code, e.g. DE")
    subdivision: str = Field("", description="e.g. BY")
    also: list[date] = Field(default_factory=list)

    @field_validator("country")
    @classmethod
    def _known(cls, value: str) -> str:
        if value:
            import holidays

            if value not in holidays.list_supported_countries(include_aliases=True):
                raise ValueError(f"“{value}” is no country whose holidays are known; write its ISO code, e.g. DE")
        return value


def _unrouted(value: Any) -> Any:
    """`unrouted: Platform` is short for `unrouted: {pages: Platform}`."""
    if value is None or isinstance(value, str):
        return {"pages": value} if value else {}
    if not isinstance(value, dict | Unrouted):
        raise ValueError("write unrouted: admins, or {pages: …, reason: …, quiet: […]}")
    return value


class Unrouted(Model):
    """Who hears of alerts that no route takes: the admins, an escalation or contact, or nobody with a reason; and which severities never page."""

    pages: str = Field("admins", description="admins, nobody, or the name of an escalation or contact", max_length=200)
    reason: str = Field("", description="why nobody is paged; needed with pages: nobody", max_length=500)
    quiet: list[Annotated[str, Field(max_length=60)]] = Field(
        default_factory=lambda: list(QUIET), description="severities that are counted and never page", max_length=50
    )

    @field_validator("pages")
    @classmethod
    def _somebody(cls, value: str) -> str:
        text = " ".join(value.split())
        if not text:
            raise ValueError(
                "it names nobody; write admins, the name of an escalation or a contact, or nobody with a reason"
            )
        return text.casefold() if text.casefold() in (ADMINS, NOBODY) else text

    @field_validator("quiet")
    @classmethod
    def _named(cls, value: list[str]) -> list[str]:
        if any(not one.strip() for one in value):
            raise ValueError("an alert without a severity must be heard; name the severities that may be quiet")
        return [one.strip() for one in value]

    @model_validator(mode="after")
    def _reasoned(self) -> "Unrouted":
        if self.pages == NOBODY and not self.reason.strip():
            raise ValueError("pages: nobody needs a reason, such as “pages go out by another hub until March”")
        return self


class Config(Model):
    """A handbook's own settings. Everything is optional."""

    name: str = ""
    slug: str = Field("", pattern=r"^([a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?)?$")
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    business_hours: BusinessHours = Field(default_factory=BusinessHours)
    holidays: Holidays = Field(default_factory=Holidays)
    immediate: Time = Field(default_factory=lambda: Duration(duration="PT5M"), description="what “immediate” means")
    escalation_wait: Time = Field(
        default_factory=lambda: Duration(duration="PT5M"), description="an escalation without a time"
    )
    precedence: list[str] = Field(default_factory=list, description="documents, the one that rules first")
    roles: dict[str, str] = Field(default_factory=dict, description="a handbook's word for an access role → the role")
    groups: dict[str, str] = Field(
        default_factory=dict, description="a group of the identity provider → an access role"
    )
    unrouted: Annotated[Unrouted, BeforeValidator(_unrouted)] = Field(
        default_factory=Unrouted, description="who hears of alerts that no route takes"
    )
    exclude: list[str] = Field(default_factory=list, description="files to leave out, as globs")
    #: The line of each setting that is written, for findings.
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)

    def line_of(self, name: str) -> int:
        """The line of watchbill.yaml on which a setting is written; 1 where it is not."""
        return self._lines.get(name, 1)

    def excludes(self, path: str) -> bool:
        """Whether a document is left out."""
        return any(fnmatch(path, pattern) for pattern in self.exclude)


def read_text(text: str) -> Config:
    """The settings of a watchbill.yaml that was found valid before; the defaults where there is none."""
    from watchbill.handbook.explicit import validate

    made, _ = validate(Config, text, FILE) if text else (None, [])
    return made if isinstance(made, Config) else Config()
