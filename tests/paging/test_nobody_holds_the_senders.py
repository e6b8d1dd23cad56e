"""Servers that drip hold a sender each until the deadline. Nobody gets so many of them that another's critical page waits."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connections, transaction

from tests.cast import Cast, as_worker
from tests.night import night
from watchbill.base.errors import TooMany
from watchbill.base.ids import uuid7
from watchbill.paging import sending, turns
from watchbill.paging.models import Delivery
from watchbill.paging.own import test_me as ask_for_a_test
from watchbill.paging.rules import LEASE, SEND_SECONDS, SENDERS
from watchbill.paging.sending import send_one
from watchbill.paging.turns import CHANNEL, HUB, WORKSPACE, Turn, take_turn
from watchbill.runtime.isolation import failures
from watchbill.runtime.lag import DELIVERIES, due_deliveries, lag, measure, stops_all
from watchbill.server.senders import Senders


class Queue:
    """Messages that are due, as rows; what a sender takes is not sent but stays under way, as with a server that drips."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.channels: dict[UUID, UUID] = {}

    def workspace(self) -> UUID:
        made = uuid7()
        self.db.run(
            "INSERT INTO people_workspace (id, slug, name, time_zone, require_mfa, created_at) VALUES (%s, %s, 'W', 'UTC', false, wb_now())",
            made, f"w{made.hex[-12:]}",
        )  # fmt: skip
        self.channels[made] = self.channel(made)
        return made

    def channel(self, workspace: UUID) -> UUID:
        made = uuid7()
        self.db.run(
            "INSERT INTO paging_channel (id, workspace_id, kind, name, config, secret, created_at, last_problem) VALUES (%s, %s, 'push', %s, '{}', '', wb_now(), '')",
            made, workspace, str(made),
        )  # fmt: skip
        return made

    def page(self, workspace: UUID, *, critical: bool = False) -> UUID:
        made = uuid7()
        self.db.run(
            "INSERT INTO paging_page (id, workspace_id, subject_kind, subject_id, title, text, url, why, labels, urgency, shadow, policy, state, round, step, started_at, ended_why, acknowledged_via) "
            "VALUES (%s, %s, %s, %s, 'Page', '', '', '', '{}', 'high', false, '{}', 'running', 0, 1, wb_now(), '', '')",
            made, workspace, "incident" if critical else "test", str(made),
        )  # fmt: skip
        return made

    def due(
        self, workspace: UUID, person: UUID | None = None, *, priority: int = 2, channel: UUID | None = None, count: int = 1, page: UUID | None = None, after: str = "0 s",
    ) -> None:  # fmt: skip
        """Messages that have been due since a second ago."""
        self.db.run(
            "INSERT INTO paging_delivery (id, workspace_id, page_id, round, step, person_id, target, why, method, channel_id, address, position, state, stage, reason, attempts, due_at, provider_id, made_at, priority) "
            "SELECT gen_random_uuid(), %s, %s, 0, 1, %s, 't' || n || %s, '', 'push', %s, '', 0, 'waiting', '', '', 0, wb_now() - interval '1 s' + %s::interval, '', wb_now(), %s FROM generate_series(1, %s) AS n",
            workspace, page or self.page(workspace, critical=priority < 2), person, str(uuid7()), channel or self.channels[workspace], after, priority, count,
        )  # fmt: skip

    def held(self) -> list[tuple[UUID, UUID, UUID, int]]:
        """Workspace, channel, person and priority of what is under way."""
        return self.db.run(  # type: ignore[no-any-return]
            "SELECT workspace_id, channel_id, person_id, priority FROM paging_delivery WHERE state = 'sending' AND leased_until > wb_now()"
        )


@pytest.fixture
def queue(db: Any) -> Queue:
    return Queue(db)


@contextmanager
def a_sender() -> Iterator[None]:
    with as_worker():
        try:
            yield
        finally:
            connections["default"].close()


def take(most: int = 100) -> list[Turn]:
    """Takes what may be taken, and holds it as a sender that waits does."""
    found = []
    with as_worker():
        while len(found) < most and (turn := take_turn()) is not None:
            found.append(turn)
            hold(turn)
    return found


