"""Whatever the other side does, an outgoing exchange ends at its deadline, and takes no more memory than its limits: real servers that drip."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from watchbill.base.errors import TooLarge, Unavailable
from watchbill.outbound import client, deadline, mail
from watchbill.outbound.client import fetch, guarded_session
from watchbill.outbound.deadline import Deadline, pause
from watchbill.outbound.rules import read_policy

OPEN = read_policy("127.0.0.0/8,localhost", "")
SECONDS = 0.6
#: What an exchange may take beyond its deadline, on a busy machine.
GRACE = 1.0
Talk = Callable[[socket.socket], None]


@contextmanager
def server(talk: Talk) -> Iterator[int]:
    """Each connection is talked to in a thread of its own, until the test is over."""
    with ExitStack() as stack:
        listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        open_ones: list[socket.socket] = []

        def one(taken: socket.socket) -> None:
            try:
                talk(taken)
            except OSError:
                pass
            finally:
                taken.close()

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                open_ones.append(taken)
                threading.Thread(target=one, args=(taken,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        stack.callback(lambda: [one.close() for one in open_ones])
        stack.callback(listener.close)
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield listener.getsockname()[1]


def drip(first: bytes, again: bytes, every: float = 0.05, *, reads: bool = True) -> Talk:
    """Says something at once, and something more again and again, sooner than any timeout of a single read."""

    def talk(taken: socket.socket) -> None:
        if reads:
            taken.recv(65536)
        taken.sendall(first)
        while True:
            taken.sendall(again)
            time.sleep(every)

    return talk


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds + GRACE


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "a status line": (b"HTTP/1.1 2", b"0"),
    "a header": (OK + b"X: ", b"a"),
    "headers": (OK, b"X: a\r\n"),
    "a body": (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "a body without a length": (OK + b"\r\n", b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "a chunk's extension": (CHUNKED + b"1;x=", b"y"),
    "a chunk's size": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "the name in a gzip header": (OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\xff", b"n"),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_drips_is_left_at_the_deadline(what: str) -> None:
    with server(drip(*DRIPS[what])) as port, in_time(), pytest.raises(Unavailable, match="in time"):
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN, seconds=SECONDS)


@pytest.mark.parametrize("status", [100, 102, 103])
def test_a_flood_of_informational_answers_ends_too(status: int) -> None:
    flood = f"HTTP/1.1 {status} Wait\r\n\r\n".encode() * 500
    with server(drip(b"", flood, 0)) as port, in_time(), pytest.raises(Unavailable):
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN, seconds=SECONDS)


def test_a_server_that_does_not_read_is_left_at_the_deadline() -> None:
    with server(lambda taken: time.sleep(30)) as port, in_time(), pytest.raises(Unavailable, match="in time"):
        fetch("POST", f"http://127.0.0.1:{port}/", body=b"x" * 30_000_000, policy=OPEN, seconds=SECONDS)


def test_the_deadline_is_for_all_redirects_together() -> None:
    def talk(taken: socket.socket) -> None:
        taken.recv(65536)
        time.sleep(SECONDS * 0.6)
        taken.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with server(talk) as port, in_time(), pytest.raises(Unavailable, match="in time"):
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN, seconds=SECONDS)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue is full: it answers no further connection, on any address of this machine."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("0.0.0.0", 0))
        listener.listen(0)
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("addresses", [1, 3, 200])
def test_addresses_that_swallow_connections_share_one_deadline(addresses: int) -> None:
    many = [f"127.0.1.{number}" for number in range(1, addresses + 1)]
    with black_hole() as port, in_time(), pytest.raises(Unavailable, match=r"in time|ConnectTimeout"):
        fetch("GET", f"http://hole.example:{port}/", policy=OPEN, seconds=SECONDS, resolve=lambda host, port: many)


def test_an_address_behind_one_that_hangs_still_gets_its_turn() -> None:
    """Both are the same port: the hole is on one address, the server on the other."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.2.1", 0))
        hole.listen(0)
        port = hole.getsockname()[1]
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.2.1", port))
        listener = stack.enter_context(socket.create_server(("127.0.2.2", port)))

        def serve() -> None:
            taken, _ = listener.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(OK + b"Content-Length: 2\r\n\r\nok")

        threading.Thread(target=serve, daemon=True).start()
        found = fetch(
            "GET", f"http://two.example:{port}/", policy=OPEN, seconds=3, resolve=lambda host, port: ["127.0.2.1", "127.0.2.2"]
        )  # fmt: skip
        assert found.body == b"ok"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For localhost, trusted by the test that uses it."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    at = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(at - timedelta(days=1)).not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side; the hub trusts it."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(client, "_tls", lambda: trusting)
    monkeypatch.setattr(mail.ssl, "create_default_context", lambda: trusting)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate)
    return found


