"""SMTP over the one guarded way out: the server's name is resolved once, checked, and the connection made to that address."""

import contextlib
import smtplib
import socket
import ssl
from email.message import EmailMessage
from typing import Any

from django.conf import settings

from watchbill.base.errors import Invalid, Unavailable
from watchbill.outbound.client import Resolve, resolve_host
from watchbill.outbound.rules import Policy, check_addresses

SECONDS = 15.0


class Refused(Exception):
    """The server said no: its code (RFC 5321) and words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.words = code, words


def _connect(host: str, port: int, policy: Policy, resolve: Resolve) -> socket.socket:
    if policy.only and host.lower() not in policy.only:
        raise Invalid(
            f"{host} is not among the hosts that this hub may reach.", hint="See WATCHBILL_OUTBOUND_ONLY.", field="host"
        )
    problem: OSError | None = None
    for address in check_addresses(host.lower().rstrip("."), resolve(host, port), policy):
        try:
            return socket.create_connection((address, port), timeout=SECONDS)
        except OSError as error:
            problem = error
    raise Unavailable(f"{host}:{port} does not answer: {problem}.")


class _Pinned:
    """Makes smtplib connect to a checked address; TLS still verifies the host's name."""

    policy: Policy
    resolve: Resolve

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return _connect(host, port, self.policy, self.resolve)


class _Plain(_Pinned, smtplib.SMTP):
    pass


class _Tls(_Pinned, smtplib.SMTP_SSL):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = _connect(host, port, self.policy, self.resolve)
        return self.context.wrap_socket(plain, server_hostname=host)


def send_mail(
    message: EmailMessage, *, host: str, port: int, tls: str = "starttls", user: str = "", password: str = "", sender: str = "", to: str = "",
    policy: Policy | None = None, resolve: Resolve = resolve_host,
) -> str:  # fmt: skip
    """Sends one message. ``tls`` is “starttls”, “tls” (from the first byte) or “none”. Answers what the server said.

    Raises Invalid (an address that may not be reached), Unavailable (no connection), Refused (with the server's code).
    """
    kind: Any = _Tls if tls == "tls" else _Plain
    client = kind.__new__(kind)
    client.policy, client.resolve = policy or settings.OUTBOUND, resolve
    try:
        # Without a host the constructor does not connect yet.
        client.__init__(timeout=SECONDS, **({"context": ssl.create_default_context()} if tls == "tls" else {}))
        client._host = host
        code, words = client.connect(host, port)
        if code != 220:
            raise Refused(code, words.decode("utf-8", "replace"))
        if tls == "starttls":
            client.starttls(context=ssl.create_default_context())
        if user:
            client.login(user, password)
        client.send_message(message, from_addr=sender or None, to_addrs=[to] if to else None)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            # It is taken already; how the conversation ends changes nothing.
            client.quit()
        return "taken"
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()), (550, b""))
        raise Refused(code, words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)) from None
    except smtplib.SMTPResponseException as error:
        words = (
            error.smtp_error.decode("utf-8", "replace")
            if isinstance(error.smtp_error, bytes)
            else str(error.smtp_error)
        )
        raise Refused(error.smtp_code, words) from None
    except smtplib.SMTPNotSupportedError as error:
        raise Refused(504, str(error)) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"{host}:{port}: {type(error).__name__}: {error}.") from None
    finally:
        client.close()
