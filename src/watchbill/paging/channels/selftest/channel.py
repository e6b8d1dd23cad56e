"""The channel of the hub's own test of itself: a message that is taken here has come all the way from the intake. It goes nowhere."""

from watchbill.paging.channels.base import Config, Kind
from watchbill.paging.message import Message, Sent


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    return Sent(f"selftest:{message.id}")


SELFTEST = Kind("selftest", "The hub's own test", (), (), _send, target=True)
