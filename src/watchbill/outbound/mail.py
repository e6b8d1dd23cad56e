"""SMTP over the one guarded way out: the server's name is resolved once, checked, and the connection made to that address."""

import contextlib
import smtplib
import socket
import ssl
from email.message import EmailMessage
from typing import Any, BinaryIO

from django.conf import settings

from watchbill.base.errors import Unavailable
from watchbill.outbound.client import resolve_host
from watchbill.outbound.deadline import Deadline, Resolve, look_up, shares
from watchbill.outbound.rules import Policy, check_addresses, check_host

#: Servers that let strangers wait before they say anything are common; longer than this nobody waits for one.
SECONDS = 30.0
GOODBYE = 2.0
#: What a server may say in one conversation.
MAX_WORDS = 65_536


class Refused(Exception):
    """The server said no: its code (RFC 5321) and words. ``recipient``: it said so of the receiver alone."""

    def __init__(self, code: int, words: str, *, recipient: bool = False) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.words, self.recipient = code, words, recipient


def _connect(host: str, port: int, policy: Policy, resolve: Resolve, deadline: Deadline) -> socket.socket:
    name = check_host(host, policy, field="host")
    addresses = check_addresses(name, look_up(resolve, host, port, deadline), policy)
    problem: OSError | None = None
    for address, seconds in shares(addresses, deadline):
        try:
            found = socket.create_connection((address, port), timeout=seconds)
        except OSError as error:
            problem = error
            continue
        found.settimeout(deadline.left())
        deadline.watch(found)
        return found
    raise Unavailable(f"{host}:{port} does not answer: {problem}.")


class _Bounded:
    """What the server says, in whole lines: one that the deadline cut is none, and who talks without end is not listened to."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self.file, self.left = file, most

    def readline(self, limit: int) -> bytes:
        """One line, or nothing at the end."""
        line = self.file.readline(limit)
        self.left -= len(line)
        if self.left < 0 or len(line) >= limit:
            raise OSError("the server says more than a mail server has to say")
        return line if line.endswith(b"\n") else b""

    def close(self) -> None:
        """Closes it."""
        self.file.close()


class _Pinned(smtplib.SMTP):
    """Makes smtplib connect to a checked address; TLS still verifies the host's name."""

    policy: Policy
    resolve: Resolve
    deadline: Deadline
    listened = MAX_WORDS

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return _connect(host, port, self.policy, self.resolve, self.deadline)

    def getreply(self) -> tuple[int, bytes]:
        """One reply, within what is left of the conversation."""
        # smtplib reads from `file`, and forgets it where TLS begins.
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"), self.listened)
        told = self.file
        try:
            return super().getreply()
        finally:
            if isinstance(told, _Bounded):
                self.listened = told.left


class _Plain(_Pinned):
    pass


class _Tls(_Pinned, smtplib.SMTP_SSL):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = _connect(host, port, self.policy, self.resolve, self.deadline)
        return self.context.wrap_socket(plain, server_hostname=host)


def send_mail(
    message: EmailMessage, *, host: str, port: int, tls: str = "starttls", user: str = "", password: str = "", sender: str = "", to: str = "",
    policy: Policy | None = None, resolve: Resolve = resolve_host,
) -> str:  # fmt: skip
    """Sends one message. ``tls`` is “starttls”, “tls” (from the first byte) or “none”. Answers what the server said.

    The whole conversation ends after ``SECONDS``, or at a ``Deadline`` around it.
    Raises Invalid (an address that may not be reached), Unavailable (no connection), Refused (with the server's code).
    """
    kind: Any = _Tls if tls == "tls" else _Plain
    client = kind.__new__(kind)
    client.policy, client.resolve = policy or settings.OUTBOUND, resolve
    with Deadline(SECONDS) as deadline:
        client.deadline = deadline
        try:
            # Without a host the constructor does not connect yet.
            client.__init__(timeout=SECONDS, **({"context": ssl.create_default_context()} if tls == "tls" else {}))
            client._host = host
            _converse(client, message, host, port, tls, user, password, sender, to)
        except (smtplib.SMTPException, OSError) as error:
            raise _refusal(error, f"{host}:{port}", deadline) from None
        finally:
            client.close()
    return "taken"


def _converse(
    client: Any, message: EmailMessage, host: str, port: int, tls: str, user: str, password: str, sender: str, to: str
) -> None:
    code, words = client.connect(host, port)
    if code != 220:
        raise Refused(code, words.decode("utf-8", "replace"))
    if tls == "starttls":
        client.starttls(context=ssl.create_default_context())
    if user:
        client.login(user, password)
    client.send_message(message, from_addr=sender or None, to_addrs=[to] if to else None)
    # It is taken already; how the conversation ends changes nothing, and nobody waits long for it.
    with contextlib.suppress(smtplib.SMTPException, OSError, Unavailable), Deadline(GOODBYE) as short:
        short.watch_again(client.deadline)
        client.quit()


def _refusal(error: Exception, server: str, deadline: Deadline) -> Exception:
    """What an error of smtplib means here."""

    def text(words: bytes | str) -> str:
        return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)

    match error:
        case smtplib.SMTPRecipientsRefused():
            code, words = next(iter(error.recipients.values()), (550, b""))
            return Refused(code, text(words), recipient=True)
        case smtplib.SMTPResponseException():
            return Refused(error.smtp_code, text(error.smtp_error))
        case smtplib.SMTPNotSupportedError():
            return Refused(504, str(error))
    if deadline.passed:
        return Unavailable(f"{server} did not take the message in time.")
    return Unavailable(f"{server}: {type(error).__name__}: {error}.")
