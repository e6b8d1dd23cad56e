"""The door of a real hub: a real Alertmanager sends to it; kills at random lose nothing that was answered; what is wrong is refused."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.ports import free_port
from tests.server.hub import Hub, running, wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running("intake") as made:
        yield made


def write(browser: httpx.Client, path: str, body: Any = None, method: str = "POST") -> httpx.Response:
    return browser.request(method, path, json=body, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]})


def integration(hub: Hub, name: str) -> tuple[httpx.Client, str]:
    browser = hub.signed_in()
    made = write(browser, "/api/v1/workspaces/main/integrations", {"name": name})
    assert made.status_code == 201, made.text
    return browser, str(made.json()["url"]).replace(made.json()["url"].split("/intake/")[0], hub.url)


def problem_of(browser: httpx.Client, name: str) -> str:
    found = browser.get("/api/v1/workspaces/main/integrations").json()["items"]
    return next(str(one["last_problem"]) for one in found if one["name"] == name)


def body(name: str, instance: str = "a") -> bytes:
    alert = {
        "status": "firing",
        "labels": {"alertname": name, "instance": instance},
        "startsAt": datetime.now(UTC).isoformat(),
    }
    return json.dumps({"version": "4", "groupKey": name, "alerts": [alert]}).encode()


def open_groups(browser: httpx.Client) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while cursor is not None:
        page = browser.get(f"/api/v1/workspaces/main/alerts?limit=200&cursor={cursor}").json()
        found += page["items"]
        cursor = page["next"]
    return found


@pytest.mark.skipif(
    not Path("/usr/share/prometheus/alertmanager/default.tmpl").exists() and os.geteuid() != 0,
    reason="Debian's Alertmanager finds its template only where root has put it (tools/peer)",
)
def test_a_real_alertmanager_opens_and_resolves_a_group(hub: Hub, tmp_path: Path) -> None:
    browser, url = integration(hub, "Alertmanager")
    binary = subprocess.run(
        ["tools/peer", "alertmanager", "--path"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.strip()
    port = free_port()
    (tmp_path / "am.yml").write_text(
        f"route: {{receiver: hub, group_by: [alertname, service], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n"
        f"receivers:\n- name: hub\n  webhook_configs:\n  - url: {url}\n    send_resolved: true\n"
    )
    command = [
        binary,
        f"--config.file={tmp_path}/am.yml",
        f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    peer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{base}/-/ready").status_code == 200, 30)
        labels = {"alertname": "HighLatency", "service": "checkout", "severity": "critical"}
        alerts = [
            {"labels": labels | {"instance": one}, "annotations": {"summary": "p95 is 2.1 s"}} for one in ("a", "b")
        ]
        httpx.post(f"{base}/api/v2/alerts", json=alerts).raise_for_status()
        # With no group wait, Alertmanager may send the first before it has the second.
        group = wait_for(
            lambda: next((one for one in open_groups(browser) if one["title"] == "HighLatency: checkout" and one["firing"] == 2), None), 20
        )  # fmt: skip
        assert (group["state"], group["firing"], group["severity"]) == ("open", 2, "critical")
        ended = [alert | {"endsAt": datetime.now(UTC).isoformat()} for alert in alerts]
        httpx.post(f"{base}/api/v2/alerts", json=ended).raise_for_status()
        wait_for(
            lambda: next(one for one in open_groups(browser) if one["id"] == group["id"])["state"] == "resolved", 20
        )
    finally:
        peer.terminate()
        peer.wait(10)


def test_what_is_wrong_is_refused_before_it_costs_anything(hub: Hub) -> None:
    browser, url = integration(hub, "Refusals")
    assert httpx.post(url, content=body("Fine")).status_code == 200
    assert httpx.post(url.replace("wbi_", "wbi_x"), content=body("x")).status_code == 404
    assert httpx.post(f"{hub.url}/intake/wbi_nothing/alertmanager", content=b"{}").status_code == 404
    assert httpx.post(url.replace("/alertmanager", "/smoke"), content=b"{}").status_code == 404
    assert httpx.get(url).status_code == 405
    assert httpx.post(f"{hub.url}/intake/", content=b"{}").status_code == 404
    assert httpx.post(url, content=b"x" * 2_000_001).status_code == 413
    for odd in ("/intake/%00/alertmanager", "/intake/%ff%fe/alertmanager", "/intake/" + "k" * 5000 + "/alertmanager"):
        assert httpx.post(f"{hub.url}{odd}", content=b"{}").status_code == 404
    # Nonsense is refused, so that its sender counts it as failed; it stands on the integration's page.
    assert httpx.post(url, content=b"\xff\x00{").status_code == 400
    wait_for(lambda: "no JSON" in browser.get("/w/main/integrations").text, 20)
    source = next(
        one for one in browser.get("/api/v1/workspaces/main/integrations").json()["items"] if one["name"] == "Refusals"
    )
    assert write(browser, f"/api/v1/workspaces/main/integrations/{source['id']}", method="DELETE").status_code == 204
    wait_for(
        lambda: httpx.post(url, content=body("Late")).status_code == 404, 15, "a revoked key is refused within seconds"
    )


def owner(hub: Hub) -> psycopg.Connection[Any]:
    """The owner's own connection, to count with."""
    from watchbill.base.config import read_config
    from watchbill.server.postgres import Postgres, superuser_password

    config = read_config(hub.env)
    postgres = Postgres(config, auth_password=superuser_password(config))
    return psycopg.connect(
        host=str(postgres.socket), user="postgres", password=postgres.password, dbname="watchbill", autocommit=True
    )


