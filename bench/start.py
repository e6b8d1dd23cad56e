"""From nothing to the first page: the hub itself, and a whole `make serve` from a fresh clone with the package cache warm."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from tests.ports import free_port
from tests.server.hub import Hub, environment, wait_for

from bench.house import line

ROOT = Path(__file__).parents[1]


def measure() -> Iterator[dict[str, Any]]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-bench-"))
    folder.chmod(0o711)
    hub = Hub(folder / "data")
    try:
        yield line("start", "first start of the hub to the first page (new data folder)", hub.start(), 5, "less", "s")
        hub.stop()
        warm = []
        for _ in range(3):
            warm.append(hub.start())
            hub.stop()
        yield line("start", "second start to the first page", sorted(warm)[1], 5, "less", "s")
    finally:
        hub.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
    yield from clone()


def clone() -> Iterator[dict[str, Any]]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-clone-"))
    folder.chmod(0o711)
    port = free_port()
    env = environment(folder / "data", WATCHBILL_PORT=str(port))
    try:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "hub")], check=True)
        begun = time.perf_counter()
        child = subprocess.Popen(
            ["make", "-s", "serve"],
            cwd=folder / "hub",
            env=env,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/signin").status_code == 200, 300)
            seconds = time.perf_counter() - begun
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(30)
        yield line("start", "make serve from a fresh clone to the first page", seconds, 60, "less", "s")
    finally:
        time.sleep(1)
        shutil.rmtree(folder, ignore_errors=True)
