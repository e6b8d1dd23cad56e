"""Long rounds, run by `make soak`: a hub that is killed at random moments while people write; nothing answered is lost."""

import os
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.server.hub import Hub, run, wait_for

ROUNDS = int(os.environ.get("WB_SOAK_ROUNDS", "20"))


@pytest.mark.soak
@pytest.mark.process
def test_what_was_answered_survives_random_kills() -> None:
    seed = int(os.environ.get("WB_SOAK_SEED", random.randrange(10**9)))
    print(f"\nWB_SOAK_SEED={seed} rounds={ROUNDS}")
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="watchbill-soak-"))
    folder.chmod(0o711)
    hub, answered = Hub(folder / "data"), []
    stop = threading.Event()

    def write(token: str) -> None:
        number = 0
        with httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {token}"}, timeout=10) as program:
            while not stop.is_set():
                number += 1
                try:
                    answer = program.post("/api/v1/workspaces/main/teams", json={"name": f"Team {number}"})
                except httpx.HTTPError:
                    time.sleep(0.1)
                    continue
                if answer.status_code == 201:
                    answered.append(answer.json()["slug"])

    try:
        hub.start()
        wait_for(hub.ready, 30)
        browser = hub.signed_in()
        page = hub.post(browser, "/account", do="token", workspace="main", name="soak").text
        token = page.partition("wbt_")[2].partition("<")[0]
        writer = threading.Thread(target=write, args=(f"wbt_{token}",))
        writer.start()
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.2, 2))
            victim = chance.choice(["web", "worker", "postgres"])
            pid = hub.children().get(victim)
            if pid:
                os.kill(pid, signal.SIGKILL)
            wait_for(hub.ready, 60, f"not ready after {victim} was killed (seed {seed})")
        stop.set()
        writer.join()
        there = {
            team["slug"]
            for team in httpx.get(
                f"{hub.url}/api/v1/workspaces/main/teams", headers={"Authorization": f"Bearer wbt_{token}"}
            ).json()["items"]
        }
        assert set(answered) <= there
        print(f"{len(answered)} answered, {len(there)} there")
        wait_for(lambda: "watchbill_ledger_unsealed 0.0" in httpx.get(f"{hub.url}/metrics").text, 30)
        exported = str(folder / "ledger.jsonl")
        assert run("export", "ledger", "--workspace", "main", "--output", exported, env=hub.env).returncode == 0
        key = run("key", env=hub.env).stdout.strip()
        verified = run("verify", exported, "--key", key, "--checkpoint", hub.env["WATCHBILL_ANCHOR"], env=hub.env)
        assert verified.returncode == 0, verified.stdout
    finally:
        stop.set()
        hub.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
