"""Alertmanager's webhook: real payloads, odd ones, and any bytes at all."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.base.errors import Invalid
from watchbill.intake.alertmanager.adapter import read as read_with
from watchbill.signals.rules import Read


def read(body: bytes, at: datetime) -> Read:
    """As the worker reads it: Alertmanager's needs no mapping."""
    return read_with(body, at, {})


HERE = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 11, 21, 17, tzinfo=UTC)
FIRING = json.loads((HERE / "alertmanager-0.25-firing.json").read_text())


def changed(**fields: Any) -> bytes:
    """The real payload with other fields of its first alert."""
    found = json.loads(json.dumps(FIRING))
    found["alerts"] = [found["alerts"][0] | fields]
    return json.dumps(found).encode()


VERSIONS = ["0.21", "0.25", "0.28", "0.33"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_fires_is_read_with_its_labels_and_group(version: str) -> None:
    first, second = read((HERE / f"alertmanager-{version}-firing.json").read_bytes(), NOW)
    assert first.firing
    assert first.ends_at is None, "year 1 means that it goes on"
    assert first.labels["instance"] == "a"
    assert first.annotations["runbook_url"] == "https://example.org/r"
    assert (first.fingerprint, second.fingerprint) == ("c3f3ffc5147e4647", "c44d780093d1a3e2")
    assert first.group_key == second.group_key != ""
    assert first.group_labels == {"alertname": "HighLatency", "service": "checkout"}


@pytest.mark.parametrize("version", ["0.25", "0.33"])
def test_what_was_cut_off_is_said_beside_what_came(version: str) -> None:
    (found,) = read((HERE / f"alertmanager-{version}-truncated-firing.json").read_bytes(), NOW)
    assert found.annotations["left out"] == "the sender left out 1 more alert of this group (max_alerts)"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_resolved_has_its_end(version: str) -> None:
    found = read((HERE / f"alertmanager-{version}-resolved.json").read_bytes(), NOW)
    assert [one.firing for one in found] == [False, False]
    assert all(one.ends_at and one.ends_at > one.starts_at for one in found)


def test_a_superset_is_read_and_what_is_missing_has_a_default() -> None:
    body = json.loads(changed(valueString="[ var='A' ]", silenceURL="http://grafana"))
    (found,) = read(json.dumps(body | {"orgId": 1, "title": "x", "state": "alerting"}).encode(), NOW)
    assert found.firing
    (bare,) = read(
        json.dumps({"alerts": [{"status": "firing", "labels": {}, "startsAt": "0001-01-01T00:00:00Z"}]}).encode(), NOW
    )
    assert (bare.starts_at, bare.group_key, bare.fingerprint) == (NOW, "", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "no webhook of Alertmanager"),
        (b'{"alerts": 3}', "alerts"),
        (b'{"alerts":' * 5000, "no"),
    ],
    ids=[
        "nothing",
        "half",
        "bytes",
        "list",
        "number",
        "deep",
    ],
)
def test_what_is_wrong_is_named(body: bytes, words: str) -> None:
    with pytest.raises(Invalid) as error:
        read(body, NOW)
    assert words in error.value.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"alerts": [{"status": "firing"}]}', "alerts[0].labels"),
        (changed(status="pending"), "“firing” or “resolved”"),
        (changed(labels={f"l{n}": "x" for n in range(10_000)}), "10,000 labels"),
    ],
)
def test_what_is_wrong_with_an_alert_is_named(body: bytes, words: str) -> None:
    found = read(body, NOW)
    assert found == []
    assert words in found.problems[0]


def test_another_version_is_read_as_the_known_one_and_said() -> None:
    found = read(json.dumps(FIRING | {"version": "9"}).encode(), NOW)
    assert len(found) == 2
    assert "version: '9'" in found.problems[0]


def test_what_the_database_cannot_hold_is_replaced() -> None:
    (found,) = read(changed(labels={"alertname": "a\0b", "x\0": "y"}, annotations={"s": "z" * 9000}), NOW)
    assert found.labels == {"alertname": "a\ufffdb", "x\ufffd": "y"}
    assert len(found.annotations["s"]) == 4000


@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(str.encode)
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["alerts", "status", "labels", "startsAt", "version"]), inner)
            ),
            max_leaves=12,
        ),
    )
)
def test_any_bytes_are_read_or_refused_with_a_reason(body: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(read(body, NOW), list)


@pytest.mark.parametrize(
    "version",
    ["4", 4, 4.0, "4.0", "4.0.0", " 4 ", "v4", "1", 1, 1.0, "", None, True, False, [], ["4"], {}, {"major": 4}],
)
def test_a_version_is_text_a_number_or_missing(version: Any) -> None:
    found = read(json.dumps(FIRING | {"version": version}).encode(), NOW)
    assert (len(found), found.problems) == (2, ())


def test_a_version_that_is_missing_is_no_problem() -> None:
    found = read(json.dumps({name: value for name, value in FIRING.items() if name != "version"}).encode(), NOW)
    assert (len(found), found.problems) == (2, ())


@pytest.mark.parametrize("version", ["5", 5, 5.0, 4.5, "4.1", "four", -4, 40, 1e300])
def test_another_version_is_read_and_said(version: Any) -> None:
    found = read(json.dumps(FIRING | {"version": version}).encode(), NOW)
    assert len(found) == 2
    assert "is not known" in found.problems[0]


@pytest.mark.parametrize("count", [1200, 1200.0, "1200", " 1200 "])
def test_alerts_that_the_sender_left_out_are_said(count: Any) -> None:
    (found,) = read(json.dumps(json.loads(changed()) | {"truncatedAlerts": count}).encode(), NOW)
    assert found.annotations["left out"] == "the sender left out 1,200 more alerts of this group (max_alerts)"