def connects(hub: Hub) -> bool:
    """Whether a new connection to its PostgreSQL can be made."""
    try:
        with owner(hub) as session:
            return session.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def restart_database(hub: Hub) -> None:
    """Kills PostgreSQL, and waits for the one that the supervisor starts instead."""
    killed = hub.children()["postgres"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: hub.children().get("postgres", killed) != killed and connects(hub), 60, "no new PostgreSQL")
    wait_for(hub.ready, 60)


def flood(url: str, stop: threading.Event, answered: list[str], name: str) -> None:
    """One sender that does not give up: what is not answered with 200 is sent again, as Alertmanager does."""
    number = 0
    with httpx.Client(timeout=10) as sender:
        while not stop.is_set():
            number += 1
            title = f"{name}-{number}"
            while not stop.is_set():
                try:
                    if sender.post(url, content=body(title)).status_code == 200:
                        answered.append(title)
                        break
                except httpx.HTTPError:
                    pass
                time.sleep(0.05)


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_kills_at_random_lose_nothing_that_was_answered(hub: Hub, rounds: int) -> None:
    seed = int(os.environ.get("WB_SOAK_SEED", random.randrange(10**9)))
    print(f"\nWB_SOAK_SEED={seed} rounds={rounds}")
    chance = random.Random(seed)
    _, url = integration(hub, f"Flood {seed}")
    stop, answered = threading.Event(), []  # type: ignore[var-annotated]
    senders = [threading.Thread(target=flood, args=(url, stop, answered, f"F{seed}-{n}")) for n in range(4)]
    for each in senders:
        each.start()
    try:
        for _ in range(rounds):
            time.sleep(chance.uniform(0.2, 1.0))
            victim = chance.choice(["web", "worker", "postgres"])
            pid = hub.children().get(victim)
            if pid:
                os.kill(pid, signal.SIGKILL)
            wait_for(hub.ready, 60, f"not ready after {victim} was killed (seed {seed})")
    finally:
        stop.set()
        for each in senders:
            each.join()
    assert len(answered) > rounds * 20, "the hub was hardly reachable"
    with owner(hub) as session:

        def titles() -> list[str]:
            return [
                row[0] for row in session.execute("SELECT title FROM signals_group WHERE title LIKE %s", [f"F{seed}%"])
            ]

        wait_for(
            lambda: len(titles()) >= len(answered),
            120 + 5 * rounds,
            f"of {len(answered)} answered {len(titles())} are there (seed {seed})",
        )
        found = [title.partition(":")[0] for title in titles()]
    assert set(answered) <= set(found), f"lost: {sorted(set(answered) - set(found))[:3]} (seed {seed})"
    assert len(found) == len(set(found)), "each is present once"


