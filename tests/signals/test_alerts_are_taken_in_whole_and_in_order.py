"""From the inbox to groups: deduplicated, never overtaken by an older state, and nothing is lost that cannot be understood."""

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from tests.cast import Cast, api, as_worker, ensure_alias, signed_in
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.intake.adapters import ADAPTERS
from watchbill.people import tokens
from watchbill.server.worker import sweep
from watchbill.signals.commands import create_source, revoke_source, rotate_key, take_in
from watchbill.signals.models import Alert, Arrival, Group, Source
from watchbill.signals.rules import Incoming, fingerprint

T0 = datetime(2026, 11, 21, 16, tzinfo=UTC)


def source(cast: Cast, name: str = "Prometheus", protocol: str = "alertmanager") -> Source:
    with cast.acts(cast.ada) as by:
        return create_source(by=by, workspace_id=cast.main, protocol=protocol, name=name)[0]


def alert(
    name: str = "Slow",
    instance: str = "a",
    *,
    status: str = "firing",
    starts: datetime = T0,
    severity: str = "critical",
) -> dict[str, Any]:
    ends = "0001-01-01T00:00:00Z" if status == "firing" else (starts + timedelta(minutes=5)).isoformat()
    labels = {"alertname": name, "instance": instance, "service": "checkout", "severity": severity}
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "s"},
        "startsAt": starts.isoformat(),
        "endsAt": ends,
    }


def put(db: Any, of: Source, *alerts: dict[str, Any], raw: bytes | None = None) -> None:
    """As the door does."""
    body = (
        raw
        if raw is not None
        else json.dumps(
            {"version": "4", "groupKey": f"k-{alerts[0]['labels']['alertname']}", "alerts": alerts}
        ).encode()
    )
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)",
        of.id,
        of.workspace_id,
        body,
    )


def take() -> int:
    total = 0
    with as_worker():
        while count := take_in(ADAPTERS):
            total += count
            if Arrival.objects.filter(problem=None).count() == 0:
                break
    return total


def groups(db: Any) -> list[Any]:
    return db.run("SELECT title, state, firing FROM signals_group ORDER BY opened_at, id")


def facts(db: Any) -> list[str]:
    return [row[0] for row in db.run("SELECT kind FROM facts_fact WHERE kind LIKE 'group.%%' ORDER BY id")]


def test_alerts_of_one_group_open_it_once_and_the_last_one_resolves_it(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, alert(instance="a"))
    put(db, of, alert(instance="a"), alert(instance="b"))
    assert take() == 2
    assert groups(db) == [("Slow: checkout", "open", 2)]
    put(db, of, alert(instance="a", status="resolved"))
    take()
    assert groups(db) == [("Slow: checkout", "open", 1)]
    put(db, of, alert(instance="b", status="resolved"))
    take()
    assert groups(db) == [("Slow: checkout", "resolved", 0)]
    assert facts(db) == ["group.opened", "group.grew", "group.resolved"]
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]


def test_another_episode_is_another_group(cast: Cast, db: Any, clock: Any) -> None:
    of = source(cast)
    for minutes in (0, 60):
        starts = T0 + timedelta(minutes=minutes)
        put(db, of, alert(starts=starts))
        take()
        clock.forward(minutes=1)
        put(db, of, alert(starts=starts, status="resolved"))
        take()
        clock.forward(minutes=59)
    assert groups(db) == [("Slow: checkout", "resolved", 0)] * 2
    assert db.run("SELECT count(*) FROM signals_alert") == [(1,)]


def event(summary: str, severity: str = "critical") -> bytes:
    """What Alertmanager sends to PagerDuty: its summary counts, so that it changes while one thing fires."""
    payload = {"summary": summary, "source": "Alertmanager", "severity": severity}
    return json.dumps({"event_action": "trigger", "dedup_key": "d1", "payload": payload}).encode()


