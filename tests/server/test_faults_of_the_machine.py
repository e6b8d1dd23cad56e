"""The machine fails: its disk fills while alerts come in, its clock is stepped by an hour and back. What was answered is there, and pages go out."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.incidents.test_kills_under_load import alert, set_up
from tests.intake.test_what_is_answered_is_there import integration, open_groups
from tests.peers.mail import Mail
from tests.server.hub import BINARY, Hub, wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process


class SmallDisk(Hub):
    """A hub whose data lie on a small disk: a tmpfs in a mount namespace of its own."""

    size = "220m"

    def start(self, seconds: float = 60) -> float:
        begun = time.monotonic()
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-m", "-U", "-c", "--keep-caps"]
        mount = f'mount -t tmpfs -o size={self.size} tmpfs "{self.data.parent}" && chmod 711 "{self.data.parent}"'
        if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True).returncode:
            pytest.skip("this machine lets us make no small disk")
        self.output = Path(tempfile.mkstemp(prefix="watchbill-out-")[1]).open("w+")  # noqa: SIM115
        self.child = subprocess.Popen(
            [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh", *BINARY, "serve"], env=self.env, stdout=self.output, stderr=subprocess.STDOUT, text=True, cwd="/"
        )  # fmt: skip
        wait_for(
            lambda: self.alive() and httpx.get(f"{self.url}/signin").status_code == 200, seconds, "no page was served"
        )
        return time.monotonic() - begun

    def said(self) -> str:
        return Path(self.output.name).read_text()

    @property
    def filler(self) -> Path:
        """A file on the small disk, seen from outside of its namespace."""
        assert self.child is not None
        return Path(f"/proc/{self.child.pid}/root{self.data.parent}/filler")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="watchbill-machine-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def send(url: str, name: str) -> int:
    """The status of one alert; 0 where nobody answered."""
    told = {
        "status": "firing",
        "labels": {"alertname": name, "pad": "x" * 3000},
        "startsAt": datetime.now(UTC).isoformat(),
    }
    try:
        return httpx.post(
            url, content=json.dumps({"version": "4", "groupKey": name, "alerts": [told]}).encode(), timeout=10
        ).status_code
    except httpx.HTTPError:
        return 0


def test_a_disk_that_fills_up_refuses_and_loses_nothing_that_was_answered(folder: Path) -> None:
    small = folder / "small"
    small.mkdir()
    hub = SmallDisk(small / "data", WATCHBILL_RATE="100000", WATCHBILL_ANCHOR=str(folder / "checkpoints"))
    try:
        hub.start()
        wait_for(hub.ready, 30)
        browser, url = integration(hub, "Full")
        with closing(browser):
            answered = [name for name in (f"Before{number}" for number in range(10)) if send(url, name) == 200]
            assert len(answered) == 10
            with suppress(OSError), hub.filler.open("wb") as file:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            deadline, refused, number = time.monotonic() + 60, 0, 0
            while refused < 5 and time.monotonic() < deadline:
                number += 1
                status = send(url, f"Full{number}")
                # Either it is durable, or the sender is told to come again: never anything else.
                assert status in (200, 503, 0), status
                if status == 200:
                    answered.append(f"Full{number}")
                else:
                    refused += 1
            assert refused == 5, "the disk never became full"
            hub.filler.unlink()
            wait_for(hub.ready, 120, "not ready after there was room again")
            wait_for(lambda: send(url, "After") == 200, 60)
            answered.append("After")
            there = wait_for(
                lambda: (found := {one["title"] for one in open_groups(browser)}) and set(answered) <= found and found,
                60,
                "not all that was answered is there",
            )
            assert set(answered) <= there
            assert hub.alive()
    finally:
        hub.clean_up()
        Path(hub.output.name).unlink(missing_ok=True)


@pytest.fixture
def stepped(folder: Path) -> Iterator[tuple[Hub, Path]]:
    """A hub whose database has a clock that a file steps (libfaketime): that clock is the authority for everything."""
    library = subprocess.run(
        ["tools/peer", "faketime", "--path"], capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()
    if not library:
        pytest.skip("libfaketime could not be had")
    clock = folder / "clock"
    clock.write_text("+0")
    clock.chmod(0o644)
    shutil.copy(library, folder / "libfaketime.so")
    fake = {
        "LD_PRELOAD": str(folder / "libfaketime.so"), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    hub = Hub(folder / "data", WATCHBILL_OUTBOUND="127.0.0.1", WATCHBILL_RATE="100000")
    # PostgreSQL gets a clean environment: it is started through a script that adds the clock. The first start says which binaries it can reach.
    from watchbill.base.config import read_config
    from watchbill.server.postgres import find_binaries

    hub.start()
    hub.stop()
    copies = sorted((hub.data / "postgres-bin").glob("*/*/*/bin"))
    real = copies[0] if copies else find_binaries(read_config(hub.env)).folder
    binaries = folder / "bin"
    binaries.mkdir()
    for path in real.iterdir():
        (binaries / path.name).symlink_to(path)
    (binaries / "postgres").unlink()
    (binaries / "postgres").write_text(
        "#!/bin/sh\n"
        + "".join(f'export {name}="{value}"\n' for name, value in fake.items())
        + f'exec "{real}/postgres" "$@"\n'
    )
    (binaries / "postgres").chmod(0o755)
    hub.env |= {"WATCHBILL_POSTGRES_BIN": str(binaries)}
    try:
        hub.start()
        wait_for(hub.ready, 30)
        yield hub, clock
    finally:
        hub.clean_up()


def test_a_clock_that_is_stepped_by_an_hour_stops_no_page(stepped: tuple[Hub, Path]) -> None:
    hub, clock = stepped
    with closing(hub.signed_in()) as browser, Mail() as mail:
        url = set_up(hub, browser, mail)

        def page(name: str) -> None:
            body = {"version": "4", "groupKey": name, "alerts": [alert(name, "x", "critical")]}
            assert httpx.post(url, content=json.dumps(body).encode(), timeout=20).status_code == 200
            wait_for(lambda: any(name in str(one["Subject"]) for _, one in mail.got), 30, f"no mail about {name}")

        page("Before")
        for step, name in (("+1h", "Forward"), ("-1h", "Backward"), ("+0", "Again")):
            clock.write_text(step)
            wait_for(hub.ready, 30, f"not ready after the clock was set to {step}")
            page(name)
        found = browser.get("/api/v1/workspaces/main/incidents?limit=50").json()["items"]
        opened = {one["title"].partition(":")[0]: datetime.fromisoformat(one["opened_at"]) for one in found}
        assert set(opened) == {"Before", "Forward", "Backward", "Again"}
        assert 3000 < (opened["Forward"] - opened["Before"]).total_seconds() < 4500, "the clock really was stepped"
        assert -4500 < (opened["Backward"] - opened["Before"]).total_seconds() < -3000
        assert hub.alive()
