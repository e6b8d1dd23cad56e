"""The one HTTP client. DNS is resolved once, checked, and the connection made to the checked address."""

import socket
import ssl
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urljoin

import httpcore
import httpx
import requests
from django.conf import settings
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from watchbill.base.errors import Invalid, TooLarge, Unavailable
from watchbill.outbound.deadline import Deadline, Resolve, look_up, shares
from watchbill.outbound.rules import Policy, check_addresses, check_url

MAX_BYTES = 5_000_000
MAX_HEADERS = 65_536
SECONDS = 15.0
REDIRECTS = 4


def resolve_host(host: str, port: int) -> list[str]:
    """The host's addresses, by the system's resolver. Raises Unavailable."""
    try:
        return sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError):
        raise Unavailable(f"The name {host} does not resolve.", hint="Check its spelling and the hub's DNS.") from None


class _PinnedBackend(httpcore.SyncBackend):
    """Connects to an address that was checked; TLS still verifies the host's name. The deadline watches each connection."""

    def __init__(self, policy: Policy, resolve: Resolve, deadline: Deadline) -> None:
        self.policy, self.resolve, self.deadline = policy, resolve, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """The connection."""
        name = host.lower().rstrip(".")
        addresses = check_addresses(name, look_up(self.resolve, host, port, self.deadline), self.policy)
        error: Exception | None = None
        for address, seconds in shares(addresses, self.deadline):
            try:
                found = super().connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
                continue
            self.deadline.watch(found.get_extra_info("socket"))
            return found
        raise error or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """Never."""
        raise Invalid("Outgoing requests do not use sockets.")


@cache
def _tls() -> ssl.SSLContext:
    """The authorities that are trusted: reading them takes longer than many a request."""
    return httpx.create_ssl_context(trust_env=False)


class _PinnedTransport(httpx.HTTPTransport):
    def __init__(self, policy: Policy, resolve: Resolve, deadline: Deadline) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(), network_backend=_PinnedBackend(policy, resolve, deadline)
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

    ``seconds`` bounds the whole exchange: look-up, connections, TLS, headers, bodies, redirects. A ``Deadline`` around it may end it earlier.
    Raises Invalid (not allowed), Unavailable (no usable answer in time), TooLarge.
    """
    policy = policy or settings.OUTBOUND
    if any("\r" in piece or "\n" in piece or "\0" in piece for pair in (headers or {}).items() for piece in pair):
        raise Invalid("A header holds a line break.", field="headers")
    sent = {"User-Agent": "Watchbill", **{k: v for k, v in (headers or {}).items() if k.lower() != "accept-encoding"}}
    # What is not compressed cannot unfold into a thousand times its size.
    sent["Accept-Encoding"] = "identity"
    with Deadline(seconds) as deadline, _PinnedTransport(policy, resolve, deadline) as transport:
        for _ in range(redirects + 1):
            scheme, host, _ = check_url(url, policy)
            answer = _once(transport, method, url, sent, body, deadline, max_bytes)
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
    transport: httpx.HTTPTransport,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: Deadline,
    max_bytes: int,
) -> Answer:
    left = deadline.left()
    try:
        timeout = {"timeout": httpx.Timeout(left).as_dict()}
        request = httpx.Request(method, url, headers=dict(headers), content=body, extensions=timeout)
        response = transport.handle_request(request)
        try:
            return _read(response, url, deadline, max_bytes)
        finally:
            response.close()
    except (httpx.HTTPError, httpx.InvalidURL, httpcore.NetworkError, httpcore.TimeoutException) as error:
        if deadline.passed:
            raise deadline.late() from None
        raise Unavailable(
            f"No answer came: {type(error).__name__}.", hint="Check the address, and whether the hub may reach it."
        ) from None


def _read(response: httpx.Response, url: str, deadline: Deadline, max_bytes: int) -> Answer:
    """The whole answer, within its limits of size and time."""
    if sum(len(name) + len(value) for name, value in response.headers.raw) > MAX_HEADERS:
        raise TooLarge(f"The headers of the answer are larger than {MAX_HEADERS:,} bytes.")
    headers = {name.lower(): value for name, value in response.headers.items()}
    coding = headers.get("content-encoding", "").strip().lower()
    unpack = None if coding in ("", "identity") else _unpacker(coding)
    read, packed = bytearray(), 0
    for piece in response.iter_raw():
        packed += len(piece)
        # One byte more than fits shows that there is more, and no more than that is ever unpacked.
        try:
            read += unpack.decompress(piece, max_bytes + 1 - len(read)) if unpack else piece
        except zlib.error:
            raise Unavailable("The compressed answer cannot be unpacked.") from None
        if max(len(read), packed) > max_bytes:
            raise TooLarge(f"The answer is larger than {max_bytes:,} bytes.")
        if deadline.passed:
            break
    # A connection that the deadline cut looks like an answer that ended.
    deadline.left()
    if unpack is not None and packed and not unpack.eof:
        raise Unavailable("The compressed answer ends in its middle.")
    return Answer(response.status_code, headers, bytes(read), url)


def _unpacker(coding: str) -> "zlib._Decompress":
    """What unpacks an answer that is compressed although the hub asked for none, once and by gzip or deflate; nothing else is read."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Unavailable(f"The answer is encoded as “{coding[:40]}”, which the hub did not ask for and does not read.")
    return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)


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


def guarded_session(policy: Policy, kind: type[requests.Session] = requests.Session) -> requests.Session:
    """A `requests` session whose every request goes through ``fetch`` by the rules of a policy."""
    session = kind()
    session.trust_env = False
    adapter = _GuardedAdapter(policy)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
