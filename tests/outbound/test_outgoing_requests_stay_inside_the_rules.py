"""SSRF: addresses, names, redirects, sizes and times, against a real server on this machine."""

import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.base.errors import Invalid, TooLarge, Unavailable
from watchbill.outbound.client import fetch, guarded_requests_session
from watchbill.outbound.rules import NotAllowed, Policy, check_addresses, check_url, read_policy

OPEN = read_policy("127.0.0.1,localhost", "")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path: what a hostile or broken server would do."""

    seen: list[tuple[str, dict[str, str]]] = []

    def do_GET(self) -> None:
        Handler.seen.append((self.path, dict(self.headers)))
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/big":
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x" * 100_000)
            return
        if self.path == "/slow":
            self.end_headers()
            for _ in range(50):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
            return
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:
            pass

    found = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255",
     "192.0.0.192", "192.0.0.8", "192.0.0.9", "168.63.129.16", "192.88.99.1", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe",
     "64:ff9b:1::7f00:1", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b::a83f:8110", "fec0::1", "3fff::1", "5f00::1", "2001:db8::1", "2001:0:7f00:1::", "100::1",
     "2002:a83f:8110::1", "::ffff:168.63.129.16", "fe80::1%eth0", "::a00:1",
     "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "fd00:ec2::254"],
)  # fmt: skip
def test_private_and_local_addresses_are_refused(address: str) -> None:
    with pytest.raises(Invalid):
        check_addresses("innocent.example", [address], Policy())
    with pytest.raises(Invalid):
        check_addresses("innocent.example", ["93.184.216.34", address], Policy())


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "1.1.1.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80f::200e",
        "64:ff9b::101:101",
        "192.0.1.1",
        "168.63.129.17",
        "198.20.0.1",
    ],
)
def test_public_addresses_are_reached(address: str) -> None:
    assert check_addresses("public.example", [address], Policy()) == [address]


def test_declared_ones_are_reached_and_metadata_services_never() -> None:
    policy = read_policy("10.2.0.0/16, idp.internal", "")
    assert check_addresses("x", ["10.2.3.4"], policy) == ["10.2.3.4"]
    assert check_addresses("idp.internal", ["192.168.1.1"], policy)
    with pytest.raises(Invalid, match="metadata"):
        check_addresses("x", ["169.254.169.254"], read_policy("169.254.0.0/16", ""))
    with pytest.raises(Invalid, match="metadata"):
        check_addresses("idp.internal", ["169.254.169.254"], policy)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "file:///etc/passwd",
        "http://",
        "//x",
        "http://u:p@x/",
        "http://x y/",
        "http://x\n/",
        "http://x\\@y/",
        "http://x:99999/",
        "http://[::1",
        "",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url, Policy())


@given(st.text(max_size=200))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        scheme, host, port = check_url(text, Policy())
    except Invalid:
        return
    assert scheme in {"http", "https"}
    assert host
    assert 0 <= port < 65536


def test_the_list_of_allowed_hosts_is_all_there_is(server: str) -> None:
    with pytest.raises(Invalid, match="not among"):
        fetch("GET", server, policy=read_policy("127.0.0.1", "api.example.org"))


def test_a_plain_answer(server: str) -> None:
    assert fetch("GET", f"{server}/x", policy=OPEN).body == b"ok"


def test_loopback_is_refused_unless_declared(server: str) -> None:
    with pytest.raises(Invalid, match="private or local"):
        fetch("GET", server, policy=Policy())


def test_a_name_that_changes_its_mind_is_asked_once(server: str) -> None:
    """DNS rebinding: the checked address is the one that is connected to; a second answer is never asked for."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    port = server.rpartition(":")[2]
    policy = read_policy("127.0.0.1/32", "")
    assert (
        fetch("GET", f"http://rebind.example:{port}/", policy=policy, resolve=lambda host, port: next(answers)).status
        == 200
    )
    with pytest.raises(Invalid, match=r"10\.0\.0\.1"):
        fetch("GET", f"http://rebind.example:{port}/", policy=policy, resolve=lambda host, port: next(answers))


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/", "file:///etc/passwd", "http://10.0.0.1/", "gopher://x/"]
)
def test_redirects_are_checked_again(server: str, target: str) -> None:
    with pytest.raises(Invalid):
        fetch("GET", f"{server}/to?{target}", policy=OPEN)


