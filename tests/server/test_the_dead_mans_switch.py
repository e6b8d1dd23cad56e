"""Somebody outside is pinged while the way from intake to delivery works, and not when it does not."""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.intake.test_what_is_answered_is_there import owner
from tests.server.hub import Hub, wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def outside() -> Iterator[tuple[str, list[float]]]:
    """An address that notes when it was asked."""
    asked: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(time.monotonic())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hub", asked
    server.shutdown()
    server.server_close()


def test_it_is_pinged_while_everything_works_and_not_when_a_part_is_broken(outside: tuple[str, list[float]]) -> None:
    url, asked = outside
    folder = Path(tempfile.mkdtemp(prefix="watchbill-deadman-"))
    folder.chmod(0o711)
    hub = Hub(folder / "data", WATCHBILL_DEADMAN_URL=url, WATCHBILL_DEADMAN_EVERY="10")
    try:
        hub.start()
        wait_for(lambda: len(asked) >= 2, 60, "two rounds went all the way")
        with owner(hub) as session:
            states = session.execute(
                "SELECT DISTINCT state FROM signals_group WHERE title LIKE 'Self-test%'"
            ).fetchall()
            assert ("resolved",) in states
            # Facts are delivered no more: alerts still come in and are answered, and nobody is paged.
            session.execute("REVOKE UPDATE ON facts_delivery FROM watchbill_worker")
        time.sleep(2)
        before = len(asked)
        rounds = wait_for(lambda: _arrived(hub), 40)
        time.sleep(3)
        assert len(asked) <= before + 1, "a round that was under way may have ended"
        settled = len(asked)
        wait_for(lambda: _arrived(hub) > rounds, 60)
        assert len(asked) == settled, "alerts come in, but nothing is delivered: no ping"
        with owner(hub) as session:
            session.execute("GRANT UPDATE ON facts_delivery TO watchbill_worker")
        wait_for(lambda: len(asked) > settled, 90, "it works again, and is pinged again")
    finally:
        hub.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


def _arrived(hub: Hub) -> int:
    with owner(hub) as session:
        return int(session.execute("SELECT count(*) FROM signals_group WHERE title LIKE 'Self-test%'").fetchone()[0])  # type: ignore[index]
