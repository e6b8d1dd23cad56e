"""A real SMTP server (aiosmtpd) that keeps what it gets; it can refuse an address for good or for now, and ask for a password."""

import asyncio
import logging
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

logging.getLogger("mail.log").setLevel(logging.ERROR)
USER, PASSWORD = "hub", "mail-password-of-the-tests"


class Mail:
    """The server, while the `with` lasts."""

    def __init__(self, *, login: bool = False) -> None:
        self.got: list[tuple[str, Message]] = []
        #: The same messages as they came, byte by byte.
        self.raw: list[bytes] = []
        self.refused: dict[str, str] = {}
        self.login, self.dead = login, False
        #: Seconds that it thinks about each message.
        self.slow = 0.0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        """What it says of an address."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """Keeps a message."""
        await asyncio.sleep(self.slow)
        self.raw.append(bytes(envelope.content or b""))
        self.got.append((envelope.rcpt_tos[0], message_from_bytes(bytes(envelope.content or b""), policy=default)))
        return "250 taken"

    def _check(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right)

    def __enter__(self) -> "Mail":
        from tests.ports import free_port

        self.port = free_port()
        more = {"auth_required": True, "auth_require_tls": False, "authenticator": self._check} if self.login else {}
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, **more)
        self.controller.start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """The server dies; nothing answers on its port any more."""
        if not self.dead:
            self.dead = True
            self.controller.stop()

    def config(self) -> dict[str, str]:
        """How a hub is set up with it."""
        return {
            "host": "127.0.0.1",
            "port": str(self.port),
            "tls": "none",
            "user": USER if self.login else "",
            "from": "watchbill@hub.example.org",
        }

    def to(self, address: str) -> list[str]:
        """The bodies of what an address got."""
        return [message.get_content() for to, message in self.got if to == address]  # type: ignore[attr-defined]
