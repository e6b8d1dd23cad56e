"""The whole path on a real hub: Prometheus and Alertmanager fire, one is mailed and phoned and does not answer, the next one presses 1.

In between the handbook is broken, the mail server dies, and ten times a process of the hub is killed.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.intake.test_what_is_answered_is_there import owner, write
from tests.night import EXAMPLE
from tests.peers.mail import Mail
from tests.peers.twilio import TOKEN, Script, Twilio
from tests.ports import free_port
from tests.server.hub import Hub, run, wait_for

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND, THIRD = "+442079460001", "+442079460002", "+442079460003"
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not Path("/usr/share/prometheus/alertmanager/default.tmpl").exists() and os.geteuid() != 0,
        reason="Debian's Alertmanager finds its template only where root has put it (tools/peer)",
    ),
]


@pytest.fixture
def hub() -> Iterator[Hub]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-night-"))
    folder.chmod(0o711)
    (folder / "handbooks").mkdir()
    made = Hub(
        folder / "data",
        WATCHBILL_HANDBOOKS=str(folder / "handbooks"),
        WATCHBILL_OUTBOUND="127.0.0.1",
        WATCHBILL_RATE="100000",
    )
    try:
        made.start()
        wait_for(made.ready, 30)
        yield made
    finally:
        made.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


class Time:
    """The hub's clock, moved as tests move it: the database's own function."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.seconds = hub, 0.0

    def forward(self, seconds: float) -> None:
        self.seconds += seconds
        body = f"SELECT now() + interval ''{self.seconds} seconds''"
        with owner(self.hub) as session:
            session.execute(
                f"CREATE OR REPLACE FUNCTION wb_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS '{body}'"
            )


def rows(hub: Hub, query: str) -> list[Any]:
    try:
        with owner(hub) as session:
            return session.execute(query).fetchall()
    except psycopg.Error as error:
        raise OSError(str(error)) from None


def people(hub: Hub, browser: httpx.Client) -> dict[str, str]:
    """Three persons with verified contacts."""
    found = {}
    for name, phone in (("first", FIRST), ("second", SECOND), ("third", THIRD)):
        made = write(
            browser,
            "/api/v1/workspaces/main/people",
            {"name": name.capitalize(), "email": f"{name}@night.test", "role": "responder"},
        )
        assert made.status_code == 201, made.text
        found[name] = made.json()["id"]
        told = write(
            browser, f"/api/v1/workspaces/main/people/{found[name]}/contacts", {"kind": "phone", "value": phone}
        )
        assert told.status_code == 201, told.text
    with owner(hub) as session:
        # As if each had typed the code that was sent to them; test_contacts_are_verified has that way.
        session.execute("UPDATE people_contact_method SET verified_at = wb_now()")
    return found


def make_live(hub: Hub, browser: httpx.Client, who: dict[str, str]) -> Path:
    """The example's runbook comes from the folder, its names are bound, it is applied."""
    place = hub.data.parent / "handbooks" / "main"
    place.mkdir()
    for name in ("runbook.md", "routes.watchbill.yaml", "watchbill.lock", "watchbill.yaml"):
        (place / name).write_text((EXAMPLE / name).read_text().replace("slug: ledger-and-agents", "slug: main"))
    names = {
        "On-Call SRE": "first",
        "Ledger Engineering Lead": "second",
        "AI Platform Owner": "third",
        "executive": "third",
        "Compliance Manager": "third",
    }
    for name, person in names.items():
        bound = write(
            browser,
            "/api/v1/workspaces/main/bindings",
            {"name": name, "target_kind": "person", "target_id": who[person]},
            "PUT",
        )
        assert bound.status_code in (200, 201), bound.text
    review = wait_for(
        lambda: (one := browser.get("/api/v1/workspaces/main/handbook/review")).status_code == 200 and one.json(), 30
    )
    applied = write(
        browser,
        "/api/v1/workspaces/main/handbook/review/apply",
        {"version": review["version"], "lock_digest": review["lock_digest"]},
    )
    assert applied.status_code == 201, applied.text
    return place


