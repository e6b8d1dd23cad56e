"""Web, worker and PostgreSQL are killed at random while hundreds of alerts a second come in, pages go out, and people acknowledge them.

Every alert that was answered is there once; every page that was due was attempted; no attempt began after an acknowledgement that was
answered; of what nobody knows, it says so.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from tests.incidents.test_a_real_night import Time, rows
from tests.intake.test_what_is_answered_is_there import owner, write
from tests.night import BINDINGS, example_files
from tests.peers.mail import Mail
from tests.server.hub import Hub, running, wait_for

pytestmark = pytest.mark.process
#: Alerts in one request, senders, and how long each rests after a request: together some hundred alerts a second.
BATCH, SENDERS, REST = 90, 3, 0.12


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running("kills", WATCHBILL_OUTBOUND="127.0.0.1", WATCHBILL_RATE="100000") as made:
        yield made


def set_up(hub: Hub, browser: httpx.Client, mail: Mail) -> str:
    """The example handbook pages one person by mail; answers where alerts are sent to."""
    made = write(
        browser, "/api/v1/workspaces/main/people", {"name": "Edo", "email": "edo@kills.test", "role": "responder"}
    )
    for name in BINDINGS:
        body = {"name": name, "target_kind": "person", "target_id": made.json()["id"]}
        assert write(browser, "/api/v1/workspaces/main/bindings", body, "PUT").status_code in (200, 201)
    files, lock, config = example_files()
    book = {"files": [{"path": path, "text": text} for path, text in files], "lock": lock, "config": config}
    applied = write(browser, "/api/v1/workspaces/main/handbook", book)
    assert applied.status_code in (200, 201), applied.text
    channel = {"kind": "email", "name": "Mail", "config": mail.config()}
    assert write(browser, "/api/v1/workspaces/main/channels", channel).status_code == 201
    source = str(write(browser, "/api/v1/workspaces/main/integrations", {"name": "Load"}).json()["url"])
    return hub.url + "/intake/" + source.partition("/intake/")[2]


def alert(name: str, instance: str, severity: str) -> dict[str, Any]:
    labels = {"alertname": name, "service": "web", "instance": instance, "severity": severity}
    return {"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat()}


class Crew:
    """Those who send and those who acknowledge, while processes die."""

    def __init__(self, hub: Hub, url: str, clock: Time, seed: int) -> None:
        self.hub, self.url, self.clock, self.seed = hub, url, clock, seed
        self.stop = threading.Event()
        self.answered: list[str] = []
        self.paging: list[str] = []
        #: incident number → when the hub had answered that it is acknowledged, by the hub's clock.
        self.acknowledged: dict[int, float] = {}

    def send(self, name: str, alerts: list[dict[str, Any]]) -> bool:
        """One request that does not give up, as Alertmanager does not. Says whether it was answered."""
        content = json.dumps({"version": "4", "groupKey": name, "alerts": alerts}).encode()
        while True:
            try:
                if httpx.post(self.url, content=content, timeout=10).status_code == 200:
                    return True
            except httpx.HTTPError:
                pass
            if self.stop.is_set():
                return False
            time.sleep(0.05)

    def flood(self, number: int) -> None:
        """Notes that page nobody."""
        turn = 0
        while not self.stop.is_set():
            turn += 1
            names = [f"{number}-{turn}-{one}" for one in range(BATCH)]
            if self.send(f"Note{number}", [alert(f"Note{number}", name, "info") for name in names]):
                self.answered += names
            self.stop.wait(REST)

    def page(self) -> None:
        """Something that pages somebody, again and again."""
        turn = 0
        while not self.stop.is_set():
            turn += 1
            name = f"Page{turn}"
            if self.send(name, [alert(name, "x", "critical")]):
                self.paging.append(name)
            self.stop.wait(0.25)

    def acknowledge(self, browser: httpx.Client) -> None:
        """Somebody acknowledges most of what is open, as soon as it is seen; some of it never."""
        chance, seen = random.Random(self.seed), set[int]()
        while not self.stop.is_set():
            try:
                found = browser.get("/api/v1/workspaces/main/incidents?state=open&limit=50", timeout=5).json()["items"]
                for one in found:
                    number = int(one["number"])
                    if number in seen or number in self.acknowledged:
                        continue
                    if chance.random() < 0.15:
                        seen.add(number)
                        continue
                    done = write(browser, f"/api/v1/workspaces/main/incidents/{number}", {"do": "acknowledge"})
                    if done.status_code == 200:
                        self.acknowledged[number] = time.time() + self.clock.seconds
                    break
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            self.stop.wait(0.15)


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_nothing_is_lost_and_nobody_is_paged_after_they_acknowledged(hub: Hub, rounds: int) -> None:
    seed = int(os.environ.get("WB_SOAK_SEED", random.randrange(10**9)))
    print(f"\nWB_SOAK_SEED={seed} rounds={rounds}")
    chance = random.Random(seed)
    with closing(hub.signed_in()) as browser, closing(hub.signed_in()) as other, Mail() as mail:
        # Kills meet messages that are under way; and five a minute to one person would be too few to meet many.
        mail.slow, clock = 0.15, Time(hub)
        crew = Crew(hub, set_up(hub, browser, mail), clock, seed)
        threads = [threading.Thread(target=crew.flood, args=(number,)) for number in range(SENDERS)]
        threads += [threading.Thread(target=crew.page), threading.Thread(target=crew.acknowledge, args=(other,))]
        begun, up = time.monotonic(), 0.0
        for each in threads:
            each.start()
        try:
            for number in range(rounds):
                lives = chance.uniform(0.3, 1.5)
                time.sleep(lives)
                up += lives
                victim = chance.choice(["web", "worker", "postgres"])
                if pid := hub.children().get(victim):
                    os.kill(pid, signal.SIGKILL)
                wait_for(
                    lambda: hub.ready() and forward(clock, 25),
                    60,
                    f"not ready after {victim} was killed in round {number} (seed {seed})",
                )
        finally:
            crew.stop.set()
            for each in threads:
                each.join(30)
        took = time.monotonic() - begun
        rate = len(crew.answered) / took
        print(
            f"{len(crew.answered)} notes ({rate:.0f}/s), {len(crew.paging)} pages, {len(crew.acknowledged)} acknowledged, {took:.0f} s"
        )
        # While everything is up it is some 1,400 a second; half of the time one of the three is dead.
        assert rate > 100, f"the hub was hardly reachable: {rate:.0f} alerts a second (seed {seed})"
        # Between two kills, while all three live.
        assert len(crew.answered) / up > 200, f"too little load: {len(crew.answered) / up:.0f} alerts a second"
        assert len(crew.acknowledged) >= rounds // 4
        settle(hub, crew, seed)
        check(hub, crew, mail, seed)


def forward(clock: Time, seconds: float) -> bool:
    """Moves the hub's clock, where its database answers."""
    try:
        clock.forward(seconds)
    except psycopg.Error:
        return False
    return True


