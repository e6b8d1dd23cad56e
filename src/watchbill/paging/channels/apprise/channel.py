"""Every other service that takes messages, through Apprise (https://github.com/caronc/apprise): its address says which, and with which key.

Apprise brings a client of its own. Its services that speak HTTP get the guarded one in its place, so that none of them reaches what
the hub may not reach; those that open connections by other means (syslog, MQTT, SMTP, the desktop) are refused.
"""

import logging
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import requests
from django.conf import settings

from watchbill.base.errors import Invalid, Unavailable
from watchbill.base.mask import mask_text
from watchbill.outbound.client import guarded_session
from watchbill.outbound.deadline import Deadline, pause
from watchbill.outbound.rules import NotAllowed
from watchbill.paging.channels.base import REFUSED, Config, Kind, pause_of
from watchbill.paging.message import Message, Permanent, Sent, Temporary
from watchbill.paging.shorten import shorten

#: What a service must not use: it would go out by a way that nobody guards.
_OTHER_WAYS = frozenset({"socket", "smtplib", "subprocess", "ssl", "websocket", "asyncio", "paho", "dbus", "ctypes"})
_lock = threading.Lock()
#: The pause that a service's answers asked for, of this thread's message: Apprise itself says nothing of headers.
_pauses = threading.local()
if TYPE_CHECKING:
    from apprise.plugins.base import NotifyBase


class _Guard(requests.Session):
    """A session that remembers when the hub's own rules forbade an address: Apprise only answers that it did not work."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """One request."""
        try:
            return super().request(*args, **kwargs)
        except requests.ConnectionError as error:
            if isinstance(error.__cause__, NotAllowed):
                _pauses.refused = f"{error.__cause__.detail} {error.__cause__.hint}".strip()
            raise


def _listen(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    """Keeps what a refusal says about when to come back."""
    if not response.ok:
        _pauses.pause = pause_of({name.lower(): value for name, value in response.headers.items()})


def _session() -> requests.Session:
    session = guarded_session(settings.OUTBOUND, _Guard)
    session.hooks["response"].append(_listen)
    return session


class _Guarded:
    """`requests` as a module of Apprise's sees it: everything as it is, and every request by the guarded way."""

    def __getattr__(self, name: str) -> Any:
        if name in ("get", "post", "put", "patch", "delete", "head", "options", "request"):
            return getattr(_session(), name)
        if name in ("Session", "session"):
            return _session
        return getattr(requests, name)


class _Clock:
    """`time` as a module of Apprise's sees it: a server that says “not before an hour from now” is not waited for."""

    sleep = staticmethod(pause)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


_GUARDED: Any = _Guarded()
_CLOCK: Any = _Clock()
#: All requests of one notification together, and what Apprise waits between them.
SECONDS = 30.0


def _modules(plugin: "type[NotifyBase]") -> list[ModuleType]:
    """The modules that a service is made of: one, or a package's."""
    parts = plugin.__module__.split(".")
    name = ".".join(parts[:3])
    return [module for key, module in list(sys.modules.items()) if key == name or key.startswith(f"{name}.")]


def load(url: str) -> "NotifyBase":
    """The service that an address means, behind the guard. Raises Invalid where there is none, or where it goes out by other ways."""
    # Apprise is large, and most hubs need it for nothing: it is loaded with its first address.
    from apprise import Apprise

    with _lock:
        found = Apprise.instantiate(url, suppress_exceptions=True)
        if found is None:
            raise Invalid(
                "Apprise knows no such address.", hint="https://github.com/caronc/apprise/wiki lists them: ntfy://topic, tgram://…, matrix://…", field="secret"
            )  # fmt: skip
        modules = _modules(type(found))
        ways = {key for module in modules for key in vars(module) if key in _OTHER_WAYS}
        if ways or not any(hasattr(module, "requests") for module in modules):
            scheme = url.partition("://")[0][:20]
            raise Invalid(f"{scheme}:// does not go out by HTTP, so the hub cannot guard it.", hint="Use a service that takes HTTP.", field="secret")  # fmt: skip
        for module in [*modules, *(module for key, module in list(sys.modules.items()) if key.startswith("apprise."))]:
            if getattr(module, "requests", None) is requests:
                module.requests = _GUARDED  # type: ignore[attr-defined]
            if getattr(module, "time", None) is time:
                module.time = _CLOCK  # type: ignore[attr-defined]
    # Whoever typed the address does not switch off what TLS is for.
    found.verify_certificate = True
    return found


class _Heard(logging.Handler):
    """What Apprise says of a failure: it answers no more than that there was one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps what this thread says."""
        if record.thread == self.thread:
            self.words.append(record.getMessage())


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    try:
        service = load(secret)
    except Invalid as error:
        raise Permanent(error.detail) from None
    heard, log = _Heard(), logging.getLogger("apprise")
    _pauses.pause, _pauses.refused = None, ""
    log.addHandler(heard)
    try:
        from apprise import NotifyType

        kind = NotifyType.FAILURE if message.urgency == "high" else NotifyType.WARNING
        # Most services cut a long title without asking.
        title = shorten(message.title, service.title_maxlen) if service.title_maxlen > 0 else message.title
        with Deadline(SECONDS):
            done = service.notify(title=title, body=message.body(), notify_type=kind)
    except Unavailable as error:
        raise Temporary(error.detail) from None
    except Exception as error:
        raise Temporary(f"Apprise failed at it: {type(error).__name__}") from None
    finally:
        log.removeHandler(heard)
    if not done:
        if _pauses.refused:
            raise Permanent(f"{REFUSED}{_pauses.refused}")
        words = mask_text(" ".join(heard.words))[:300]
        raise Temporary(words or "the service did not take it", retry_after=_pauses.pause)
    return Sent()


def _check_secret(secret: str) -> None:
    load(secret)


def _hosts(config: Config, secret: str) -> list[str]:
    """The host that an address names itself. Those of public services stand in their plugins; in place of a host they have a topic or a key."""
    if not secret:
        return []
    host = str(getattr(load(secret), "host", None) or "")
    return [host] if "." in host or ":" in host or host == "localhost" else []


APPRISE = Kind(
    "apprise", "Any other service (Apprise)", (), (), _send, asks="Apprise address (ntfy://…, tgram://…)", target=True, check_secret=_check_secret, hosts=_hosts,
)  # fmt: skip
