"""A feature above paging adds a look with its own codes; none of it has to be known to paging, and a forgotten code hides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cast import Cast
from watchbill.paging import ability as room
from watchbill.paging.ability import CODES, Place, Reason, ability, look
from watchbill.runtime.now import now


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test registers is forgotten afterwards."""
    monkeypatch.setattr(room, "_LOOKS", dict(room._LOOKS))
    monkeypatch.setattr(room, "CODES", dict(room.CODES))


def codes(cast: Cast) -> list[str]:
    with cast.acts(cast.edo):
        return [one.code for one in ability(cast.main, now()).reasons]


@pytest.mark.usefixtures("registry")
def test_a_look_brings_its_codes(cast: Cast, db: Any) -> None:
    @look("the kettle", codes={"no-water": "the kettle is empty"})
    def kettle(place: Place) -> Iterator[Reason]:
        yield place.reason("no-water", "note", "The kettle is empty.", "Fill it", "overview")

    assert room.CODES["no-water"] == "the kettle is empty"
    assert "no-water" in codes(cast)


@pytest.mark.usefixtures("registry")
def test_a_code_means_one_thing() -> None:
    with pytest.raises(ValueError, match="no-worker"):
        look("the kettle", codes={"no-worker": "nobody makes tea"})


@pytest.mark.usefixtures("registry")
def test_a_reason_whose_code_nobody_brought_is_shown_all_the_same(cast: Cast, db: Any) -> None:
    @look("the kettle")
    def kettle(place: Place) -> Iterator[Reason]:
        yield place.reason("forgotten", "broken", "The kettle is on fire.", "Put it out", "overview")

    assert "forgotten" in codes(cast)


def test_what_the_handbook_looks_at_is_brought_by_the_handbook() -> None:
    assert {"no-route", "severity-without-route"} <= set(CODES)
