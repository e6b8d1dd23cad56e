"""Looks for tests that fail by chance: `make flakes N=20`.

Runs the browser and process tests N times, and the tests of notifications and live pages 5 × N times each, in a random order and with both
cores busy. Each run is a line of ``artefacts/flakes.jsonl`` (revision, what ran, seed, counts, seconds, which failed): a run that is
interrupted is taken up where it stopped, and ``--report`` prints the table for docs/figures.md. Exit code 1 where any test failed.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "artefacts" / "flakes.jsonl"
#: Rounds of one pytest session for the short tests: a hub is started once a session.
TOGETHER = 10
SETS = {
    "browser and process": ["-m", "process or browser", "--dist", "loadfile"],
    "notifications": ["tests/journeys/test_notifications.py", "--times", str(TOGETHER)],
    "live pages": ["tests/journeys/test_live_pages.py", "--times", str(TOGETHER)],
}


def revision() -> str:
    """The commit that is tested, marked where the work tree differs from it."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def recorded(commit: str) -> list[dict[str, object]]:
    """The runs of a commit that are in the log."""
    lines = LOG.read_text().splitlines() if LOG.exists() else []
    return [row for line in lines if (row := json.loads(line))["revision"] == commit]


def wanted(rounds: int) -> dict[str, int]:
    """How many sessions of each set make the rounds that were asked for."""
    return {
        "browser and process": rounds,
        "notifications": -(-rounds * 5 // TOGETHER),
        "live pages": -(-rounds * 5 // TOGETHER),
    }


def left(commit: str, rounds: int) -> Iterator[str]:
    """The sets that are still to run, one name a session."""
    done = [row["set"] for row in recorded(commit)]
    for name, sessions in sorted(wanted(rounds).items(), key=lambda pair: pair[1]):
        yield from [name] * max(0, sessions - done.count(name))


def run(name: str, commit: str) -> dict[str, object]:
    """One session. A session that ends without a count (killed, out of memory) counts as failed."""
    seed, begun = random.SystemRandom().randrange(1_000_000), time.monotonic()
    command = [sys.executable, "-m", "pytest", "-n", "2", "--shuffle", str(seed), "-rf", *SETS[name]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    counts = {
        word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", done.stdout[-2000:])
    }
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode and not failed:
        failed = [f"(pytest ended with {done.returncode})"]
    if failed:
        (LOG.parent / f"flake-{commit}-{seed}.txt").write_text(done.stdout + done.stderr)
    return {
        "revision": commit,
        "set": name,
        "seed": seed,
        "passed": counts.get("passed", 0),
        "skipped": counts.get("skipped", 0),
        "failed": failed,
        "seconds": round(time.monotonic() - begun),
    }


def report(commit: str) -> str:
    """The table for docs/figures.md."""
    lines = [f"| set ({commit}) | sessions | tests passed | failed | minutes |", "|---|---|---|---|---|"]
    for name in SETS:
        rows = [row for row in recorded(commit) if row["set"] == name]
        failed = [test for row in rows for test in row["failed"]]  # type: ignore[attr-defined]
        passed, minutes = (sum(int(str(row[key])) for row in rows) for key in ("passed", "seconds"))
        lines.append(f"| {name} | {len(rows)} | {passed} | {', '.join(failed) or 0} | {minutes / 60:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=SETS, help="one of the sets")
    parser.add_argument("--report", action="store_true", help="print the table and run nothing")
    options = parser.parse_args()
    commit = revision()
    LOG.parent.mkdir(exist_ok=True)
    if not options.report:
        for name in list(left(commit, options.rounds)):
            if options.only in (None, name):
                row = run(name, commit)
                with LOG.open("a") as log:
                    log.write(json.dumps(row) + "\n")
                print(f"{name}: {row['passed']} passed, {len(row['failed'])} failed, seed {row['seed']}", flush=True)  # type: ignore[arg-type]
    print(report(commit))
    return 1 if any(row["failed"] for row in recorded(commit)) else 0


if __name__ == "__main__":
    sys.exit(main())
