"""`watchbill serve`: a small parent without Django that keeps PostgreSQL, web and worker alive."""

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

from watchbill.base.config import Config, Database
from watchbill.base.errors import SettingError, Unavailable
from watchbill.server.postgres import Postgres, superuser_password
from watchbill.server.processes import raise_open_files, spawn, stop


class AlreadyRunning(Unavailable):
    """Another Watchbill holds this data folder."""


def open_data_folder(config: Config) -> None:
    """Makes the data folder. Raises SettingError when it cannot be used."""
    try:
        config.data.mkdir(mode=0o711, parents=True, exist_ok=True)
        for name, mode in (("keys", 0o700), ("logs", 0o700), ("blobs", 0o700)):
            (config.data / name).mkdir(mode=mode, exist_ok=True)
        probe = config.data / ".probe"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise SettingError(
            f"The data folder {config.data} cannot be written: {error.strerror}.",
            hint="Free some space, correct its permissions, or choose another folder with WATCHBILL_DATA. Nothing was changed.",
            field="WATCHBILL_DATA",
        ) from None


@contextlib.contextmanager
def hold_data_folder(config: Config):  # type: ignore[no-untyped-def]
    """Holds the data folder for this process (flock, so a dead holder holds nothing). Raises AlreadyRunning."""
    path = config.data / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for attempt in range(30):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = read_holder(path)
                # The holder may be just ending; its own children never inherit the lock.
                if attempt == 29 or (holder and Path(f"/proc/{holder['pid']}").exists() and attempt > 2):
                    who = (
                        f"process {holder['pid']}, since {holder['since']}, at {holder['url']}"
                        if holder
                        else "another process"
                    )
                    raise AlreadyRunning(
                        f"The data folder {config.data} is held by {who}.",
                        hint="Use that one, stop it first, or choose another folder with WATCHBILL_DATA.",
                    ) from None
                time.sleep(0.1)
        os.ftruncate(handle, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "since": since, "url": config.url}).encode(), 0)
        yield
    finally:
        os.close(handle)


def read_holder(path: Path) -> dict[str, str] | None:
    """Who holds, or held last, a data folder: pid, since, url; None when nobody ever did."""
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) and {"pid", "since", "url"} <= set(found) else None
    except (OSError, ValueError):
        return None


