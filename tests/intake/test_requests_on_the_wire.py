"""What a sender may do on its connection: pieces, several at once, old HTTP, going away. Whichever way a request goes, its answer is the same."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from tests.intake.test_what_is_answered_is_there import body, integration, open_groups, owner, write
from tests.server.hub import Hub, running, wait_for

pytestmark = pytest.mark.process
#: Larger than what is taken at once.
LARGE = 80_000


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running("wire") as made:
        yield made


@pytest.fixture(scope="module")
def sender(hub: Hub) -> tuple[httpx.Client, str]:
    browser, url = integration(hub, "Wire")
    # The key is known from now on.
    assert httpx.post(url, content=body("First")).status_code == 200
    return browser, httpx.URL(url).raw_path.decode()


def dial(hub: Hub) -> socket.socket:
    found = httpx.URL(hub.url)
    return socket.create_connection((found.host, found.port or 80), timeout=15)


def said(path: str, content: bytes, *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: x", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def answers(line: socket.socket, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    """So many answers, in their order."""
    found = []
    with closing(line.makefile("rb")) as stream:
        for _ in range(count):
            status = int(stream.readline().split()[1])
            headers = {}
            while (text := stream.readline().strip()) != b"":
                name, _, value = text.decode().partition(": ")
                headers[name.lower()] = value
            found.append((status, headers, stream.read(int(headers.get("content-length", "0")))))
    return found


def titles(browser: httpx.Client) -> set[str]:
    return {one["title"].partition(":")[0] for one in open_groups(browser)}


def test_both_ways_answer_the_same(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    browser, path = sender
    with dial(hub) as line:
        line.sendall(said(path, body("Small")))
        (small,) = answers(line, 1)
        line.sendall(said(path, body("Large", "x" * LARGE)))
        (large,) = answers(line, 1)
        line.sendall(said(path.replace("/intake", "/%69ntake"), body("Quoted")))
        (quoted,) = answers(line, 1)
    date = [each[1].pop("date") for each in (small, large, quoted)]
    assert all(date)
    assert small == large == quoted == (200, small[1], b'{"status":"ok"}')
    assert small[1]["cache-control"] == "no-store"
    wait_for(lambda: {"Small", "Large", "Quoted"} <= titles(browser), 20)


def test_a_request_in_pieces_is_taken_whole(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    browser, path = sender
    text = said(path, body("Pieces"))
    with dial(hub) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(text), 40):
            line.sendall(text[at : at + 40])
            time.sleep(0.002)
        assert [one[0] for one in answers(line, 1)] == [200]
    wait_for(lambda: "Pieces" in titles(browser), 20)


def test_requests_sent_at_once_are_answered_in_their_order(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    """Pipelining: one that is taken at once, one that goes the long way, one that is refused, a page, and one more."""
    browser, path = sender
    pipeline = (
        said(path, body("Pipe1"))
        + said(path, body("Pipe2", "y" * LARGE))
        + said("/intake/wbi_nothing/alertmanager", b"{}")
        + said("/healthz", b"", method="GET")
        + said(path, body("Pipe3"))
    )
    with dial(hub) as line:
        line.sendall(pipeline)
        assert [one[0] for one in answers(line, 5)] == [200, 200, 404, 200, 200]
    wait_for(lambda: {"Pipe1", "Pipe2", "Pipe3"} <= titles(browser), 20)


@pytest.mark.parametrize(("version", "header"), [("1.0", "X-None: 1"), ("1.1", "Connection: close")])
def test_who_wants_one_answer_gets_it_and_the_connection_ends(
    hub: Hub, sender: tuple[httpx.Client, str], version: str, header: str
) -> None:
    with dial(hub) as line:
        line.sendall(said(sender[1], body("Once"), header, version=version))
        ((status, headers, _),) = answers(line, 1)
        assert (status, headers["connection"]) == (200, "close")
        assert line.recv(1) == b""


def test_who_asks_whether_to_go_on_is_told(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    text = said(sender[1], body("Expects"), "Expect: 100-continue")
    head, _, rest = text.partition(b"\r\n\r\n")
    with dial(hub) as line:
        line.sendall(head + b"\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 100")
        line.sendall(rest)
        assert [one[0] for one in answers(line, 1)] == [200]


def test_chunks_are_read(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    browser, path = sender
    content = body("Chunks")
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with dial(hub) as line:
        line.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
        assert [one[0] for one in answers(line, 1)] == [200]
    wait_for(lambda: "Chunks" in titles(browser), 20)


def test_a_sender_that_goes_away_takes_nobody_with_it(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    browser, path = sender
    for number in range(20):
        with dial(hub) as line:
            line.sendall(said(path, body("Gone", str(number))))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with dial(hub) as line:
        line.sendall(said(path, body("There"))[:-10])
    assert httpx.post(hub.url + path, content=body("Stays")).status_code == 200
    wait_for(lambda: {"Stays", "Gone"} <= titles(browser), 20)
    assert "There" not in titles(browser), "half a request is none"


def test_nonsense_is_refused_and_costs_nobody_else_anything(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    with dial(hub) as line, dial(hub) as other:
        line.sendall(b"POST /intake/\x00\xff HTTP/9.9\r\n\r\n")
        assert answers(line, 1)[0][0] == 400
        other.sendall(said(sender[1], body("Sane")))
        assert answers(other, 1)[0][0] == 200
    with dial(hub) as line:
        line.sendall(said("/ping/" + "x" * 60_000, b""))
        assert answers(line, 1)[0][0] == 414


def test_an_endless_head_and_a_body_that_is_too_large_stop_nobody(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    before = memory(hub)
    with dial(hub) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        sent = 0
        with suppress(OSError):
            while sent < 200_000_000:
                line.sendall(b"a" * 65_536)
                sent += 65_536
        assert sent < 200_000_000
        assert line.recv(4096).startswith(b"HTTP/1.1 431")
    begun = time.monotonic()
    assert httpx.post(hub.url + sender[1], content=body("Meanwhile")).status_code == 200
    assert time.monotonic() - begun < 5
    for path in (sender[1], "/api/v1/workspaces/main/alerts"):
        for headers in ("Connection: close", "X-None: 1"):
            with dial(hub) as line:
                line.sendall(said(path, b"", headers).replace(b"Content-Length: 0", b"Content-Length: 50000000"))
                for _ in range(50):
                    line.sendall(b"x" * 1_000_000)
                assert answers(line, 1)[0][0] == 413
    assert memory(hub) - before < 50_000


def test_half_a_form_changes_nothing_and_holds_no_page_up(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    half = [dial(hub) for _ in range(30)]
    for line in half:
        line.sendall(said("/signin", b"email=a@example.org&password=x")[:-10])
    begun = time.monotonic()
    assert httpx.get(f"{hub.url}/signin", timeout=20).status_code == 200
    assert time.monotonic() - begun < 10
    for line in half:
        line.close()


def test_a_header_with_an_underscore_passes_for_no_other(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    with dial(hub) as line:
        line.sendall(said("/signin", b"", "X_Request_Id: forged-by-underscore", method="GET"))
        assert answers(line, 1)[0][1]["x-request-id"] != "forged-by-underscore"


def test_a_ping_by_its_name_is_believed_and_forgotten_with_its_check(
    hub: Hub, sender: tuple[httpx.Client, str]
) -> None:
    browser, _ = sender
    made = write(
        browser, "/api/v1/workspaces/main/integrations", {"name": "Wire jobs", "protocol": "healthchecks"}
    ).json()
    path = httpx.URL(made["url"]).raw_path.decode().rpartition("/")[0]
    assert httpx.post(f"{hub.url}{path}/nightly").text == "not found"
    assert httpx.post(f"{hub.url}{path}/nightly?create=1").text == "Created"
    wait_for(lambda: httpx.post(f"{hub.url}{path}/nightly").text == "OK", 20)
    for action in ("start", "log", "fail", "3", ""):
        assert httpx.post(f"{hub.url}{path}/nightly/{action}", content=b"evidence").text == "OK"
    with dial(hub) as line:
        line.sendall(said(f"{path}/nightly", b"", method="HEAD") + said(f"{path}/nightly", b"", method="GET"))
        came = b""
        while came.count(b"\r\n\r\n") < 2:
            came += line.recv(4096)
    assert came.count(b"\r\n\r\nHTTP/1.1 200 OK\r\n") == 1, "no body follows the first head"
    with owner(hub) as session:
        kinds = "SELECT count(*) FROM signals_ping"
        wait_for(lambda: session.execute(kinds).fetchone()[0] >= 6, 20)  # type: ignore[index]


def memory(hub: Hub) -> int:
    """What the web process holds, in KB."""
    status = Path(f"/proc/{hub.children()['web']}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_who_sends_without_end_and_reads_nothing_is_held_back(hub: Hub, sender: tuple[httpx.Client, str]) -> None:
    """Its requests wait for its answers to be read, outside of the hub's memory; others are served."""
    requests = said(sender[1], body("Mute")) * 100
    before = memory(hub)
    with dial(hub) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(3)
        # It waits; or it is refused and let go, where more than 128 requests are read while the first is still looked up (docs/security.md).
        with pytest.raises((TimeoutError, ConnectionError)):
            line.sendall(requests * 4000)
        assert httpx.post(hub.url + sender[1], content=body("Heard")).status_code == 200
        assert memory(hub) - before < 50_000
