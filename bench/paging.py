"""Lists at 100,000 records, and how long it takes from an alert to the mail that it causes. Run by name: `python -m bench paging`."""

import json
import os
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.peers.mail import Mail
from tests.server.hub import Hub, wait_for

from bench.house import connect, line, running_hub

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "handbooks" / "ledger-and-agents"
RECORDS = int(os.environ.get("BENCH_RECORDS", "100000"))
_UUID = "(lpad(to_hex(n), 12, '0') || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid"
_FILL = f"""
INSERT INTO signals_group (id, workspace_id, source_id, key, title, labels, severity, route, shadow, state, firing, opened_at, changed_at, resolved_at)
SELECT {_UUID}, %(w)s, %(s)s, 'k' || n, (ARRAY['Slow','Down','DiskFull','QueueLong'])[1 + n %% 4] || ': service-' || n %% 500, '{{}}', 'critical', '{{}}', '{{}}',
  CASE WHEN n %% 100 = 0 THEN 'open' ELSE 'resolved' END, (n %% 100 = 0)::int, now() - n * interval '1 minute', now() - n * interval '1 minute',
  CASE WHEN n %% 100 = 0 THEN NULL ELSE now() - n * interval '1 minute' END
FROM generate_series(1, %(all)s) AS n;
"""
_INCIDENTS = f"""
INSERT INTO incidents_incident (id, workspace_id, number, title, summary, state, severity, rank, policy, route, labels, runbook_url, opened_at, resolved_at, reopened)
SELECT {_UUID}, %(w)s, n, 'Service-' || n %% 500 || ' is slow', '', CASE WHEN n %% 100 = 0 THEN 'open' ELSE 'resolved' END, 'Sev' || n %% 4, n %% 4, '{{}}', '{{}}', '{{}}', '',
  now() - n * interval '1 minute', CASE WHEN n %% 100 = 0 THEN NULL ELSE now() - n * interval '1 minute' END, 0
FROM generate_series(1, %(all)s) AS n;
"""


def api(browser: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    answer = browser.request(
        method, f"/api/v1/workspaces/main{path}", json=body, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]}
    )
    assert answer.status_code in (200, 201), answer.text
    return answer


def set_up(hub: Hub, browser: httpx.Client, mail: Mail) -> str:
    """The example handbook, one person, a mail server; answers where alerts are sent to."""
    api(browser, "POST", "/people", {"name": "Edo", "email": "edo@bench.test", "role": "editor"})
    person = next(
        one["id"] for one in browser.get("/api/v1/workspaces/main/people").json()["items"] if one["name"] == "Edo"
    )
    for name in ("On-Call SRE", "Ledger Engineering Lead", "AI Platform Owner", "Compliance Manager", "executive"):
        api(browser, "PUT", "/bindings", {"name": name, "target_kind": "person", "target_id": person})
    files = [{"path": name, "text": (EXAMPLE / name).read_text()} for name in ("runbook.md", "routes.watchbill.yaml")]
    api(
        browser,
        "POST",
        "/handbook",
        {
            "files": files,
            "lock": (EXAMPLE / "watchbill.lock").read_text(),
            "config": (EXAMPLE / "watchbill.yaml").read_text(),
        },
    )
    api(browser, "POST", "/channels", {"kind": "email", "name": "Mail", "config": mail.config()})
    made = api(browser, "POST", "/integrations", {"name": "Bench"}).json()
    return f"{hub.url}/intake/{made['url'].partition('/intake/')[2]}"


def to_mail(url: str, mail: Mail, count: int = 60) -> list[float]:
    """Milliseconds from sending an alert until its mail is there, one after the other; a service each, so that none is bundled with another's."""
    times = []
    for number in range(count):
        body = {
            "version": "4",
            "groupKey": f"g{number}",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": f"Bench{number}", "service": f"s{number}", "severity": "critical"},
                    "startsAt": datetime.now(UTC).isoformat(),
                }
            ],
        }
        before, begun = len(mail.got), time.perf_counter()
        assert httpx.post(url, content=json.dumps(body).encode()).status_code == 200
        while len(mail.got) == before and time.perf_counter() - begun < 5:
            time.sleep(0.002)
        if len(mail.got) == before:
            # Five messages a minute to one address: the sixth waits, as it should.
            break
        times.append((time.perf_counter() - begun) * 1000)
    return times


def measure() -> Iterator[dict[str, Any]]:
    with running_hub(WATCHBILL_OUTBOUND="127.0.0.1", WATCHBILL_RATE="100000") as hub, Mail() as mail:
        wait_for(hub.ready, 30)
        browser = hub.signed_in()
        url = set_up(hub, browser, mail)
        times: list[float] = []
        for _ in range(6):
            times += to_mail(url, mail, 5)
            with connect(hub) as owner:
                owner.execute(
                    "UPDATE paging_delivery SET sent_at = sent_at - interval '2 minutes' WHERE sent_at IS NOT NULL"
                )
        yield line(
            "paging", f"alert sent → mail there, median of {len(times)}", statistics.median(times), 2000, "less", "ms"
        )
        yield line("paging", "alert sent → mail there, slowest", max(times), 5000, "less", "ms")
        with connect(hub) as owner:
            (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
            (source,) = owner.execute("SELECT id FROM signals_source WHERE name = 'Bench'").fetchone()
            owner.execute("DELETE FROM incidents_event; DELETE FROM incidents_incident")
            for query in (_FILL, _INCIDENTS):
                owner.execute(query, {"w": workspace, "s": source, "all": RECORDS})
            owner.execute("VACUUM (ANALYZE)")
        for name, path in (
            ("Alerts", "/w/main/alerts"), ("Alerts, by a word", "/w/main/alerts?show=resolved&q=service-7"), ("Incidents", "/w/main/incidents"),
            ("Incidents, by a number", "/w/main/incidents?show=resolved&q=INC-777"), ("Overview", "/w/main/"), ("Due", "/w/main/due"),
        ):  # fmt: skip
            taken = []
            for _ in range(40):
                begun = time.perf_counter()
                assert browser.get(path).status_code == 200
                taken.append((time.perf_counter() - begun) * 1000)
            yield line(
                "pages",
                f"{name}, {RECORDS} groups and incidents, median",
                statistics.median(taken[5:]),
                100,
                "less",
                "ms",
            )
