"""What this feature reads in a handbook: routes. Prose does not say them; explicit items do."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from watchbill.base.errors import Invalid
from watchbill.language.items import Item
from watchbill.signals.matchers import read_matcher


def _matcher(text: str) -> str:
    try:
        return str(read_matcher(text))
    except Invalid as error:
        raise ValueError(f"{error.detail} {error.hint}".strip()) from None


class Route(Item):
    """Which alerts become an incident, of which severity, and whom they page. The first route that fits an alert takes it.

    ``match`` holds matchers as Alertmanager writes them, all of which must hold; without any the route takes every alert.
    ``pages`` names an escalation or a contact; without it the severity says whom. ``group_by`` are labels: alerts that agree in
    them are one group; without it the sender's own grouping counts. ``pages: nobody`` opens no incident, and says why in ``reason``.
    """

    kind: Literal["route"] = "route"
    match: list[Annotated[str, AfterValidator(_matcher)]] = Field(default_factory=list, max_length=50)
    severity: str = Field("", max_length=200)
    pages: str = Field("", max_length=200)
    #: Written as ``reason``, which is why an item can only be shown on every item.
    because: str = Field("", max_length=500, description="why it pages nobody; needed with pages: nobody")
    group_by: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=20)
