"""What every channel is: how it is set up, and how it sends one message."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watchbill.base.errors import Invalid, TooLarge, Unavailable
from watchbill.outbound.rules import NotAllowed
from watchbill.paging.message import Message, Permanent, Sent, Temporary
from watchbill.paging.rules import read_retry_after

Config = Mapping[str, Any]
#: How the reason begins where the hub's own rules forbid an address.
REFUSED = "will not go out: "


@contextmanager
def going_out(*, contact: bool = False) -> Iterator[None]:
    """An exchange with a provider: what goes wrong on the way is for now. ``contact``: the server is named by the receiver, not by the channel."""
    try:
        yield
    except NotAllowed as error:
        # Trying again is no use: somebody has to change a setting.
        raise Permanent(f"{REFUSED}{error.detail} {error.hint}".strip(), contact=contact) from None
    except (Unavailable, TooLarge, Invalid) as error:
        raise Temporary(error.detail, contact=contact) from None


def pause_of(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer's ``Retry-After`` asks to wait; its headers' names are in small letters."""
    # The provider's time has nothing to do with the hub's own, which tests can move.
    return read_retry_after(headers.get("retry-after", ""), datetime.now(UTC), headers.get("date", ""))


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a channel's settings."""

    name: str
    label: str
    default: str = ""
    hint: str = ""
    optional: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of channel. ``methods`` reach a person through it; ``target`` says that it is one itself (a chat channel, a webhook).

    ``send(method, address, message, config, secret)`` answers what the provider said, or raises Temporary or Permanent.
    """

    name: str
    label: str
    methods: tuple[str, ...]
    fields: tuple[Field, ...]
    send: Callable[[str, str, Message, Config, str], Sent]
    asks: str = ""
    asks_optional: bool = False
    target: bool = False
    check: Callable[[dict[str, str]], None] = lambda config: None
    check_secret: Callable[[str], None] = lambda secret: None
    #: The hosts that its settings and its secret name, where it has to be reachable.
    hosts: Callable[[Mapping[str, str], str], list[str]] = lambda config, secret: []
    #: Which of a person's contacts a test of it goes to; none where the channel is the target itself.
    contact: str = ""

    def clean(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The settings, each checked. Raises Invalid naming the field."""
        unknown = set(given) - {one.name for one in self.fields}
        if unknown:
            raise Invalid(f"{self.label} has no setting “{min(unknown)[:40]}”.", field=min(unknown)[:40])
        found: dict[str, str] = {}
        for one in self.fields:
            value = " ".join(str(given.get(one.name) or one.default).replace("\0", "").split())
            if not value and not one.optional:
                raise Invalid(f"{one.label} is missing.", hint=one.hint, field=one.name)
            if len(value) > 500:
                raise Invalid(f"{one.label} is longer than 500 characters.", field=one.name)
            if one.choices and value not in one.choices:
                raise Invalid(f"{one.label} is one of {', '.join(one.choices)}.", field=one.name)
            found[one.name] = value
        self.check(found)
        return found
