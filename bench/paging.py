"""From an alert to its message, at rest and under load; a storm; thousands of clocks and escalations."""

import json
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.peers.drips import attack, drips
from tests.peers.mail import Mail
from tests.peers.push import Push
from tests.server.hub import Hub, wait_for

from bench.house import connect, line, running_hub
from bench.intake import paced
from bench.pages import resident
from watchbill.clocks.rules import Policy as ClockPolicy
from watchbill.clocks.rules import policy_json

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "handbooks" / "ledger-and-agents"
#: Rounds of four messages: five a minute go to one person.
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "25"))


def api(browser: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    answer = browser.request(
        method, f"/api/v1/workspaces/main{path}", json=body, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]}
    )
    assert answer.status_code in (200, 201), answer.text
    return answer


def set_up(hub: Hub, browser: httpx.Client, mail: Mail) -> tuple[str, str]:
    """The example handbook, one person, a mail server; answers where alerts are sent to, and the person."""
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
    return f"{hub.url}/intake/{made['url'].partition('/intake/')[2]}", person


def to_mail(hub: Hub, url: str, mail: Mail, mark: str, rounds: int = ROUNDS) -> list[float]:
    """Milliseconds from sending an alert until its mail is there, one after the other; a service each, so that none is bundled with another's."""
    times = []
    # One sender that keeps its connection, as Alertmanager does: what a new client costs to make is not the hub's.
    sender = httpx.Client()
    for number in range(rounds * 4):
        if number % 4 == 0:
            with connect(hub) as owner:
                owner.execute(
                    "UPDATE paging_delivery SET sent_at = sent_at - interval '2 minutes' WHERE sent_at IS NOT NULL"
                )
        name = f"{mark}{number}"
        labels = {"alertname": name, "service": name, "severity": "critical"}
        body = {
            "version": "4",
            "groupKey": name,
            "alerts": [{"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat()}],
        }
        begun = time.perf_counter()
        assert sender.post(url, content=json.dumps(body).encode()).status_code == 200
        while not any(name in str(one["Subject"]) for _, one in mail.got[-3:]):
            assert time.perf_counter() - begun < 20, f"no mail about {name}"
            time.sleep(0.001)
        times.append((time.perf_counter() - begun) * 1000)
    sender.close()
    if os.environ.get("BENCH_DEBUG"):
        print([round(one) for one in times], (hub.data / "logs" / "worker.log").read_text()[-3000:])
    return sorted(times)


def dripping(hub: Hub, url: str, mail: Mail) -> list[float]:
    """The same, while others' endpoints drip: all that those may hold is held."""
    with Push() as push, drips() as slow:
        with connect(hub) as owner:
            attack(owner, slow.port, push.subscription(), "test")
        wait_for(lambda: slow.open >= 10, 60, "the endpoints are not asked")
        return to_mail(hub, url, mail, "Drips")


def storm(hub: Hub, url: str, alerts: int = 100_000, groups: int = 500, seconds: float = 60) -> dict[str, float]:
    """Alerts in a few hundred groups within a minute: how much of it is there, how long it took, how much memory it cost."""
    per = 50
    requests = alerts // per
    before, peak, begun = resident(hub), 0.0, time.monotonic()
    with httpx.Client(timeout=30) as sender:
        for number in range(requests):
            name = f"Storm{number % groups}"
            told = [
                {
                    "status": "firing", "startsAt": "2026-11-21T16:00:00Z", "annotations": {"summary": "storm"},
                    "labels": {"alertname": name, "service": name, "severity": "critical", "instance": f"{number}-{one}"},
                }
                for one in range(per)
            ]  # fmt: skip
            answer = sender.post(url, content=json.dumps({"version": "4", "groupKey": name, "alerts": told}).encode())
            assert answer.status_code == 200
            if number % 100 == 0:
                peak = max(peak, resident(hub))
            time.sleep(max(0.0, begun + seconds * (number + 1) / requests - time.monotonic()))
    with connect(hub) as owner:
        wait_for(
            lambda: owner.execute("SELECT count(*) FROM signals_arrival").fetchone()[0] == 0,
            300,
            "the inbox does not empty",
        )
        drained = time.monotonic() - begun
        wait_for(
            lambda: owner.execute("SELECT count(*) FROM facts_delivery WHERE state = 'waiting'").fetchone()[0] == 0,
            300,
            "facts wait",
        )
        told = time.monotonic() - begun
        peak = max(peak, resident(hub))
        (there,) = owner.execute(
            "SELECT count(*) FROM signals_alert WHERE labels->>'alertname' LIKE 'Storm%' AND firing"
        ).fetchone()
        (incidents,) = owner.execute("SELECT count(*) FROM incidents_incident WHERE title LIKE 'Storm%'").fetchone()
        (minute,) = owner.execute(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) OVER (PARTITION BY target, method ORDER BY sent_at RANGE BETWEEN interval '59 seconds' PRECEDING AND CURRENT ROW) AS n "
            "FROM paging_delivery WHERE sent_at IS NOT NULL) AS t"
        ).fetchone()
    return {
        "there": there,
        "incidents": incidents,
        "most a minute": minute,
        "drained": drained,
        "told": told,
        "memory": peak - before,
    }


#: The id of the n-th incident of the bench.
_SUBJECT = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"


def escalations(hub: Hub, person: str, clocks: int = 10_000, pages: int = 1000, seconds: int = 60) -> dict[str, float]:
    """Open clocks and running escalations of which twenty fire a second: what it costs the worker, and how late they are."""
    with connect(hub) as owner:
        (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
        # Each is about an incident of its own, so that what follows from a clock or a step is carried out, too.
        owner.execute(
            "INSERT INTO incidents_incident (id, workspace_id, number, title, summary, state, severity, rank, policy, route, labels, runbook_url, opened_at, reopened) "
            f"SELECT {_SUBJECT}, %s, 1000000 + n, 'Bench ' || n, '', 'open', '', 0, '{{}}', '{{}}', '{{}}', '', now(), 0 FROM generate_series(1, %s) AS n",
            [workspace, clocks + pages],
        )
        owner.execute(
            "INSERT INTO clocks_clock (id, workspace_id, subject_kind, subject_id, kind, policy, state, started_at, due_at, warned, next_at) "
            f"SELECT gen_random_uuid(), %s, 'incident', ({_SUBJECT})::text, 'respond', %s, 'running', now() - interval '1 hour', at, 100, at "
            "FROM (SELECT n, CASE WHEN n <= %s THEN now() + interval '5 seconds' + n * interval '100 ms' ELSE now() + interval '1 day' END AS at FROM generate_series(1, %s) AS n) AS t",
            [workspace, json.dumps(policy_json(ClockPolicy("PT1H"))), seconds * 10, clocks],
        )
        target = {"kind": "person", "id": person, "name": "Edo", "why": "bench"}
        policy = {
            "name": "Bench",
            "steps": [{"after": 0, "targets": [target]}, {"after": 86400, "targets": [target]}],
            "repeat": 0,
            "otherwise": [],
        }
        owner.execute(
            "INSERT INTO paging_page (id, workspace_id, subject_kind, subject_id, title, text, url, why, labels, urgency, shadow, policy, state, step, round, started_at, next_at, ended_why, acknowledged_via) "
            f"SELECT {_SUBJECT}, %s, 'incident', ({_SUBJECT})::text, 'Bench ' || n, '', '', '', '{{}}', 'high', false, %s, 'running', 1, 0, now(), "
            "CASE WHEN n <= %s THEN now() + interval '5 seconds' + (n - %s) * interval '100 ms' ELSE now() + interval '1 day' END, '', '' FROM generate_series(%s::int, %s::int) AS n",
            [workspace, json.dumps(policy), clocks + seconds * 10, clocks, clocks + 1, clocks + pages],
        )
        due = dict(owner.execute("SELECT id::text, next_at FROM paging_page WHERE title LIKE 'Bench %'").fetchall())
        time.sleep(5)
        before, begun = cpu(hub.children()["worker"]), time.monotonic()
        time.sleep(seconds)
        share = (cpu(hub.children()["worker"]) - before) / (time.monotonic() - begun)
        time.sleep(3)
        late = [(at - when).total_seconds() for at, when in owner.execute(
            "SELECT f.at, c.due_at FROM facts_fact f JOIN clocks_clock c ON c.id::text = f.subject_id WHERE f.kind = 'clock.breached' AND c.warned = 100"
        )]  # fmt: skip
        pages_late = [(at - due[subject]).total_seconds() for at, subject in owner.execute(
            "SELECT at, subject_id FROM facts_fact WHERE kind = 'page.escalated' AND subject_id = ANY(%s)", [list(due)]
        )]  # fmt: skip
    assert len(late) == len(pages_late) == seconds * 10, (
        f"{len(late)} clocks and {len(pages_late)} pages fired, {seconds * 10} each should have"
    )
    both = sorted([*late, *pages_late])
    return {"fired": len(both), "share": share, "late": both[int(len(both) * 0.99)] if both else 99.0}


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure() -> Iterator[dict[str, Any]]:
    with running_hub(WATCHBILL_OUTBOUND="127.0.0.1", WATCHBILL_RATE="100000") as hub, Mail() as mail:
        wait_for(hub.ready, 30)
        browser = hub.signed_in()
        url, person = set_up(hub, browser, mail)
        to_mail(hub, url, mail, "Warm", 1)
        times = to_mail(hub, url, mail, "Idle")
        yield line(
            "paging",
            f"alert sent → message handed over, idle, median of {len(times)}",
            statistics.median(times),
            150,
            "less",
            "ms",
        )
        yield line(
            "paging", "alert sent → message handed over, idle, p99", times[int(len(times) * 0.99)], 500, "less", "ms"
        )
        other = api(browser, "POST", "/integrations", {"name": "Noise"}).json()["url"]
        noise = json.dumps({"version": "4", "groupKey": "noise", "alerts": [
            {"status": "firing", "startsAt": "2026-11-21T16:00:00Z", "labels": {"alertname": "Noise", "severity": "info", "instance": "@@"}}
        ]}).encode()  # fmt: skip
        with ThreadPoolExecutor(1) as aside:
            loading = aside.submit(paced, f"{hub.url}/intake/{other.partition('/intake/')[2]}", noise, 1000, 30.0)
            times = to_mail(hub, url, mail, "Busy")
            loading.result()
        yield line(
            "paging",
            f"alert sent → message handed over, 1,000 alerts/s beside, p99 of {len(times)}",
            times[int(len(times) * 0.99)],
            2000,
            "less",
            "ms",
        )
        times = dripping(hub, url, mail)
        yield line(
            "paging",
            f"alert sent → message handed over, 50 endpoints that drip in 10 other workspaces, p99 of {len(times)}",
            times[int(len(times) * 0.99)],
            2000,
            "less",
            "ms",
        )
        found = escalations(hub, person)
        yield line(
            "paging",
            f"10,000 clocks, 1,000 escalations, {found['fired']} firings in 60 s: the worker's share of a core",
            found["share"],
            0.3,
            "less",
            "ratio",
        )
        yield line("paging", "the same, lateness p99", found["late"], 1, "less", "s")
        found = storm(hub, url)
        yield line(
            "paging", "storm: 100,000 alerts in 500 groups in 60 s: present", found["there"], 100_000, "more", "alerts"
        )
        yield line("paging", "storm: incidents", found["incidents"], 500, "more", "incidents")
        yield line(
            "paging",
            "storm: most messages a minute to one person by one method",
            found["most a minute"],
            5,
            "less",
            "messages",
        )
        yield line("paging", "storm: understood after", found["drained"], 65, "less", "s")
        yield line("paging", "storm: incidents opened after", found["told"], 120, "less", "s")
        yield line("paging", "storm: memory above rest", found["memory"], 300, "less", "MB")
