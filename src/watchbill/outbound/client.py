"""The one HTTP client. DNS is resolved once, checked, and the connection made to the checked address."""

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urljoin

import httpcore
import httpx
import requests
from django.conf import settings
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from watchbill.base.errors import Invalid, TooLarge, Unavailable
from watchbill.outbound.rules import Policy, check_addresses, check_url

MAX_BYTES = 5_000_000
SECONDS = 15.0
REDIRECTS = 4
Resolve = Callable[[str, int], list[str]]


def resolve_host(host: str, port: int) -> list[str]:
    """The host's addresses, by the system's resolver. Raises Unavailable."""
    try:
        return sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError):
        raise Unavailable(f"The name {host} does not resolve.", hint="Check its spelling and the hub's DNS.") from None


class _PinnedBackend(httpcore.SyncBackend):
    """Connects to an address that was checked; TLS still verifies the host's name."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self.policy, self.resolve = policy, resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """The connection."""
        addresses = check_addresses(host.lower().rstrip("."), self.resolve(host, port), self.policy)
        error: Exception | None = None
        for address in addresses:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as failure:
                error = failure
        raise error or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """Never."""
        raise Invalid("Outgoing requests do not use sockets.")


class _PinnedTransport(httpx.HTTPTransport):
    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=_PinnedBackend(policy, resolve)
        )


class Answer:
    """What came back: status, headers, body (whole, within the limit), and the address that answered at last."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, url: str) -> None:
        self.status, self.headers, self.body, self.url = status, headers, body, url


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    policy: Policy | None = None,
    resolve: Resolve = resolve_host,
    seconds: float = SECONDS,
    max_bytes: int = MAX_BYTES,
    redirects: int = REDIRECTS,
) -> Answer:
    """Sends one request within the rules; each redirect is checked like the first address.

    ``seconds`` bounds the whole exchange. Raises Invalid (not allowed), Unavailable (no answer in time), TooLarge.
    """
    policy = policy or settings.OUTBOUND
    deadline = time.monotonic() + seconds
    sent = dict(headers or {})
    if any("\r" in piece or "\n" in piece or "\0" in piece for pair in sent.items() for piece in pair):
        raise Invalid("A header holds a line break.", field="headers")
    with httpx.Client(transport=_PinnedTransport(policy, resolve), follow_redirects=False, trust_env=False) as client:
        for _ in range(redirects + 1):
            scheme, host, _ = check_url(url, policy)
            answer = _once(client, method, url, sent, body, deadline, max_bytes)
            target = answer.headers.get("location")
            if answer.status not in {301, 302, 303, 307, 308} or not target:
                return answer
            following = urljoin(url, target)
            next_scheme, next_host, _ = check_url(following, policy)
            if scheme == "https" and next_scheme == "http":
                raise Invalid(f"{host} redirects from https to http.", field="url")
            if next_host != host:
                sent = {key: value for key, value in sent.items() if key.lower() not in {"authorization", "cookie"}}
            if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
                method, body = "GET", None
            url = following
    raise Invalid(f"The address redirects more than {redirects} times.", field="url")


def _once(
    client: httpx.Client,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: float,
    max_bytes: int,
) -> Answer:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Unavailable("No whole answer came in time.")
    try:
        with client.stream(method, url, headers=dict(headers), content=body, timeout=httpx.Timeout(left)) as response:
            pieces, size = [], 0
            for piece in response.iter_bytes():
                size += len(piece)
                if size > max_bytes:
                    raise TooLarge(f"The answer is larger than {max_bytes:,} bytes.")
                if time.monotonic() > deadline:
                    raise Unavailable("No whole answer came in time.")
                pieces.append(piece)
            return Answer(
                response.status_code, {k.lower(): v for k, v in response.headers.items()}, b"".join(pieces), url
            )
    except (httpx.HTTPError, httpcore.NetworkError, httpcore.TimeoutException, httpx.InvalidURL) as error:
        raise Unavailable(
            f"No answer came: {type(error).__name__}.", hint="Check the address, and whether the hub may reach it."
        ) from None


class _GuardedAdapter(BaseAdapter):
    """`requests`, for libraries that bring it, over the guarded way."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """One request; redirects are handled by ``fetch``."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        try:
            answer = fetch(
                request.method or "GET", request.url or "", headers=dict(request.headers), body=body, policy=self.policy
            )
        except (Invalid, Unavailable, TooLarge) as error:
            raise requests.ConnectionError(str(error)) from error
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status, answer.url, request
        response.headers = CaseInsensitiveDict(
            {k: v for k, v in answer.headers.items() if k not in {"content-encoding", "content-length"}}
        )
        response._content = answer.body
        return response

    def close(self) -> None:
        """Nothing is kept open."""


def guarded_requests_session(*, allow: str) -> requests.Session:
    """A `requests` session whose every request goes through ``fetch``; ``allow`` is an address from the settings."""
    return guarded_session(settings.OUTBOUND.with_url(allow))


def guarded_session(policy: Policy) -> requests.Session:
    """A `requests` session whose every request goes through ``fetch`` by the rules of a policy."""
    session = requests.Session()
    session.trust_env = False
    adapter = _GuardedAdapter(policy)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