def hold(turn: Turn) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE paging_delivery SET attempted_at = wb_now(), attempts = attempts + 1, leased_until = wb_now() + %s WHERE id = %s",
            [LEASE, turn.id],
        )


def test_a_person_has_one_sender_whatever_they_add(queue: Queue) -> None:
    """Five browsers, tested twice; and in another workspace, too."""
    person, here, there = uuid7(), queue.workspace(), queue.workspace()
    queue.due(here, person, count=10)
    queue.due(there, person, count=5)
    queue.due(here, person, priority=0)
    assert len(take()) == 1
    # What is critical goes first.
    assert [one[3] for one in queue.held()] == [0]


def test_a_workspace_has_half_of_them_and_a_channel_fewer(queue: Queue) -> None:
    here, there = queue.workspace(), queue.workspace()
    for _ in range(SENDERS):
        queue.due(here, uuid7(), priority=0)
        queue.due(here, uuid7(), priority=0, channel=queue.channel(here))
    assert len(take()) == WORKSPACE[0] == SENDERS // 2
    queue.due(there, uuid7(), priority=0)
    assert len(take()) == 1
    for _ in range(SENDERS):
        # Nobody in person: a chat channel or a webhook.
        queue.due(there, None, priority=0)
    assert len(take()) == CHANNEL[0] - 1 < WORKSPACE[0] - 1
    # What goes by another channel of the same workspace still goes.
    other = queue.channel(there)
    queue.due(there, uuid7(), priority=0, channel=other)
    assert len(take()) == 1
    assert other in {one[1] for one in queue.held()}


def test_a_workspaces_tests_leave_senders_to_its_own_critical_pages(queue: Queue) -> None:
    """Eight viewers with browsers that drip press Test my pages: the workspace's critical mail and even its push go at once."""
    here = queue.workspace()
    mail = queue.channel(here)
    for _ in range(8):
        queue.due(here, uuid7(), count=10)
    assert len(take()) == CHANNEL[2]
    for _ in range(8):
        queue.due(here, uuid7(), channel=mail)
    assert len(take()) == WORKSPACE[2] - CHANNEL[2], "all that can wait"
    queue.due(here, uuid7(), priority=1, channel=mail)
    queue.due(here, uuid7(), priority=1, channel=mail)
    queue.due(here, uuid7(), priority=1)
    queue.due(here, uuid7(), priority=0, channel=mail)
    assert len(take()) == 4
    assert Counter(one[3] for one in queue.held()) == {2: WORKSPACE[2], 1: 3, 0: 1}


def test_critical_pages_that_drip_leave_senders_to_the_workspaces_other_channels(queue: Queue) -> None:
    """One push service drips for a whole team, about a real incident: mail to the same workspace goes at once, and what is known to arrive."""
    here = queue.workspace()
    mail = queue.channel(here)
    for _ in range(SENDERS):
        queue.due(here, uuid7(), priority=1)
    assert len(take()) == CHANNEL[1]
    for _ in range(SENDERS):
        queue.due(here, uuid7(), priority=1, channel=mail)
    assert len(take()) == WORKSPACE[1] - CHANNEL[1] > 0
    queue.due(here, uuid7(), priority=0, channel=mail)
    assert len(take()) == 1


@pytest.mark.parametrize("limits", [HUB, WORKSPACE, CHANNEL])
def test_of_every_limit_something_is_kept_for_what_matters_more(limits: tuple[int, ...]) -> None:
    assert limits[0] > limits[1] > limits[2] > 0
    assert all(one < whole for one, whole in zip(CHANNEL, WORKSPACE, strict=True))
    assert all(one < whole for one, whole in zip(WORKSPACE, HUB, strict=True))


def test_one_dead_provider_leaves_the_workspaces_other_channels(queue: Queue) -> None:
    here = queue.workspace()
    dead, well = queue.channel(here), queue.channel(here)
    for _ in range(4):
        queue.due(here, uuid7(), priority=1, channel=dead)
        queue.due(here, uuid7(), priority=1, channel=well)
    take(4)
    assert Counter(one[1] for one in queue.held()).keys() == {dead, well}


