"""Whether a host may be reached at all, looked at before anything is sent: when somebody types its address."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings

from watchbill.base.errors import Invalid, Unavailable
from watchbill.outbound.client import resolve_host
from watchbill.outbound.deadline import Deadline, Resolve, look_up
from watchbill.outbound.rules import NotAllowed, Policy, check_addresses, check_host

#: Whoever saves a form waits no longer for a look-up of names.
SECONDS = 2.0


def host_of(url: str) -> str:
    """The host of an address; empty where it has none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def refused(hosts: Iterable[str], *, policy: Policy | None = None, resolve: Resolve = resolve_host) -> str:
    """Why nothing will go out to one of these hosts, with the setting that an operator changes; empty where nothing forbids it.

    A name that does not resolve now is no reason: that may pass, and is said when a message does not go out.
    """
    rules = policy or settings.OUTBOUND
    try:
        with Deadline(SECONDS) as deadline:
            for host in hosts:
                name = check_host(host, rules)
                check_addresses(name, look_up(resolve, name, 443, deadline), rules)
    except NotAllowed as error:
        return f"{error.detail} {error.hint}".strip()
    except (Unavailable, Invalid):
        return ""
    return ""