def test_a_database_that_was_restarted_costs_no_sender_a_refusal(hub: Hub) -> None:
    """Connections that were lost while nobody sent anything are made anew by the next request, not at its cost."""
    _, url = integration(hub, "Before")
    _, unknown = integration(hub, "Not asked for yet")
    checks = write(
        hub.signed_in(), "/api/v1/workspaces/main/integrations", {"name": "Jobs", "protocol": "healthchecks"}
    )
    base = f"{hub.url}/ping/{checks.json()['key']}/nightly"
    assert httpx.post(url, content=body("Before")).status_code == 200
    assert httpx.get(f"{base}?create=1").status_code == 201
    for target, wanted in ((url, 200), (unknown, 200), (f"{base}?create=1", 200)):
        restart_database(hub)
        assert httpx.post(target, content=body("After")).status_code == wanted, target


def test_every_sender_gets_the_answer_that_it_expects(hub: Hub) -> None:
    """Status and body, at the addresses that senders have built in; a key of another protocol is refused."""
    browser = hub.signed_in()
    keys = {}
    for protocol in ("prometheus", "pagerduty", "healthchecks", "json"):
        body = {"name": f"All {protocol}", "protocol": protocol} | (
            {"mapping": {"title": "what"}} if protocol == "json" else {}
        )
        made = write(browser, "/api/v1/workspaces/main/integrations", body)
        assert made.status_code == 201, made.text
        keys[protocol] = made.json()["key"]
    fixtures = Path(__file__).parent / "fixtures"
    prometheus = httpx.post(
        f"{hub.url}/intake/{keys['prometheus']}/api/v2/alerts",
        content=(fixtures / "prometheus-2.42-firing.json").read_bytes(),
    )
    assert (prometheus.status_code, prometheus.content) == (200, b"")
    event = json.loads((fixtures / "pagerduty-alertmanager-0.25-trigger.json").read_bytes())
    pager = httpx.post(f"{hub.url}/v2/enqueue", json=event | {"routing_key": keys["pagerduty"]})
    assert (pager.status_code, pager.json()["status"]) == (202, "success")
    assert (
        httpx.post(f"{hub.url}/v2/enqueue", json=event | {"routing_key": "nobody"}).json()["status"] == "invalid event"
    )
    assert httpx.post(f"{hub.url}/v2/enqueue", json=event | {"routing_key": keys["json"]}).status_code == 400
    odd = event | {"routing_key": keys["pagerduty"], "payload": event["payload"] | {"severity": "none"}}
    refused = httpx.post(f"{hub.url}/v2/enqueue", json=odd)
    assert (refused.status_code, refused.json()["message"]) == (400, "Event object is invalid")
    assert "'payload.severity' is invalid" in refused.json()["errors"][0]
    assert httpx.post(f"{hub.url}/intake/{keys['json']}/json", content=b"{").status_code == 400
    for name, words in (("pagerduty", "'payload.severity' is invalid"), ("json", "no JSON")):
        # What was refused is shown where its owner looks.
        assert words in wait_for(partial(problem_of, browser, f"All {name}"), 20)
    base = f"{hub.url}/ping/{keys['healthchecks']}"
    assert (httpx.get(f"{base}/backup").status_code, httpx.get(f"{base}/backup").text) == (404, "not found")
    made = httpx.get(f"{base}/backup?create=1")
    assert (made.status_code, made.text) == (201, "Created")
    wait_for(lambda: httpx.get(f"{base}/backup").status_code == 200, 10)
    assert httpx.head(f"{base}/backup/start").status_code == 200
    assert httpx.get(f"{hub.url}/ping/0b2b6a3c-5a5e-4b4a-9b1e-0123456789ab").text == "not found"
    assert httpx.put(f"{base}/backup").status_code == 405
    assert httpx.post(f"{hub.url}/intake/{keys['json']}/json", json={"what": "Queue is long"}).status_code == 200
    wanted = {"SyncFails: web", "Queue is long"}
    # Not through the API: what the kills left behind are thousands of groups, page by page.
    titles = "SELECT title FROM signals_group WHERE title = ANY(%s)"
    with owner(hub) as session:
        wait_for(lambda: {row[0] for row in session.execute(titles, [list(wanted)])} == wanted, 20)
