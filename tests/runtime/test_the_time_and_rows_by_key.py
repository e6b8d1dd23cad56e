"""The time of a transaction is asked for once and is never an older one's; rows by key are what the ORM reads, and are held."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from tests.cast import Cast, as_worker
from tests.night import night
from watchbill.incidents.models import Incident
from watchbill.paging.models import Channel, Delivery, Page
from watchbill.runtime.now import now
from watchbill.runtime.rows import row_of


@pytest.fixture
def asked(cast: Cast) -> Iterator[list[int]]:
    """How often the database was asked for its time."""
    found: list[int] = []

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        found.append(1) if "wb_now()" in sql else None
        return execute(sql, params, many, context)

    connection.ensure_connection()
    with connection.execute_wrapper(count):
        yield found


def test_it_stands_still_within_a_transaction_and_is_asked_for_once(asked: list[int]) -> None:
    with transaction.atomic():
        first = now()
        with transaction.atomic():
            assert now() == first
        assert now() == first
    assert len(asked) == 1


@pytest.mark.parametrize("end", ["commit", "rollback", "error"])
def test_the_next_transaction_has_its_own(asked: list[int], end: str) -> None:
    def once() -> Any:
        with transaction.atomic():
            found = now()
            if end == "rollback":
                transaction.set_rollback(True)
            if end == "error":
                raise ZeroDivisionError
            return found
        return found

    seen = []
    for _ in range(3):
        with contextlib.suppress(ZeroDivisionError):
            once()
        with transaction.atomic():
            seen.append(now())
    assert len(set(seen)) == 3
    assert len(asked) == 6


def test_outside_of_a_transaction_it_goes_on(asked: list[int]) -> None:
    with transaction.atomic():
        before = now()
    assert before < now() < now()
    with transaction.atomic():
        assert now() > before


def test_a_savepoint_that_is_rolled_back_keeps_the_time(cast: Cast) -> None:
    with transaction.atomic():
        first = now()
        with transaction.atomic():
            now()
            transaction.set_rollback(True)
        assert now() == first


def test_a_row_by_key_is_what_the_orm_reads(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        with as_worker():
            for model in (Incident, Page, Delivery, Channel):
                rows = list(model.objects.all())
                assert rows
                for row in rows:
                    found = row_of(model, row.pk)
                    assert found is not None
                    assert vars(found) | {"_state": None} == vars(row) | {"_state": None}
                    assert (found._state.db, found._state.adding) == (row._state.db, row._state.adding)
            assert row_of(Incident, "00000000-0000-7000-8000-000000000000") is None


def test_a_row_that_is_held_waits_for_nobody_else(cast: Cast, db: Any, clock: Any) -> None:
    """Who holds it has it alone; who holds it so that nobody changes it shares it with others who do."""
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        ((page,),) = it.rows("SELECT id FROM paging_page WHERE subject_kind = 'incident'")
        with as_worker(), transaction.atomic():
            row_of(Page, page, "SHARE")
            assert it.rows("SELECT 1 FROM paging_page WHERE id = %s FOR SHARE SKIP LOCKED", page) == [(1,)]
            assert it.rows("SELECT 1 FROM paging_page WHERE id = %s FOR UPDATE SKIP LOCKED", page) == []
        with as_worker(), transaction.atomic():
            row_of(Page, page, "UPDATE")
            assert it.rows("SELECT 1 FROM paging_page WHERE id = %s FOR SHARE SKIP LOCKED", page) == []
