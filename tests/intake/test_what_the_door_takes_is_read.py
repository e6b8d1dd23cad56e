"""What is answered with 200 is read by the worker, whatever stands in fields that nobody needs; what cannot be read is refused at the door."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, as_worker
from watchbill.base.errors import Invalid
from watchbill.intake import fields
from watchbill.intake.adapters import ADAPTERS
from watchbill.intake.protocols import Answer, Taken, protocol_of
from watchbill.signals.commands import create_source, take_in
from watchbill.signals.mapping import clean_mapping
from watchbill.signals.rules import Read

NOW = datetime(2026, 11, 21, 17, tzinfo=UTC)
KEY = "wbi_" + "k" * 43
MAPPING = clean_mapping({"alerts": "events[]", "title": "what", "fingerprint": "id"})
PATHS = {"alertmanager": "alertmanager", "grafana": "grafana", "json": "json", "prometheus": "api/v2/alerts"}
#: Values that are JSON, or what senders take for it, as they are written.
ODD = {
    "beyond a float": "1e999",
    "beyond a float, negative": "-1E+400",
    "an exponent of thousands of digits": "1e" + "9" * 5000,
    "five thousand digits": "7" * 5000,
    "four hundred digits": "-" + "7" * 400,
    "not a number": "NaN",
    "infinity": "-Infinity",
    "half a pair": '"cut \\ud83d"',
    "the other half": '"\\ude00 rest"',
    "half a pair as a name": '{"\\ud83d": 1}',
    "two first halves": '"\\ud83d\\ud83d\\ude00"',
    "deep": "[" * 700 + "]" * 700,
    "objects, deep": '{"a":' * 600 + "1" + "}" * 600,
    "nul": '"\\u0000"',
}


def body_of(protocol: str, value: str) -> bytes:
    """One alert with a value in a field that nobody needs, and its neighbour."""
    if protocol == "json":
        return f'{{"events": [{{"what": "One", "id": "1", "v": {value}}}, {{"what": "Two", "id": "2"}}]}}'.encode()
    rows = f'[{{"status": "firing", "labels": {{"alertname": "One"}}, "values": {value}}}, {{"status": "firing", "labels": {{"alertname": "Two"}}}}]'
    return (rows if protocol == "prometheus" else f'{{"alerts": {rows}, "more": {value}}}').encode()


def knock(path: str, body: bytes) -> Taken | Answer:
    spoken = protocol_of(path)
    assert spoken is not None
    return spoken.take(path, "", "POST", [], body)


def at_depth(depth: int, work: Callable[[], Any]) -> Any:
    """As far down as a worker's calls are."""
    return at_depth(depth - 1, work) if depth else work()


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("protocol", PATHS)
def test_a_value_that_nobody_needs_costs_neither_its_alert_nor_a_neighbour(protocol: str, value: str) -> None:
    body = body_of(protocol, value)
    found = knock(f"/intake/{KEY}/{PATHS[protocol]}", body)
    assert isinstance(found, Taken)
    assert (found.answer.status, found.body) == (200, body)
    for depth in (0, sys.getrecursionlimit() // 2):
        told = at_depth(depth, lambda: ADAPTERS[protocol](body, NOW, {"mapping": MAPPING}))
        assert isinstance(told, Read)
        assert [one.labels["alertname"] for one in told] == ["One", "Two"]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("mark", ['"dedup_key": "d", ', ""])
def test_an_event_is_taken_and_read_with_any_value_beside_what_counts(mark: str, value: str) -> None:
    body = f'{{"routing_key": "{KEY}", "event_action": "trigger", {mark}"payload": {{"summary": "S", "source": "s", "severity": "critical", "custom_details": {{"v": {value}}}}}}}'
    found = knock("/v2/enqueue", body.encode())
    assert isinstance(found, Taken), found.body
    assert found.answer.status == 202
    told = ADAPTERS["pagerduty"](found.body, NOW, {})
    assert [one.annotations["summary"] for one in told] == ["S"]


@pytest.mark.parametrize("protocol", PATHS)
def test_a_byte_order_mark_is_passed_over(protocol: str) -> None:
    body = b"\xef\xbb\xbf" + body_of(protocol, "1")
    found = knock(f"/intake/{KEY}/{PATHS[protocol]}", body)
    assert isinstance(found, Taken)
    assert found.answer.status == 200
    assert len(list(ADAPTERS[protocol](body, NOW, {"mapping": MAPPING}))) == 2


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ("1e999", "1e999"),
        ("7" * 5000, "7" * 5000),
        ("NaN", "NaN"),
        ('"cut \\ud83d"', "cut \ufffd"),
        ('"\\ud83d\\ude00 \\ud83d"', "\U0001f600 \ufffd"),
        ('"\\\\ud83d" ', "\\ud83d"),
    ],
)
def test_what_a_number_or_a_cut_text_said_is_kept(told: str, value: str) -> None:
    """Beside something that makes the quick reader give up."""
    assert fields.decode(f'[1e999, {{"v": {told}}}]'.encode())[1] == {"v": value}


@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"alerts": [', b"[01]", b'["\\x"]', b"[" * 100_000, b'["a\x01"]', b"nan", b"\xef\xbb\xbf"]
)
def test_what_cannot_be_read_is_refused_at_the_door(protocol: str, body: bytes) -> None:
    found = knock(f"/intake/{KEY}/{PATHS[protocol]}", body)
    assert isinstance(found, Taken)
    assert (found.answer.status, found.refused) == (400, True)


@given(
    st.recursive(
        st.sampled_from([value for name, value in ODD.items() if "deep" not in name]) | st.integers().map(str) | st.text().map(json.dumps),
        lambda inner: st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]") | inner.map(lambda part: f'{{"alerts": [{part}]}}'),
    )
)  # fmt: skip
def test_nothing_is_answered_with_200_and_then_no_json(told: str) -> None:
    for protocol, path in PATHS.items():
        found = knock(f"/intake/{KEY}/{path}", told.encode())
        assert isinstance(found, Taken)
        if found.answer.status != 200:
            continue
        assert "no JSON" not in refusal_of(protocol, told.encode())


def refusal_of(protocol: str, body: bytes) -> str:
    """Why nothing of it could be used; empty where something could."""
    try:
        ADAPTERS[protocol](body, NOW, {"mapping": MAPPING})
    except Invalid as error:
        return error.detail
    return ""


def test_an_alert_with_a_number_out_of_range_is_open_with_its_neighbour(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        source = create_source(by=by, workspace_id=cast.main, protocol="alertmanager", name="Am")[0]
    rows = [source.id, source.workspace_id]
    for value in ("1e999", "7" * 5000, '"cut \\ud83d"', "NaN"):
        db.run("INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", *rows, body_of("alertmanager", value))  # fmt: skip
    with as_worker():
        take_in(ADAPTERS)
    assert db.run("SELECT title, state FROM signals_group ORDER BY title") == [("One", "open"), ("Two", "open")]
    assert db.run("SELECT problem FROM signals_arrival WHERE problem IS NOT NULL AND problem <> ''") == []