def test_what_is_not_critical_leaves_senders_to_what_is(queue: Queue) -> None:
    """Fifty people in ten workspaces test pages that go to endpoints that drip."""
    for _ in range(10):
        workspace = queue.workspace()
        for _ in range(5):
            queue.due(workspace, uuid7(), count=3)
    assert len(take()) == HUB[2] < SENDERS
    elsewhere = queue.workspace()
    queue.due(elsewhere, uuid7(), priority=1)
    assert len(take()) == 1
    assert {one[0] for one in queue.held() if one[3] == 1} == {elsewhere}


def test_critical_pages_that_were_never_taken_leave_senders_to_those_that_were(queue: Queue) -> None:
    """The endpoints that drip are paged about real incidents: also then somebody whose messages arrive is not kept waiting."""
    for _ in range(10):
        workspace = queue.workspace()
        for _ in range(5):
            queue.due(workspace, uuid7(), priority=1, count=3)
    assert len(take()) == HUB[1] < SENDERS
    queue.due(queue.workspace(), uuid7(), priority=0)
    assert len(take()) == 1


def test_workspaces_take_turns(queue: Queue) -> None:
    first, second = queue.workspace(), queue.workspace()
    for _ in range(4):
        queue.due(first, uuid7(), priority=1)
    for _ in range(4):
        queue.due(second, uuid7(), priority=1, after="0.5 s")
    take(4)
    assert Counter(one[0] for one in queue.held()) == {first: 2, second: 2}


def test_what_can_wait_does_not_wait_for_ever(queue: Queue, clock: Any) -> None:
    """Critical pages come without end; after half a minute a test is no later than its age."""
    tested, busy = queue.workspace(), queue.workspace()
    queue.due(tested, uuid7())
    clock.forward(seconds=31)
    for _ in range(5):
        queue.due(busy, uuid7(), priority=1)
    take(1)
    assert [one[0] for one in queue.held()] == [tested]


def test_ten_thousand_messages_that_must_wait_are_jumped_over(queue: Queue) -> None:
    flooded, elsewhere = queue.workspace(), queue.workspace()
    page = queue.page(flooded)
    for _ in range(50):
        queue.due(flooded, uuid7(), count=200, page=page)
    for _ in range(20):
        queue.due(flooded, uuid7(), priority=0)
    queue.db.run("ANALYZE paging_delivery")
    assert len(take()) == CHANNEL[0]
    queue.due(elsewhere, uuid7(), priority=2)
    with as_worker(), connections["default"].cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + turns._PICK)
        (plan,) = cursor.fetchone()
    assert plan[0]["Execution Time"] < 50
    read = most_rows(plan[0]["Plan"])
    assert read < 200, f"{read} rows were read to pass over 10,000"
    begun = time.monotonic()
    assert len(take()) == 1
    assert time.monotonic() - begun < 1
    assert elsewhere in {one[0] for one in queue.held()}


def most_rows(plan: dict[str, Any]) -> int:
    """The most rows of deliveries that one part of a plan went through, those that it threw away included."""
    mine = 0
    if plan.get("Relation Name") == "paging_delivery":
        each = (
            plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        )
        mine = round(each * plan["Actual Loops"])
    return max([mine, *(most_rows(one) for one in plan.get("Plans", []))])


