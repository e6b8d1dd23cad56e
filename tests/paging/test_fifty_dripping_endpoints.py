"""A real hub, fifty endpoints that drip in ten workspaces, and a critical page elsewhere: it goes out as if they were not there."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.incidents.test_kills_under_load import set_up
from tests.intake.test_what_is_answered_is_there import owner
from tests.peers.mail import Mail
from tests.peers.push import Push
from tests.server.hub import Hub, running, wait_for
from watchbill.base.ids import uuid7
from watchbill.paging import turns

pytestmark = pytest.mark.process
PAGES = 30
#: The most messages under way of one person, and of one workspace.
HELD = """
SELECT coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM held WHERE person_id IS NOT NULL GROUP BY person_id) AS t), 0),
    coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM held GROUP BY workspace_id) AS t), 0)
FROM (SELECT 1) AS one
""".replace("held", "(SELECT * FROM paging_delivery WHERE state = 'sending' AND leased_until > now()) AS held")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running("drips", WATCHBILL_OUTBOUND="127.0.0.1", WATCHBILL_RATE="100000") as made:
        yield made


class Drips:
    """A server that begins an answer, and goes on with it one byte at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.stop, self.open, self.most = threading.Event(), 0, 0
        self.lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(taken,), daemon=True).start()

    def _drip(self, taken: socket.socket) -> None:
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            taken.sendall(b"HTTP/1.1 201 Created\r\nX: ")
            while not self.stop.wait(0.3):
                taken.sendall(b"a")
        except OSError:
            pass
        finally:
            taken.close()
            with self.lock:
                self.open -= 1


@contextmanager
def drips() -> Iterator[Drips]:
    made = Drips()
    try:
        yield made
    finally:
        made.stop.set()
        made.listener.close()


def attack(connection: Any, port: int, subscription: str, kind: str) -> list[UUID]:
    """Ten workspaces with five people each; the browser of each is an endpoint that drips, and three pages are under way to each of them."""
    workspaces = []
    for number in range(10):
        workspace = uuid7()
        workspaces.append(workspace)
        connection.execute(
            "INSERT INTO people_workspace (id, slug, name, time_zone, require_mfa, created_at) VALUES (%s, %s, 'Drips', 'UTC', false, now())",
            [workspace, f"drips-{kind}-{number}"],
        )
        connection.execute(
            "INSERT INTO paging_channel (id, workspace_id, kind, name, config, secret, created_at, last_problem) VALUES (%s, %s, 'push', 'Push', %s, '', now(), '')",
            [uuid7(), workspace, json.dumps({"contact": "a@example.org"})],
        )
        for one in range(5):
            person = uuid7()
            told = json.loads(subscription) | {"endpoint": f"http://127.0.0.1:{port}/{number}/{one}"}
            for query, values in (
                ("INSERT INTO people_person (id, name, outsider, active, created_in_id, created_at) VALUES (%s, %s, false, true, %s, now())", [person, f"P{number}-{one}", workspace]),
                ("INSERT INTO people_contact_method (id, person_id, kind, value, position, verified_at) VALUES (%s, %s, 'push', %s, 0, now())", [uuid7(), person, json.dumps(told)]),
                ("INSERT INTO people_membership (id, workspace_id, person_id, since) VALUES (%s, %s, %s, now())", [uuid7(), workspace, person]),
            ):  # fmt: skip
                connection.execute(query, values)
            target = {"kind": "person", "id": str(person), "name": "", "why": "drips"}
            for _ in range(3):
                policy = {"name": "Drips", "steps": [{"after": 0, "targets": [target]}], "repeat": 0, "once": True}
                connection.execute(
                    "INSERT INTO paging_page (id, workspace_id, subject_kind, subject_id, title, text, url, why, labels, urgency, shadow, policy, state, round, step, started_at, next_at, ended_why, acknowledged_via) "
                    "VALUES (%s, %s, %s, %s, 'Drips', '', '', '', '{}', 'high', false, %s, 'running', 0, 0, now(), now(), '', '')",
                    [uuid7(), workspace, kind, str(uuid7()), json.dumps(policy)],
                )
    return workspaces


def page_and_wait(hub: Hub, url: str, mail: Mail, name: str) -> float:
    """Seconds from an alert to its mail."""
    told = [{"status": "firing", "labels": {"alertname": name, "service": name, "severity": "critical"}, "startsAt": datetime.now(UTC).isoformat()}]  # fmt: skip
    begun = time.monotonic()
    assert httpx.post(url, json={"version": "4", "groupKey": name, "alerts": told}, timeout=10).status_code == 200
    wait_for(lambda: any(name in str(one["Subject"]) for _, one in mail.got), 30, f"no mail about {name}")
    return time.monotonic() - begun


def test_fifty_endpoints_that_drip_hold_up_nobody_elses_critical_page(hub: Hub) -> None:
    """As tests of their own pages, which are never critical; then as critical pages, which all of these drips are."""
    with closing(hub.signed_in()) as browser, Mail() as mail, Push() as push, drips() as slow, owner(hub) as connection:
        url = set_up(hub, browser, mail)
        page_and_wait(hub, url, mail, "Before")
        for kind, most in (("test", turns.NOT_CRITICAL), ("group", turns.NOT_PROVEN)):
            workspaces = attack(connection, slow.port, push.subscription(), kind)
            wait_for(lambda wanted=most - 2: slow.open >= wanted, 60, "the endpoints are not asked")
            times = []
            for number in range(PAGES):
                # Five a minute go to one person; this is about the senders.
                connection.execute(
                    "UPDATE paging_delivery SET sent_at = sent_at - interval '2 minutes' WHERE sent_at IS NOT NULL"
                )
                times.append(page_and_wait(hub, url, mail, f"Critical-{kind}-{number:02}"))
                held = connection.execute(HELD).fetchone()
                assert held[0] <= 1
                assert held[1] <= turns.ONE_WORKSPACE
            assert sorted(times)[int(PAGES * 0.99)] < 2, sorted(times)
            ((waiting,),) = connection.execute(
                "SELECT count(*) FROM paging_delivery WHERE workspace_id = ANY(%s) AND state IN ('waiting', 'sending')",
                [workspaces],
            ).fetchall()
            assert waiting > 50
        assert slow.most <= turns.NOT_PROVEN
        assert hub.ready()
