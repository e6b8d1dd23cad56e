"""Captures what a real Alertmanager or Prometheus sends, for tests/intake/fixtures: `capture_payloads.py BINARY VERSION FOLDER`.

Debian has several versions, one a release; `dpkg -x` unpacks a package without installing it. Nothing leaves this machine.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HUB, PEER = 9911, 9912
ALERTMANAGER = f"""
route: {{receiver: hub, group_by: [alertname, service], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}}
receivers:
- name: hub
  webhook_configs:
  - {{url: 'http://127.0.0.1:{HUB}/webhook', send_resolved: true}}
  - {{url: 'http://127.0.0.1:{HUB}/truncated', send_resolved: true, max_alerts: 1}}
  pagerduty_configs:
  - {{routing_key: R0UTINGKEY, url: 'http://127.0.0.1:{HUB}/pagerduty', send_resolved: true}}
"""
PROMETHEUS = f"""
global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{api_version: v2, static_configs: [{{targets: ['127.0.0.1:{HUB}']}}]}}]}}
"""
RULES = """
groups:
- name: one
  rules:
  - alert: DiskFull
    expr: vector(93) > 90
    labels: {severity: critical, service: store}
    annotations: {summary: 'The disk is {{ $value }} % full', runbook_url: 'https://example.org/disk'}
"""


class Taker(BaseHTTPRequestHandler):
    """Keeps every body by its path."""

    came: list[tuple[str, bytes]] = []

    def do_POST(self) -> None:
        self.came.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(202 if self.path == "/pagerduty" else 200)
        self.end_headers()
        self.wfile.write(b'{"status":"success"}')

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def alerts(over: bool) -> bytes:
    """Two alerts of one group, as Prometheus would post them."""
    at = datetime.now(UTC)
    found = []
    for instance, notes in (
        ("a", {"summary": "p95 is 2.1 s", "runbook_url": "https://example.org/r"}),
        ("b", {"summary": "p95 is 1.9 s"}),
    ):
        labels = {"alertname": "HighLatency", "service": "checkout", "severity": "critical", "instance": instance}
        one: dict[str, object] = {
            "labels": labels,
            "annotations": notes,
            "startsAt": at.isoformat(),
        }
        found.append(one | ({"endsAt": datetime.now(UTC).isoformat()} if over else {}))
    return json.dumps(found).encode()


@contextlib.contextmanager
def peer(command: list[str], folder: str) -> Iterator[None]:
    """The peer, while the body runs."""
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as started:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{PEER}/-/ready") as answer:
                    if answer.status == 200:
                        break
                time.sleep(0.1)
            yield
        finally:
            started.terminate()


def wait(path: str, needle: bytes) -> bytes:
    """The first body at a path that has some bytes."""
    for _ in range(300):
        for where, body in Taker.came:
            if where == path and needle in body:
                return body
        time.sleep(0.1)
    raise SystemExit(f"{path} never got {needle!r}")


def main() -> None:
    binary, version, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    server = ThreadingHTTPServer(("127.0.0.1", HUB), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        listen = [f"--web.listen-address=127.0.0.1:{PEER}", "--log.level=error"]
        if "alertmanager" not in Path(binary).name:
            Path(home, "prometheus.yml").write_text(PROMETHEUS)
            Path(home, "rules.yml").write_text(RULES)
            with peer(
                [
                    binary,
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    "--rules.alert.resend-delay=1s",
                    *listen,
                ],
                home,
            ):
                body = wait("/api/v2/alerts", b"DiskFull")
            (folder / f"prometheus-{version}-firing.json").write_bytes(body)
            return
        Path(home, "alertmanager.yml").write_text(ALERTMANAGER)
        with peer(
            [binary, "--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=", *listen],
            home,
        ):
            for over, state, event in ((False, b'"firing"', b'"trigger"'), (True, b'"resolved"', b'"resolve"')):
                post = urllib.request.Request(
                    f"http://127.0.0.1:{PEER}/api/v2/alerts", alerts(over), {"content-type": "application/json"}
                )
                urllib.request.urlopen(post).close()
                word = state.decode().strip('"')
                got = {
                    f"alertmanager-{version}-{word}": wait("/webhook", b'"status":' + state + b',"alerts"'),
                    f"alertmanager-{version}-truncated-{word}": wait("/truncated", b'"status":' + state + b',"alerts"'),
                    f"pagerduty-alertmanager-{version}-{event.decode().strip(chr(34))}": wait("/pagerduty", event),
                }
                for name, body in got.items():
                    (folder / f"{name}.json").write_bytes(body)


if __name__ == "__main__":
    main()
