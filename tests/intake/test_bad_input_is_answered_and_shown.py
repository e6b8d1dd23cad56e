"""Whatever is sent, by whichever protocol: an answer that its sender understands, never a 500, and what cannot be understood is kept and shown."""

import base64
import contextlib
import html
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, as_worker, signed_in
from watchbill.base.errors import WatchbillError
from watchbill.intake.adapters import ADAPTERS
from watchbill.intake.protocols import Answer, Taken, protocol_of
from watchbill.signals.commands import PROTOCOLS, create_source, take_in
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.models import Source

NOW = datetime(2026, 11, 21, 16, tzinfo=UTC)
KEY = "wbi_" + "k" * 43
PATHS = [
    f"/intake/{KEY}/alertmanager", f"/intake/{KEY}/grafana", f"/intake/{KEY}/json", f"/intake/{KEY}/slack", f"/intake/{KEY}/api/v2/alerts", "/v2/enqueue",
    f"/ping/{KEY}/backup", f"/ping/{KEY}/backup/fail", f"/ping/{KEY}/backup/7", "/ping/0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab/start",
]  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["alerts", "labels", "status", "startsAt", "endsAt", "version", "routing_key", "event_action", "dedup_key", "payload", "summary", "severity", "custom_details"]),
        inner, max_size=5,
    ),
    max_leaves=14,
).map(lambda value: json.dumps(value).encode())  # fmt: skip
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"user-agent", b"content-type", b"x-slack-signature", b"x-slack-request-timestamp"]),
        st.binary(max_size=30),
    ),
    max_size=4,
)


