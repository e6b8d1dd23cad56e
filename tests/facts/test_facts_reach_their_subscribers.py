"""At least once, effects once, visible, replayable."""

from typing import Any

import pytest
from django.db import transaction

from tests.cast import Cast, acting
from watchbill.base.errors import Broken
from watchbill.facts import publish as facts
from watchbill.facts.models import Delivery, Fact


@pytest.fixture
def heard(cast: Cast) -> Any:
    """A fact that is declared for the test, with a subscriber that can be made to fail."""
    calls: list[str] = []
    state = {"fail": 0}
    facts.declare("test.happened", "for the test", "n")

    @facts.subscribe("test.happened", "test.listener")
    def listen(fact: Fact) -> None:
        if state["fail"]:
            state["fail"] -= 1
            raise ValueError("mail to ada@example.org failed")
        calls.append(fact.data["n"])

    yield calls, state
    del facts.KINDS["test.happened"], facts.SUBSCRIBERS["test.listener"]


def publish(cast: Cast, n: str = "1") -> Fact:
    with acting(cast.ada):
        return facts.publish("test.happened", workspace_id=cast.main, subject=("x", "1"), data={"n": n})


def deliver(cast: Cast) -> int:
    """As the worker would; the app role stands in, being allowed the same on this table."""
    count = 0
    while True:
        with acting(cast.ada):
            if not facts.deliver_one():
                return count
        count += 1


def test_a_fact_is_delivered_once(cast: Cast, heard: Any) -> None:
    publish(cast)
    assert deliver(cast) == 1
    assert deliver(cast) == 0
    assert heard[0] == ["1"]


def test_a_fact_goes_with_its_transaction(cast: Cast, heard: Any) -> None:
    with acting(cast.ada):
        facts.publish("test.happened", workspace_id=cast.main, subject=("x", "1"), data={"n": "1"})
        transaction.set_rollback(True)
    assert deliver(cast) == 0


def test_a_failure_is_kept_masked_and_tried_again(cast: Cast, heard: Any, clock: Any) -> None:
    calls, state = heard
    state["fail"] = 1
    publish(cast)
    assert deliver(cast) == 1
    with acting(cast.ada):
        delivery = Delivery.objects.get()
        assert delivery.state == "waiting"
        assert "ada@example.org" not in delivery.error
        assert "a•••@e•••.org" in delivery.error
    assert calls == []
    clock.forward(seconds=10)
    assert deliver(cast) == 1
    assert calls == ["1"]


def test_after_many_failures_it_rests_and_can_be_replayed(cast: Cast, heard: Any, clock: Any) -> None:
    from watchbill.console.commands import replay_fact

    calls, state = heard
    state["fail"] = facts.MAX_ATTEMPTS
    fact = publish(cast)
    for _ in range(facts.MAX_ATTEMPTS):
        clock.forward(hours=2)
        deliver(cast)
    with acting(cast.ada):
        assert Delivery.objects.get().state == "failed"
    with cast.acts(cast.ada) as by:
        assert replay_fact(by=by, workspace_id=cast.main, fact_id=fact.id) == 1
    deliver(cast)
    assert calls == ["1"]


def test_two_workers_do_not_deliver_the_same_one(cast: Cast, heard: Any) -> None:
    import threading

    from django.db import connections

    for n in range(10):
        publish(cast, str(n))

    def work() -> None:
        deliver(cast)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard[0]) == [str(n) for n in range(10)]


def test_wrong_facts_are_refused(cast: Cast, heard: Any) -> None:
    with acting(cast.ada):
        with pytest.raises(Broken, match="not declared"):
            facts.publish("no.such", workspace_id=cast.main, subject=("x", "1"))
        with pytest.raises(Broken, match="exactly the keys"):
            facts.publish("test.happened", workspace_id=cast.main, subject=("x", "1"), data={"email": "a@b.c"})
    with pytest.raises(Broken, match="outside of a transaction"):
        facts.publish("test.happened", workspace_id=cast.main, subject=("x", "1"), data={"n": "1"})


def test_deactivation_ends_sessions_and_tokens_through_facts(cast: Cast, db: Any) -> None:
    from tests.cast import api, signed_in
    from watchbill.people.commands import deactivate_person

    browser, program = signed_in(cast.edo), api(cast.token(cast.edo))
    assert browser.get("/w/main/").status_code == 200
    assert program.get("/api/v1/me").status_code == 200
    with cast.acts(cast.ada) as by:
        deactivate_person(by=by, workspace_id=cast.main, person_id=cast.edo)
    assert browser.get("/w/main/").status_code == 302
    assert program.get("/api/v1/me").status_code == 401
    db.run("SELECT 1")
    deliver(cast)
    assert db.run("SELECT count(*) FROM signin_session WHERE person_id = %s", cast.edo) == [(0,)]