def peers(folder: Path, webhook: str) -> list[subprocess.Popen[bytes]]:
    """A real Prometheus whose one rule fires, and a real Alertmanager that sends to the hub."""
    binaries = {
        name: subprocess.run(
            ["tools/peer", name, "--path"], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()
        for name in ("alertmanager", "prometheus")
    }
    am, prom = free_port(), free_port()
    (folder / "am.yml").write_text(
        "route: {receiver: hub, group_by: [alertname, service], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
        f"receivers:\n- name: hub\n  webhook_configs:\n  - url: {webhook}\n    send_resolved: true\n"
    )
    (folder / "rules.yml").write_text(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: SyncFails\n    expr: vector(1)\n"
        "    labels: {service: web, severity: critical}\n    annotations: {summary: Offline sync fails for everybody.}\n"
    )
    (folder / "prom.yml").write_text(
        f"global: {{evaluation_interval: 1s}}\nrule_files: [{folder}/rules.yml]\n"
        f"alerting:\n  alertmanagers:\n  - static_configs:\n    - targets: ['127.0.0.1:{am}']\n"
    )
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    made = [
        subprocess.Popen(
            [binaries["alertmanager"], f"--config.file={folder}/am.yml", f"--storage.path={folder}/am", f"--web.listen-address=127.0.0.1:{am}", "--cluster.listen-address="], **quiet,
        ),
        subprocess.Popen(
            [binaries["prometheus"], f"--config.file={folder}/prom.yml", f"--storage.tsdb.path={folder}/prom", f"--web.listen-address=127.0.0.1:{prom}", "--web.enable-lifecycle", "--rules.alert.resend-delay=1s"], **quiet,
        ),
    ]  # fmt: skip
    wait_for(lambda: httpx.get(f"http://127.0.0.1:{am}/-/ready").status_code == 200, 30)
    wait_for(lambda: httpx.get(f"http://127.0.0.1:{prom}/-/ready").status_code == 200, 30)
    made[1].reload = lambda: httpx.post(f"http://127.0.0.1:{prom}/-/reload").raise_for_status()  # type: ignore[attr-defined]
    return made


def kill_at_random(hub: Hub, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(rounds):
        time.sleep(chance.uniform(0.1, 0.6))
        victim = chance.choice(["web", "worker", "postgres"])
        pid = hub.children().get(victim)
        if pid:
            os.kill(pid, signal.SIGKILL)
        wait_for(hub.ready, 60, f"not ready after {victim} was killed in round {number} (seed {seed})")


def test_an_alert_of_prometheus_ends_acknowledged_by_a_key_press(hub: Hub, tmp_path: Path) -> None:
    seed = int(os.environ.get("WB_SOAK_SEED", random.randrange(10**9)))
    print(f"\nWB_SOAK_SEED={seed}")
    started: list[subprocess.Popen[bytes]] = []
    clock = Time(hub)
    with closing(hub.signed_in()) as browser, Mail() as mail, Twilio() as twilio:
        try:
            twilio.scripts = {FIRST: Script("no-answer"), SECOND: Script("answer", "1"), THIRD: Script("answer", "1")}
            who = people(hub, browser)
            place = make_live(hub, browser, who)
            for body in (
                {"kind": "email", "name": "Mail", "config": mail.config()},
                {"kind": "twilio", "name": "Twilio", "config": twilio.config(), "secret": TOKEN},
            ):
                made = write(browser, "/api/v1/workspaces/main/channels", body)
                assert made.status_code == 201, made.text
            source = write(browser, "/api/v1/workspaces/main/integrations", {"name": "Alertmanager"}).json()
            started = peers(tmp_path, str(source["url"]).replace(str(source["url"]).split("/intake/")[0], hub.url))
            # The route and the severity come from the example: an alert that is critical, and is not the ledger's.
            incident = wait_for(lambda: browser.get("/api/v1/workspaces/main/incidents").json()["items"], 40)[0]
            assert (incident["severity"], incident["state"], incident["labels"]["alertname"]) == (
                "Sev1",
                "open",
                "SyncFails",
            )
            assert "routes.watchbill.yaml" in incident["why"]
            wait_for(lambda: mail.to("first@night.test"), 20)
            assert "SyncFails: web (INC-1)" in str(mail.got[0][1]["Subject"])
            clock.forward(61)
            wait_for(lambda: [call for call in twilio.calls if call["To"] == FIRST], 20, "the first one is phoned")
            # The handbook is broken, and the mail server dies.
            (place / "routes.watchbill.yaml").write_text("- kind: route\n  match: [nonsense]\n")
            mail.stop()
            wait_for(lambda: browser.get("/api/v1/workspaces/main/handbook/review").json().get("errors"), 30)
            kill_at_random(hub, 10, seed)
            clock.forward(300)
            wait_for(
                lambda: [call for call in twilio.calls if call["To"] == SECOND],
                60,
                f"the second one is phoned (seed {seed})",
            )
            page = wait_for(
                lambda: rows(
                    hub,
                    "SELECT state, acknowledged_by::text, acknowledged_via FROM paging_page WHERE subject_kind = 'incident' AND state <> 'running'",
                ),
                40,
            )
            assert page == [("acknowledged", who["second"], "voice")]
            wait_for(
                lambda: "Acknowledged. It is yours." in twilio.heard, 10, "the phone says so, a moment after it is so"
            )
            wait_for(lambda: browser.get("/api/v1/workspaces/main/incidents/1").json()["state"] == "acknowledged", 20)
            whole = browser.get("/api/v1/workspaces/main/incidents/1").json()
            assert {one["kind"]: one["state"] for one in whole["clocks"]} == {"acknowledge": "met"}
            assert "sees to it" in browser.get("/w/main/incidents/1").text
            clock.forward(7200)
            # Every loop of the worker has come by after the clock was moved: its heartbeat is of that time.
            wait_for(
                lambda: rows(
                    hub, "SELECT 1 FROM runtime_heartbeat WHERE kind = 'worker' AND at > wb_now() - interval '1 second'"
                ),
                30,
            )
            assert rows(hub, "SELECT max(step) FROM paging_page WHERE subject_kind = 'incident'") == [(2,)]
            assert [call for call in twilio.calls if call["To"] == THIRD] == [], "escalation has stopped"
            assert mail.to("third@night.test") == []
            # What ends is resolved by itself.
            (tmp_path / "rules.yml").write_text("groups: []\n")
            started[1].reload()  # type: ignore[attr-defined]
            wait_for(lambda: browser.get("/api/v1/workspaces/main/incidents/1").json()["state"] == "resolved", 60)
        except BaseException:
            for query in (
                "SELECT title, state, route FROM signals_group",
                "SELECT what, why FROM signals_group_event",
                "SELECT id, problem FROM signals_arrival",
                "SELECT subscriber, state, error FROM facts_delivery WHERE state <> 'done'",
                "SELECT name, state, match FROM signals_route",
                "SELECT name, key FROM paging_policy",
                "SELECT what, why FROM paging_event",
                "SELECT target, method, state, stage, reason FROM paging_delivery",
                "SELECT name, last_received_at FROM signals_source",
            ):
                print(query, rows(hub, query))
            raise
        finally:
            for each in started:
                each.terminate()
                each.wait(10)
    actions = {
        row[0] for row in rows(hub, "SELECT DISTINCT action FROM ledger_entry WHERE action ~ '^(page|incident|clock)'")
    }
    assert {
        "incident.open",
        "page.start",
        "page.step",
        "page.sent",
        "page.acknowledge",
        "clock.start",
        "clock.meet",
        "incident.resolve_for_group",
    } <= actions
    export = tmp_path / "ledger.jsonl"
    done = run("export", "ledger", "--workspace", "main", "--output", str(export), env=hub.env)
    assert done.returncode == 0, done.stdout + done.stderr
    key = run("key", env=hub.env).stdout.strip()
    assert run("verify", str(export), "--key", key, env=hub.env).returncode == 0
