"""A real hub in its own processes, for the tests that start, kill and stop it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port

BINARY = [sys.executable, "-m", "watchbill.cli.main"]


def environment(data: Path, **extra: str) -> dict[str, str]:
    """A clean environment for a hub of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WATCHBILL_") and name != "DATABASE_URL"
    }
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    binaries = (
        {"WATCHBILL_POSTGRES_BIN": os.environ["WB_TEST_POSTGRES_BIN"]} if os.environ.get("WB_TEST_POSTGRES_BIN") else {}
    )
    return (
        kept
        | binaries
        | {"WATCHBILL_DATA": str(data), "WATCHBILL_ANCHOR": str(data.parent / "outside" / "checkpoints")}
        | extra
    )


def wait_for(what: Callable[[], Any], seconds: float = 30, message: str | Callable[[], str] = "") -> Any:
    """Until it is true; polls, and fails with a message."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = what()
        except (httpx.HTTPError, OSError, ValueError, IndexError):
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError((message() if callable(message) else message) or "it did not happen in time")


class Hub:
    """`watchbill serve` on a port of its own."""

    def __init__(self, data: Path, **extra: str) -> None:
        self.data, self.port = data, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = environment(data, WATCHBILL_PORT=str(self.port), WATCHBILL_LOGS="file", **extra)
        self.child: subprocess.Popen[str] | None = None
        self.used: set[str] = set()
        #: Addresses that only a filled hub has, for the browser's tests.
        self.pages: dict[str, str] = {}

    def start(self, seconds: float = 60) -> float:
        """Starts it; answers after how many seconds the first page was served."""
        begun = time.monotonic()
        self.output = (self.data.parent / "hub.out").open("w+")
        self.child = subprocess.Popen(
            [*BINARY, "serve"], env=self.env, stdout=self.output, stderr=subprocess.STDOUT, text=True, cwd="/"
        )
        wait_for(
            lambda: self.alive() and httpx.get(f"{self.url}/signin").status_code == 200, seconds, "no page was served"
        )
        return time.monotonic() - begun

    def alive(self) -> bool:
        assert self.child is not None
        if self.child.poll() is not None:
            raise AssertionError(f"the hub ended with {self.child.returncode}: {self.said()}")
        return True

    def said(self) -> str:
        return (self.data.parent / "hub.out").read_text()

    def link(self) -> str:
        pattern = r"http\S+/signin/link/\S+"
        # A page may be served before the supervisor has said where to sign in.
        wait_for(lambda: re.search(pattern, self.said()) is not None, 30, "no sign-in link was printed")
        return str(re.findall(pattern, self.said())[-1])

    def ready(self) -> bool:
        answer = httpx.get(f"{self.url}/readyz", timeout=5)
        # Without a worker the hub is ready to take alerts; what waits for this waits for the worker, too.
        return answer.status_code == 200 and not any(one.startswith("worker") for one in answer.json()["degraded"])

    def signed_in(self) -> httpx.Client:
        browser = httpx.Client(base_url=self.url, follow_redirects=True, timeout=30)
        link = self.link()
        if link in self.used:
            link = run("link", env=self.env).stdout.strip()
        self.used.add(link)
        page = browser.get(link)
        token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', page.text)[0]
        assert browser.post(link, data={"csrfmiddlewaretoken": token}).status_code == 200
        return browser

    def post(self, browser: httpx.Client, path: str, **data: str) -> httpx.Response:
        token = browser.cookies["watchbill_csrf"]
        return browser.post(path, data={"csrfmiddlewaretoken": token, **data})

    def children(self) -> dict[str, int]:
        """The hub's own processes by what they are."""
        assert self.child is not None
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = path.read_text()
                command = (path.parent / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if int(text.rpartition(")")[2].split()[1]) == self.child.pid:
                name = "postgres" if "/postgres " in command else command.split()[-1]
                found[name] = int(path.parent.name)
        return found

    def everything(self) -> list[int]:
        """All processes that mention the data folder or descend from the parent: to look for orphans."""
        marks = (str(self.data), f"watchbill-{os.geteuid()}")
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                env = (path / "environ").read_bytes().decode(errors="replace")
                command = (path / "cmdline").read_text()
            except OSError:
                continue
            if int(path.name) != os.getpid() and (f"WATCHBILL_DATA={self.data}" in env or marks[0] in command):
                found.append(int(path.name))
        return found

    def command(self, pid: int) -> str:
        """What a process is, for a message."""
        try:
            return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            return "(ended just now)"

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Stops it; answers exit code and seconds."""
        assert self.child is not None
        begun = time.monotonic()
        self.child.send_signal(number)
        code = self.child.wait(20)
        return code, time.monotonic() - begun

    def clean_up(self) -> None:
        if hasattr(self, "output"):
            self.output.close()
        if self.child and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
        for pid in self.everything():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def running(name: str, **extra: str) -> Iterator[Hub]:
    """A hub that is ready, in a folder of its own that goes with it. ``{folder}`` in a setting is that folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"watchbill-{name}-"))
    # PostgreSQL runs as a user of its own where the tests run as root.
    folder.chmod(0o711)
    made = Hub(folder / "data", **{key: value.format(folder=folder) for key, value in extra.items()})
    try:
        made.start()
        wait_for(made.ready, 30)
        yield made
    finally:
        made.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


def run(*args: str, env: dict[str, str], seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """One command of the command line."""
    return subprocess.run([*BINARY, *args], env=env, capture_output=True, text=True, timeout=seconds, cwd="/")
