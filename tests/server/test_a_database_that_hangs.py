"""PostgreSQL is stopped, not down: it answers nothing and refuses nothing. And its socket vanishes. Real hubs, real signals."""

import hashlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.intake.test_what_is_answered_is_there import body, connects, integration, open_groups
from tests.server.hub import Hub, running, wait_for

pytestmark = pytest.mark.process
STOPPED = 20.0


def servers(hub: Hub) -> list[int]:
    """The processes of the hub's PostgreSQL, the parent first."""
    parent = hub.children()["postgres"]
    found = [parent]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            found.append(int(path.parent.name))
    return found


@contextmanager
def stopped(hub: Hub) -> Iterator[None]:
    pids = servers(hub)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def threads(hub: Hub) -> int:
    status = Path(f"/proc/{hub.children()['web']}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))


def seconds(caller: httpx.Client, path: str) -> tuple[float, httpx.Response]:
    begun = time.monotonic()
    answer = caller.get(path, timeout=30)
    return time.monotonic() - begun, answer


def test_a_stopped_database_is_said_within_two_seconds_and_nothing_that_was_sent_is_lost() -> None:
    with running("stopped") as hub:
        browser, url = integration(hub, "Stopped")
        with closing(browser):
            assert httpx.post(url, content=body("Before")).status_code == 200
            before, codes = threads(hub), {}

            def send(number: int) -> None:
                # As a sender does that is told to come again.
                for _ in range(10):
                    try:
                        codes[number] = httpx.post(url, content=body(f"During{number}"), timeout=60).status_code
                    except httpx.HTTPError:
                        codes[number] = 0
                    if codes[number] == 200:
                        return
                    time.sleep(1)

            senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
            with httpx.Client(base_url=hub.url) as caller, stopped(hub):
                begun = time.monotonic()
                for sender in senders:
                    sender.start()
                slowest, pages = 0.0, 0
                while time.monotonic() - begun < STOPPED:
                    took, answer = seconds(caller, "/readyz")
                    slowest = max(slowest, took)
                    assert answer.status_code == 503, answer.text
                    assert answer.json()["checks"]["database"] == "does not answer"
                    took, answer = seconds(caller, "/healthz")
                    assert answer.status_code == 200
                    assert took < 1
                    if pages < 3:
                        took, answer = seconds(caller, "/signin")
                        assert answer.status_code == 503, "the console says so"
                        assert "database does not answer" in answer.text
                        assert took < 6.5
                        pages += 1
                    time.sleep(0.3)
                assert slowest < 2
                assert codes == {}, "nothing is answered before it is durable"
                assert threads(hub) - before < 30
            woke = time.monotonic()
            wait_for(hub.ready, 15, "it does not recover by itself")
            assert time.monotonic() - woke < 10
            for sender in senders:
                sender.join(60)
            assert set(codes.values()) == {200}
            wanted = {"Before", *(f"During{number}" for number in range(8))}
            wait_for(
                lambda: wanted <= {one["title"].partition(":")[0] for one in open_groups(browser)},
                30,
                "something is lost",
            )
            wait_for(lambda: threads(hub) <= before + 12, 20, "threads have piled up")


def test_a_socket_that_vanished_is_noticed_and_mended() -> None:
    with running("socket") as hub:
        browser, url = integration(hub, "Socket")
        with closing(browser):
            folder = hub.data / "run"
            assert (folder / ".s.PGSQL.5432").exists(), "a path that is short enough lies in the data folder"
            shutil.rmtree(folder)
            wait_for(lambda: (folder / ".s.PGSQL.5432").exists(), 30, "the socket did not come back")
            wait_for(lambda: connects(hub), 60, "new connections fail")
            wait_for(hub.ready, 20)
            wait_for(lambda: httpx.post(url, content=body("Mended")).status_code == 200, 20)
            wait_for(lambda: any("Mended" in one["title"] for one in open_groups(browser)), 20)
            assert "socket" in hub.said()
        assert hub.stop()[0] == 0
        assert not (folder / ".s.PGSQL.5432").exists()


def test_a_data_folder_with_a_long_path_has_its_socket_elsewhere_and_leaves_nothing_behind() -> None:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-long-"))
    hub = Hub(folder / ("long" * 25) / "data")
    folder.chmod(0o711)
    hub.data.parent.mkdir(mode=0o711)
    place = (
        Path(tempfile.gettempdir())
        / f"watchbill-{os.geteuid()}-{hashlib.sha256(str(hub.data).encode()).hexdigest()[:12]}"
    )
    hub.env.pop("XDG_RUNTIME_DIR", None)
    try:
        hub.start(120)
        wait_for(hub.ready, 60)
        shutil.rmtree(place)
        wait_for((place / ".s.PGSQL.5432").exists, 30, "the socket did not come back")
        wait_for(lambda: connects(hub), 60, "new connections fail")
        assert hub.stop()[0] == 0
        assert not place.exists()
    finally:
        hub.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
