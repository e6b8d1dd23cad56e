"""Read what is needed: a field that is not needed may be anything, one bad alert takes no neighbour with it, and what cannot be used is said with its place."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, as_worker, signed_in
from watchbill.intake.adapters import ADAPTERS
from watchbill.intake.fields import EARLIEST, LATEST, moment
from watchbill.intake.protocols import Answer, Taken, protocol_of
from watchbill.signals.commands import create_source, take_in
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.rules import Incoming, Read

NOW = datetime(2026, 11, 21, 17, tzinfo=UTC)
KEY = "wbi_" + "k" * 43
GOOD = {"status": "firing", "labels": {"alertname": "Good"}, "startsAt": NOW.isoformat()}
MAPPING = clean_mapping(
    {
        "alerts": "events[]", "title": "what", "status": "state", "fingerprint": "id", "severity": "level", "url": "url", "summary": "words", "starts_at": "at",
        "labels": {"service": "join('-', names)"},
    }
)  # fmt: skip
#: Anything a sender may put where something else belongs.
ODD = [None, True, 0, -1, 1763752828, 1763752828000, 1e300, "", "x", "3", [], [None], [{"name": "a", "value": "b"}], {}, {"a": None}, {"a": 1, "b": {"c": []}}]  # fmt: skip
TIMES = [
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00-01:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59+14:00",
    "1969-12-31T23:59:59Z", "2026-11-21T16:00:00", "2026-11-21", "yesterday", "2026-13-45T99:99:99Z", "2026-11-21T16:00:00.123456789Z", "2026-11-21t16:00:00z", "2026-11-21T16:00:00+99:00",
    -62135596800, 253402300799, 10**30, 1e308,
]  # fmt: skip


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = _Missing()


def read(protocol: str, told: Any) -> Read:
    found = ADAPTERS[protocol](json.dumps(told).encode(), NOW, {"mapping": MAPPING})
    assert isinstance(found, Read)
    return found


def put(row: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {key: found for key, found in {**row, name: value}.items() if found is not MISSING}


def storable(alert: Incoming) -> None:
    """The database can hold it."""
    for at in (alert.starts_at, alert.ends_at, alert.expires_at):
        assert at is None or (at.tzinfo is not None and EARLIEST <= at <= LATEST)
        assert at is None or at.astimezone(UTC) + timedelta(days=1)
    for told in (alert.labels, alert.annotations, alert.group_labels):
        for name, value in told.items():
            assert isinstance(name, str)
            assert isinstance(value, str)
            assert "\0" not in name + value
    for one in (alert.url, alert.fingerprint, alert.group_key):
        assert isinstance(one, str)


@pytest.mark.parametrize("name", ["startsAt", "endsAt", "annotations", "generatorURL", "fingerprint", "status", "values", "silenceURL"])  # fmt: skip
@pytest.mark.parametrize("value", [*ODD, *TIMES, MISSING], ids=repr)
def test_an_alert_of_alertmanager_is_read_whatever_stands_where_nothing_is_needed(name: str, value: Any) -> None:
    if name == "status" and isinstance(value, str) and value:
        return
    found = read("alertmanager", {"version": "4", "groupKey": "g", "alerts": [put(GOOD, name, value), GOOD]})
    assert len(found) == 2
    assert not found.problems
    assert found[0].labels["alertname"] == "Good"
    if name != "endsAt" and name != "status":
        assert found[0].firing
    for one in found:
        storable(one)


@pytest.mark.parametrize("name", ["groupKey", "groupLabels", "truncatedAlerts", "externalURL", "commonLabels", "receiver", "orgId"])  # fmt: skip
@pytest.mark.parametrize("value", [*ODD, MISSING], ids=repr)
def test_a_webhook_is_read_whatever_stands_where_nothing_is_needed(name: str, value: Any) -> None:
    found = read("grafana", put({"version": "4", "alerts": [GOOD]}, name, value))
    assert len(found) == 1
    assert not found.problems
    storable(found[0])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "A", "pod": None, "n": 3, "b": True, "f": 1.5, "l": [1], "o": {"x": None}}, {"alertname": "A", "n": "3", "b": "true", "f": "1.5", "l": "[1]", "o": '{"x":null}'}),
        ({"alertname": None}, {}),
    ],
)  # fmt: skip
def test_labels_of_any_type_are_labels(labels: dict[str, Any], expected: dict[str, str]) -> None:
    found = read("alertmanager", {"alerts": [put(GOOD, "labels", labels)]})
    assert [dict(one.labels) for one in found] == [expected]
    assert not found.problems


@pytest.mark.parametrize("value", [None, [], "x", 3, MISSING], ids=repr)
def test_without_labels_an_alert_is_known_by_its_fingerprint(value: Any) -> None:
    found = read("alertmanager", {"alerts": [put({**GOOD, "fingerprint": "f1"}, "labels", value)]})
    assert [(one.fingerprint, one.labels) for one in found] == [("f1", {})]


@pytest.mark.parametrize(
    ("status", "ends", "fires"),
    [
        ("FIRING", None, True), (" resolved ", None, False), ("Resolved", None, False), ("alerting", None, True), ("ok", None, False),
        (None, "0001-01-01T00:00:00Z", True), (None, "2026-11-21T16:59:00Z", False), (None, "2026-11-21T17:01:00Z", True), (MISSING, MISSING, True), ("", None, True), (3, None, True),
    ],
)  # fmt: skip
def test_a_status_is_read_in_any_case_and_else_follows_the_end(status: Any, ends: Any, fires: bool) -> None:
    (found,) = read("alertmanager", {"alerts": [put(put(GOOD, "status", status), "endsAt", ends)]})
    assert found.firing is fires


@pytest.mark.parametrize("name", ["startsAt", "endsAt", "annotations", "generatorURL"])
@pytest.mark.parametrize("value", [*ODD, *TIMES, MISSING], ids=repr)
def test_an_alert_of_prometheus_is_read_whatever_stands_where_nothing_is_needed(name: str, value: Any) -> None:
    found = read("prometheus", [put({"labels": {"alertname": "A"}, "startsAt": NOW.isoformat()}, name, value)])
    assert len(found) == 1
    assert not found.problems
    storable(found[0])


@pytest.mark.parametrize("name", ["timestamp", "component", "group", "class", "custom_details", "extra"])
@pytest.mark.parametrize("value", [*ODD, *TIMES, MISSING], ids=repr)
def test_an_event_is_taken_and_read_whatever_stands_where_nothing_is_needed(name: str, value: Any) -> None:
    payload = put({"summary": "Pump", "source": "cellar", "severity": "critical"}, name, value)
    body = json.dumps({"routing_key": KEY, "event_action": "trigger", "dedup_key": "a", "payload": payload}).encode()
    taken = knock(body)
    assert isinstance(taken, Taken)
    assert taken.answer.status == 202
    (found,) = ADAPTERS["pagerduty"](taken.body, NOW, {})
    assert (found.firing, found.labels["severity"], found.fingerprint) == (True, "critical", "a")
    storable(found)


@pytest.mark.parametrize("name", ["client", "client_url", "links", "images", "dedup_key", "extra"])
@pytest.mark.parametrize("value", [None, "", 3, [], [1, None], {}, MISSING], ids=repr)
def test_around_its_payload_an_event_may_say_anything(name: str, value: Any) -> None:
    told = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "a", "payload": {"summary": "Pump", "source": "cellar", "severity": "critical"}}  # fmt: skip
    taken = knock(json.dumps(put(told, name, value)).encode())
    assert isinstance(taken, Taken)
    assert taken.answer.status == 202
    (found,) = ADAPTERS["pagerduty"](taken.body, NOW, {})
    assert found.fingerprint == json.loads(taken.answer.body)["dedup_key"] != ""
    storable(found)


@pytest.mark.parametrize("name", ["state", "id", "level", "url", "words", "at", "names"])
@pytest.mark.parametrize("value", [*ODD, *TIMES, MISSING], ids=repr)
def test_an_alert_of_any_json_needs_its_title_only(name: str, value: Any) -> None:
    row = put({"what": "Queue", "state": "bad", "id": "1", "level": "high", "names": ["a", "b"]}, name, value)
    found = read("json", {"events": [row, {"what": "Other"}]})
    assert [one.labels["alertname"] for one in found] == ["Queue", "Other"]
    for one in found:
        storable(one)


def test_what_a_mapping_cannot_read_is_left_out_and_shown() -> None:
    found = read("json", {"events": [{"what": "Queue", "names": 3}, {"state": "bad"}, 5]})
    assert [dict(one.labels) for one in found] == [{"alertname": "Queue"}]
    assert [one.split(":")[0] for one in found.problems] == ["[0].labels.service", "[1]", "[2]"]


BAD = [
    ("alertmanager", {"alerts": [GOOD, {"status": "firing"}, GOOD]}, "alerts[1].labels: is null"),
    ("alertmanager", {"alerts": [5, GOOD, None, GOOD]}, "alerts[0].is a number"),
    ("alertmanager", {"alerts": [GOOD, put(GOOD, "status", "pending"), GOOD]}, "alerts[1].status"),
    ("alertmanager", {"alerts": [GOOD, GOOD, put(GOOD, "labels", {f"l{n}": "x" for n in range(10_000)})]}, "alerts[2].labels: 10,000"),
    ("prometheus", [GOOD, {"labels": {}}, GOOD], "[1].labels"),
    ("prometheus", [GOOD, {"labels": {"a": None}}, GOOD], "[1].labels"),
    ("prometheus", [GOOD, "x", GOOD, None], "[1].is a string"),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "told", "words"), BAD, ids=[row[2] for row in BAD])
def test_one_bad_alert_takes_no_neighbour_with_it(protocol: str, told: Any, words: str) -> None:
    found = read(protocol, told)
    assert len(found) == 2
    assert words in "; ".join(found.problems)


def test_problems_of_one_message_are_not_without_end() -> None:
    found = read("alertmanager", {"alerts": [GOOD, *[None] * 5000]})
    assert len(found) == 1
    assert found.problems[-1] == "and 4,995 more"


@given(st.text(max_size=40) | st.integers() | st.floats() | st.none() | st.booleans() | st.datetimes().map(str))
def test_any_time_is_an_instant_or_none(value: Any) -> None:
    found = moment(value)
    assert found is None or EARLIEST <= found <= LATEST


# At the door


def knock(body: bytes, path: str = "/v2/enqueue") -> Taken | Answer:
    protocol = protocol_of(path)
    assert protocol is not None
    return protocol.take(path, "", "POST", [], body)


def answer(found: Taken | Answer) -> tuple[int, list[str]]:
    told = found if isinstance(found, Answer) else found.answer
    body = json.loads(told.body)
    assert body["status"] == "invalid event"
    assert body["message"] == "Event object is invalid"
    return told.status, body["errors"]


SEVERITY = "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"severity": "none"}, SEVERITY),
    ({"severity": "fatal"}, SEVERITY),
    ({"severity": "{{ .CommonLabels.severity }}"}, SEVERITY),
    ({"severity": 1}, SEVERITY),
    ({"severity": ""}, "'payload.severity' is missing or blank"),
    ({"severity": None}, "'payload.severity' is missing or blank"),
    ({"source": ""}, "'payload.source' is missing or blank"),
    ({"source": "  "}, "'payload.source' is missing or blank"),
    ({"source": None}, "'payload.source' is missing or blank"),
    ({"source": MISSING}, "'payload.source' is missing or blank"),
    ({"source": []}, "'payload.source' is missing or blank"),
    ({"summary": ""}, "'payload.summary' is missing or blank"),
    ({"summary": None}, "'payload.summary' is missing or blank"),
    ({"summary": {}}, "'payload.summary' is missing or blank"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[str(row[0]) for row in REFUSED])
def test_what_pagerduty_would_refuse_is_refused_in_its_words_and_kept(change: dict[str, Any], words: str) -> None:
    payload = {"summary": "Pump", "source": "cellar", "severity": "critical"}
    for name, value in change.items():
        payload = put(payload, name, value)
    found = knock(json.dumps({"routing_key": KEY, "event_action": "trigger", "dedup_key": "a", "payload": payload}).encode())  # fmt: skip
    assert answer(found) == (400, [words])
    assert isinstance(found, Taken)
    assert found.refused, "it is shown on the integration's page"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"payload": MISSING}, "'payload' is missing or blank"), ({"payload": None}, "'payload' is missing or blank"), ({"payload": "x"}, "'payload' is invalid (must be an object)"),
        ({"payload": []}, "'payload' is invalid (must be an object)"), ({"event_action": None}, "'event_action' is missing or blank"), ({"event_action": 3}, "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')"),
        ({"event_action": "resolve", "dedup_key": None}, "'dedup_key' is missing or blank"), ({"event_action": "acknowledge", "dedup_key": MISSING}, "'dedup_key' is missing or blank"),
        ({"routing_key": MISSING}, "'routing_key' is missing or blank"), ({"routing_key": None}, "'routing_key' is missing or blank"), ({"routing_key": 5}, "'routing_key' is invalid (must be a string)"),
    ],
)  # fmt: skip
def test_an_event_that_is_none_is_refused(change: dict[str, Any], words: str) -> None:
    told: dict[str, Any] = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "a", "payload": {"summary": "Pump", "source": "cellar", "severity": "critical"}}  # fmt: skip
    for name, value in change.items():
        told = put(told, name, value)
    assert answer(knock(json.dumps(told).encode())) == (400, [words])


@pytest.mark.parametrize("severity", ["Critical", "CRITICAL", " critical ", "Error", "WARNING", "Info"])
def test_a_severity_is_read_in_any_case(severity: str) -> None:
    found = knock(json.dumps({"routing_key": KEY, "event_action": "trigger", "dedup_key": None, "payload": {"summary": "P" * 3000, "source": 7, "severity": severity}}).encode())  # fmt: skip
    assert isinstance(found, Taken)
    assert found.answer.status == 202
    (alert,) = ADAPTERS["pagerduty"](found.body, NOW, {})
    assert alert.labels["severity"] == severity.strip().lower()
    assert len(alert.annotations["summary"]) == 1024


def test_an_event_beyond_512_kb_is_refused() -> None:
    told = {"routing_key": KEY, "event_action": "trigger", "payload": {"summary": "Pump", "source": "cellar", "severity": "critical", "custom_details": {"x": "y" * 512 * 1024}}}  # fmt: skip
    assert answer(knock(json.dumps(told).encode()))[0] == 413


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("alertmanager", b""), ("alertmanager", b"{"), ("alertmanager", b"\xff"), ("alertmanager", b'{"alerts": [{"status": "\xff"}]}'), ("alertmanager", b"[]"), ("alertmanager", b"{}"),
        ("alertmanager", b'{"alerts": null}'), ("alertmanager", b'{"alerts": {}}'), ("grafana", b"null"), ("grafana", b"<xml/>"), ("json", b"title=x"), ("json", b""),
        ("api/v2/alerts", b"{}"), ("api/v2/alerts", b"[1,"), ("api/v2/alerts", b""),
    ],
)  # fmt: skip
def test_what_is_no_message_of_its_sender_is_a_400_and_kept(path: str, body: bytes) -> None:
    found = knock(body, f"/intake/{KEY}/{path}")
    assert isinstance(found, Taken)
    assert (found.answer.status, found.refused) == (400, True)
    assert json.loads(found.answer.body)["title"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("alertmanager", b'{"alerts": []}'), ("alertmanager", b' {"alerts" : [ null ] } '), ("grafana", json.dumps({"alerts": [GOOD], "title": "\u00fc"}, ensure_ascii=False).encode()),
        ("json", b"3"), ("json", b"[]"), ("api/v2/alerts", b"[]"), ("api/v2/alerts", b"[{}]"),
    ],
)  # fmt: skip
def test_what_is_a_message_is_taken(path: str, body: bytes) -> None:
    found = knock(body, f"/intake/{KEY}/{path}")
    assert isinstance(found, Taken)
    assert (found.answer.status, found.refused, found.body) == (200, False, body)


def test_good_alerts_are_open_and_the_bad_one_stands_on_the_integrations_page(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        source = create_source(by=by, workspace_id=cast.main, protocol="alertmanager", name="Am")[0]
    rows = [put(GOOD, "labels", {"alertname": "One"}), {"status": "firing"}, put(GOOD, "labels", {"alertname": "Two"})]
    body = json.dumps({"version": "4", "alerts": rows}).encode()
    db.run("INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", source.id, source.workspace_id, body)  # fmt: skip
    with as_worker():
        take_in(ADAPTERS)
    assert db.run("SELECT title, state FROM signals_group ORDER BY title") == [("One", "open"), ("Two", "open")]
    assert "alerts[1].labels: is null" in signed_in(cast.ada).get("/w/main/integrations").content.decode()
    # Taken in once more, as after a fix: what was taken is not said twice.
    db.run("UPDATE signals_arrival SET problem = NULL")
    with as_worker():
        take_in(ADAPTERS)
    assert db.run("SELECT title, state FROM signals_group ORDER BY title") == [("One", "open"), ("Two", "open")]
