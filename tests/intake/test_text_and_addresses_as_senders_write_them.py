"""What other receivers read is read here too: text that was cut, a byte order mark, empty labels, and addresses with a slash more."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from watchbill.intake.adapters import ADAPTERS
from watchbill.intake.protocols import Taken, protocol_of
from watchbill.signals.rules import fingerprint

NOW = datetime(2026, 11, 26, 2, tzinfo=UTC)
KEY = "wbi_" + "k" * 43
PATHS = {
    "alertmanager": f"/intake/{KEY}/alertmanager",
    "prometheus": f"/intake/{KEY}/api/v2/alerts",
    "json": f"/intake/{KEY}/json",
    "pagerduty": "/v2/enqueue",
}
LIST = '[{"labels":{"alertname":"A"},"annotations":{"x":"%s"},"startsAt":"2026-11-26T01:59:00Z"}]'
FORMS = {
    "alertmanager": '{"version":"4","groupKey":"g","alerts":' + LIST + "}",
    "prometheus": LIST,
    "json": '{"title":"A %s"}',
    "pagerduty": '{"routing_key":"'
    + KEY
    + '","event_action":"trigger","payload":{"summary":"A %s","source":"c","severity":"critical"}}',
}


def come(protocol: str, body: bytes) -> list[Any]:
    """What is read of a body that the door takes."""
    path = PATHS[protocol]
    spoken = protocol_of(path)
    assert spoken is not None
    taken = spoken.take(path, "", "POST", [], body)
    assert isinstance(taken, Taken)
    assert taken.answer.status in (200, 202), taken.answer.body
    return list(ADAPTERS[protocol](taken.body, NOW, {"mapping": {"title": "title"}}))


@pytest.mark.parametrize("protocol", sorted(FORMS))
@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("cut \\ud83d", "cut \ufffd"), ("\\uDE00x", "\ufffdx"), ("\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"), ("\\uD83D\\uDE00", "\U0001f600"),
        ("\\\\ud83d", "\\ud83d"), ("\\ud83dx\\ude00", "\ufffdx\ufffd"), ("\\ude00\\ud83d", "\ufffd\ufffd"), ("\\u0041", "A"), ("a\\n\\ud83d\\n", "a\n\ufffd\n"),
    ],
)  # fmt: skip
def test_half_a_surrogate_pair_costs_no_alert(protocol: str, said: str, read: str) -> None:
    (alert,) = come(protocol, (FORMS[protocol] % said).encode())
    assert read in (alert.annotations.get("x") or alert.labels["alertname"])


@pytest.mark.parametrize("protocol", sorted(FORMS))
def test_a_byte_order_mark_is_skipped(protocol: str) -> None:
    assert len(come(protocol, b"\xef\xbb\xbf" + (FORMS[protocol] % "x").encode())) == 1


def test_a_label_without_a_value_is_none() -> None:
    plain, empty = ({"alertname": "A"}, {"alertname": "A", "team": "", "": "x", "zone": None})
    body = json.dumps([{"labels": one} for one in (plain, empty)]).encode()
    first, second = come("prometheus", body)
    assert first.labels == second.labels
    assert fingerprint(first) == fingerprint(second)
    hook = json.dumps({"alerts": [{"status": "firing", "labels": one} for one in (plain, empty)]}).encode()
    first, second = come("alertmanager", hook)
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize("protocol", ["alertmanager", "prometheus"])
@pytest.mark.parametrize("labels", [{"": "x"}, {"a": ""}, {"a": "", "": "x"}])
def test_an_alert_without_any_label_is_shown_and_takes_no_other_with_it(protocol: str, labels: dict[str, str]) -> None:
    rows = [{"status": "firing", "labels": one} for one in (labels, {"alertname": "A"})]
    body = json.dumps(rows if protocol == "prometheus" else {"alerts": rows}).encode()
    found = ADAPTERS[protocol](body, NOW, {})
    assert [one.labels for one in found] == [{"alertname": "A"}]
    (problem,) = found.problems
    assert "[0].labels" in problem


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/intake/{KEY}/api/v1/alerts", "prometheus"), (f"/intake/{KEY}/api/v1/alerts/", "prometheus"), (f"/intake/{KEY}/api/v2/alerts/", "prometheus"),
        (f"/intake/{KEY}/alertmanager/", "alertmanager"), (f"/intake/{KEY}/grafana//", "grafana"), (f"/intake/{KEY}/json/", "json"), ("/v2/enqueue/", "pagerduty"),
    ],
)  # fmt: skip
def test_an_address_with_a_slash_more_or_of_version_1_is_taken(path: str, name: str) -> None:
    spoken = protocol_of(path)
    assert spoken is not None
    assert spoken.names == {name}
    if name != "pagerduty":
        assert spoken.key(path) == KEY


@pytest.mark.parametrize(
    "path",
    ["/intake/", "/intake//alertmanager", f"/intake/{KEY}", f"/intake/{KEY}/api/v3/alerts", "/v2", "/v2/enqueue/x"],
)
def test_what_is_no_address_stays_none(path: str) -> None:
    assert protocol_of(path) is None
