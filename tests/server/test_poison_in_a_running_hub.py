"""A real hub whose database holds rows that make its steps raise: alerts, clocks and events of everybody else go their way."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake.test_what_is_answered_is_there import owner
from tests.server.hub import Hub, wait_for
from watchbill.base.ids import HUB, uuid7
from watchbill.people import tokens

pytestmark = pytest.mark.process


@pytest.fixture
def hub() -> Iterator[Hub]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-poison-"))
    folder.chmod(0o711)
    found = Hub(folder / "data")
    yield found
    found.clean_up()
    shutil.rmtree(folder, ignore_errors=True)


def integration(session: Any, protocol: str, key: str) -> Any:
    number = uuid7()
    session.execute(
        "INSERT INTO signals_source (id, workspace_id, protocol, name, key_digest, key_prefix, created_at, last_problem) "
        "VALUES (%s, %s, %s, %s, %s, 'x', now(), '')",
        [number, HUB, protocol, f"{protocol} {key}", tokens.digest(key)],
    )
    return number


def clock(session: Any, policy: str) -> Any:
    number = uuid7()
    session.execute(
        "INSERT INTO clocks_clock (id, workspace_id, subject_kind, subject_id, kind, policy, state, started_at, due_at, warned, next_at) "
        "VALUES (%s, %s, 'x', %s, 'respond', %s, 'running', now() - interval '1 hour', now(), 0, now())",
        [number, HUB, str(number), policy],
    )
    return number


def test_what_is_poisoned_stays_alone_and_is_said(hub: Hub) -> None:
    hub.start(120)
    wait_for(hub.ready, 60)
    good = {"duration": "PT1H", "business": False, "warn": [], "calendar": {}}
    with owner(hub) as session:
        integration(session, "alertmanager", "good")
        strange = integration(session, "no such protocol", "strange")
        for _ in range(3):
            session.execute(
                "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, now(), '{}')",
                [strange, HUB],
            )
        broken = [clock(session, "{}"), clock(session, '{"duration": 7}'), clock(session, "[]")]
        from watchbill.clocks.rules import Policy, policy_json

        fine = clock(session, json.dumps(policy_json(Policy("PT1H", warn=())) or good))
        fact = uuid7()
        session.execute(
            "INSERT INTO facts_fact (id, workspace_id, kind, subject_kind, subject_id, data, at) VALUES (%s, %s, 'x', 'x', 'x', '{}', now())",
            [fact, HUB],
        )
        session.execute(
            "INSERT INTO facts_delivery (fact_id, workspace_id, subscriber, state, attempts, due_at, error) "
            "VALUES (%s, %s, 'nobody.here', 'waiting', 0, now() - interval '1 day', '')",
            [fact, HUB],
        )
    alert = {
        "status": "firing",
        "labels": {"alertname": "Fine"},
        "startsAt": "2026-01-01T00:00:00Z",
        "fingerprint": "f",
    }
    body = {"version": "4", "groupKey": "g", "alerts": [alert]}
    answer = httpx.post(f"{hub.url}/intake/good/alertmanager", json=body)
    assert answer.status_code == 200

    def one(query: str, *args: Any) -> Any:
        with owner(hub) as session:
            row = session.execute(query, args).fetchone()
            return row[0] if row else None

    wait_for(lambda: one("SELECT title FROM signals_group WHERE title LIKE 'Fine%%'"), 60)
    wait_for(lambda: one("SELECT state FROM clocks_clock WHERE id = %s", fine) == "breached", 60)
    wait_for(lambda: one("SELECT count(*) FROM runtime_failure WHERE unit = 'clocks' AND count > 1") == len(broken), 60)
    wait_for(lambda: one("SELECT count(*) FROM signals_arrival WHERE problem IS NOT NULL") == 3, 60)
    wait_for(lambda: one("SELECT attempts > 0 FROM facts_delivery WHERE subscriber = 'nobody.here'"), 60)
    state = httpx.get(f"{hub.url}/readyz")
    assert state.status_code == 200
    assert state.json()["status"] == "ready"
    metrics = httpx.get(f"{hub.url}/metrics").text
    assert "watchbill_quarantined_arrivals 3.0" in metrics
    assert 'watchbill_waiting{kind="failing"} 3.0' in metrics
