"""``reopen_within`` of a route: read, bounded, planned, and no weakening either way."""

import pytest
from pydantic import ValidationError

from watchbill.handbook.plan import weaker
from watchbill.signals.rules import REOPEN_WITHIN, Route, reopen_window
from watchbill.signals.spec import Route as Spec
from watchbill.signals.spec import window_of


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("5 min", 300),
        ("PT90S", 90),
        ("1 hour", 3600),
        ("24 hours", 86400),
        ("1 day", 86400),
        (0, 0),
        ("0", 0),
        ("0 min", 0),
        ("PT1H", 3600),
    ],
)
def test_it_is_read(said: object, seconds: int) -> None:
    found = Spec.model_validate({"name": "R", "reopen_within": said}).reopen_within
    assert found is not None
    assert window_of(found) == seconds


@pytest.mark.parametrize(
    "said", ["25 hours", "2 days", "-5 min", "soon", "3 business days", "P1Y", [], {"duration": "x"}, -1]
)
def test_what_is_no_window_is_an_error(said: object) -> None:
    with pytest.raises(ValidationError):
        Spec.model_validate({"name": "R", "reopen_within": said})


def test_without_one_the_products_default_is_stamped() -> None:
    assert Spec.model_validate({"name": "R"}).reopen_within is None
    assert Route("k", "R", "live", ()).stamp()["reopen_within"] == REOPEN_WITHIN == 300
    assert Route("k", "R", "live", (), reopen_within=0).stamp()["reopen_within"] == 0
    assert reopen_window({}).total_seconds() == 300, "what was stamped before it was known"
    assert reopen_window({"reopen_within": 60}).total_seconds() == 60


def test_neither_longer_nor_shorter_weakens() -> None:
    short, long = {"duration": "PT1M"}, {"duration": "PT12H"}
    assert (
        weaker("reopen_within", short, long)
        == weaker("reopen_within", long, short)
        == weaker("reopen_within", long, None)
        == ""
    )
