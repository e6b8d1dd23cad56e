"""A hub that may open 1,024 files only, and 1,080 connections that say six bytes each: alerts and health are answered all the same."""

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.intake.test_what_is_answered_is_there import body, integration
from tests.server import hub as hubs
from tests.server.hub import Hub, running

pytestmark = pytest.mark.process


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    limit = shutil.which("prlimit")
    if not limit:
        pytest.skip("this machine has no prlimit")
    monkeypatch.setattr(hubs, "BINARY", [limit, "--nofile=1024:1024", "--", *hubs.BINARY])
    with running("flood") as made:
        yield made


def test_silent_connections_keep_no_alert_out(small: Hub) -> None:
    browser, url = integration(small, "Flood")
    host, port = "127.0.0.1", small.port
    lines = []
    with closing(browser):
        try:
            for number in range(1_080):
                # From many addresses, so that the limit by address is not what helps.
                line = socket.create_connection(
                    (host, port), timeout=20, source_address=(f"127.0.1.{number % 40 + 1}", 0)
                )
                line.sendall(b"POST /")
                lines.append(line)
            for number in range(20):
                begun = time.monotonic()
                assert httpx.post(url, content=body(f"Flood{number}"), timeout=20).status_code == 200
                assert httpx.get(f"{small.url}/readyz", timeout=20).status_code in (200, 503)
                assert time.monotonic() - begun < 10
        finally:
            for line in lines:
                line.close()
        assert httpx.post(url, content=body("After"), timeout=20).status_code == 200
