"""Whoever was paged is not told that it is over while it may fire again; and who was told so anyway is paged again at once."""

from typing import Any

import pytest

from tests.cast import Cast
from tests.incidents.test_flapping_is_one_incident import flap, incidents, paged, set_window
from tests.night import Night, night


def calmed(it: Night, name: str) -> list[str]:
    """What somebody got by mail that says it is over."""
    return [text for text in it.mail.to(f"{name}@example.org") if text.startswith("Over:")]


def resolve(it: Night, clock: Any) -> None:
    it.fire(service="web", status="resolved", ends=clock.now().isoformat())


def test_three_flaps_within_half_a_minute_calm_nobody(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        flap(it, clock, fires=5, rests=4, count=3)
        clock.forward(seconds=301)
        it.run()
        assert incidents(it) == [("open", 3)]
        assert calmed(it, "edo") == []
        assert len(paged(it, "apo")) == 1, "the next step began by its time"


@pytest.mark.parametrize(("window", "wait"), [(None, 300), (600, 600), (60, 60)])
def test_the_end_is_told_once_when_the_window_has_gone_by(
    cast: Cast, db: Any, clock: Any, window: int | None, wait: int
) -> None:
    with night(cast, db) as it:
        it.set_up()
        set_window(it, window)
        it.fire(service="web", starts=clock.now().isoformat())
        flap(it, clock, fires=5, rests=4, count=2)
        clock.forward(seconds=5)
        resolve(it, clock)
        clock.forward(seconds=wait - 5)
        it.run()
        assert calmed(it, "edo") == []
        clock.forward(seconds=6)
        it.run()
        assert len(calmed(it, "edo")) == 1


def test_without_a_window_the_end_is_told_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        set_window(it, 0)
        it.fire(service="web", starts=clock.now().isoformat())
        resolve(it, clock)
        assert len(calmed(it, "edo")) == 1


def test_whoever_was_told_that_it_is_over_is_paged_again_at_once(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.incidents.commands import resolve as resolve_by_hand
    from watchbill.incidents.models import Incident

    with night(cast, db) as it:
        it.set_up().fire(service="web", starts=clock.now().isoformat())
        with cast.acts(cast.ada) as by:
            resolve_by_hand(by=by, workspace_id=cast.main, incident_id=Incident.objects.get().id)
        it.run()
        assert (len(calmed(it, "edo")), len(paged(it, "edo"))) == (1, 1)
        flap(it, clock, fires=20, rests=20, count=1)
        assert incidents(it)[0][0] == "open"
        assert len(paged(it, "edo")) == 2, "at once, though the first page is less than five minutes old"
        clock.forward(seconds=290)
        it.run()
        assert paged(it, "apo") == []
        clock.forward(seconds=11)
        it.run()
        assert len(paged(it, "apo")) == 1, "the next step counts from there"
