"""What goes wrong while a page is sent: senders that die, servers that hang, answer nonsense, or take it and never confirm; acknowledgements in between."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from tests.cast import Cast, as_worker
from tests.night import Night, night
from tests.peers.twilio import Script
from watchbill.outbound import client, mail
from watchbill.paging.channels.webhook.channel import WEBHOOK
from watchbill.paging.message import Message, Temporary
from watchbill.paging.sending import _claim, _hold
from watchbill.paging.turns import take_turn

SECRET = "whsec_" + "QUJD" * 8


@contextmanager
def server(*answers: bytes, hang: float = 0) -> Iterator[int]:
    """Takes connections and says these bytes to each, whatever it is asked; or nothing at all, for a while."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            with taken:
                for answer in answers:
                    taken.sendall(answer)
                if hang:
                    stop.wait(hang)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        listener.close()


def webhook(port: int) -> None:
    WEBHOOK.send("webhook", "", Message("1", "t"), {"url": f"http://127.0.0.1:{port}/"}, SECRET)


GARBAGE = [b"", b"\x00\xff\xfe garbage", b"HTTP/1.1 999 Odd\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", b"HTTP/1.1 abc\r\n\r\n", b"220 smtp.example.org ESMTP\r\n"]  # fmt: skip


@pytest.mark.parametrize("answer", GARBAGE)
def test_a_server_that_answers_nonsense_is_tried_again(answer: bytes) -> None:
    with server(answer) as port, pytest.raises(Temporary):
        webhook(port)


def test_a_server_that_hangs_holds_up_a_sender_for_seconds_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.fetch, "__kwdefaults__", {**(client.fetch.__kwdefaults__ or {}), "seconds": 0.5})
    begun = time.monotonic()
    with server(hang=30) as port, pytest.raises(Temporary):
        webhook(port)
    # A server that drips is bounded as a whole, not byte by byte.
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", hang=30) as port, pytest.raises(Temporary):
        webhook(port)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\xff\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"220 hello\r\n250 but\r\n999 what\r\n"]
)
def test_a_mail_server_that_is_none_is_tried_again_and_the_next_method_serves(
    cast: Cast, db: Any, answer: bytes
) -> None:
    with night(cast, db, edo=Script("answer", "1")) as it, server(answer) as port:
        it.set_up()
        db.run(
            "UPDATE paging_channel SET config = config || jsonb_build_object('port', %s::text) WHERE kind = 'email'",
            str(port),
        )
        it.fire()
        # It was not given up: it waits for its next attempt, or that came after the acknowledgement, on a slow machine.
        tried = it.rows(
            "SELECT attempts, state IN ('waiting', 'stopped') FROM paging_delivery WHERE method = 'email' AND target = 'Edo Editor' AND step > 0"
        )
        assert (1, True) in tried
        assert it.rows("SELECT acknowledged_via FROM paging_page WHERE subject_kind = 'incident'") == [("voice",)]


def test_a_mail_server_that_hangs_is_left_in_time(cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "SECONDS", 0.3)
    with night(cast, db, edo=Script("answer", "1")) as it, server(hang=30) as port:
        it.set_up()
        db.run(
            "UPDATE paging_channel SET config = config || jsonb_build_object('port', %s::text) WHERE kind = 'email'",
            str(port),
        )
        begun = time.monotonic()
        it.fire()
        assert time.monotonic() - begun < 15
        assert it.rows("SELECT acknowledged_via FROM paging_page WHERE subject_kind = 'incident'") == [("voice",)]


def test_what_is_taken_and_never_confirmed_does_not_stop_the_escalation(cast: Cast, db: Any, clock: Any) -> None:
    """Twilio takes the message and the call and says nothing more: after the step's time the next one is paged."""
    with night(cast, db, edo=Script("silence"), apo=Script("answer", "1")) as it:
        it.set_up()
        it.fire(service="web")
        for _ in range(4):
            clock.forward(minutes=3)
            it.run()
        assert it.rows(
            "SELECT state FROM paging_delivery WHERE method = 'sms' AND target = 'Edo Editor' AND round = 0"
        ) == [("sent",)]
        assert it.rows("SELECT state, step FROM paging_page WHERE subject_kind = 'incident'") == [("acknowledged", 2)]


def claimed(it: Night, cast: Cast) -> Any:
    """A test page whose first message is being sent by a sender that dies now."""
    from watchbill.paging.own import test_me

    it.set_up()
    with cast.acts(cast.ada) as by:
        page = test_me(by=by, workspace_id=cast.main)
    with as_worker():
        turn = take_turn()
        assert turn is not None
        with transaction.atomic():
            assert _claim(turn) is not None
    return page


