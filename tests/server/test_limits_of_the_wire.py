"""Nobody who is not known holds the door: a head, a body and a connection have limits in size, in time and in number."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.server.hub import wait_for
from tests.server.wire_server import QUICK, Served, everything, served

GET = b"GET /page HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as made:
        yield made


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split(b" ", 2)[1])


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def alert(server: Served) -> float:
    """Sends one alert; answers how long it took."""
    begun = time.monotonic()
    answer = server.say(post("/intake/at-once/a", b"alert", b"Connection: close"))
    assert status(answer) == 200
    return time.monotonic() - begun


def memory() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024


def flood(line: socket.socket, piece: bytes, total: int) -> int:
    """Sends so many bytes, as far as the other side lets us; answers how many went out."""
    sent = 0
    while sent < total:
        try:
            line.sendall(piece)
        except (ConnectionError, TimeoutError):
            break
        sent += len(piece)
    return sent


def first_answer(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    ("begin", "piece", "expected"),
    [
        (GET + b"X: ", b"a" * 65_536, 431),
        (GET, b"X: a\r\n" * 10_000, 431),
        (GET + b"X: a\r\n", b" folded\r\n" * 8_000, None),
        (GET, b"a" * 65_536, 431),
        (b"GET /", b"a" * 65_536, 414),
        (b"POST /intake/at-once/", b"a" * 65_536, 414),
        (b"POST /intake/at-once/a HTTP/1.1\r\nX: ", b"a" * 65_536, 431),
        (b"", b"G" * 65_536, 400),
    ],
    ids=["a header", "many headers", "a folded header", "a header's name", "an address", "an intake's address", "an intake's header", "a method"],
)  # fmt: skip
def test_an_endless_head_is_refused_at_once_and_costs_no_memory(
    server: Served, begin: bytes, piece: bytes, expected: int | None
) -> None:
    before = memory()
    with server.dial() as line:
        line.sendall(begin)
        line.settimeout(15)
        began = time.monotonic()
        line.sendall(piece)
        line.sendall(piece)
        answer = first_answer(line)
        assert time.monotonic() - began < 5
        assert status(answer) == expected or (expected is None and status(answer) in (400, 431))
        assert b"connection: close" in answer
        sent = flood(line, piece, 200_000_000)
        assert sent < 200_000_000, "it was read to its end"
        assert alert(server) < 5
    assert memory() - before < 20_000_000
    wait_for(lambda: server.connections <= 1, 20)


def test_alerts_are_answered_while_four_senders_send_endless_heads(server: Served) -> None:
    before = memory()

    def one() -> None:
        with server.dial() as line:
            line.settimeout(15)
            line.sendall(GET + b"X: ")
            flood(line, b"a" * 65_536, 50_000_000)

    senders = [threading.Thread(target=one) for _ in range(4)]
    for sender in senders:
        sender.start()
    assert max(alert(server) for _ in range(20)) < 5
    for sender in senders:
        sender.join(30)
    assert memory() - before < 30_000_000


@pytest.mark.parametrize("size", [1, 7, 63])
def test_a_head_in_small_pieces_is_gathered_in_linear_time_and_read_the_same(server: Served, size: int) -> None:
    head = GET + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 700) for n in range(80)) + b"Y: " + b"w" * 2_000 + b"\r\n\r\n"
    assert 58_000 < len(head) < 65_536
    with server.dial() as line:
        for at in range(0, len(head), size):
            line.sendall(head[at : at + size])
        assert status(first_answer(line)) == 200


def test_a_head_just_within_the_limits_is_taken_and_just_beyond_is_not(server: Served) -> None:
    close = b"Connection: close\r\n\r\n"
    assert status(server.say(GET + b"X: %s\r\n" % (b"a" * 65_000) + close)) == 200
    assert status(server.say(GET + b"X: %s\r\n" % (b"a" * 65_536) + close)) == 431
    assert status(server.say(GET + b"X: a\r\n" * 126 + close)) == 200
    assert status(server.say(GET + b"X: a\r\n" * 127 + close)) == 431
    assert status(server.say(b"GET /" + b"a" * 8_191 + b" HTTP/1.1\r\nHost: x\r\n" + close)) == 200
    assert status(server.say(b"GET /" + b"a" * 8_192 + b" HTTP/1.1\r\nHost: x\r\n" + close)) == 414


def test_chunks_with_endless_extensions_or_trailers_are_refused(server: Served) -> None:
    head = b"POST /page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for begin in (b"5;a=", b"5\r\nhello\r\n0\r\nX-Trailer: ", b"5\r\nhello\r\n0\r\n"):
        piece = b"a" * 65_536 if not begin.endswith(b"0\r\n") else b"T: t\r\n" * 10_000
        with server.dial() as line:
            line.settimeout(15)
            line.sendall(head + begin)
            sent = flood(line, piece, 200_000_000)
            assert sent < 200_000_000
            assert status(first_answer(line)) in (400, 431)
    assert b'"hello"' in server.say(head[:-2] + b"Connection: close\r\n\r\n5;ext=1\r\nhello\r\n0\r\nT: t\r\n\r\n")


def test_a_trailer_passes_for_no_header(server: Served) -> None:
    head = b"POST /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(server.say(head + b"0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")) == 200
    assert {name for name, _ in server.recorder.headers} == {b"host", b"connection", b"transfer-encoding"}
    assert status(server.say(head + b"0\r\nContent-Length: 5\r\n\r\n")) == 400


def test_half_open_requests_are_closed_at_their_deadline_and_alerts_get_in_meanwhile(server: Served) -> None:
    kinds = [
        b"POST",
        b"POST /page HTTP/1.1\r\nHost",
        post("/page", b"x" * 100)[:-50],
        post("/intake/at-once/a", b"x" * 100)[:-50],
        b"POST /page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ]
    lines = [server.dial() for _ in range(40) for _ in kinds]
    for number, line in enumerate(lines):
        line.sendall(kinds[number % len(kinds)])
    assert alert(server) < 5
    begun = time.monotonic()
    answers = [everything(line, 20) for line in lines]
    assert time.monotonic() - begun < 20
    assert {status(answer) for answer in answers} == {408}
    for line in lines:
        line.close()
    wait_for(lambda: server.connections == 0, 20)


def test_who_sends_a_byte_now_and_then_is_closed_all_the_same(server: Served) -> None:
    for begin, drip in ((b"", b"\r\n"), (GET, b"X"), (post("/page", b"x" * 100)[:-100], b"x"), (b"", b"")):
        with server.dial() as line:
            line.sendall(begin)
            line.settimeout(0.1)
            wait_for(lambda line=line, drip=drip: ended(line, drip), 8, f"it stays open: {begin!r} {drip!r}")


def ended(line: socket.socket, drip: bytes) -> bool:
    """Sends a few bytes more; whether the other side has ended the connection."""
    try:
        line.sendall(drip)
        return line.recv(4096) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_a_request_that_waits_for_us_meets_no_deadline(server: Served) -> None:
    with server.dial() as line:
        line.sendall(post("/slow", b"body") + b"POST /page HT")
        time.sleep(3)
        server.recorder.go.set()
        answer = first_answer(line)
        assert status(answer) == 200
        server.recorder.go.clear()


def test_a_body_that_is_slow_but_comes_is_taken() -> None:
    with served(limits=replace(QUICK, body_rate=1_000)) as server, server.dial() as line:
        body = b"x" * 8_000
        text = post("/page", body)
        line.sendall(text[:-8_000])
        for _ in range(8):
            time.sleep(0.4)
            line.sendall(b"x" * 1_000)
        assert status(first_answer(line)) == 200


def test_who_does_not_read_an_answer_is_dropped(server: Served) -> None:
    with server.dial() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: ("GET", "/large", b"") in server.recorder.seen, 20)
        wait_for(lambda: server.connections == 0, 20, "it is still held")


def test_who_reads_an_answer_slowly_gets_it_whole(server: Served) -> None:
    with server.dial() as line:
        line.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        size = 0
        while piece := line.recv(400_000):
            size += len(piece)
            time.sleep(0.02)
        assert size > 20_000_000


def test_a_refusal_comes_after_the_answers_that_are_owed(server: Served) -> None:
    answer = server.say(
        post("/intake/at-once/a", b"one") + post("/page", b"two") + GET + b"X: " + b"a" * 700_000,
    )
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 200, 431]
    assert answer.index(b'"one"') < answer.index(b'"two"')


def test_many_small_requests_at_once_are_bounded(server: Served) -> None:
    answer = server.say((b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n") * 6_000)
    codes = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert set(codes[:-1]) == {200}
    assert codes[-1] == 400
    assert len(codes) < 200


def test_a_flood_of_connections_keeps_no_alert_out() -> None:
    with served(limits=replace(QUICK, head_seconds=30.0, per_address=100)) as server:
        lines = []
        for _ in range(300):
            line = server.dial()
            line.sendall(b"POST /")
            lines.append(line)
        for _ in range(20):
            assert alert(server) < 5
        wait_for(lambda: server.connections <= 100, 20)
        for line in lines:
            line.close()


def test_the_global_limit_holds_for_many_addresses_and_idle_connections_go_first() -> None:
    with served(limits=replace(QUICK, head_seconds=30.0, connections=60, per_address=40)) as server:
        busy = server.dial("127.0.0.9")
        busy.sendall(post("/slow", b"busy"))
        wait_for(lambda: server.recorder.seen, 20)
        lines = []
        for number in range(200):
            line = server.dial(f"127.0.0.{number % 8 + 1}")
            line.sendall(GET + b"\r\n" if number % 2 else b"GET")
            lines.append(line)
        assert alert(server) < 5
        wait_for(lambda: server.connections <= 60, 20)
        server.recorder.go.set()
        assert status(first_answer(busy)) == 200, "who waits for an answer gets it"
        for line in (*lines, busy):
            line.close()


def test_where_all_wait_for_an_answer_the_next_is_told_to_try_again() -> None:
    with served(limits=replace(QUICK, per_address=5)) as server:
        lines = [server.dial() for _ in range(5)]
        for line in lines:
            line.sendall(post("/slow", b""))
        wait_for(lambda: len(server.recorder.seen) == 5, 20)
        answer = server.say()
        assert status(answer) == 503
        assert b"retry-after" in answer
        for line in lines:
            line.close()
        wait_for(lambda: server.connections == 0, 20)
        assert alert(server) < 5


def test_a_trusted_proxy_is_not_counted_by_address() -> None:
    with served(limits=replace(QUICK, head_seconds=30.0, per_address=5), proxies={"127.0.0.1"}) as server:
        lines = [server.dial() for _ in range(50)]
        for line in lines:
            line.sendall(b"GET")
        wait_for(lambda: server.connections == 50, 20)
        for line in lines:
            line.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_answered_so_that_its_sender_sees_it(server: Served, chunked: bool) -> None:
    """The application answers before it has read: 50 MB are still on their way, and the connection is to be closed."""
    with server.dial() as line:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 50000000"
        line.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + framing + b"\r\n\r\n")
        for _ in range(50):
            line.sendall((b"f4240\r\n%b\r\n" if chunked else b"%b") % (b"x" * 1_000_000))
        answer = everything(line)
        assert status(answer) == 413
        assert json.loads(answer.split(b"\r\n\r\n")[1]) == "early"


def test_bodies_that_nobody_answers_yet_are_bounded_together_and_small_ones_still_come() -> None:
    with served(limits=replace(QUICK, body_seconds=30.0, bodies=1_000_000)) as server:
        lines = [server.dial() for _ in range(6)]
        text = post("/page", b"x" * 400_000)
        for line in lines[:4]:
            line.sendall(text[:-10])
        wait_for(lambda: server.protocol.registry.held >= 1_000_000, 20)  # type: ignore[attr-defined]
        refused = server.say(text[:-10])
        assert status(refused) == 503
        assert alert(server) < 5
        assert b"small" in server.say(post("/page", b"small", b"Connection: close"))
        for line in lines:
            line.close()
        wait_for(lambda: server.protocol.registry.held == 0, 20)  # type: ignore[attr-defined]


def test_half_a_body_is_no_request(server: Served) -> None:
    seen = len(server.recorder.seen)
    for path in ("/page", "/intake/at-once/half"):
        with server.dial() as line:
            line.sendall(post(path, b"transfer 100")[:-2])
    assert alert(server) < 5
    assert [one[1] for one in server.recorder.seen[seen:]] == ["/intake/at-once/a"]


def test_a_large_body_for_an_intake_is_not_gathered_where_small_ones_are_taken_at_once(server: Served) -> None:
    for size, at_once in ((65_536, True), (65_537, False), (1_900_000, False)):
        answer = server.say(post("/intake/at-once/a", b"x" * size, b"Connection: close"))
        assert status(answer) == 200
        assert (b"x-at-once: yes" in answer) == at_once, size
