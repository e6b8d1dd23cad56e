"""Child processes that cannot outlive their parent (Linux: PR_SET_PDEATHSIG, prctl(2))."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

#: More than this is of no use, and some programs walk through all that they may have.
MANY_FILES = 65_536
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prepare(death_signal: int, user: tuple[int, int] | None, parent: int) -> Callable[[], None]:
    def prepare() -> None:
        os.setsid()
        if user:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
        # After setuid: a change of credentials clears the setting.
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    death_signal: int = signal.SIGTERM,
    user: tuple[int, int] | None = None,
    output: IO[bytes] | int | None = None,
    cwd: Path | str = "/",
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a child in its own session; it gets ``death_signal`` when this process ends, however it ends."""
    return subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=tuple(pass_fds),
        preexec_fn=_prepare(death_signal, user, os.getpid()),
    )


def stop(child: subprocess.Popen[bytes], *signals: tuple[int, float]) -> None:
    """Sends each signal in turn, waiting that many seconds for the child to end; at last SIGKILL."""
    for number, seconds in signals:
        if child.poll() is not None:
            return
        child.send_signal(number)
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue
    if child.poll() is None:
        child.kill()
        child.wait()


def raise_open_files() -> int:
    """Lets this process, and those that it starts, open as many files as the system allows; answers how many that are.

    The usual soft limit of 1,024 would be the first thing that a flood of connections reaches.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            # The system refuses what it allowed: the limit stays as it was.
            return soft
    return MANY_FILES if soft == resource.RLIM_INFINITY else soft


def executable_of(pid: int) -> str:
    """The path of a running process's program, or "" when there is none or it is not ours to see."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
