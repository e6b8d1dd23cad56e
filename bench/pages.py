"""Overview and Audit with a million entries and 100 people; live viewers; memory."""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from tests.server.hub import Hub, wait_for

from bench.house import connect, line, running_hub

ENTRIES = int(os.environ.get("BENCH_ENTRIES", "1000000"))
_FILL = """
INSERT INTO ledger_entry (body)
SELECT json_build_object('v', 1, 'id', id, 'workspace', %(w)s::text, 'at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'actor_kind', 'person',
  'actor', (%(people)s::uuid[])[1 + n %% 100], 'via', 'web', 'action', (ARRAY['role.grant','team.edit','service.edit','person.reveal','secret.store'])[1 + n %% 5],
  'subject_kind', 'person', 'subject', (%(people)s::uuid[])[1 + (n * 7) %% 100], 'request', 'bench', 'payload', NULL)::text
FROM (SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n %% 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid AS id
      FROM (SELECT n, (now() AT TIME ZONE 'UTC') - (%(all)s - n) * interval '2 seconds' AS at FROM generate_series(%(a)s, %(b)s) AS n) AS t) AS u
"""


def fill(hub: Hub) -> None:
    """100 people through the console's own command, then entries in bulk, sealed by the running worker."""
    browser = hub.signed_in()
    for number in range(99):
        hub.post(browser, "/w/main/people", name=f"Person {number:02}", email=f"p{number}@example.org", role="editor")
    with connect(hub) as owner:
        (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
        people = [
            row[0]
            for row in owner.execute("SELECT person_id FROM people_membership WHERE workspace_id = %s", [workspace])
        ]
        for start in range(1, ENTRIES + 1, 50_000):
            values = {
                "w": str(workspace),
                "people": people,
                "all": ENTRIES,
                "a": start,
                "b": min(ENTRIES, start + 49_999),
            }
            owner.execute(_FILL, values)
        wait_for(
            lambda: owner.execute("SELECT count(*) FROM ledger_place").fetchone()[0] >= ENTRIES,
            900,
            "not sealed in time",
        )
        # A million rows in one go leave vacuum and checkpoint work that a hub which grew to them has long behind it.
        owner.execute("VACUUM (ANALYZE)")
        owner.execute("CHECKPOINT")


def resident(hub: Hub) -> float:
    """MB of proportional memory (PSS, so that shared buffers count once) of everything that belongs to the hub."""
    total = 0
    assert hub.child is not None
    family = {hub.child.pid}
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    grown = True
    while grown:
        found = {pid for pid, parent in parents.items() if parent in family} - family
        family |= found
        grown = bool(found)
    for pid in family:
        try:
            for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if row.startswith("Pss:"):
                    total += int(row.split()[1])
        except OSError:
            continue
    return total / 1024


def measure() -> Iterator[dict[str, Any]]:
    with running_hub() as hub:
        time.sleep(3)
        yield line("memory", "at rest, everything included (PSS)", resident(hub), 500, "less", "MB")
        yield from viewers(hub)
        fill(hub)
        cookies = dict(hub.signed_in().cookies)
        for name, path in (
            ("Overview", "/w/main/"),
            ("Audit", "/w/main/audit"),
            ("Audit, filtered", "/w/main/audit?what=roles&when=yesterday"),
        ):
            with httpx.Client(base_url=hub.url, cookies=cookies, timeout=30) as client:
                for _ in range(5):
                    client.get(path)
                times = []
                for _ in range(60):
                    begun = time.perf_counter()
                    assert client.get(path).status_code == 200
                    times.append((time.perf_counter() - begun) * 1000)
            yield line(
                "pages",
                f"{name}, {ENTRIES} entries, 100 people, one client, median",
                statistics.median(times),
                100,
                "less",
                "ms",
            )
        for name, path in (("Overview", "/w/main/"), ("Audit", "/w/main/audit")):
            p99 = asyncio.run(open_loop(hub.url + path, cookies, 20, 15))
            yield line("pages", f"{name}, open loop at 20/s, p99", p99, 400, "less", "ms")


async def open_loop(url: str, cookies: dict[str, str], per_second: int, seconds: int) -> float:
    """Requests begin at their time whether or not others have ended; answers the 99th percentile in ms."""
    times: list[float] = []

    async def one(client: httpx.AsyncClient, at: float) -> None:
        await asyncio.sleep(max(0, at - time.perf_counter()))
        answer = await client.get(url)
        assert answer.status_code == 200
        times.append((time.perf_counter() - at) * 1000)

    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50)
    async with httpx.AsyncClient(cookies=cookies, timeout=60, limits=limits) as client:
        begun = time.perf_counter() + 0.5
        await asyncio.gather(*(one(client, begun + n / per_second) for n in range(per_second * seconds)))
    return statistics.quantiles(times, n=100)[98]


def viewers(hub: Hub, count: int = 500) -> Iterator[dict[str, Any]]:
    """Idle live viewers: their memory, and the database connections they hold."""
    cookies = dict(hub.signed_in().cookies)
    with connect(hub) as owner:
        (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
        before, sessions = (
            resident(hub),
            owner.execute("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'watchbill%%'").fetchone()[0],
        )
        held = asyncio.run(hold(hub, cookies, str(workspace), count, owner))
    yield line("memory", f"{count} idle live viewers", held[0] - before, 60, "less", "MB")
    yield line(
        "live", f"further database connections of {count} live viewers", held[1] - sessions, 16, "less", "connections"
    )


async def hold(hub: Hub, cookies: dict[str, str], workspace: str, count: int, owner: Any) -> tuple[float, int]:
    port = hub.port
    cookie = "; ".join(f"{key}={value}" for key, value in cookies.items())
    streams = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /live?w={workspace} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode())
        await writer.drain()
        status = await reader.readline()
        assert b"200" in status, status
        streams.append((reader, writer))
    await asyncio.sleep(3)
    found = (
        resident(hub),
        owner.execute("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'watchbill%%'").fetchone()[0],
    )
    for _, writer in streams:
        writer.close()
    return found