def test_what_fires_stays_in_its_group_while_its_words_change(cast: Cast, db: Any) -> None:
    of = source(cast, protocol="pagerduty")
    put(db, of, raw=event("[FIRING:1] Slow"))
    put(db, of, raw=event("[FIRING:2] Slow"))
    take()
    put(db, of, raw=event("[FIRING:3] Slow"))
    take()
    assert groups(db) == [("[FIRING:1] Slow: Alertmanager", "open", 1)]
    assert facts(db) == ["group.opened"]
    put(db, of, raw=b'{"event_action": "resolve", "dedup_key": "d1"}')
    take()
    assert groups(db) == [("[FIRING:1] Slow: Alertmanager", "resolved", 0)]


def test_what_another_route_takes_leaves_its_group(cast: Cast, db: Any) -> None:
    of = source(cast, protocol="pagerduty")
    match = 'severity="critical"'
    db.run(
        "INSERT INTO signals_route (id, workspace_id, position, key, name, state, match, severity, pages, group_by, path, line) "
        "VALUES (gen_random_uuid(), %s, 1, 'r', 'R', 'live', ARRAY[%s], '', '', ARRAY['alertname'], 'a.md', 1)",
        of.workspace_id,
        match,
    )
    put(db, of, raw=event("Slow", "warning"))
    put(db, of, raw=event("Slow", "critical"))
    take()
    found = [(state, firing) for _, state, firing in groups(db)]
    assert found == [("resolved", 0), ("open", 1)], "it pages by the route that fits it now"


def test_a_delayed_repetition_does_not_open_what_is_over(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, alert())
    put(db, of, alert(status="resolved"))
    put(db, of, alert())
    take()
    assert groups(db) == [("Slow: checkout", "resolved", 0)]


def test_resolved_before_it_was_heard_of_is_kept_and_opens_nothing(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, alert(status="resolved"))
    put(db, of, alert())
    take()
    assert groups(db) == [("Slow: checkout", "resolved", 0)]
    assert facts(db) == []


def test_what_cannot_be_understood_stays_masked_and_stops_nothing(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, raw=b"{nonsense from tom@example.org")
    put(db, of, alert())
    assert take() == 2
    assert groups(db) == [("Slow: checkout", "open", 1)]
    ((problem, body),) = db.run("SELECT problem, body FROM signals_arrival")
    assert "no JSON" in problem
    assert bytes(body) == b"{nonsense from tom@example.org"
    page = signed_in(cast.ada).get("/w/main/integrations").content.decode()
    assert "no JSON" in page
    assert "tom@example.org" not in page


def test_two_sources_and_two_workspaces_do_not_mix(cast: Cast, db: Any) -> None:
    one, two = source(cast, "One"), source(cast, "Two")
    with cast.acts(cast.sam) as by:
        other = create_source(by=by, workspace_id=cast.other, protocol="alertmanager", name="One")[0]
    for of in (one, two, other):
        put(db, of, alert())
    take()
    assert len(groups(db)) == 3
    with cast.acts(cast.sam):
        assert Group.objects.count() == 1
    with cast.acts(cast.vera):
        assert Group.objects.count() == 2
        assert Alert.objects.count() == 2


def test_workers_share_an_inbox_and_count_right(cast: Cast, db: Any) -> None:
    of = source(cast)
    for number in range(60):
        put(db, of, alert(instance=str(number % 20)))
    counts: list[int] = []

    def work() -> None:
        with as_worker():
            try:
                while count := take_in(ADAPTERS, 5):
                    counts.append(count)
            finally:
                connections["default"].close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    take()
    assert groups(db) == [("Slow: checkout", "open", 20)]
    assert db.run("SELECT count(*) FROM signals_arrival") == [(0,)]
    assert facts(db).count("group.opened") == 1


