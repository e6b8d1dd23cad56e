"""What this feature reads in a handbook: escalations. Contacts, chains and severities say them too (people, incidents)."""

from typing import Annotated, Literal

from pydantic import Field

from watchbill.language.items import Item, Model, Targets, Time


class EscalationStep(Model):
    """Whom one step pages, and how long it waits after the step before; the first one begins at once."""

    to: Annotated[Targets, Field(min_length=1, max_length=50)]
    after: Time = None


class Escalation(Item):
    """An escalation policy: its steps in order until somebody acknowledges.

    ``repeat`` is how many more times it goes through the steps; ``otherwise`` hears that nobody could be reached.
    """

    kind: Literal["escalation"] = "escalation"
    steps: list[EscalationStep] = Field(min_length=1, max_length=20)
    repeat: int = Field(0, ge=0, le=9)
    otherwise: Targets = Field(default_factory=list)