def test_a_handshake_that_drips_is_left_at_the_deadline() -> None:
    with server(drip(b"\x16\x03\x03\x40\x00", b"\x02")) as port, in_time(), pytest.raises(Unavailable, match="in time"):
        fetch("GET", f"https://127.0.0.1:{port}/", policy=OPEN, seconds=SECONDS)


@pytest.mark.parametrize("what", ["a header", "a body without a length", "nothing"])
def test_what_drips_inside_of_tls_is_left_at_the_deadline(what: str, tls: ssl.SSLContext) -> None:
    def talk(taken: socket.socket) -> None:
        with tls.wrap_socket(taken, server_side=True) as inside:
            drip(*DRIPS[what])(inside)

    with server(talk) as port, in_time(), pytest.raises(Unavailable, match="in time"):
        fetch("GET", f"https://localhost:{port}/", policy=OPEN, seconds=SECONDS)


def test_a_plain_answer_inside_of_tls_is_read(tls: ssl.SSLContext) -> None:
    def talk(taken: socket.socket) -> None:
        with tls.wrap_socket(taken, server_side=True) as inside:
            inside.recv(65536)
            inside.sendall(OK + b"Content-Length: 2\r\n\r\nok")

    with server(talk) as port:
        assert fetch("GET", f"https://localhost:{port}/", policy=OPEN).body == b"ok"


def test_a_look_up_that_hangs_is_left_and_only_so_many_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_slots", threading.BoundedSemaphore(2))
    go_on = threading.Event()

    def hangs(host: str, port: int) -> list[str]:
        go_on.wait(30)
        return ["127.0.0.1"]

    try:
        for _ in range(2):
            with in_time(0.2), pytest.raises(Unavailable, match="did not resolve in time"):
                fetch("GET", "http://hangs.example/", policy=OPEN, seconds=0.2, resolve=hangs)
        threads = threading.active_count()
        with in_time(0), pytest.raises(Unavailable, match="look-ups hang already"):
            fetch("GET", "http://hangs.example/", policy=OPEN, seconds=5, resolve=hangs)
        assert threading.active_count() == threads
    finally:
        go_on.set()
    # They are free again when those that hung have ended.
    until = time.monotonic() + 5
    while time.monotonic() < until and not deadline._slots.acquire(blocking=False):
        time.sleep(0.01)
    assert time.monotonic() < until


