"""What this feature reads in a handbook: escalations. Contacts, chains and severities say them too (people, incidents)."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from watchbill.language.items import Item, Model, Targets, Time


class EscalationStep(Model):
    """Whom one step pages, and how long it waits after the step before; the first one begins at once."""

    to: Annotated[Targets, Field(min_length=1, max_length=50)]
    after: Time = None


class Escalation(Item):
    """An escalation policy: its steps in order until somebody acknowledges.

    ``repeat`` is how many more times it goes through the steps; ``otherwise`` hears that nobody acknowledged.
    """

    kind: Literal["escalation"] = "escalation"
    steps: list[EscalationStep] = Field(min_length=1, max_length=20)
    repeat: int = Field(0, ge=0, le=9)
    otherwise: Targets = Field(default_factory=list)


_ROSTER = re.compile(
    r"\b(?:confirm|verify|check|review|validate|update|go through)\w*\b.{0,40}"
    r"\b(?:(?:contact|on-?call|escalation|paging) (?:rosters?|lists?|contacts|details|information)|(?:rosters?|lists?) of (?:\w+ )?contacts)",
    re.I,
)


def confirms_roster(texts: Iterable[str]) -> bool:
    """Whether a duty is to confirm whom one can reach: “Confirm contact roster monthly”."""
    return any(_ROSTER.search(" ".join(text.split())) for text in texts)
