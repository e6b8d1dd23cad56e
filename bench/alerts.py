"""Lists at 100,000 active alerts and incidents, under the application's role: the API and the pages, whole and by a label."""

import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
from tests.server.hub import Hub, wait_for

from bench.house import connect, line, running_hub

RECORDS = int(os.environ.get("BENCH_RECORDS", "100000"))
_UUID = "(lpad(to_hex(n), 12, '0') || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid"
_NAME = "(ARRAY['Slow','Down','DiskFull','QueueLong'])[1 + n %% 4]"
#: Every alert is active, and a group of its own; a hundredth of them is of one service.
_GROUPS = f"""
INSERT INTO signals_group (id, workspace_id, source_id, key, title, labels, severity, route, shadow, state, firing, opened_at, changed_at)
SELECT {_UUID}, %(w)s, %(s)s, 'k' || n, {_NAME} || ': service-' || n %% 100, '{{}}', 'critical', '{{}}', '{{}}', 'open', 1, now() - n * interval '1 second',
  now() - n * interval '1 second' FROM generate_series(1, %(all)s) AS n
"""
_ALERTS = f"""
INSERT INTO signals_alert (id, workspace_id, source_id, group_id, fingerprint, labels, annotations, url, firing, starts_at, arrival, seen_at)
SELECT {_UUID}, %(w)s, %(s)s, {_UUID}, 'f' || n, jsonb_build_object('alertname', {_NAME}, 'service', 'service-' || n %% 100, 'instance', 'host-' || n, 'env',
  (ARRAY['prod','test'])[1 + n %% 2], 'severity', 'critical', 'region', 'r' || n %% 7), '{{}}', '', true, now(), n, now() FROM generate_series(1, %(all)s) AS n
"""
_LABELS = "INSERT INTO signals_label (workspace_id, alert_id, name, value) SELECT workspace_id, id, e.key, e.value FROM signals_alert, jsonb_each_text(labels) e"
_INCIDENTS = f"""
INSERT INTO incidents_incident (id, workspace_id, number, title, summary, state, severity, rank, policy, route, labels, runbook_url, opened_at, resolved_at, reopened)
SELECT {_UUID}, %(w)s, n, 'Service-' || n %% 500 || ' is slow', '', CASE WHEN n %% 100 = 0 THEN 'open' ELSE 'resolved' END, 'Sev' || n %% 4, n %% 4, '{{}}', '{{}}', '{{}}', '',
  now() - n * interval '1 minute', CASE WHEN n %% 100 = 0 THEN NULL ELSE now() - n * interval '1 minute' END, 0
FROM generate_series(1, %(all)s) AS n
"""
API, PAGE = 50.0, 100.0
ASKED = (
    ("API: firing", "/api/v1/workspaces/main/alerts?state=open", API),
    ("API: firing, a label (1 %)", "/api/v1/workspaces/main/alerts?state=open&filter=service%3D%22service-7%22", API),
    ("API: firing, two labels", "/api/v1/workspaces/main/alerts?state=open&filter=service%3D%22service-7%22&filter=env!%3Dprod", API),
    ("API: firing, an expression", "/api/v1/workspaces/main/alerts?state=open&filter=service%3D~%22service-7.*%22", API),
    ("page: Alerts", "/w/main/alerts", PAGE),
    ("page: Alerts, a label (1 %)", "/w/main/alerts?q=service%3Dservice-7", PAGE),
    ("page: Alerts, a word", "/w/main/alerts?q=DiskFull", PAGE),
    ("page: Incidents", "/w/main/incidents", PAGE),
    ("page: Incidents, by a number", "/w/main/incidents?show=resolved&q=INC-777", PAGE),
    ("page: Overview", "/w/main/", PAGE),
    ("page: Due", "/w/main/due", PAGE),
)  # fmt: skip


def fill(hub: Hub) -> None:
    with connect(hub) as owner:
        (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
        (source,) = owner.execute("SELECT id FROM signals_source WHERE workspace_id = %s", [workspace]).fetchone()
        for query in (_GROUPS, _ALERTS, _INCIDENTS):
            owner.execute(query, {"w": workspace, "s": source, "all": RECORDS})
        owner.execute(_LABELS)
        owner.execute("VACUUM (ANALYZE)")
        owner.execute("CHECKPOINT")


def median(browser: httpx.Client, path: str, count: int = 30) -> float:
    """Milliseconds of an answer."""
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        answer = browser.get(path)
        assert answer.status_code == 200, f"{path} answered {answer.status_code}"
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken[5:])


def measure() -> Iterator[dict[str, Any]]:
    with running_hub(WATCHBILL_RATE="100000") as hub:
        wait_for(hub.ready, 30)
        browser = hub.signed_in()
        made = browser.post(
            "/api/v1/workspaces/main/integrations", json={"name": "Bench"}, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]}
        )  # fmt: skip
        assert made.status_code == 201, made.text
        fill(hub)
        for name, path, target in ASKED:
            yield line("alerts", f"{name}, {RECORDS} active, median", median(browser, path), target, "less", "ms")