def test_an_attempt_whose_sender_died_is_marked_and_sent_again(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        claimed(it, cast)
        clock.forward(seconds=61)
        it.run()
        assert it.rows("SELECT state, attempts, lost FROM paging_delivery WHERE lost IS NOT NULL") == [("sent", 2, 1)]
        ((why,),) = it.rows("SELECT why FROM paging_event WHERE what = 'outcome unknown'")
        assert "its sender ended while it was under way" in why


def test_an_attempt_whose_sender_died_stays_unknown_where_it_is_not_tried_again(
    cast: Cast, db: Any, clock: Any
) -> None:
    from watchbill.paging.commands import acknowledge

    with night(cast, db) as it:
        page = claimed(it, cast)
        with cast.acts(cast.ada) as by:
            acknowledge(by=by, workspace_id=cast.main, page_id=page.id)
        clock.forward(seconds=61)
        it.run()
        assert it.rows("SELECT state, stage, attempts FROM paging_delivery WHERE lost = 1") == [
            ("unknown", "settle", 1)
        ]
        assert it.mail.to("ada@example.org") == []


def test_no_attempt_begins_after_an_acknowledgement_that_is_committed(cast: Cast, db: Any) -> None:
    """An acknowledgement is under way when a sender comes: the sender waits for it, and then sends nothing."""
    from watchbill.paging.commands import acknowledge
    from watchbill.paging.own import test_me

    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            page = test_me(by=by, workspace_id=cast.main)
        got: list[Any] = []
        waits = threading.Event()

        def claim() -> None:
            with as_worker_in_thread():
                turn = take_turn()
                assert turn is not None
                waits.set()
                with transaction.atomic():
                    got.append(_claim(turn))

        with cast.acts(cast.ada) as by:
            acknowledge(by=by, workspace_id=cast.main, page_id=page.id)
            sender = threading.Thread(target=claim)
            sender.start()
            waits.wait(10)
            # It stands at the page's lock, which the acknowledgement holds until it is committed.
            deadline = time.monotonic() + 10
            blocked = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%FOR SHARE%%'"
            )
            while db.run(blocked) == [(0,)] and time.monotonic() < deadline:
                time.sleep(0.01)
            assert db.run(blocked) == [(1,)]
            assert got == []
        sender.join(20)
        assert got == [None]
        rows = it.rows("SELECT state, stage, attempts FROM paging_delivery WHERE method = 'email'")
        assert rows == [("stopped", "settle", 0)]


@contextmanager
def as_worker_in_thread() -> Iterator[None]:
    with as_worker():
        try:
            yield
        finally:
            connections["default"].close()


def test_two_workers_on_one_escalation_begin_each_step_once(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.paging.commands import sweep

    with night(cast, db, edo=Script("no-answer"), apo=Script("no-answer")) as it:
        it.set_up()
        it.fire(service="web")
        clock.forward(minutes=6)
        begin, done = threading.Barrier(4), []

        def work() -> None:
            with as_worker_in_thread():
                begin.wait(10)
                done.append(sweep())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(20)
        assert sum(done) == 1
        assert it.rows(
            "SELECT step, count(*) FROM paging_delivery WHERE method = 'email' AND target LIKE 'Apo%%' GROUP BY step"
        ) == [(2, 1)]
        assert it.rows(
            "SELECT count(*) FROM ledger_entry WHERE action = 'page.step' AND subject_kind = 'incident'"
        ) == [(2,)]


def test_a_page_that_is_over_is_not_held(cast: Cast, db: Any) -> None:
    """The hold reads the page anew: what changed between finding the message and holding its page counts."""
    from watchbill.paging.commands import end
    from watchbill.paging.models import Delivery
    from watchbill.paging.own import test_me

    with night(cast, db) as it:
        it.set_up()
        with cast.acts(cast.ada) as by:
            page = test_me(by=by, workspace_id=cast.main)
            stale = Delivery.objects.select_related("page").filter(page=page).first()
            assert stale is not None
            end(by=by, workspace_id=cast.main, page_id=page.id, why="over")
            assert stale.page.state == "running"
            assert _hold(stale).state == "ended"


def test_five_a_minute_hold_however_many_senders_there_are(cast: Cast, db: Any) -> None:
    """Eight pages to one person, four senders at once: five messages go out, the fifth says how many more wait, and those wait together."""
    from watchbill.paging.sending import send_one

    with night(cast, db, edo=Script("silence")) as it:
        it.set_up()
        db.run("DELETE FROM people_contact_method WHERE kind = 'phone'")
        it.mail.slow = 0.1
        with as_worker():
            for number in range(8):
                page_edo(it, number)
        begin = threading.Barrier(4)

        def work() -> None:
            with as_worker_in_thread():
                begin.wait(10)
                while send_one():
                    pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(30)
        assert len(it.mail.to("edo@example.org")) == 5
        assert it.rows("SELECT count(*) FROM paging_delivery WHERE state = 'sent'") == [(5,)]
        # All that wait do so until the same moment: they were not weighed one by one.
        assert it.rows(
            "SELECT count(*), count(DISTINCT due_at), min(reason) FROM paging_delivery WHERE state = 'waiting'"
        ) == [(3, 1, "5 messages went there in the last minute")]
        assert sum("3 more pages wait for you" in one for one in it.mail.to("edo@example.org")) == 1


def page_edo(it: Night, number: int) -> None:
    from watchbill.base.actor import system
    from watchbill.base.ids import uuid7
    from watchbill.paging.commands import start, told_once

    target = {"kind": "person", "id": str(it.cast.edo), "name": "", "why": "test"}
    start(
        by=system("worker"), workspace_id=it.cast.main, subject=("test", uuid7()), title=f"Page {number}",
        policy=told_once("Test", target),
    )  # fmt: skip