def open_port(config: Config) -> socket.socket:
    """Opens the one port here, in the parent, so that a web process that comes back finds its callers waiting."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise SettingError(
            f"Port {config.port} on {config.host} cannot be used: {getattr(error, 'strerror', None) or error}.",
            hint=f"Something else may be listening there. Choose another: watchbill serve --port {config.port % 65535 + 1}",
            field="WATCHBILL_PORT",
        ) from None
    listener.listen(2048)
    return listener


#: How long PostgreSQL is tried again before the hub gives up, in seconds.
PATIENCE = 120.0


@dataclass
class Part:
    """One child that is kept alive: how it starts, and how often it ended of late."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    child: subprocess.Popen[bytes] | None = None
    ends: list[float] = field(default_factory=list)
    not_before: float = 0.0

    def tend(self, say: Callable[[str], None]) -> None:
        """Starts the child when it is not running; waits longer each time it ends soon (0.1 s … 10 s)."""
        now = time.monotonic()
        if self.child is not None and self.child.poll() is not None:
            self.ends = [*[end for end in self.ends if now - end < 60], now]
            wait = min(10.0, 0.1 * 2 ** (len(self.ends) - 1))
            say(f"{self.name} ended ({_how(self.child.returncode)}); it starts again in {wait:.1f} s")
            self.child, self.not_before = None, now + wait
        if self.child is None and now >= self.not_before:
            self.child = self.start()


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class Hub:
    """Everything on one machine: PostgreSQL → migrate → web and worker; stopped in the opposite order."""

    def __init__(self, config: Config, *, say: Callable[[str], None], demo: bool = True) -> None:
        self.config, self.say, self.demo = config, say, demo
        self.stopping = False
        self.postgres: Postgres | None = None
        self.parts: list[Part] = []
        self.failing_since: float | None = None
        self.not_before = 0.0

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT. Returns the exit code."""
        open_data_folder(self.config)
        raise_open_files()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with hold_data_folder(self.config), open_port(self.config) as listener:
            self.config.keys(create=True)
            try:
                self._start(listener)
                self._tend()
            finally:
                self._stop()
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        self.stopping = True

    def _start(self, listener: socket.socket) -> None:
        if self.config.database is None:
            self.postgres = Postgres(self.config, auth_password=superuser_password(self.config))
            self.postgres.prepare()
            self.postgres.start(log=self.config.data / "logs" / "postgres.log")
        owner = self.config.database or (self.postgres.database if self.postgres else None)
        if owner is None or self.stopping:
            return
        news = self._migrate(owner)
        listener.set_inheritable(True)
        self.parts = [
            Part("web", lambda: self._spawn("web", fds=(listener.fileno(),))),
            Part("worker", lambda: self._spawn("worker")),
        ]
        for part in self.parts:
            part.tend(self.say)
        self._await_web()
        for line in news:
            self.say(line)

    def _await_web(self) -> None:
        """Until the first page could be served, so that what is announced is true."""
        host = "127.0.0.1" if self.config.host in {"0.0.0.0", "::"} else self.config.host  # noqa: S104
        deadline = time.monotonic() + 30
        while not self.stopping and time.monotonic() < deadline:
            self._look()
            probe = http.client.HTTPConnection(host, self.config.port, timeout=2)
            try:
                probe.request("GET", "/healthz")
                if probe.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.1)
            finally:
                probe.close()

    def _migrate(self, owner: Database) -> list[str]:
        env = {**self._env(owner, with_owner=True), "WATCHBILL_PROCESS": "migrate"}
        argv = [sys.executable, "-m", "watchbill.cli.main", "migrate", "--bootstrap"]
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        out, _ = child.communicate()
        if child.returncode:
            raise Unavailable(
                "The database could not be brought up to date; the reason stands above.", hint="Nothing was started."
            )
        return out.splitlines()

    def _env(self, owner: Database, *, with_owner: bool = False) -> dict[str, str]:
        """The children's environment: only the migrator gets the owner's name and password."""
        env = {name: value for name, value in self.config.env.items() if name != "DATABASE_URL"}
        env["WATCHBILL_DATA"], env["WATCHBILL_PORT"] = str(self.config.data), str(self.config.port)
        env["WATCHBILL_HOST"], env["WATCHBILL_SUPERVISED"] = self.config.host, "1"
        options = "".join(f"&{key}={quote(value, safe='')}" for key, value in owner.options)
        login = f"{quote(owner.user, safe='')}:{quote(owner.password, safe='')}@" if with_owner else ""
        env["DATABASE_URL"] = (
            f"postgresql://{login}localhost:{owner.port}/{quote(owner.name)}?host={quote(owner.host, safe='')}{options}"
        )
        return env

    def _spawn(self, name: str, fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        owner = self.config.database or (self.postgres.database if self.postgres else None)
        assert owner is not None  # noqa: S101 - parts exist only after _start
        env = {**self._env(owner), "WATCHBILL_PROCESS": name}
        if fds:
            env["WATCHBILL_LISTEN_FD"] = str(fds[0])
        output: IO[bytes] | None = None
        default = "file" if sys.stderr.isatty() else "stderr"
        if self.config.get("WATCHBILL_LOGS", default) == "file":
            output = (self.config.data / "logs" / f"{name}.log").open("ab")
        try:
            return spawn([sys.executable, "-m", "watchbill.cli.main", name], env=env, output=output, pass_fds=fds)
        finally:
            if output:
                output.close()

    def _tend(self) -> None:
        while not self.stopping:
            self._look()
            time.sleep(0.1)

    def _look(self) -> None:
        """Brings back what has ended."""
        now = time.monotonic()
        if self.postgres and not self.postgres.runs() and now >= self.not_before:
            self._revive(self.postgres, now)
        elif self.postgres and now >= self.not_before and not self.postgres.reachable():
            self._reconnect(self.postgres)
        for part in self.parts:
            part.tend(self.say)

    def _revive(self, postgres: Postgres, now: float) -> None:
        """Starts PostgreSQL again. On a busy machine what is left of the one before may hold its memory for seconds: it is tried again."""
        if self.failing_since is None:
            self.say("PostgreSQL ended; it starts again and recovers")
        try:
            postgres.start(log=self.config.data / "logs" / "postgres.log")
            self.failing_since = None
        except Unavailable as error:
            self.failing_since = self.failing_since or now
            if now - self.failing_since > PATIENCE:
                raise
            self.say(f"{error.detail} It is tried again in a second.")
            self.not_before = time.monotonic() + 1.0

    def _reconnect(self, postgres: Postgres) -> None:
        """PostgreSQL's socket was deleted: what is connected works on, and nothing new can connect. It is restarted, which takes a second."""
        self.say(
            f"PostgreSQL's socket in {postgres.socket} is gone (was the folder tidied up?); PostgreSQL is restarted to make it again"
        )
        try:
            postgres.restart(log=self.config.data / "logs" / "postgres.log")
        except (OSError, Unavailable) as error:
            # Its process has ended or does not answer: it is started again like any that ended.
            self.say(f"{getattr(error, 'detail', error)} It is tried again in a second.")
            self.not_before = time.monotonic() + 1.0

    def _stop(self) -> None:
        running = [part.child for part in self.parts if part.child is not None]
        for child in running:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        for child in running:
            stop(child, (signal.SIGTERM, max(0.1, deadline - time.monotonic())))
        if self.postgres:
            self.postgres.stop()
        self.say("Stopped.")
