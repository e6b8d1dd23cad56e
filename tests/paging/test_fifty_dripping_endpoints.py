"""A real hub, fifty endpoints that drip in ten workspaces, and a critical page elsewhere: it goes out as if they were not there."""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import httpx
import pytest

from tests.incidents.test_kills_under_load import set_up
from tests.intake.test_what_is_answered_is_there import owner
from tests.peers.drips import attack, drips
from tests.peers.mail import Mail
from tests.peers.push import Push
from tests.server.hub import Hub, running, wait_for
from watchbill.paging import turns

pytestmark = pytest.mark.process
PAGES = 30
#: The most messages under way of one person, and of one workspace.
HELD = """
SELECT coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM held WHERE person_id IS NOT NULL GROUP BY person_id) AS t), 0),
    coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM held GROUP BY workspace_id) AS t), 0)
FROM (SELECT 1) AS one
""".replace("held", "(SELECT * FROM paging_delivery WHERE state = 'sending' AND leased_until > now()) AS held")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running("drips", WATCHBILL_OUTBOUND="127.0.0.1", WATCHBILL_RATE="100000") as made:
        yield made


def page_and_wait(hub: Hub, url: str, mail: Mail, name: str) -> float:
    """Seconds from an alert to its mail."""
    told = [{"status": "firing", "labels": {"alertname": name, "service": name, "severity": "critical"}, "startsAt": datetime.now(UTC).isoformat()}]  # fmt: skip
    begun = time.monotonic()
    assert httpx.post(url, json={"version": "4", "groupKey": name, "alerts": told}, timeout=10).status_code == 200
    wait_for(lambda: any(name in str(one["Subject"]) for _, one in mail.got), 30, f"no mail about {name}")
    return time.monotonic() - begun


def test_fifty_endpoints_that_drip_hold_up_nobody_elses_critical_page(hub: Hub) -> None:
    """As tests of their own pages, which are never critical; then as critical pages, which all of these drips are."""
    with closing(hub.signed_in()) as browser, Mail() as mail, Push() as push, drips() as slow, owner(hub) as connection:
        url = set_up(hub, browser, mail)
        page_and_wait(hub, url, mail, "Before")
        for kind, most in (("test", turns.HUB[2]), ("group", turns.HUB[1])):
            workspaces = attack(connection, slow.port, push.subscription(), kind)
            wait_for(lambda wanted=most - 2: slow.open >= wanted, 60, "the endpoints are not asked")
            times = []
            for number in range(PAGES):
                # Five a minute go to one person; this is about the senders.
                connection.execute(
                    "UPDATE paging_delivery SET sent_at = sent_at - interval '2 minutes' WHERE sent_at IS NOT NULL"
                )
                times.append(page_and_wait(hub, url, mail, f"Critical-{kind}-{number:02}"))
                held = connection.execute(HELD).fetchone()
                assert held[0] <= 1
                assert held[1] <= turns.WORKSPACE[0]
            assert sorted(times)[int(PAGES * 0.99)] < 2, sorted(times)
            ((waiting,),) = connection.execute(
                "SELECT count(*) FROM paging_delivery WHERE workspace_id = ANY(%s) AND state IN ('waiting', 'sending')",
                [workspaces],
            ).fetchall()
            assert waiting > 50
        assert hub.ready()
