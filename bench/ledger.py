"""Appending, commands, sealing, verifying."""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.server.hub import Hub

from bench.house import connect, line, running_hub
from watchbill.base.ids import uuid7

WRITERS = 16
SECONDS = 3.0
ROUNDS = 5


def rate(make: Callable[[], Callable[[], None]], writers: int = WRITERS, seconds: float = SECONDS) -> float:
    """Calls a second of ``writers`` threads, each with its own connection."""
    counts = [0] * writers
    steps = [make() for _ in range(writers)]
    begin, stop = threading.Barrier(writers + 1), threading.Event()

    def work(number: int) -> None:
        step = steps[number]
        begin.wait()
        while not stop.is_set():
            step()
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def best_ratio(ours: Callable[[], float], peer: Callable[[], float]) -> tuple[float, float, float]:
    """The median of several alternating rounds: ratio, ours, peer."""
    rounds = sorted((a / b, a, b) for a, b in ((ours(), peer()) for _ in range(ROUNDS)))
    return rounds[len(rounds) // 2]


def measure() -> Iterator[dict[str, Any]]:
    with running_hub() as hub:
        with connect(hub) as owner:
            owner.execute(
                "CREATE TABLE bench_plain (id uuid PRIMARY KEY, workspace_id uuid NOT NULL, body text NOT NULL)"
            )
            owner.execute("CREATE INDEX ON bench_plain (workspace_id, id DESC)")
            owner.execute("GRANT INSERT, SELECT ON bench_plain TO watchbill_app")
            (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
            (person,) = owner.execute("SELECT person_id FROM people_membership LIMIT 1").fetchone()
        yield from appends(hub, workspace, person)
        yield from sealing(hub, workspace, person)
    yield from verifying()


def entries(workspace: UUID, person: UUID) -> Callable[[], tuple[UUID, str]]:
    """Makes an entry's id and body, as the append path does."""

    def body() -> tuple[UUID, str]:
        entry = uuid7()
        fields = {
            "action": "bench.append", "actor": str(person), "actor_kind": "person", "at": "2026-01-01T00:00:00.000000Z", "id": str(entry),
            "payload": None, "request": "bench", "subject": "x", "subject_kind": "bench", "v": 1, "via": "bench", "workspace": str(workspace),
        }  # fmt: skip
        return entry, json.dumps(fields, separators=(",", ":"))

    return body


def appender(hub: Hub, workspace: UUID, person: UUID) -> Callable[[], Callable[[], None]]:
    """Makes connections of the app role, each with a step that appends one entry in its own transaction."""
    body = entries(workspace, person)

    def append() -> Callable[[], None]:
        session = connect(hub, "app")
        session.execute("SELECT set_config('watchbill.person', %s, false)", [str(person)])
        return lambda: session.execute("INSERT INTO ledger_entry (body) VALUES (%s)", [body()[1]])

    return append


def appends(hub: Hub, workspace: UUID, person: UUID) -> Iterator[dict[str, Any]]:
    body, append = entries(workspace, person), appender(hub, workspace, person)

    def plain() -> Callable[[], None]:
        session = connect(hub, "app")

        def step() -> None:
            entry, text = body()
            session.execute("INSERT INTO bench_plain VALUES (%s, %s, %s)", [entry, workspace, text])

        return step

    def command(with_ledger: bool) -> Callable[[], Callable[[], None]]:
        def make() -> Callable[[], None]:
            session = connect(hub, "app")
            session.execute("SELECT set_config('watchbill.person', %s, false)", [str(person)])
            team = uuid7()
            session.execute(
                "INSERT INTO people_team (id, workspace_id, slug, name, purpose, created_at) VALUES (%s, %s, %s, 'x', '', now())",
                [team, workspace, f"t-{team.hex[:20]}"],
            )

            def step() -> None:
                with session.transaction():
                    session.execute(
                        "UPDATE people_team SET purpose = %s WHERE id = %s", [str(time.perf_counter()), team]
                    )
                    session.execute(
                        "SELECT wb_defer('bench', 'bench.none', %s, 'infinity', NULL)", [json.dumps({"id": str(team)})]
                    )
                    if with_ledger:
                        session.execute("INSERT INTO ledger_entry (body) VALUES (%s)", [body()[1]])

            return step

        return make

    ratio, ours, peer = best_ratio(lambda: rate(append), lambda: rate(plain))
    yield line(
        "ledger",
        "bare appends, 16 connections, one transaction each",
        ratio,
        0.6,
        "more",
        "ratio",
        f"plain single-row inserts/s (ours {ours:.0f}/s)",
        peer,
    )
    ratio, ours, peer = best_ratio(lambda: rate(command(True)), lambda: rate(command(False)))
    yield line(
        "ledger",
        "a command (update, job, entry)",
        ratio,
        0.6,
        "more",
        "ratio",
        f"the same without ledger/s (ours {ours:.0f}/s)",
        peer,
    )


def sealing(hub: Hub, workspace: UUID, person: UUID) -> Iterator[dict[str, Any]]:
    """Sixteen writers append as fast as they can; how long after the last one does the running worker need?"""
    with connect(hub) as owner:
        written = rate(appender(hub, workspace, person), seconds=10)
        begun = time.perf_counter()
        behind = owner.execute(
            "SELECT (SELECT count(*) FROM ledger_entry) - (SELECT count(*) FROM ledger_place)"
        ).fetchone()[0]
        total = owner.execute("SELECT count(*) FROM ledger_entry").fetchone()[0]
        while owner.execute("SELECT count(*) FROM ledger_place").fetchone()[0] < total:
            if time.perf_counter() - begun > 120:
                break
            time.sleep(0.05)
        sealed = owner.execute("SELECT count(*) FROM ledger_place").fetchone()[0]
    assert sealed == total, (sealed, total)
    yield line(
        "ledger",
        f"seconds to seal all after 10 s of {written:.0f} appends/s ({behind} were waiting)",
        time.perf_counter() - begun,
        10,
        "less",
        "s",
    )


def verifying(count: int = 1_000_000) -> Iterator[dict[str, Any]]:
    """An export of a million entries, made here, verified by the real verifier."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from watchbill.ledger import merkle, notes
    from watchbill.ledger.append import commitment
    from watchbill.ledger.verify import FileLines, verify_export

    key, name, workspace = Ed25519PrivateKey.generate(), "bench", "00000000-0000-7000-8000-000000000009"
    handle, path = tempfile.mkstemp(suffix=".jsonl")
    frontier = merkle.Frontier()
    with os.fdopen(handle, "wb") as file:
        header = {
            "watchbill": "ledger-export",
            "version": 1,
            "workspace": workspace,
            "origin": "bench/log",
            "signer": name,
            "size": count,
        }
        file.write(json.dumps(header, separators=(",", ":")).encode() + b"\n")
        notes_made = []
        for number in range(count):
            payload, salt = f'{{"detail":{{"role":"editor","n":{number}}},"personal":{{}}}}', number.to_bytes(32, "big")
            text = (
                f'{{"action":"role.grant","actor":"{workspace}","actor_kind":"person","at":"2026-01-01T00:00:00.{number % 1000000:06d}Z",'
                f'"id":"00000000-0000-7000-8000-{number:012d}","payload":"{commitment(salt, payload)}","request":"0123456789abcdef",'
                f'"subject":"{workspace}","subject_kind":"person","v":1,"via":"web","workspace":"{workspace}"}}'
            )
            frontier.append(merkle.leaf_hash(text.encode()))
            import base64

            row = {"i": number, "b": text, "s": base64.b64encode(salt).decode(), "p": payload}
            file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
            if (number + 1) % 50_000 == 0:
                notes_made.append(notes.sign(notes.Checkpoint("bench/log", number + 1, frontier.root()), name, key))
        for note in notes_made:
            file.write(json.dumps({"checkpoint": note}, separators=(",", ":")).encode() + b"\n")
    begun = time.perf_counter()
    report = verify_export(FileLines(Path(path)), name=name, key=key.public_key())
    seconds = time.perf_counter() - begun
    os.unlink(path)
    assert report.ok, report.problems
    yield line("ledger", f"offline verification of {count} entries", count / seconds, 100_000, "more", "entries/s")