def test_an_erased_person_loses_their_way_in_and_what_was_said_of_them_elsewhere(cast: Cast, db: Any) -> None:
    """The one who erases sees one workspace; the worker, as itself, finishes everywhere."""
    from django.db import connections

    from tests.cast import ensure_alias, signed_in
    from watchbill.base.ids import uuid7
    from watchbill.ledger.append import append
    from watchbill.people.commands import erase_person

    signed_in(cast.edo)
    with acting(cast.sam):
        from watchbill.base.actor import Actor

        append(
            workspace_id=cast.other, by=Actor("person", cast.sam, "web"), action="note.made", subject=("person", cast.edo),
            personal={"name": "Edo Editor"}, about=[cast.edo],
        )  # fmt: skip
    db.run(
        "INSERT INTO socialaccount_socialaccount (provider, uid, last_login, date_joined, extra_data, user_id) "
        "SELECT 'x', %s, now(), now(), '{}', id FROM signin_login WHERE person_id = %s",
        str(uuid7()),
        cast.edo,
    )
    with cast.acts(cast.ada) as by:
        erase_person(by=by, workspace_id=cast.main, person_id=cast.edo)
    assert db.run("SELECT count(*) FROM ledger_payload WHERE body LIKE '%%Edo Editor%%'") == [(1,)]
    ensure_alias("worker")
    default = connections["default"]
    connections["default"] = connections["worker"]  # type: ignore[assignment]
    try:
        while facts.deliver_one():
            pass
    finally:
        connections["worker"].close()
        connections["default"] = default
    for table in ("signin_login", "signin_session", "signin_one_time_link", "socialaccount_socialaccount"):
        rows = db.run(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', f"%{cast.edo}%")
        assert rows == [(0,)], table
    assert db.run("SELECT count(*) FROM ledger_payload WHERE body LIKE '%%Edo Editor%%'") == [(0,)]


def test_a_subscriber_hears_only_of_what_it_is_about(cast: Cast) -> None:
    facts.declare("test.about", "for the test", "about")
    heard: list[str] = []
    try:
        facts.subscribe("test.about", "test.apples", about="apple")(lambda fact: heard.append(fact.subject_id))
        with acting(cast.ada):
            for number, kind in enumerate(("apple", "pear")):
                facts.publish("test.about", workspace_id=cast.main, subject=("x", number), data={"about": [kind, "1"]})
        assert deliver(cast) == 1
        assert heard == ["0"]
    finally:
        del facts.KINDS["test.about"], facts.SUBSCRIBERS["test.apples"]


def test_a_subscriber_to_what_a_fact_does_not_say_is_refused(heard: Any) -> None:
    with pytest.raises(Broken, match="does not say what it is about"):
        facts.subscribe("test.happened", "test.wrong", about="apple")(lambda fact: None)


class _Panic(BaseException):
    """As extensions written in Rust raise it."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a \0 and a lone \ud800"),
        RecursionError(),
        SystemExit(2),
        _Panic("index out of bounds"),
        MemoryError(),
    ],
)
def test_a_subscriber_that_fails_in_any_way_keeps_no_other_from_hearing(
    cast: Cast, heard: Any, clock: Any, error: BaseException
) -> None:
    def broken(fact: Fact) -> None:
        raise error

    facts.subscribe("test.happened", "test.a_broken_one")(broken)
    try:
        publish(cast)
        publish(cast, "2")
        assert deliver(cast) == 4, "each is tried once: what failed is not tried again at once"
        assert sorted(heard[0]) == ["1", "2"]
        with acting(cast.ada):
            rows = list(Delivery.objects.filter(subscriber="test.a_broken_one"))
        assert [one.state for one in rows] == ["waiting"] * 2
        assert all(one.error.startswith(type(error).__name__) for one in rows)
        assert all(one.due_at > clock.now() for one in rows)
    finally:
        del facts.SUBSCRIBERS["test.a_broken_one"]


def test_what_a_subscriber_breaks_at_the_end_of_its_transaction_is_its_own(cast: Cast, heard: Any, db: Any) -> None:
    """Foreign keys are checked at the commit; the delivery itself must not go down with that, for ever, before all others."""
    from django.db import connection

    from watchbill.base.ids import uuid7

    def broken(fact: Fact) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO people_team (id, workspace_id, slug, name, purpose, created_at) VALUES (%s, %s, 'x', 'x', '', wb_now())",
                [uuid7(), cast.main],
            )
            cursor.execute(
                "INSERT INTO people_team_member (id, workspace_id, team_id, person_id) VALUES (%s, %s, %s, %s)",
                [uuid7(), cast.main, uuid7(), cast.ada],
            )

    facts.subscribe("test.happened", "test.a_broken_one")(broken)
    try:
        publish(cast)
        assert deliver(cast) == 2
        assert heard[0] == ["1"]
        ((error,),) = db.run("SELECT error FROM facts_delivery WHERE subscriber = 'test.a_broken_one'")
        assert error.startswith("IntegrityError")
        assert db.run("SELECT count(*) FROM people_team WHERE slug = 'x'") == [(0,)]
    finally:
        del facts.SUBSCRIBERS["test.a_broken_one"]
