"""Prometheus itself, PagerDuty's events, pings of jobs, any JSON by a mapping: real payloads, odd ones, and what each sender expects as an answer."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, as_worker
from watchbill.base.errors import Invalid
from watchbill.intake.adapters import ADAPTERS
from watchbill.intake.protocols import Answer, Taken, protocol_of
from watchbill.signals.checks import create_check, ping_uuid, remove_check
from watchbill.signals.commands import create_source, sweep, take_in
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.models import Check, Source

HERE = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 11, 21, 19, 20, 28, tzinfo=UTC)
PROMETHEUS = (HERE / "prometheus-2.42-firing.json").read_bytes()
TRIGGER = (HERE / "pagerduty-alertmanager-0.25-trigger.json").read_bytes()
RESOLVE = (HERE / "pagerduty-alertmanager-0.25-resolve.json").read_bytes()


def taken(path: str, body: bytes = b"", query: str = "", method: str = "POST") -> Taken | Answer:
    protocol = protocol_of(path)
    assert protocol is not None
    return protocol.take(path, query, method, [(b"user-agent", b"curl/8")], body)


# Prometheus


def test_what_prometheus_sends_fires_until_its_end() -> None:
    (found,) = ADAPTERS["prometheus"](PROMETHEUS, NOW, {})
    assert found.firing
    assert found.labels == {"alertname": "SyncFails", "service": "web", "severity": "critical"}
    assert found.expires_at == datetime(2026, 11, 21, 19, 20, 37, 269000, tzinfo=UTC)


@pytest.mark.parametrize("version", ["2.24", "2.42", "2.53", "3.5"])
def test_every_version_of_prometheus_is_read(version: str) -> None:
    body = (HERE / f"prometheus-{version}-firing.json").read_bytes()
    (found,) = ADAPTERS["prometheus"](body, datetime(2026, 11, 21, tzinfo=UTC), {})
    assert found.firing
    assert found.expires_at
    assert found.expires_at > found.starts_at
    assert found.labels["severity"] == "critical"
    assert found.labels["alertname"] in ("DiskFull", "SyncFails")
    assert found.url.startswith("http://vm:")


def test_an_end_that_is_over_resolves() -> None:
    (found,) = ADAPTERS["prometheus"](PROMETHEUS, NOW + timedelta(minutes=5), {})
    assert (found.firing, found.expires_at) == (False, None)
    assert found.ends_at is not None


def test_prometheus_gets_an_empty_200() -> None:
    found = taken("/intake/wbi_k/api/v2/alerts", PROMETHEUS)
    assert isinstance(found, Taken)
    assert (found.key, found.answer.status, found.answer.body) == ("wbi_k", 200, b"")


# PagerDuty


def test_a_trigger_and_its_resolve_are_one_alert() -> None:
    (one,), (other,) = ADAPTERS["pagerduty"](TRIGGER, NOW, {}), ADAPTERS["pagerduty"](RESOLVE, NOW, {})
    assert one.fingerprint == other.fingerprint == "90daff979955d5ccb56a736748e57bea078e02faabca928ce822f4bfd5423ced"
    assert (one.firing, other.firing) == (True, False)
    assert one.labels == {
        "alertname": "SyncFails",
        "severity": "critical",
        "instance": "Alertmanager",
        "service": "web",
    }
    assert one.annotations["summary"] == "[FIRING:1] SyncFails web (critical)"


@pytest.mark.parametrize("version", ["0.21", "0.25", "0.28", "0.33"])
def test_every_version_of_alertmanager_triggers_and_resolves_as_pagerduty_takes_it(version: str) -> None:
    one, other = (
        ADAPTERS["pagerduty"]((HERE / f"pagerduty-alertmanager-{version}-{what}.json").read_bytes(), NOW, {})[0]
        for what in ("trigger", "resolve")
    )
    assert (one.firing, other.firing) == (True, False)
    assert one.fingerprint == other.fingerprint
    assert one.labels["severity"] in ("critical", "error")
    assert one.annotations["num_firing"] in ("1", "2")
    assert "checkout" in one.annotations["firing"] or "SyncFails" in one.annotations["firing"]
    assert one.url


def test_an_acknowledgement_of_the_sender_changes_nothing() -> None:
    body = json.dumps(json.loads(TRIGGER) | {"event_action": "acknowledge"}).encode()
    assert ADAPTERS["pagerduty"](body, NOW, {}) == []


def test_pagerduty_answers_with_the_key_to_resolve_by() -> None:
    found = taken("/v2/enqueue", TRIGGER)
    assert isinstance(found, Taken)
    told = json.loads(found.answer.body)
    assert (found.answer.status, told["status"], told["message"]) == (202, "success", "Event processed")
    assert told["dedup_key"] == json.loads(TRIGGER)["dedup_key"]
    bare = {key: value for key, value in json.loads(TRIGGER).items() if key != "dedup_key"}
    found = taken("/v2/enqueue", json.dumps(bare).encode())
    assert isinstance(found, Taken)
    assert json.loads(found.body)["dedup_key"] == json.loads(found.answer.body)["dedup_key"] != ""


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"routing_key": "k"}', b'{"routing_key": "k", "event_action": "explode"}', b'{"routing_key": "k", "event_action": "resolve"}', b"\xff"],
    ids=["nothing", "list", "no action", "odd action", "resolve of nothing", "bytes"],
)  # fmt: skip
def test_a_wrong_event_is_answered_as_pagerduty_does(body: bytes) -> None:
    found = taken("/v2/enqueue", body)
    # Where its integration is known it is kept, to be shown.
    told = found if isinstance(found, Answer) else found.answer
    assert told.status == 400
    assert json.loads(told.body)["status"] == "invalid event"
    assert json.loads(told.body)["errors"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"payload": {"summary": "x", "source": "y", "severity": "bad"}}, "severity"),
        ({"payload": {"summary": "x"}}, "'payload.source' is missing"),
    ],
)
def test_what_is_wrong_in_an_event_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as error:
        ADAPTERS["pagerduty"](json.dumps(json.loads(TRIGGER) | change).encode(), NOW, {})
    assert words in error.value.detail


# Pings


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/ping/0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab", "", ("0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab", "", "")),
        ("/ping/0B2B6A3C-5A5E-4B4A-9B1E-0123456789AB/start", "", ("0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab", "", "start")),
        ("/ping/wbi_k/nightly-backup", "", ("wbi_k", "nightly-backup", "")),
        ("/ping/wbi_k/nightly-backup/fail", "", ("wbi_k", "nightly-backup", "fail")),
        ("/ping/wbi_k/nightly-backup/137", "", ("wbi_k", "nightly-backup", "137")),
        ("/ping/wbi_k/nightly-backup/log", "rid=0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab", ("wbi_k", "nightly-backup", "log")),
    ],
)  # fmt: skip
def test_the_addresses_of_healthchecks_are_read(path: str, query: str, expected: tuple[str, str, str]) -> None:
    found = taken(path, b"42 files\n", query, "POST")
    assert isinstance(found, Taken)
    told = json.loads(found.body)
    assert (found.key, told["slug"], told["action"]) == expected
    assert (found.answer.status, found.answer.body) == (200, b"OK")


@pytest.mark.parametrize(
    "path", ["/ping/", "/ping/x", "/ping/k/UPPER", "/ping/k/a/300", "/ping/k/a/nonsense", "/ping/k/a/fail/more"]
)
def test_an_odd_ping_is_a_400_as_healthchecks_says_it(path: str) -> None:
    found = taken(path)
    assert isinstance(found, Answer)
    assert (found.status, found.body) == (400, b"invalid url format")
    odd = taken("/ping/k/a", b"", "rid=yes")
    assert isinstance(odd, Answer)
    assert (odd.status, odd.body) == (400, b"invalid uuid format")


def source(cast: Cast, protocol: str, **more: Any) -> Source:
    with cast.acts(cast.ada) as by:
        return create_source(by=by, workspace_id=cast.main, protocol=protocol, name=protocol, **more)[0]


def ping(db: Any, of: Source, check: Check, rest: str = "", body: bytes = b"", query: str = "") -> None:
    found = taken(f"/ping/{ping_uuid(check.id)}{rest}", body, query)
    assert isinstance(found, Taken)
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)",
        of.id,
        of.workspace_id,
        found.body,
    )
    with as_worker():
        take_in(ADAPTERS)


def swept() -> int:
    with as_worker():
        return sweep()


def groups(db: Any) -> list[Any]:
    return db.run("SELECT title, state FROM signals_group ORDER BY id")  # type: ignore[no-any-return]


@pytest.fixture
def nightly(cast: Cast) -> tuple[Source, Check]:
    of = source(cast, "healthchecks")
    with cast.acts(cast.ada) as by:
        return of, create_check(
            by=by, workspace_id=cast.main, source_id=of.id, name="Nightly backup", period=3600, grace=600
        )


def test_a_ping_that_does_not_come_is_an_alert_and_the_next_one_ends_it(
    cast: Cast, db: Any, clock: Any, nightly: tuple[Source, Check]
) -> None:
    of, check = nightly
    assert swept() == 0, "a new check waits for its first ping"
    ping(db, of, check, body=b"42 files\n")
    clock.forward(minutes=69)
    assert swept() == 0
    clock.forward(minutes=2)
    assert swept() == 1
    assert groups(db) == [("Nightly backup", "open")]
    assert swept() == 0
    ping(db, of, check)
    assert groups(db) == [("Nightly backup", "resolved")]
    assert db.run("SELECT body, action FROM signals_ping ORDER BY id") == [(b"42 files\n", "success"), (b"", "success")]


def test_a_failure_is_an_alert_at_once_with_its_exit_status(cast: Cast, db: Any, nightly: tuple[Source, Check]) -> None:
    of, check = nightly
    ping(db, of, check, "/3", b"disk full")
    assert groups(db) == [("Nightly backup", "open")]
    assert db.run("SELECT annotations->>'summary' FROM signals_alert") == [("it failed with exit status 3",)]
    ping(db, of, check, "/0")
    assert groups(db) == [("Nightly backup", "resolved")]


def test_a_run_that_begins_and_does_not_end_is_late(
    cast: Cast, db: Any, clock: Any, nightly: tuple[Source, Check]
) -> None:
    of, check = nightly
    ping(db, of, check, "/start", query="rid=0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab")
    clock.forward(minutes=11)
    assert swept() == 1
    assert "has not ended" in db.run("SELECT annotations->>'summary' FROM signals_alert")[0][0]


def test_a_run_is_timed_by_its_own_start(cast: Cast, db: Any, clock: Any, nightly: tuple[Source, Check]) -> None:
    of, check = nightly
    ping(db, of, check, "/start", query="rid=0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab")
    clock.forward(seconds=90)
    ping(db, of, check, query="rid=0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab")
    assert 89 < db.run("SELECT last_duration FROM signals_check")[0][0] < 100
    ping(db, of, check, "/log", b"a note")
    assert db.run("SELECT state FROM signals_check") == [("up",)]


def test_a_cron_line_says_when_the_next_one_is_due(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.signals.checks import due_at

    of = source(cast, "healthchecks")
    with cast.acts(cast.ada) as by:
        check = create_check(
            by=by, workspace_id=cast.main, source_id=of.id, name="At three", cron="0 3 * * *", zone="Europe/Berlin"
        )
    check.last_ping_at = datetime(2026, 3, 28, 2, 1, tzinfo=UTC)
    assert due_at(check) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC), (
        "three o'clock comes an hour earlier after the change of clocks"
    )


def test_a_check_that_is_removed_while_it_is_down_takes_its_alert_along(
    cast: Cast, db: Any, nightly: tuple[Source, Check]
) -> None:
    of, check = nightly
    ping(db, of, check, "/fail")
    with cast.acts(cast.ada) as by:
        remove_check(by=by, workspace_id=cast.main, check_id=check.id)
    assert swept() == 1
    assert groups(db) == [("Nightly backup", "resolved")]


def test_an_alert_that_prometheus_sends_no_more_ends_by_itself(cast: Cast, db: Any, clock: Any) -> None:
    of = source(cast, "prometheus")
    body = [
        {
            "labels": {"alertname": "Slow"},
            "startsAt": clock.now().isoformat(),
            "endsAt": (clock.now() + timedelta(minutes=4)).isoformat(),
        }
    ]
    db.run(
        "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", of.id, of.workspace_id, json.dumps(body).encode()
    )  # fmt: skip
    with as_worker():
        take_in(ADAPTERS)
    assert groups(db) == [("Slow", "open")]
    clock.forward(minutes=3)
    assert swept() == 0
    clock.forward(minutes=2)
    assert swept() == 1
    assert groups(db) == [("Slow", "resolved")]


# Any JSON

MAPPING = {
    "alerts": "events[]", "title": "what", "status": "state", "fingerprint": "id", "severity": "level", "labels": {"service": "where.name"}, "starts_at": "at",
}  # fmt: skip


def test_a_mapping_finds_the_parts_of_an_alert() -> None:
    body = {
        "events": [
            {
                "what": "Queue is long",
                "state": "firing",
                "id": 7,
                "level": "high",
                "where": {"name": "mail"},
                "at": 1763752828,
            }
        ]
    }
    (found,) = ADAPTERS["json"](json.dumps(body).encode(), NOW, {"mapping": clean_mapping(MAPPING)})
    assert found.labels == {"alertname": "Queue is long", "severity": "high", "service": "mail"}
    assert (found.firing, found.fingerprint, found.starts_at) == (
        True,
        "7",
        datetime(2025, 11, 21, 19, 20, 28, tzinfo=UTC),
    )
    body["events"][0]["state"] = "OK"
    (found,) = ADAPTERS["json"](json.dumps(body).encode(), NOW, {"mapping": clean_mapping(MAPPING)})
    assert not found.firing


@pytest.mark.parametrize(
    ("given_", "words"),
    [({}, "title"), ({"title": "a["}, "JMESPath"), ({"title": "a", "colour": "b"}, "colour"), ({"title": "a", "labels": 3}, "labels")],
)  # fmt: skip
def test_a_wrong_mapping_is_refused_when_it_is_made(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as error:
        clean_mapping(given_)
    assert words in error.value.detail


@given(st.binary(max_size=200), st.sampled_from(["alertmanager", "prometheus", "pagerduty", "json"]))
def test_any_bytes_are_read_or_refused_with_a_reason(body: bytes, protocol: str) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(ADAPTERS[protocol](body, NOW, {"mapping": clean_mapping({"title": "a"})}), list)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "labels", "payload", "event_action", "dedup_key", "startsAt"]), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(["prometheus", "pagerduty", "json"]),
)  # fmt: skip
def test_any_json_is_read_or_refused_with_a_reason(value: Any, protocol: str) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(
            ADAPTERS[protocol](json.dumps(value).encode(), NOW, {"mapping": clean_mapping({"title": "a"})}), list
        )
