"""Apprise: services that speak HTTP, behind the hub's own guard; the others are refused, and so is what the guard refuses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import override_settings

from tests.cast import Cast
from tests.night import Night, night
from watchbill.base.errors import Invalid
from watchbill.outbound.rules import Policy
from watchbill.paging.channels.apprise.channel import APPRISE, load
from watchbill.paging.message import Message, Permanent, Temporary


class Ntfy:
    """A peer that takes what ntfy takes (https://docs.ntfy.sh/publish/#publish-as-json) and what Apprise's JSON service sends."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200

    def __enter__(self) -> "Ntfy":
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                peer.got.append({"path": self.path, "auth": self.headers.get("Authorization", ""), **told})
                body = json.dumps(
                    {"id": "x", "event": "message"} if peer.status == 200 else {"error": "too many requests"}
                ).encode()
                self.send_response(peer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def ntfy() -> Iterator[Ntfy]:
    with Ntfy() as peer:
        yield peer


MESSAGE = Message("1", "Ledger is down", "Numbers do not add up.", "you are on call")


def test_ntfy_gets_title_text_and_urgency(ntfy: Ntfy) -> None:
    APPRISE.send("apprise", "", MESSAGE, {}, f"ntfy://user:pass@127.0.0.1:{ntfy.port}/oncall")
    (told,) = ntfy.got
    assert (told["topic"], told["title"]) == ("oncall", "Ledger is down")
    assert "Why you: you are on call" in told["message"]
    assert told["auth"].startswith("Basic ")


def test_any_json_endpoint_gets_it(ntfy: Ntfy) -> None:
    APPRISE.send("apprise", "", MESSAGE, {}, f"json://127.0.0.1:{ntfy.port}/hook")
    assert (ntfy.got[0]["path"], ntfy.got[0]["type"]) == ("/hook", "failure")


def test_what_does_not_work_is_tried_again_with_what_apprise_says(ntfy: Ntfy) -> None:
    ntfy.status = 429
    with pytest.raises(Temporary, match=r"ntfy|429|requests"):
        APPRISE.send("apprise", "", MESSAGE, {}, f"ntfy://127.0.0.1:{ntfy.port}/oncall")
    with pytest.raises(Permanent, match="no such address"):
        APPRISE.send("apprise", "", MESSAGE, {}, "nothing://x")


def test_nothing_goes_where_the_hub_may_not_go(ntfy: Ntfy) -> None:
    """The guard that stops a webhook to the inside stops Apprise, too."""
    places = (
        f"json://127.0.0.1:{ntfy.port}/",
        f"json://localhost:{ntfy.port}/",
        "json://169.254.169.254/latest",
        "json://10.0.0.1/",
    )
    with override_settings(OUTBOUND=Policy()):
        for where in places:
            with pytest.raises(Permanent, match="will not go out"):
                APPRISE.send("apprise", "", MESSAGE, {}, where)
    assert ntfy.got == []


@pytest.mark.parametrize(
    "address",
    [
        "syslog://",
        "rsyslog://127.0.0.1",
        "mailto://user:pass@example.org",
        "mqtt://127.0.0.1/topic",
        "nostr://x",
        "",
        "nonsense",
        "file:///etc/passwd",
    ],
)
def test_services_that_go_out_by_other_ways_are_refused(address: str) -> None:
    with pytest.raises(Invalid):
        load(address)


def test_certificates_are_looked_at_whatever_the_address_says() -> None:
    assert load("jsons://example.org/?verify=no").verify_certificate is True


def test_a_channel_of_the_runbook_is_told_through_apprise(cast: Cast, db: Any, ntfy: Ntfy) -> None:
    from watchbill.handbook.bindings import bind_name
    from watchbill.paging.setup import set_channel

    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            with pytest.raises(Invalid, match="does not go out by HTTP"):
                set_channel(by=by, workspace_id=cast.main, kind="apprise", name="Logs", config={}, secret="syslog://")
            made = set_channel(
                by=by, workspace_id=cast.main, kind="apprise", name="Phones", config={}, secret=f"ntfy://127.0.0.1:{ntfy.port}/oncall"
            )  # fmt: skip
            bind_name(by=by, workspace_id=cast.main, name="#oncall-sre", target_kind="channel", target_id=made.id)
        check(it, ntfy)
        assert "ntfy://" not in str(db.run("SELECT config::text FROM paging_channel"))


def check(it: Night, ntfy: Ntfy) -> None:
    it.fire()
    it.run()
    assert any("LedgerCorrupt" in one["title"] for one in ntfy.got), it.rows(
        "SELECT method, state, stage, reason FROM paging_delivery"
    )
