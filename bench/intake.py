"""Intake against Alertmanager in memory and Alerta, in the same run: one alert a request and 64, 64 connections; ours is durable, with keys, limits and grouping."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from tests.ports import free_port
from tests.server.hub import Hub

from bench.house import connect, line, running_hub, wait_for

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS, SECONDS = 64, 6.0


def load(url: str, body: bytes, seconds: float = SECONDS) -> float:
    """Requests a second that were answered with 2xx, as fast as they are answered: by wrk, which leaves the machine to the measured."""
    found, peers = httpx.URL(url), ROOT / ".peers" / "files" / "usr" / "lib"
    binary = subprocess.run([ROOT / "tools" / "peer", "wrk", "--path"], capture_output=True, text=True, check=True)
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        libraries = ":".join(str(one.parent) for one in peers.glob("*/libluajit*.so.2"))
        env = {"PATH": os.environ["PATH"], "WRK_BODY": file.name, "WRK_PATH": found.path, "LD_LIBRARY_PATH": libraries}
        command = [
            binary.stdout.strip(), "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds:.0f}s", "--script",
            str(ROOT / "bench" / "post.lua"), f"http://{found.host}:{found.port}",
        ]  # fmt: skip
        said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    requests, refused, lost, micros = (int(one) for one in said.rpartition("RESULT ")[2].split())
    if lost:
        raise RuntimeError(f"{lost} requests to {found.host}:{found.port} were not answered")
    return (requests - refused) / micros * 1e6


#: At a given rate: in a process of its own, which prints the latencies' p99 in ms.
_PACED = """
import asyncio, sys, time
host, port, path, body, connections, seconds, rate = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), sys.stdin.buffer.read(), int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
slow = []
async def one(number):
    reader, writer = await asyncio.open_connection(host, port)
    begun = time.perf_counter()
    turn = 0
    while time.perf_counter() < begun + seconds:
        wait = begun + (turn + number / connections) * connections / rate - time.perf_counter()
        if wait > 0: await asyncio.sleep(wait)
        turn += 1
        text = body.replace(b"@@", b"%d-%d" % (number, turn))
        at = time.perf_counter()
        writer.write(b"POST %s HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % (path, len(text)) + text)
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        low = head.lower()
        size = int(low.split(b"content-length:")[1].split(b"\\r\\n")[0]) if b"content-length:" in low else 0
        if size: await reader.readexactly(size)
        assert head[9:10] == b"2", head
        slow.append(time.perf_counter() - at)
    writer.close()
async def main():
    await asyncio.gather(*(one(n) for n in range(connections)))
asyncio.run(main())
slow.sort()
print(slow[int(len(slow) * .99)] * 1000)
"""


def paced(url: str, body: bytes, rate: float, seconds: float = SECONDS) -> float:
    """The p99 in ms of answers at a rate."""
    found = httpx.URL(url)
    args = [
        sys.executable, "-c", _PACED, found.host, str(found.port), found.path, str(CONNECTIONS), str(seconds), str(rate),
    ]  # fmt: skip
    return float(subprocess.run(args, input=body, capture_output=True, check=True).stdout)


def alerts(many: int) -> list[dict[str, Any]]:
    """Alerts of one service; @@ becomes another number in each request."""
    return [
        {"labels": {"alertname": f"Bench{n}", "service": "checkout", "environment": "Production", "instance": "@@"}, "annotations": {"summary": "x"}} for n in range(many)
    ]  # fmt: skip


def webhook(many: int) -> bytes:
    """The same as Alertmanager's webhook has them."""
    open_ = {"status": "firing", "startsAt": "2026-11-21T16:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}
    told = [one | open_ | {"generatorURL": "http://p/"} for one in alerts(many)]
    return json.dumps({"version": "4", "groupKey": "bench", "externalURL": "http://am/", "alerts": told}).encode()


def settle(hub: Hub) -> None:
    """Until everything that was taken in is understood: no measurement runs beside the work that the one before it left."""
    with connect(hub) as owner:
        wait_for(
            lambda: owner.execute("SELECT count(*) FROM signals_arrival WHERE problem IS NULL").fetchone() == (0,), 240
        )


_PEER = """
CREATE TABLE bench_check (id serial PRIMARY KEY, code text UNIQUE, last_ping timestamptz, n_pings int DEFAULT 0, status text, alert_after timestamptz);
CREATE TABLE bench_ping (id bigserial PRIMARY KEY, check_id int, n int, created timestamptz, scheme text, remote_addr text, method text, ua text, body_raw bytea);
CREATE INDEX ON bench_ping (check_id, n);
"""


def pings(hub: Hub, browser: httpx.Client) -> tuple[float, float]:
    """Pings a second at our door, and at a Django view with two writes on the same database."""
    token = {"X-CSRFToken": browser.cookies["watchbill_csrf"]}
    body = {"name": "Jobs", "protocol": "healthchecks"}
    source = browser.post("/api/v1/workspaces/main/integrations", json=body, headers=token).json()
    check = browser.post(
        f"/api/v1/workspaces/main/integrations/{source['id']}/checks", json={"name": "Backup"}, headers=token
    ).json()
    code, port = check["url"].rpartition("/")[2], free_port()
    with connect(hub) as owner:
        owner.execute(_PEER)
        for number in range(64):
            owner.execute("INSERT INTO bench_check (code) VALUES (%s)", [f"{code}-{number}"])
        told = {"HOST": owner.info.host, "USER": owner.info.user, "PASSWORD": owner.info.password}
    env = {**os.environ, "BENCH_DATABASE": json.dumps(told), "PYTHONPATH": str(ROOT)}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "bench.ping_peer:application",
        "--port",
        str(port),
        "--workers",
        "2",
        "--log-level",
        "error",
        "--no-access-log",
    ]
    peer = subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: httpx.post(f"http://127.0.0.1:{port}/ping/{code}-0").status_code == 200, 30)
        theirs = load(f"http://127.0.0.1:{port}/ping/{code}-@0", b"ok")
        ours = load(f"{hub.url}/ping/{code}", b"ok")
    finally:
        peer.terminate()
        peer.wait(10)
    return ours, theirs