def test_the_limits_hold_however_many_take_at_once(queue: Queue) -> None:
    """Three workers' senders, all at the same moment."""
    people = {queue.workspace(): [uuid7() for _ in range(12)] for _ in range(4)}
    for workspace, persons in people.items():
        others = [queue.channel(workspace) for _ in range(3)]
        for number, person in enumerate(persons):
            queue.due(workspace, person, priority=0, count=4, channel=others[number % 3])
    begin, got = threading.Barrier(3 * SENDERS // 2), list[UUID]()

    def work() -> None:
        with a_sender():
            begin.wait(20)
            for _ in range(4):
                if (turn := take_turn()) is not None:
                    got.append(turn.id)

    threads = [threading.Thread(target=work) for _ in range(3 * SENDERS // 2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    held = queue.held()
    assert len(got) == len(set(got)) == len(held)
    assert max(Counter(one[2] for one in held).values()) == 1
    assert max(Counter(one[0] for one in held).values()) == WORKSPACE[0]
    assert max(Counter(one[1] for one in held).values()) <= CHANNEL[0]
    assert len(held) == 4 * WORKSPACE[0]


def test_a_dead_sender_holds_nothing_for_long(queue: Queue, clock: Any) -> None:
    person, here = uuid7(), queue.workspace()
    queue.due(here, person, count=2)
    (first,) = take()
    assert take() == []
    clock.forward(seconds=LEASE.total_seconds() + 1)
    (again,) = take()
    assert again.id == first.id
    assert again.lost


def test_a_sender_that_dies_before_its_attempt_has_lost_none(queue: Queue, clock: Any) -> None:
    queue.due(queue.workspace(), uuid7())
    with as_worker():
        turn = take_turn()
    assert turn is not None
    clock.forward(seconds=turns.TURN.total_seconds() + 1)
    (again,) = take()
    assert (again.id, again.lost) == (turn.id, False)


def test_who_waits_behind_their_own_messages_makes_nothing_late(queue: Queue, clock: Any) -> None:
    """Else endpoints that drip would stop the dead man's switch."""
    person, here, there = uuid7(), queue.workspace(), queue.workspace()
    queue.due(here, person, count=20, priority=1)
    clock.forward(minutes=5)
    assert [one.kind for one in stops_all()] == ["delivery"]
    take()
    assert stops_all() == []
    for _ in range(30):
        queue.due(here, uuid7(), priority=1)
    clock.forward(seconds=20)
    take()
    clock.forward(seconds=20)
    assert len(queue.held()) == CHANNEL[1]
    assert stops_all() == []
    # Somebody else's waits for no such reason: no sender has come round.
    queue.due(there, uuid7(), priority=0, after="-5 minutes")
    assert [one.kind for one in stops_all()] == ["delivery"]
    # Nor does it when those who held the senders have died.
    take()
    clock.forward(minutes=5)
    assert [one.kind for one in stops_all()] == ["delivery"]


def test_a_critical_message_is_not_excused_by_its_workspaces_tests(queue: Queue, clock: Any) -> None:
    """Tests that drip have all they may: others of the kind wait behind them, a critical message would be late."""
    here = queue.workspace()
    for _ in range(8):
        queue.due(here, uuid7(), count=3)
    take()
    clock.forward(seconds=40)
    queue.due(here, uuid7(), priority=1, after="-5 minutes")
    queue.due(here, uuid7(), after="-15 minutes")
    with as_worker():
        assert [(one.kind, one.count) for one in due_deliveries(here)] == [("delivery", 1)]
        assert [one.kind for one in stops_all()] == ["delivery"]
    assert len(take()) == 1
    with as_worker():
        assert stops_all() == []


def test_messages_that_can_wait_do_not_stop_the_dead_mans_switch(queue: Queue, clock: Any) -> None:
    """In a storm they go last: as long as what is critical goes out, this hub can page."""
    here = queue.workspace()
    queue.due(here, uuid7(), count=30)
    clock.forward(minutes=9)
    with as_worker():
        assert lag() == []
    clock.forward(minutes=2)
    with as_worker():
        assert [(one.kind, one.count) for one in lag()] == [("low_delivery", 30)]
        assert stops_all() == []
    queue.due(here, uuid7(), priority=1)
    clock.forward(seconds=61)
    with as_worker():
        assert [(one.kind, one.count) for one in stops_all()] == [("delivery", 1)]


def test_a_workspaces_late_messages_are_those_that_the_hub_calls_late(queue: Queue, clock: Any) -> None:
    """One predicate: who waits behind their own messages is late nowhere, and everybody else is late in both."""
    person, here, there = uuid7(), queue.workspace(), queue.workspace()
    queue.due(here, person, count=20, priority=1)
    take()
    clock.forward(seconds=30)
    queue.due(there, uuid7(), priority=0, after="-5 minutes")
    queue.due(there, uuid7(), after="-11 minutes")
    with as_worker():
        assert due_deliveries(here) == []
        mine = {(one.kind, one.count, one.late) for one in due_deliveries(there)}
        assert mine == {("delivery", 1, True), ("low_delivery", 1, True)}
        assert {(one.kind, one.count, one.late) for one in measure() if one.kind in DELIVERIES} == mine


def test_the_database_counts_senders_as_the_code_does(db: Any) -> None:
    """`wb_due_deliveries` has the limits of `turns.py` in it; a migration is never changed, so another limit needs another one."""
    ((text,),) = db.run("SELECT prosrc FROM pg_proc WHERE proname = 'wb_due_deliveries'")
    ((limits,),) = [re.findall(r"limits \(priority, hub, workspace, channel\) AS \(VALUES (.*)\)", text)]
    found = [tuple(int(one) for one in row.split(", ")) for row in re.findall(r"\(([\d, ]+)\)", limits)]
    assert found == [(place, *row) for place, row in enumerate(zip(HUB, WORKSPACE, CHANNEL, strict=True))]
    assert re.findall(r"full_persons .*count\(\*\) >= (\d+)", text) == [str(turns.ONE_PERSON)]
    priorities = Delivery.Priority
    assert f"('delivery', {priorities.PROVEN.value}, {priorities.CRITICAL.value})" in text
    assert f"('low_delivery', {priorities.CAN_WAIT.value}, " in text
    ((default,),) = db.run(
        "SELECT column_default FROM information_schema.columns WHERE table_name = 'paging_delivery' AND column_name = 'priority'"
    )
    assert int(default.strip("'").split("'")[0]) == priorities.CAN_WAIT


def test_what_somebody_else_is_changing_is_not_waited_for(queue: Queue, db: Any) -> None:
    here = queue.workspace()
    queue.due(here, uuid7(), priority=1)
    queue.due(here, uuid7(), priority=1, after="0.5 s")
    ((first,),) = db.run("SELECT id FROM paging_delivery ORDER BY due_at LIMIT 1")
    with as_worker(), transaction.atomic():
        connections["default"].cursor().execute("SELECT FROM paging_delivery WHERE id = %s FOR UPDATE", [first])
        got: list[Turn | None] = []

        def work() -> None:
            with a_sender():
                got.append(take_turn())

        one = threading.Thread(target=work)
        one.start()
        one.join(10)
        assert not one.is_alive()
    assert got[0] is not None
    assert got[0].id != first


def test_a_message_that_cannot_be_weighed_holds_up_no_other(
    cast: Cast, db: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with night(cast, db) as it:
        it.set_up()
        for person in (cast.ada, cast.edo):
            with cast.acts(person) as by:
                ask_for_a_test(by=by, workspace_id=cast.main)
        real = sending._look

        def poisoned(delivery: Any, page: Any, at: datetime) -> Any:
            if delivery.person_id == cast.ada:
                raise RuntimeError("poison")
            return real(delivery, page, at)

        mended = monkeypatch.context()
        with mended as patched:
            patched.setattr(sending, "_look", poisoned)
            with as_worker():
                while send_one():
                    pass
                clock.forward(seconds=2)
                while send_one():
                    pass
                assert {times for times, _ in failures("deliveries").values()} == {2}
                clock.forward(seconds=1.5)
                assert not send_one(), "each time it pauses longer"
        assert it.mail.to("edo@example.org") != []
        rows = it.rows(
            "SELECT DISTINCT state, attempts, due_at > wb_now() FROM paging_delivery WHERE person_id = %s AND channel_id IS NOT NULL",
            cast.ada,
        )
        assert rows == [("waiting", 0, True)]
        assert it.rows("SELECT unit, count(*) FROM runtime_failure GROUP BY unit") == [("deliveries", 2)]
        clock.forward(seconds=1)
        with as_worker():
            while send_one():
                pass
            assert failures("deliveries") == {}, "it works again: nothing is degraded any more"
        assert it.mail.to("ada@example.org") != []


def test_a_database_that_goes_while_a_message_is_sent_makes_no_second_one(
    cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender's connection is cut while it waits for the mail server, as by a restart of PostgreSQL."""
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.edo) as by:
            ask_for_a_test(by=by, workspace_id=cast.main)
        real = sending._attempt

        def cut(job: Any) -> Any:
            found = real(job)
            db.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watchbill_worker'")
            return found

        monkeypatch.setattr(sending, "_attempt", cut)
        with as_worker():
            while send_one():
                pass
        assert len(it.mail.to("edo@example.org")) == 1
        rows = it.rows("SELECT state, attempts, lost FROM paging_delivery WHERE method = 'email'")
        assert rows == [("sent", 1, None)]


def test_the_lease_is_longer_than_all_that_an_attempt_may_take() -> None:
    assert LEASE.total_seconds() >= SEND_SECONDS + 10


def test_critical_pages_come_first_and_those_that_arrive_before_them(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.vera) as by:
            ask_for_a_test(by=by, workspace_id=cast.main)
        it.fire()
        urgent = "SELECT d.priority FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id WHERE p.subject_kind = %s AND d.method = 'email'"
        assert set(it.rows(urgent, "test")) == {(2,)}
        assert set(it.rows(urgent, "incident")) == {(1,)}
        clock.forward(minutes=10)
        it.fire("AnotherThing", service="web")
        # The mail of ten minutes ago went out: this one's way is known to work.
        assert (0,) in it.rows(urgent, "incident")


def test_a_test_of_a_channel_goes_behind_what_wakes_somebody(cast: Cast, db: Any) -> None:
    """Whatever its urgency: the senders that are kept for critical pages are not for tests and codes."""
    from watchbill.paging.trying import test_channel as try_channel

    with night(cast, db) as it:
        it.set_up()
        ((channel,),) = it.rows("SELECT id FROM paging_channel WHERE kind = 'email'")
        with cast.acts(cast.ada) as by:
            try_channel(by=by, workspace_id=cast.main, channel_id=channel)
        tested = "SELECT DISTINCT p.urgency, d.priority FROM paging_delivery d JOIN paging_page p ON p.id = d.page_id WHERE p.subject_kind = 'channel'"
        assert it.rows(tested) == [("high", 2)]


def test_testing_ones_pages_has_a_limit(cast: Cast, db: Any, clock: Any) -> None:
    def test() -> None:
        with cast.acts(cast.vera) as by:
            ask_for_a_test(by=by, workspace_id=cast.main)

    for _ in range(5):
        test()
    with pytest.raises(TooMany, match="5 times in 5 minutes") as error:
        test()
    assert 0 < error.value.retry_after <= 300
    # Everybody has their own.
    with cast.acts(cast.edo) as by:
        ask_for_a_test(by=by, workspace_id=cast.main)
    clock.forward(seconds=error.value.retry_after)
    test()


def test_a_sender_that_waits_for_a_server_is_not_the_one_that_is_called() -> None:
    """Each that takes a message calls the next one, before it sends; who waits is passed over."""
    released, sending_now = threading.Event(), list[str]()
    due = threading.Semaphore(0)

    class Sleeper:
        def __init__(self) -> None:
            self.woken = threading.Event()

    def send(taken: Any) -> bool:
        if not due.acquire(blocking=False):
            return False
        taken()
        sending_now.append(threading.current_thread().name)
        released.wait(20)
        return True

    senders = Senders(3, send)
    loops = {name: Sleeper() for name in senders.names}
    senders.attach(loops)

    def run(name: str) -> None:
        step = senders.step(name)
        while not released.is_set():
            loops[name].woken.wait(20)
            loops[name].woken.clear()
            step()

    threads = [threading.Thread(target=run, args=(name,), name=name, daemon=True) for name in senders.names]
    for one in threads:
        one.start()
    for number in range(1, 4):
        due.release()
        senders.call()
        deadline = time.monotonic() + 10
        while len(sending_now) < number and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(sending_now) == number
    released.set()
    for loop in loops.values():
        loop.woken.set()
    assert sorted(sending_now) == list(senders.names)
