"""One request on the wire is one request at the door, or none: pieces and pipelines against uvicorn's own answer, and what is used to smuggle."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.server.hub import wait_for
from tests.server.wire_server import Served, served

#: What the wire says where it is stricter than uvicorn.
REFUSALS = {400, 408, 414, 431, 505}
Seen = list[tuple[str, str, bytes]]


@pytest.fixture(scope="module")
def wire() -> Iterator[Served]:
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def plain() -> Iterator[Served]:
    with served(HttpToolsProtocol) as made:
        yield made


def read_answers(raw: bytes) -> list[tuple[int, bytes]]:
    """The answers of one connection, without the interim ones: status and body."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            continue
        length = re.search(rb"(?i)content-length: (\d+)", head)
        size = int(length.group(1)) if length else 0
        if b"HTTP/1.1 " in raw[:9] and size:
            size = 0  # of a HEAD request
        found.append((status, raw[:size]))
        raw = raw[size:]
    return found


def exchange(server: Served, pieces: list[bytes], silence: float = 20) -> tuple[list[tuple[int, bytes]], Seen]:
    """Sends pieces over one connection; answers what came back, and which requests reached the application."""
    wait_for(lambda: server.connections == 0, 30)
    del server.recorder.seen[:]
    with server.dial() as line:
        try:
            for piece in pieces:
                line.sendall(piece)
        except ConnectionError:
            pass
        line.settimeout(silence)
        came = b""
        try:
            while piece := line.recv(65536):
                came += piece
        except (TimeoutError, ConnectionError):
            pass
    wait_for(lambda: server.connections == 0, 30)
    return read_answers(came), list(server.recorder.seen)


# Pieces and pipelines

tokens = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-", min_size=1, max_size=12)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
bodies = st.binary(max_size=300) | st.integers(60_000, 70_000).map(lambda size: b"y" * size)
paths = st.sampled_from(["/page", "/", "/page?a=b&c=%20", "/intake/at-once/k", "/intake/at-once/k?x=1", "/intake/other/k", "/%69ntake/at-once/k"])  # fmt: skip
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])


@st.composite
def requests(draw: st.DrawFn, last: bool = False) -> bytes:
    """A valid request."""
    body = draw(bodies)
    head = [f"{draw(methods)} {draw(paths)} HTTP/1.1", f"Host: {draw(tokens)}"]
    head += [f"X-{draw(tokens)}: {draw(values)}" for _ in range(draw(st.integers(0, 4)))]
    if last:
        head.append("Connection: close")
    if draw(st.booleans()):
        head.append(f"Content-Length: {len(body)}")
        text = body
    elif draw(st.booleans()):
        head.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, max(1, len(body))))
        extension = draw(st.sampled_from([b"", b";a", b";a=b"]))
        chunks = [body[at : at + size] for at in range(0, len(body), size)] if size > len(body) // 40 else [body]
        text = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks if chunk)
        text += b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: t\r\n"])) + b"\r\n"
    else:
        text = b""
    return "\r\n".join(head).encode() + b"\r\n\r\n" + text


@st.composite
def pipelines(draw: st.DrawFn) -> bytes:
    return b"".join([*draw(st.lists(requests(), max_size=4)), draw(requests(last=True))])


@st.composite
def cut(draw: st.DrawFn, text: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    at = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True) if start < end]


def check_valid(wire: Served, plain: Served, data: st.DataObject) -> None:
    text = data.draw(pipelines())
    pieces = data.draw(cut(text))
    ours, theirs = exchange(wire, pieces), exchange(plain, pieces)
    assert ours == theirs
    assert {status for status, _ in ours[0]} == {200}


def check_damaged(wire: Served, plain: Served, data: st.DataObject) -> None:
    text = bytearray(data.draw(pipelines()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(text) - 1, 400)))
        kind = data.draw(st.sampled_from(["change", "drop", "add"]))
        byte = data.draw(st.sampled_from(b"\0\t\n\r !:;,=+-05Aaxz\x7f\x80\xff"))
        if kind == "change":
            text[at] = byte
        elif kind == "drop":
            del text[at : at + data.draw(st.integers(1, 4))]
        else:
            text[at:at] = bytes([byte])
        if not text:
            return
    pieces = data.draw(cut(bytes(text)))
    (answers, seen), (_, theirs) = exchange(wire, pieces), exchange(plain, pieces, 0.3)
    assert seen == theirs[: len(seen)] or theirs == seen[: len(theirs)], "they disagree which requests these are"
    statuses = [status for status, _ in answers]
    assert set(statuses[:-1]) <= {200}
    assert not statuses or statuses[-1] in REFUSALS | {200}
    taken = [one for one in seen if one[0] != "HEAD"]
    assert statuses.count(200) <= len(seen)
    assert statuses.count(200) >= len(taken) - 1, "a request was taken, and its answer lost"


FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
MANY = settings(
    max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck), database=None, print_blob=True
)


@FEW
@given(data=st.data())
def test_pieces_and_pipelines_are_answered_as_uvicorn_does(wire: Served, plain: Served, data: st.DataObject) -> None:
    check_valid(wire, plain, data)


@FEW
@given(data=st.data())
def test_damaged_requests_are_the_same_requests_or_refused(wire: Served, plain: Served, data: st.DataObject) -> None:
    check_damaged(wire, plain, data)


@pytest.mark.soak
@MANY
@given(data=st.data())
def test_pieces_and_pipelines_for_long(wire: Served, plain: Served, data: st.DataObject) -> None:
    check_valid(wire, plain, data)


@pytest.mark.soak
@MANY
@given(data=st.data())
def test_damaged_requests_for_long(wire: Served, plain: Served, data: st.DataObject) -> None:
    check_damaged(wire, plain, data)


# What is used to smuggle

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"


def carrier(*headers: bytes, body: bytes = b"", line: bytes = b"POST /page HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: x", *headers]) + b"\r\n\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
REFUSED = {
    "CL.TE": carrier(b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG" + HIDDEN),
    "TE.CL": carrier(CHUNKED, b"Content-Length: 4", body=b"2b\r\n" + HIDDEN + b"\r\n0\r\n\r\n"),
    "two lengths": carrier(b"Content-Length: 0", b"Content-Length: 36", body=HIDDEN),
    "twice the same length": carrier(b"Content-Length: 5", b"Content-Length: 5", body=b"hello" + HIDDEN),
    "two encodings": carrier(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + HIDDEN),
    "twice chunked": carrier(CHUNKED, CHUNKED, body=b"0\r\n\r\n" + HIDDEN),
    "gzip, chunked": carrier(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunked, chunked": carrier(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunked, identity": carrier(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN),
    "identity": carrier(b"Transfer-Encoding: identity", body=HIDDEN),
    "xchunked": carrier(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunkedx": carrier(b"Transfer-Encoding: chunkedx", body=b"0\r\n\r\n" + HIDDEN),
    "quoted": carrier(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n" + HIDDEN),
    "vertical tab": carrier(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + HIDDEN),
    "semicolon": carrier(b"Transfer-Encoding: chunked;a", body=b"0\r\n\r\n" + HIDDEN),
    "empty encoding": carrier(b"Transfer-Encoding:", body=b"0\r\n\r\n" + HIDDEN),
    "space before colon": carrier(b"Transfer-Encoding : chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN),
    "tab before colon": carrier(b"Content-Length\t: 5", body=b"hello" + HIDDEN),
    "space before name": carrier(b" Content-Length: 5", body=b"hello" + HIDDEN),
    "folded": carrier(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN),
    "folded length": carrier(b"Content-Length: 1\r\n 0", body=b"hello" + HIDDEN),
    "plus": carrier(b"Content-Length: +5", body=b"hello" + HIDDEN),
    "minus": carrier(b"Content-Length: -5", body=b"hello" + HIDDEN),
    "hexadecimal": carrier(b"Content-Length: 0x5", body=b"hello" + HIDDEN),
    "list": carrier(b"Content-Length: 5, 5", body=b"hello" + HIDDEN),
    "two numbers": carrier(b"Content-Length: 5 0", body=b"hello" + HIDDEN),
    "underscore": carrier(b"Content-Length: 1_0", body=b"hello" + HIDDEN),
    "fraction": carrier(b"Content-Length: 5.0", body=b"hello" + HIDDEN),
    "empty length": carrier(b"Content-Length:", body=b"hello" + HIDDEN),
    "length beyond 64 bits": carrier(b"Content-Length: 18446744073709551621", body=b"hello" + HIDDEN),
    "other digits": carrier("Content-Length: ٥".encode(), body=b"hello" + HIDDEN),
    "NUL in a value": carrier(b"X: a\0b", b"Content-Length: 5", body=b"hello" + HIDDEN),
    "NUL in a name": carrier(b"Content-Length\0: 5", body=b"hello" + HIDDEN),
    "CR in a value": carrier(b"X: a\rContent-Length: 5", body=b"hello" + HIDDEN),
    "bare LF": b"POST /page HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello" + HIDDEN,
    "one bare LF": carrier(b"X: a\nContent-Length: 5", body=b"hello" + HIDDEN),
    "no colon": carrier(b"Content-Length 5", body=b"hello" + HIDDEN),
    "chunk beyond 64 bits": carrier(CHUNKED, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk with 0x": carrier(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "negative chunk": carrier(CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk with plus": carrier(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk with spaces": carrier(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk ended by LF": carrier(CHUNKED, body=b"5\nhello\n0\n\n" + HIDDEN),
    "chunk too short": carrier(CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "chunk without size": carrier(CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "extension with LF": carrier(CHUNKED, body=b"5;a\nX\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "HTTP/0.9": b"GET /page\r\n\r\n" + HIDDEN,
    "HTTP/1.2": carrier(line=b"GET /page HTTP/1.2") + HIDDEN,
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "HTTP/1.1x": carrier(line=b"GET /page HTTP/1.1x") + HIDDEN,
    "chunked in HTTP/1.0": carrier(CHUNKED, b"Connection: keep-alive", line=b"POST /page HTTP/1.0", body=b"0\r\n\r\n" + HIDDEN),
    "two hosts": carrier(b"Host: y") + HIDDEN,
    "CONNECT": b"CONNECT inside:80 HTTP/1.1\r\nHost: inside:80\r\n\r\n" + HIDDEN,
    "space in the address": carrier(line=b"GET /a b HTTP/1.1") + HIDDEN,
    "upgrade with a body": carrier(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 35", body=HIDDEN),
    "not a method": carrier(line=b"get /page HTTP/1.1") + HIDDEN,
}  # fmt: skip
ONLY_ONE = {
    "upgrade": carrier(b"Connection: Upgrade", b"Upgrade: websocket", line=b"GET /page HTTP/1.1") + HIDDEN,
    "h2c": carrier(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x", line=b"GET /page HTTP/1.1") + HIDDEN,
    "expect": carrier(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello" + HIDDEN),
    "close": carrier(b"Connection: close", line=b"GET /page HTTP/1.1") + HIDDEN,
    "HTTP/1.0": carrier(line=b"GET /page HTTP/1.0") + HIDDEN,
}  # fmt: skip
BOTH = {
    "absolute form": carrier(line=b"GET http://elsewhere/page HTTP/1.1"),
    "spaces around the length": carrier(b"Content-Length: \t 5 \t", body=b"hello"),
    "leading zeros": carrier(b"Content-Length: 0005", body=b"hello"),
    "capitals": carrier(b"TRANSFER-ENCODING: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "zeros of a chunk": carrier(CHUNKED, body=b"0005\r\nhello\r\n0\r\n\r\n"),
    "a body with GET": carrier(b"Content-Length: 5", line=b"GET /page HTTP/1.1", body=b"hello"),
    "empty lines before": b"\r\n\r\n" + carrier(line=b"GET /page HTTP/1.1"),
}


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize("path", [b"/page", b"/intake/at-once/k"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_smuggles_nothing(
    wire: Served, name: str, path: bytes, piece: int
) -> None:
    text = REFUSED[name].replace(b"/page", path, 1)
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)] if piece else [text]
    answers, seen = exchange(wire, pieces)
    assert [status for status, _ in answers] in ([400], [505], [408]), answers
    assert seen == []


@pytest.mark.parametrize("path", [b"/page", b"/intake/at-once/k"])
@pytest.mark.parametrize("name", ONLY_ONE)
def test_the_last_request_of_a_connection_is_the_last(wire: Served, name: str, path: bytes) -> None:
    answers, seen = exchange(wire, [ONLY_ONE[name].replace(b"/page", path, 1)])
    assert [status for status, _ in answers] == [200]
    assert [one[1] for one in seen] == [path.decode()]


@pytest.mark.parametrize("path", [b"/page", b"/intake/at-once/k"])
@pytest.mark.parametrize("name", BOTH)
def test_what_is_unusual_but_clear_is_taken_and_the_next_one_too(wire: Served, name: str, path: bytes) -> None:
    last = carrier(b"Connection: close", line=b"GET /next HTTP/1.1")
    answers, seen = exchange(wire, [BOTH[name].replace(b"/page", path, 1) + last])
    assert [status for status, _ in answers] == [200, 200]
    assert [one[1] for one in seen] == [path.decode(), "/next"]
