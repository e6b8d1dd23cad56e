"""A group's title names the alert: for what Grafana says of a rule, the rule."""

from datetime import UTC, datetime

import pytest

from watchbill.signals.rules import Incoming, title


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "DatasourceNoData", "rulename": "Disk full"}, "Disk full (no data)"),
        ({"alertname": "DatasourceNoData", "rulename": "Disk full", "service": "db"}, "Disk full (no data): db"),
        ({"alertname": "DatasourceError", "rulename": "Disk full"}, "Disk full (cannot be evaluated)"),
        ({"alertname": "DatasourceNoData"}, "DatasourceNoData"),
        ({"alertname": "DatasourceNoData", "rulename": ""}, "DatasourceNoData"),
        ({"alertname": "Down", "rulename": "Other"}, "Down"),
        ({}, "An alert without a name"),
    ],
)
def test_the_title_names_the_rule(labels: dict[str, str], expected: str) -> None:
    assert title(Incoming(labels=labels, firing=True, starts_at=datetime(2026, 11, 26, tzinfo=UTC))) == expected
