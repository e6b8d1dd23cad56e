"""Real senders that are not always right: Alertmanager (one, and a pair) and Prometheus (one, and a pair), over gaps. The hub follows what they say last."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.intake.test_what_is_answered_is_there import ROOT, owner, problem_of, write
from tests.ports import free_port
from tests.server.hub import Hub, running, wait_for

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not Path("/usr/share/prometheus/alertmanager/default.tmpl").exists() and os.geteuid() != 0,
        reason="Debian's Alertmanager finds its template only where root has put it (tools/peer)",
    ),
]
T = timedelta


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running("gap") as made:
        yield made


def integration(hub: Hub, name: str, protocol: str) -> tuple[str, str]:
    """Its key and its address."""
    browser = hub.signed_in()
    made = write(browser, "/api/v1/workspaces/main/integrations", {"name": name, "protocol": protocol})
    assert made.status_code == 201, made.text
    key = str(made.json()["key"])
    return key, f"{hub.url}/intake/{key}/{protocol}"


def states(hub: Hub, title: str) -> list[str]:
    """The state of each group of a title, the oldest first."""
    with owner(hub) as session:
        found = session.execute("SELECT state FROM signals_group WHERE title = %s ORDER BY opened_at, id", [title])
        return [row[0] for row in found.fetchall()]


def is_open(hub: Hub, title: str) -> bool:
    return states(hub, title)[-1:] == ["open"]


def is_over(hub: Hub, title: str) -> bool:
    found = states(hub, title)
    return bool(found) and set(found) == {"resolved"}


@contextmanager
def peer(name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    binary = subprocess.run(["tools/peer", name, "--path"], capture_output=True, text=True, check=True, cwd=ROOT)
    process = subprocess.Popen(
        [binary.stdout.strip(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


@contextmanager
def alertmanager(folder: Path, receiver: str, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """One that repeats itself within seconds; its address."""
    folder.mkdir()
    (folder / "am.yml").write_text(
        "route: {receiver: hub, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 4s}\n"
        f"receivers:\n- name: hub\n{receiver}"
    )
    port = free_port()
    files = (f"--config.file={folder}/am.yml", f"--storage.path={folder}/data")
    with peer(
        "alertmanager", *files, f"--web.listen-address=127.0.0.1:{port}", *(arguments or ("--cluster.listen-address=",))
    ) as process:
        base = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{base}/-/ready").status_code == 200, 90)
        yield base, process


def webhook(url: str) -> str:
    return f"  webhook_configs:\n  - {{url: '{url}', send_resolved: true}}\n"


def post(base: str, name: str, starts: datetime, ends: timedelta, **labels: str) -> None:
    """As Prometheus does to an Alertmanager."""
    alert = {
        "labels": {"alertname": name, **labels},
        "startsAt": starts.isoformat(),
        "endsAt": (datetime.now(UTC) + ends).isoformat(),
    }
    httpx.post(f"{base}/api/v2/alerts", json=[alert]).raise_for_status()


def test_an_alert_that_came_back_with_its_old_start_is_open_again(hub: Hub, tmp_path: Path) -> None:
    """Its webhooks say firing, resolved, firing, firing, all with the same startsAt."""
    _, url = integration(hub, "One", "alertmanager")
    with alertmanager(tmp_path / "am", webhook(url)) as (base, _):
        starts = datetime.now(UTC)
        post(base, "CameBack", starts, T(seconds=4))
        wait_for(partial(is_open, hub, "CameBack"), 90)
        wait_for(partial(is_over, hub, "CameBack"), 90)
        for _ in range(4):
            post(base, "CameBack", starts, T(minutes=5))
        wait_for(partial(is_open, hub, "CameBack"), 90)
        post(base, "CameBack", starts, T(0))
        wait_for(partial(is_over, hub, "CameBack"), 90)


def test_a_pair_of_alertmanagers_ends_as_both_say(hub: Hub, tmp_path: Path) -> None:
    _, url = integration(hub, "Pair", "alertmanager")
    first, second = free_port(), free_port()
    common = ("--cluster.peer-timeout=1s", "--cluster.gossip-interval=50ms", "--cluster.settle-timeout=1s")
    one = alertmanager(tmp_path / "a", webhook(url), f"--cluster.listen-address=127.0.0.1:{first}", *common)
    two = alertmanager(
        tmp_path / "b", webhook(url), f"--cluster.listen-address=127.0.0.1:{second}", f"--cluster.peer=127.0.0.1:{first}", *common
    )  # fmt: skip
    with one as (a, killed), two as (b, _):
        starts = datetime.now(UTC)
        # Two Prometheus evaluate at different moments.
        for base, earlier in ((a, 0), (b, 15)):
            post(base, "Pair", starts - T(seconds=earlier), T(minutes=5))
        wait_for(partial(is_open, hub, "Pair"), 90)
        # One hears of the end before the other.
        post(a, "Pair", starts, T(0))
        post(b, "Pair", starts - T(seconds=15), T(0))
        wait_for(partial(is_over, hub, "Pair"), 90)
        # It fires again, by its old start, and both repeat it.
        for base, earlier in ((a, 0), (b, 15)):
            post(base, "Pair", starts - T(seconds=earlier), T(minutes=5))
        wait_for(partial(is_open, hub, "Pair"), 90)
        killed.kill()
        post(b, "Pair", starts - T(seconds=15), T(0))
        wait_for(partial(is_over, hub, "Pair"), 90)
    with owner(hub) as session:
        assert session.execute("SELECT count(*) FROM signals_alert WHERE labels->>'alertname' = 'Pair'").fetchone() == (1,)  # fmt: skip


@contextmanager
def prometheus(folder: Path, key: str, hub: Hub, name: str, delay: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """One whose only rule fires, that sends to the hub itself every so many seconds: an alert is over four times later unless it is sent again."""
    folder.mkdir()
    (folder / "rules.yml").write_text(
        f"groups:\n- name: g\n  interval: 1s\n  rules:\n  - {{alert: {name}, expr: vector(1)}}\n"
    )
    (folder / "prometheus.yml").write_text(
        f"global: {{evaluation_interval: 1s}}\nrule_files: [{folder}/rules.yml]\nalerting:\n  alertmanagers:\n  - path_prefix: /intake/{key}\n"
        f"    static_configs: [{{targets: ['{hub.url.split('//')[1]}']}}]\n"
    )
    files = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
    with peer("prometheus", *files, f"--web.listen-address=127.0.0.1:{free_port()}", f"--rules.alert.resend-delay={delay}s") as process:  # fmt: skip
        yield process


def test_what_a_prometheus_was_not_heard_to_say_is_open_when_it_comes_back(hub: Hub, tmp_path: Path) -> None:
    key, _ = integration(hub, "Gap", "prometheus")
    with prometheus(tmp_path / "p", key, hub, "Gap") as process:
        wait_for(partial(is_open, hub, "Gap"), 90)
        for _ in range(2):
            process.send_signal(signal.SIGSTOP)
            wait_for(partial(is_over, hub, "Gap"), 90)
            process.send_signal(signal.SIGCONT)
            wait_for(partial(is_open, hub, "Gap"), 90)


def last_promise(hub: Hub, name: str) -> datetime:
    with owner(hub) as session:
        query = "SELECT expires_at FROM signals_alert WHERE labels->>'alertname' = %s"
        found: Any = session.execute(query, [name]).fetchone()
        return found[0]  # type: ignore[no-any-return]


def replicas(hub: Hub, name: str) -> int:
    with owner(hub) as session:
        query = "SELECT count(*) FROM signals_alert a, jsonb_object_keys(a.heard->'replicas') WHERE labels->>'alertname' = %s"
        found: Any = session.execute(query, [name]).fetchone()
        return int(found[0])


def test_of_a_pair_of_prometheus_one_may_stop(hub: Hub, tmp_path: Path) -> None:
    key, _ = integration(hub, "Two", "prometheus")
    with prometheus(tmp_path / "a", key, hub, "Two", 3) as first:
        wait_for(partial(is_open, hub, "Two"), 90)
        with prometheus(tmp_path / "b", key, hub, "Two", 3) as second:
            wait_for(lambda: replicas(hub, "Two") == 2, 90)
            first.kill()
            first.wait(10)
            # Well beyond what the first one promised.
            limit = last_promise(hub, "Two") + T(seconds=5)
            wait_for(lambda: last_promise(hub, "Two") > limit, 90)
            assert states(hub, "Two") == ["open"]
            second.kill()
            wait_for(partial(is_over, hub, "Two"), 90)


def failed(base: str) -> float:
    text = httpx.get(f"{base}/metrics").text
    found = re.findall(r'^alertmanager_notifications_failed_total\{integration="pagerduty"[^}]*\} (\S+)$', text, re.M)
    return sum(float(one) for one in found)


def test_what_pagerduty_would_refuse_counts_as_failed_at_alertmanager(hub: Hub, tmp_path: Path) -> None:
    key, _ = integration(hub, "Events", "pagerduty")
    receiver = f"  pagerduty_configs:\n  - {{url: '{hub.url}/v2/enqueue', routing_key: {key}, severity: '{{{{ .CommonLabels.severity }}}}'}}\n"
    with alertmanager(tmp_path / "am", receiver) as (base, _):
        starts = datetime.now(UTC)
        post(base, "Taken", starts, T(minutes=5), severity="Critical")
        with owner(hub) as session:
            wait_for(lambda: session.execute("SELECT 1 FROM signals_group WHERE severity = 'critical' AND title LIKE '%%Taken%%'").fetchone(), 30)  # fmt: skip
        assert failed(base) == 0
        post(base, "Refused", starts, T(minutes=5), severity="none")
        wait_for(lambda: failed(base) > 0, 90)
        wait_for(lambda: "'payload.severity' is invalid" in problem_of(hub.signed_in(), "Events"), 90)
