"""Whether a command can make the hub quieter, and what guards it then: declared where the command is, shown in docs/security.md.

Quieter is: fewer people are paged, later, by fewer methods, or about less; a clock is longer; or somebody may do all that who could not before.
"""

from dataclasses import dataclass
from typing import Literal

Guard = Literal["no", "gated", "announced"]


@dataclass(frozen=True)
class Quieter:
    """What guards a command; ``why`` says why it cannot make the hub quieter, else how it can."""

    guard: Guard
    why: str


def harmless(why: str) -> Quieter:
    """It cannot make the hub quieter, or only for the one who does it, and ``why``."""
    return Quieter("no", why)


def gated(how: str) -> Quieter:
    """It waits for a second person where it makes the hub quieter."""
    return Quieter("gated", how)


def announced(how: str) -> Quieter:
    """It happens at once; every other admin and whoever loses a page hear of it within a minute, with a way to undo it (`announce`)."""
    return Quieter("announced", how)
