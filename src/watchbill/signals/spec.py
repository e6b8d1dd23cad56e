"""What this feature reads in a handbook: routes. Prose does not say them; explicit items do."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from watchbill.base.durations import read_span
from watchbill.base.errors import Invalid
from watchbill.language.items import Duration, Item, Time
from watchbill.signals.matchers import read_matcher
from watchbill.signals.rules import LONGEST_REOPEN


def _matcher(text: str) -> str:
    try:
        return str(read_matcher(text))
    except Invalid as error:
        raise ValueError(f"{error.detail} {error.hint}".strip()) from None


def _zero(value: Any) -> Any:
    """“0” or “0 min”: what is over stays over."""
    return {"duration": "PT0S"} if re.fullmatch(r"0(?:\s*[a-z]+)?", str(value).strip(), re.I) else value


def _window(value: Duration | None) -> Duration | None:
    if value is None or value.duration == "PT0S":
        return value
    if value.business or not 0 < window_of(value) <= LONGEST_REOPEN:
        raise ValueError("reopen_within is 0, or up to 24 hours of ordinary time")
    return value


def window_of(value: Duration) -> int:
    """A window in seconds."""
    if value.duration == "PT0S":
        return 0
    span = read_span(value.duration)
    return int(span.seconds + span.days * 86400 + span.months * 30 * 86400)


class Route(Item):
    """Which alerts become an incident, of which severity, and whom they page. The first route that fits an alert takes it.

    ``match`` holds matchers as Alertmanager writes them, all of which must hold; without any the route takes every alert.
    ``pages`` names an escalation or a contact; without it the severity says whom. ``group_by`` are labels: alerts that agree in
    them are one group; without it the sender's own grouping counts. Alerts that fire again within ``reopen_within`` after the last of
    their group ended reopen its incident (0: never; without it, 5 minutes). ``pages: nobody`` opens no incident, and says why
    in ``reason``.
    """

    kind: Literal["route"] = "route"
    match: list[Annotated[str, AfterValidator(_matcher)]] = Field(default_factory=list, max_length=50)
    severity: str = Field("", max_length=200)
    pages: str = Field("", max_length=200)
    #: Written as ``reason``, which is why an item can only be shown on every item.
    because: str = Field("", max_length=500, description="why it pages nobody; needed with pages: nobody")
    group_by: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=20)
    reopen_within: Annotated[Time, BeforeValidator(_zero), AfterValidator(_window)] = None