def alerta(hub: Hub, folder: str) -> float:
    """Requests a second of one alert that Alerta takes: two workers, on the same PostgreSQL."""
    python, port = ROOT / ".venv-alerta" / "bin" / "python", free_port()
    with connect(hub) as owner:
        owner.execute("CREATE DATABASE alerta")
        told = owner.info
        url = f"postgresql://{told.user}:{told.password}@/alerta?host={told.host}&port={told.port}"
    (Path(folder) / "alertad.conf").write_text(
        "AUTH_REQUIRED = False\nPLUGINS = ['reject', 'blackout']\nLOG_HANDLERS = []\n"
    )
    env = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "DATABASE_URL": url,
        "ALERTA_SVR_CONF_FILE": f"{folder}/alertad.conf",
    }
    # Once by itself: two workers that begin together meet while they make the tables.
    subprocess.run(
        [python, "-c", "from alerta.app import create_app; create_app()"],
        env=env,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    command = [
        python, "-m", "gunicorn", "--workers", "2", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60", "--log-level", "critical",
        "--bind", f"127.0.0.1:{port}", "alerta.app:create_app()",
    ]  # fmt: skip
    peer = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        where = f"http://127.0.0.1:{port}/webhooks/prometheus"
        wait_for(
            lambda: (
                httpx.post(where, content=webhook(1), headers={"Content-Type": "application/json"}).status_code == 201
            ),
            30,
        )
        return load(where, webhook(1))
    finally:
        peer.terminate()
        peer.wait(20)


def beside(hub: Hub, peer: "subprocess.Popen[bytes]", theirs: str, ours: str, many: int) -> tuple[float, float]:
    """Requests a second at our door and at Alertmanager's: in turns, the middle one by their ratio (of three; once where a request has many alerts, which take minutes to be understood).

    Each has the machine for itself: Alertmanager stands still while we are measured (it collects and groups what it holds), and we have nothing left to do while it is.
    """
    found = []
    for _ in range(3 if many == 1 else 1):
        settle(hub)
        their_rate = load(theirs, json.dumps(alerts(many)).encode(), 4)
        peer.send_signal(signal.SIGSTOP)
        try:
            our_rate = load(ours, webhook(many), 4)
        finally:
            peer.send_signal(signal.SIGCONT)
        found.append((our_rate / their_rate, our_rate, their_rate))
    return sorted(found)[len(found) // 2][1:]


def measure() -> Iterator[dict[str, Any]]:
    binary = subprocess.run(
        [ROOT / "tools" / "peer", "alertmanager", "--path"], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder, running_hub() as hub:
        port = free_port()
        (Path(folder) / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        command = [
            binary,
            f"--config.file={folder}/am.yml",
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        peer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(lambda: httpx.get(f"{base}/-/ready").status_code == 200, 30)
            browser = hub.signed_in()
            made = browser.post(
                "/api/v1/workspaces/main/integrations", json={"name": "Bench"}, headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]}
            ).json()  # fmt: skip
            ours = hub.url + "/intake/" + made["url"].partition("/intake/")[2]
            # First: what is taken in here is understood at once, while a million alerts would be understood beside it.
            ours_a_second, theirs = pings(hub, browser)
            yield line("intake", "pings, 64 connections", ours_a_second / theirs, 10, "more", "ratio", "a Django view with two writes, requests/s", theirs)  # fmt: skip
            for many, target in ((1, 0.5), (64, 0.6)):
                rate, theirs = beside(hub, peer, f"{base}/api/v2/alerts", ours, many)
                yield line("intake", f"{many} alert{'s' * (many > 1)} a request, 64 connections", rate / theirs, target, "more", "ratio", "Alertmanager in memory, requests/s", theirs)  # fmt: skip
                if many == 1:
                    settle(hub)
                    peer.send_signal(signal.SIGSTOP)
                    slow = alerta(hub, folder)
                    peer.send_signal(signal.SIGCONT)
                    yield line("intake", "1 alert a request, beside Alerta", rate / slow, 80, "more", "ratio", "Alerta with two workers on the same PostgreSQL, requests/s", slow)  # fmt: skip
                    p99 = paced(ours, webhook(1), rate / 2)
                    yield line("intake", f"answers at half our rate ({rate / 2:.0f}/s), p99", p99, 50, "less", "ms")
        finally:
            peer.terminate()
            peer.wait(10)