def bounded(run: Callable[[], object]) -> float:
    """The most memory that something took, in MB."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / 1_000_000
    finally:
        tracemalloc.stop()


def answering(headers: bytes, body: bytes) -> Talk:
    def talk(taken: socket.socket) -> None:
        taken.recv(65536)
        taken.sendall(OK + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return talk


BOMB = gzip.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize("coding", [b"gzip, gzip", b"gzip,gzip,gzip", b"br", b"zstd", b"deflate, gzip", b"nonsense"])
def test_an_answer_packed_twice_or_otherwise_is_refused_unread(coding: bytes) -> None:
    def ask() -> None:
        with pytest.raises(Unavailable, match="did not ask for"):
            fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN)

    with server(answering(b"Content-Encoding: %s\r\n" % coding, gzip.compress(BOMB))) as port:
        assert bounded(ask) < 5


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"GZIP"])
def test_an_answer_that_unfolds_is_cut_off_at_the_limit(coding: bytes) -> None:
    def ask() -> None:
        with pytest.raises(TooLarge):
            fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN, max_bytes=1_000_000)

    with server(answering(b"Content-Encoding: %s\r\n" % coding, BOMB)) as port:
        assert bounded(ask) < 8


def test_a_packed_answer_that_is_small_is_read_though_nobody_asked_for_it() -> None:
    with server(answering(b"Content-Encoding: gzip\r\n", gzip.compress(b"hello"))) as port:
        assert fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN).body == b"hello"
    with (
        server(answering(b"Content-Encoding: gzip\r\n", gzip.compress(b"hello")[:-9])) as port,
        pytest.raises(Unavailable, match="middle"),
    ):
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN)
    with (
        server(answering(b"Content-Encoding: gzip\r\n", b"rubbish")) as port,
        pytest.raises(Unavailable, match="cannot be unpacked"),
    ):
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN)


def test_nothing_is_asked_for_packed() -> None:
    seen: list[bytes] = []

    def talk(taken: socket.socket) -> None:
        seen.append(taken.recv(65536))
        taken.sendall(OK + b"Content-Length: 0\r\n\r\n")

    with server(talk) as port:
        fetch("GET", f"http://127.0.0.1:{port}/", headers={"accept-encoding": "gzip"}, policy=OPEN)
        guarded_session(OPEN).get(f"http://127.0.0.1:{port}/", timeout=5)
    for one in seen:
        assert one.lower().count(b"accept-encoding") == 1
        assert b"accept-encoding: identity" in one.lower()


@pytest.mark.parametrize(
    "first",
    [OK + b"X: " + b"a" * 200_000, OK + b"X: a\r\n" * 20_000 + b"\r\n", OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n"],
)
def test_headers_have_a_limit(first: bytes) -> None:
    with server(drip(first, b"")) as port, pytest.raises((TooLarge, Unavailable)):
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN, seconds=3)


def test_a_body_without_end_is_cut_off_at_the_limit() -> None:
    def ask() -> None:
        with pytest.raises(TooLarge):
            fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN, max_bytes=most)

    most = 1_000_000
    with server(drip(OK + b"Content-Length: 2000000000\r\n\r\n", b"x" * 100_000, 0)) as port:
        assert bounded(ask) < 6
    most = 20_000
    with server(drip(CHUNKED, b"2\r\nxx\r\n" * 10_000, 0)) as port:
        assert bounded(ask) < 6


def letter() -> EmailMessage:
    found = EmailMessage()
    found["From"], found["To"], found["Subject"] = "hub@example.org", "ada@example.org", "A page"
    found.set_content("Something is wrong.")
    return found


def post(port: int, tls: str = "none", user: str = "") -> str:
    return mail.send_mail(
        letter(), host="localhost", port=port, tls=tls, user=user, password="x", sender="hub@example.org", to="ada@example.org",
        policy=OPEN, resolve=lambda host, port: ["127.0.0.1"],
    )  # fmt: skip


def dialogue(*lines: bytes, then: Talk) -> Talk:
    """Says each of these after something was said to it (the first at once); then it drips."""

    def talk(taken: socket.socket) -> None:
        for number, line in enumerate(lines):
            if number:
                taken.recv(65536)
            taken.sendall(line)
        then(taken)

    return talk


HELLO, READY = b"220 mail.example.org ESMTP\r\n", b"250 fine\r\n"
MAIL = {
    "nothing is said": dialogue(then=drip(b"", b"", reads=False)),
    "the banner drips": dialogue(then=drip(b"220 ", b"x", reads=False)),
    "the banner has lines without end": dialogue(then=drip(b"", b"220-x\r\n", reads=False)),
    "the reply to EHLO drips": dialogue(HELLO, then=drip(b"25", b"0")),
    "the reply to EHLO has lines without end": dialogue(HELLO, then=drip(b"", b"250-x\r\n")),
    "the reply to MAIL drips": dialogue(HELLO, READY, then=drip(b"250 ", b"x")),
    "the reply to RCPT drips": dialogue(HELLO, READY, READY, then=drip(b"250 ", b"x")),
    "the reply to DATA drips": dialogue(HELLO, READY, READY, READY, then=drip(b"354 ", b"x")),
    "the last reply is cut": dialogue(HELLO, READY, READY, READY, b"354 go\r\n", then=drip(b"250", b"")),
}


@pytest.mark.parametrize("what", MAIL)
def test_a_mail_server_that_drips_is_left_at_the_deadline(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "SECONDS", SECONDS)
    with server(MAIL[what]) as port, in_time(), pytest.raises(Unavailable, match="in time"):
        post(port)


def test_a_mail_server_that_hangs_around_tls_is_left_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext
) -> None:
    monkeypatch.setattr(mail, "SECONDS", SECONDS)
    offers = b"250-hello\r\n250 STARTTLS\r\n"
    drips = [
        ("starttls", dialogue(HELLO, offers, then=drip(b"220", b" "))),
        ("starttls", dialogue(HELLO, offers, b"220 go\r\n", then=drip(b"\x16\x03\x03\x40\x00", b"\x02"))),
        ("tls", drip(b"\x16\x03\x03\x40\x00", b"\x02")),
    ]

    def inside(taken: socket.socket) -> None:
        with tls.wrap_socket(taken, server_side=True) as wrapped:
            dialogue(HELLO, then=drip(b"250 ", b"x"))(wrapped)

    def after_starttls(taken: socket.socket) -> None:
        dialogue(HELLO, offers, b"220 go\r\n", then=lambda taken: None)(taken)
        with tls.wrap_socket(taken, server_side=True) as wrapped:
            drip(b"250 ", b"x")(wrapped)

    for way, talk in [*drips, ("tls", inside), ("starttls", after_starttls)]:
        with server(talk) as port, in_time(), pytest.raises(Unavailable, match="in time"):
            post(port, way)


@pytest.mark.parametrize("flood", [b"220-" + b"x" * 500 + b"\r\n", b"220-\r\n", b"x" * 4000])
def test_a_mail_server_that_talks_without_end_is_not_listened_to(flood: bytes) -> None:
    def ask() -> None:
        with in_time(2), pytest.raises(Unavailable):
            post(port)

    with server(drip(b"", flood * 100, 0, reads=False)) as port:
        assert bounded(ask) < 3


def test_a_mail_that_was_taken_is_not_held_up_by_its_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "GOODBYE", 0.3)
    with (
        server(dialogue(HELLO, READY, READY, READY, b"354 go\r\n", READY, then=drip(b"221 ", b"x"))) as port,
        in_time(),
    ):
        assert post(port) == "taken"


def test_a_deadline_around_several_requests_bounds_them_together() -> None:
    """As a notification by Apprise makes them: each one in time by itself, all of them not."""

    def talk(taken: socket.socket) -> None:
        taken.recv(65536)
        time.sleep(0.25)
        taken.sendall(OK + b"Content-Length: 2\r\n\r\nok")

    session = guarded_session(OPEN)

    def many() -> None:
        with Deadline(SECONDS):
            for _ in range(20):
                session.get(f"http://127.0.0.1:{port}/", timeout=5)

    with server(talk) as port, in_time(), pytest.raises(requests.ConnectionError, match="in time"):
        many()
    with in_time(0), pytest.raises(Unavailable), Deadline(SECONDS):
        # A server that says when to come back is not waited for beyond it.
        pause(3600)


def test_a_deadline_leaves_nothing_open() -> None:
    with server(answering(b"", b"ok")) as port:
        fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN)
        threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(50):
            fetch("GET", f"http://127.0.0.1:{port}/", policy=OPEN)
        until = time.monotonic() + 5
        while time.monotonic() < until and (
            threading.active_count() > threads + 2 or len(list(Path("/proc/self/fd").iterdir())) > files + 60
        ):
            time.sleep(0.02)
        assert time.monotonic() < until