def test_keys_are_replaced_and_revoked(cast: Cast, db: Any) -> None:
    of = source(cast)
    with cast.acts(cast.ada) as by:
        _, text = rotate_key(by=by, workspace_id=cast.main, source_id=of.id)
        assert bytes(Source.objects.get().key_digest) == tokens.digest(text)
        with pytest.raises(Conflict, match="already"):
            create_source(by=by, workspace_id=cast.main, protocol="alertmanager", name="Prometheus")
        with pytest.raises(Invalid, match="no protocol"):
            create_source(by=by, workspace_id=cast.main, protocol="smoke", name="x")
        revoke_source(by=by, workspace_id=cast.main, source_id=of.id)
        with pytest.raises(NotFound):
            rotate_key(by=by, workspace_id=cast.main, source_id=of.id)
    with cast.acts(cast.edo) as by, pytest.raises(Denied, match=r"source\.edit"):
        create_source(by=by, workspace_id=cast.main, protocol="alertmanager", name="Mine")
    assert text not in str(db.run("SELECT body FROM ledger_entry")) + str(db.run("SELECT body FROM ledger_payload"))


def test_pages_and_api_show_what_fires_and_escape_it(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, alert(name="<script>alert(1)</script>", instance="<img src=x>"))
    take()
    browser = signed_in(cast.vera)
    page = browser.get("/w/main/alerts").content.decode()
    assert "1 group of alerts fires" in page
    assert "<script>alert(1)" not in page
    with cast.acts(cast.vera):
        group = Group.objects.get()
    page = browser.get(f"/w/main/alerts/{group.id}").content.decode()
    assert "&lt;img src=x&gt;" in page
    assert "Opened: 1 firing" in page
    assert browser.get("/w/main/integrations").status_code == 403
    assert signed_in(cast.sam).get(f"/w/main/alerts/{group.id}").status_code == 404
    client = api(cast.token(cast.ada))
    made = client.post(
        "/api/v1/workspaces/main/integrations", {"name": "Second"}, content_type="application/json"
    ).json()
    assert made["url"].startswith("http://testserver/intake/wbi_")
    assert len(client.get("/api/v1/workspaces/main/integrations").json()["items"]) == 2
    assert client.get("/api/v1/workspaces/main/alerts?state=open").json()["items"][0]["firing"] == 1
    assert len(client.get(f"/api/v1/workspaces/main/alerts/{group.id}").json()["alerts"]) == 1


def test_the_same_labels_are_the_same_alert_in_whatever_order() -> None:
    pairs = [("a", "1"), ("b", "2"), ("c", "3")]
    marks = {fingerprint(Incoming(dict(order), True, T0)) for order in itertools.permutations(pairs)}
    assert len(marks) == 1
    assert fingerprint(Incoming({"a": "1"}, True, T0)) not in marks


def test_marks_that_differ_only_at_their_end_are_two_alerts() -> None:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    for length in (1, 199, 200, 201, 254, 255, 300, 3000):
        marks = [f"{'k' * length}-{end}" for end in ("db", "web", "db2")]
        found = {fingerprint(Incoming({"alertname": "A"}, True, at, fingerprint=mark)) for mark in marks}
        assert len(found) == 3, length
        assert max(map(len, found)) <= 200
        assert fingerprint(Incoming({}, False, at, fingerprint=marks[0])) in found, (
            "and the same mark is the same alert"
        )


def test_the_end_of_one_long_key_ends_no_other(cast: Cast, db: Any) -> None:
    of, key = source(cast, protocol="pagerduty"), "K" * 202

    def event(action: str, end: str) -> None:
        payload = {"summary": f"{end} is down", "source": end, "severity": "critical"}
        told = {"event_action": action, "dedup_key": f"{key}-{end}", "payload": payload}
        put(db, of, raw=json.dumps(told).encode())
        take()

    event("trigger", "db")
    event("trigger", "web")
    event("resolve", "web")
    assert db.run("SELECT labels ->> 'instance', firing FROM signals_alert ORDER BY 1") == [
        ("db", True),
        ("web", False),
    ]


def test_what_nobody_understood_goes_after_thirty_days_and_what_waits_stays(cast: Cast, db: Any, clock: Any) -> None:
    of = source(cast)
    put(db, of, raw=b"nonsense")
    take()
    clock.forward(days=29)
    ensure_alias("sweeper")
    sweep()
    assert db.run("SELECT count(*) FROM signals_arrival") == [(1,)]
    put(db, of, alert())
    clock.forward(days=60)
    sweep()
    assert db.run("SELECT problem FROM signals_arrival") == [(None,)]