@given(
    st.sampled_from(PATHS) | st.text(max_size=60).map(lambda text: f"/ping/{text}") | st.text(max_size=60).map(lambda text: f"/intake/{text}"),
    st.sampled_from(["GET", "POST", "HEAD"]), st.text(alphabet=st.characters(max_codepoint=255), max_size=60), _HEADERS, st.binary(max_size=120) | _JSON,
)  # fmt: skip
def test_every_request_is_taken_or_answered(
    path: str, method: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    protocol = protocol_of(path)
    if protocol is None:
        return
    assert isinstance(protocol.key(path), str)
    found = protocol.take(path, query, method, headers, body)
    answer = found if isinstance(found, Answer) else found.answer
    assert 200 <= answer.status < 500
    if isinstance(found, Taken):
        name = next(iter(protocol.names))
        if name in ADAPTERS and name != "slack":
            with contextlib.suppress(WatchbillError):
                assert isinstance(ADAPTERS[name](found.body, NOW, {"mapping": clean_mapping({"title": "a"})}), list)
    for status in (404, 405, 413, 429, 503):
        assert protocol.refuse(status, "words", "2").status in (400, status)


def am(**more: Any) -> bytes:
    alert = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": NOW.isoformat()} | more
    return json.dumps({"version": "4", "groupKey": "g", "alerts": [alert]}).encode()


def prom(**more: Any) -> bytes:
    return json.dumps([{"labels": {"alertname": "A"}, "startsAt": NOW.isoformat()} | more]).encode()


def event(**more: Any) -> bytes:
    told = {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "d",
        "payload": {"summary": "A", "severity": "critical", "source": "s"},
    }
    return json.dumps(told | more).encode()


def ping(**more: Any) -> bytes:
    told = {
        "key": "",
        "slug": "job",
        "action": "",
        "run": "",
        "method": "GET",
        "create": True,
        "agent": "",
        "body": base64.b64encode(b"x").decode(),
        "size": 1,
    }
    return json.dumps(told | more).encode()


MANY = {f"l{number}": "v" for number in range(10_000)}
FAR = {"startsAt": "9999-12-31T23:59:59Z", "endsAt": "0001-01-01T00:00:00Z"}
#: protocol, what came, and whether it is understood.
BAD: list[tuple[str, str, bytes, bool]] = [
    ("alertmanager", "10,000 labels", am(labels=MANY), False),
    ("alertmanager", "a label of a megabyte", am(labels={"alertname": "A", "x": "y" * 1_000_000}), True),
    ("alertmanager", "invalid UTF-8", b'{"alerts": [{"status": "firing", "labels": {"a": "\xff"}}]}', False),
    ("alertmanager", "half of it", am()[:-20], False),
    ("alertmanager", "an unknown version", am().replace(b'"4"', b'"5"'), False),
    ("alertmanager", "a clock that is off by millennia", am(**FAR), True),
    ("alertmanager", "a clock that is before all", am(startsAt="0001-01-01T00:00:00Z"), True),
    ("alertmanager", "NUL", am(labels={"alertname": "A\0B"}), True),
    ("alertmanager", "a lone surrogate", b'{"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "\\ud800"}, "startsAt": "2026-11-21T16:00:00Z"}]}', True),
    ("alertmanager", "depth", b"[" * 100_000, False),
    ("alertmanager", "resolved before it fired", am(status="resolved", endsAt=NOW.isoformat()), True),
    ("grafana", "numbers for labels", am(labels={"alertname": 1}), True),
    ("grafana", "no alerts", b'{"alerts": 3}', False),
    ("prometheus", "10,000 labels", prom(labels=MANY), False),
    ("prometheus", "no list", b"{}", False),
    ("prometheus", "a clock that is off by millennia", prom(**{**FAR, "endsAt": "9999-12-31T23:59:59Z"}), True),
    ("prometheus", "the same twice", json.dumps(json.loads(prom()) * 2).encode(), True),
    ("pagerduty", "no summary", event(payload={}), False),
    ("pagerduty", "details of any shape", event(payload={"summary": "A", "severity": "critical", "source": "s", "custom_details": [[1], {"a": None}]}), True),
    ("pagerduty", "an unknown severity", event(payload={"summary": "A", "severity": "apocalyptic", "source": "s"}), False),
    ("pagerduty", "resolved before it fired", event(event_action="resolve"), True),
    ("json", "no title", b'{"other": 1}', False),
    ("json", "a list", b"[1, 2]", False),
    ("json", "a title that is none", b'{"what": {"a": [1]}}', True),
    ("healthchecks", "a body that is no base64", ping(body="%%%"), False),
    ("healthchecks", "an action of another kind", ping(action="smoke"), False),
    ("healthchecks", "half of it", ping()[:-9], False),
    ("healthchecks", "a huge exit status", ping(action="99999999999"), False),
]  # fmt: skip


def made(cast: Cast, protocol: str) -> Source:
    config = {"mapping": {"title": "what"}} if protocol == "json" else None
    with cast.acts(cast.ada) as by:
        return create_source(by=by, workspace_id=cast.main, protocol=protocol, name=f"All {protocol}", config=config)[0]


def arrive(db: Any, source: Source, body: bytes) -> None:
    db.run("INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", source.id, source.workspace_id, body)  # fmt: skip


def test_what_came_is_understood_or_shown_with_the_reason_and_stops_nothing(cast: Cast, db: Any) -> None:
    sources = {name: made(cast, name) for name in PROTOCOLS if name not in ("slack", "twilio")}
    good = {"alertmanager": am(labels={"alertname": "Good"}), "grafana": am(labels={"alertname": "Good"}), "prometheus": prom(labels={"alertname": "Good"}), "pagerduty": event(dedup_key="good"), "json": b'{"what": "Good"}', "healthchecks": ping(slug="good", action="fail")}  # fmt: skip
    numbers = {}
    for protocol, name, body, _ in BAD:
        arrive(db, sources[protocol], body)
        ((numbers[protocol, name],),) = db.run("SELECT max(id) FROM signals_arrival")
    for protocol, body in good.items():
        arrive(db, sources[protocol], body)
    with as_worker():
        while take_in(ADAPTERS):
            left = db.run("SELECT count(*) FROM signals_arrival WHERE problem IS NULL")
            if left == [(0,)]:
                break
    problems = dict(db.run("SELECT id, problem FROM signals_arrival"))
    for protocol, name, _, understood in BAD:
        problem = problems.get(numbers[protocol, name])
        assert (problem is None) == understood, f"{protocol}, {name}: {problem}"
    # Beside all that, what was right is there.
    for protocol, source in sources.items():
        ((count,),) = db.run("SELECT count(*) FROM signals_alert WHERE source_id = %s AND firing", source.id)
        assert count >= 1, protocol
    # The newest of each integration stand on its page, with the reason.
    page = html.unescape(signed_in(cast.ada).get("/w/main/integrations").content.decode())
    newest = db.run("SELECT DISTINCT ON (source_id) problem FROM signals_arrival ORDER BY source_id, id DESC")
    assert len(newest) == len(sources)
    assert [problem for (problem,) in newest if problem not in page] == []


def test_out_of_order_and_twice_ends_as_the_last_word_says(cast: Cast, db: Any) -> None:
    source = made(cast, "alertmanager")
    later = (NOW + timedelta(minutes=5)).isoformat()
    for body in (
        am(status="resolved", endsAt=later),
        am(),
        am(),
        am(startsAt=later),
        am(startsAt=later),
        am(status="resolved", endsAt=later),
    ):
        arrive(db, source, body)
    with as_worker():
        take_in(ADAPTERS)
    # The episode that began later fires; the end of the one before it does not end it.
    assert db.run("SELECT firing FROM signals_alert") == [(True,)]
    assert db.run("SELECT state, count(*) FROM signals_group GROUP BY 1 ORDER BY 1") == [("open", 1), ("resolved", 1)]


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_has_an_address_and_a_place_in_the_documentation(protocol: str) -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "intake.md").read_text() + (
        Path(__file__).parents[2] / "docs" / "paging.md"
    ).read_text()
    word = {"json": "JSON", "healthchecks": "Healthchecks", "pagerduty": "PagerDuty"}.get(
        protocol, protocol.capitalize()
    )
    assert word in text