def settle(hub: Hub, crew: Crew, seed: int) -> None:
    """Everything that came is understood; leases end, and what waited for its minute goes out."""
    wait_for(
        lambda: rows(hub, "SELECT count(*) FROM signals_arrival") == [(0,)],
        120,
        f"the inbox does not empty (seed {seed})",
    )
    wait_for(
        lambda: rows(hub, "SELECT count(*) FROM facts_delivery WHERE state = 'waiting'") == [(0,)],
        120,
        f"facts wait (seed {seed})",
    )
    clock, left = (
        crew.clock,
        "SELECT count(*) FROM paging_delivery WHERE step = 1 AND round = 0 AND state IN ('waiting', 'sending')",
    )
    for _ in range(len(crew.paging)):
        clock.forward(61)
        due = "SELECT count(*) FROM paging_delivery WHERE state IN ('waiting', 'sending') AND due_at <= wb_now() AND coalesce(leased_until, due_at) <= wb_now()"
        wait_for(lambda due=due: rows(hub, due) == [(0,)], 60, f"what is due does not go out (seed {seed})")
        if rows(hub, left) == [(0,)]:
            return
    raise AssertionError(f"{rows(hub, left)} first messages never went out (seed {seed})")


def check(hub: Hub, crew: Crew, mail: Mail, seed: int) -> None:
    with owner(hub) as session:
        there = [
            row[0]
            for row in session.execute(
                "SELECT labels->>'instance' FROM signals_alert WHERE labels->>'severity' = 'info'"
            )
        ]
        assert set(crew.answered) <= set(there), f"lost: {sorted(set(crew.answered) - set(there))[:3]} (seed {seed})"
        assert len(there) == len(set(there)), f"each is present once (seed {seed})"
        counted = session.execute(
            "SELECT key, firing, (SELECT count(*) FROM signals_alert a WHERE a.group_id = g.id AND a.firing) FROM signals_group g"
        ).fetchall()
        assert all(firing == real for _, firing, real in counted), f"groups count what fires (seed {seed})"
        incidents = dict(session.execute("SELECT split_part(title, ':', 1), number FROM incidents_incident").fetchall())
        assert set(crew.paging) <= set(incidents), (
            f"no incident of {sorted(set(crew.paging) - set(incidents))[:3]} (seed {seed})"
        )
        # Every page that was due was attempted, or stopped with a reason.
        silent = session.execute(
            "SELECT i.number FROM incidents_incident i WHERE NOT EXISTS (SELECT 1 FROM paging_page p JOIN paging_delivery d ON d.page_id = p.id "
            "WHERE p.subject_id = i.id::text AND d.step = 1 AND d.method = 'email' AND (d.attempts > 0 OR d.stage <> ''))"
        ).fetchall()
        assert silent == [], f"incidents whose page was never attempted (seed {seed})"
        # The admins may be told more than once that the hub could not page: it was killed ten times.
        twice = session.execute(
            "SELECT subject_id FROM paging_page WHERE subject_kind = 'incident' GROUP BY subject_id HAVING count(*) > 1"
        ).fetchall()
        assert twice == [], f"one page of an incident (seed {seed})"
        # No attempt began after the hub had answered that it is acknowledged.
        late = []
        for number, at in crew.acknowledged.items():
            late += session.execute(
                "SELECT i.number, d.attempted_at, d.step FROM incidents_incident i JOIN paging_page p ON p.subject_id = i.id::text JOIN paging_delivery d ON d.page_id = p.id "
                "WHERE i.number = %s AND d.step >= 0 AND d.attempted_at > to_timestamp(%s)", [number, at],
            ).fetchall()  # fmt: skip
        assert late == [], f"paged after the acknowledgement (seed {seed})"
        # What nobody knows is said, once for each attempt.
        lost = session.execute("SELECT coalesce(sum(lost), 0) FROM paging_delivery").fetchone()
        said = session.execute("SELECT count(*) FROM paging_event WHERE what = 'outcome unknown'").fetchone()
        assert lost == said
        sent = session.execute(
            "SELECT coalesce(sum(attempts), 0) FROM paging_delivery WHERE method = 'email'"
        ).fetchone()
        assert sent is not None
        assert len(mail.got) <= sent[0], f"more mails than attempts (seed {seed})"
        print(f"{len(mail.got)} mails of {sent[0]} attempts, {lost} of them lost")