def test_redirects_are_followed_within_the_rules_and_not_for_ever(server: str) -> None:
    assert fetch("GET", f"{server}/to?{server}/end", policy=OPEN).url == f"{server}/end"
    with pytest.raises(Invalid, match="more than"):
        fetch("GET", f"{server}/to?{server}/to?{server}/to?{server}/to?{server}/to?{server}/to?/x", policy=OPEN)


def test_credentials_do_not_follow_to_another_host(server: str) -> None:
    Handler.seen.clear()
    other = server.replace("127.0.0.1", "localhost")
    fetch(
        "GET",
        f"{server}/to?{other}/end",
        headers={"Authorization": "Bearer secret"},
        policy=OPEN,
        resolve=lambda host, port: ["127.0.0.1"],
    )
    assert [("Authorization" in headers or "authorization" in headers) for _, headers in Handler.seen] == [True, False]


def test_large_and_slow_answers_are_cut_off(server: str) -> None:
    with pytest.raises(TooLarge):
        fetch("GET", f"{server}/big", policy=OPEN, max_bytes=1_000_000)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        fetch("GET", f"{server}/slow", policy=OPEN, seconds=0.5)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("name", ["mail.example.org", "Mail.Example.Org", "mail.example.org."])
def test_one_rule_says_which_hosts_may_be_reached(name: str) -> None:
    """A request, a mail and the look ahead on Save mean the same host, however its name is written."""
    from email.message import EmailMessage

    from watchbill.outbound.ahead import refused
    from watchbill.outbound.mail import send_mail

    def mail(policy: Policy) -> None:
        send_mail(EmailMessage(), host=name, port=1, policy=policy, resolve=lambda host, port: ["127.0.0.1"])

    allowed = read_policy("127.0.0.1", "mail.example.org")
    assert check_url(f"https://{name}/", allowed)[1] == "mail.example.org"
    assert refused([name], policy=allowed, resolve=lambda host, port: ["127.0.0.1"]) == ""
    with pytest.raises(Unavailable, match="does not answer"):
        mail(allowed)
    other = read_policy("127.0.0.1", "hooks.example.org")
    asked = "An operator adds mail.example.org to WATCHBILL_OUTBOUND_ONLY"
    with pytest.raises(NotAllowed) as by_request:
        check_url(f"https://{name}/", other)
    with pytest.raises(NotAllowed) as by_mail:
        mail(other)
    assert asked in by_request.value.hint
    assert asked in by_mail.value.hint
    assert asked in refused([name], policy=other)


def test_header_injection_is_refused(server: str) -> None:
    with pytest.raises(Invalid, match="line break"):
        fetch("GET", server, headers={"X": "a\r\nEvil: b"}, policy=OPEN)


def test_nobody_there_is_a_sentence() -> None:
    with pytest.raises(Unavailable, match="No answer"):
        fetch("GET", "http://127.0.0.1:1/", policy=OPEN)
    with pytest.raises(Unavailable, match="does not resolve"):
        fetch("GET", "http://no-such-host.invalid/", policy=OPEN)


def test_libraries_with_their_own_client_obey_the_same_rules(server: str, settings_outbound: None) -> None:
    import requests

    session = guarded_requests_session(allow=server)
    assert session.get(f"{server}/x", timeout=5).text == "ok"
    with pytest.raises(requests.ConnectionError):
        session.get("http://10.0.0.1/", timeout=5)
    with pytest.raises(requests.ConnectionError):
        session.get(f"{server}/to?http://169.254.169.254/", timeout=5)


@pytest.fixture
def settings_outbound() -> Iterator[None]:
    from django.test import override_settings

    with override_settings(OUTBOUND=Policy()):
        yield
