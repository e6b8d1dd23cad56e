"""Incidents by words: a number with its prefix is that incident; without one, or where there is none, titles are looked at, too."""

import pytest

from tests.cast import Cast
from watchbill.incidents.commands import declare_incident
from watchbill.incidents.queries import access_incidents


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("INC-1", [1]),
        ("inc-1", [1]),
        ("INC-1 slow", [1]),
        ("INC-1 down", []),
        ("1", [3, 1]),
        ("INC-99", [3]),
        ("slow", [1]),
        ("99999999999", []),
        ("INC-", [3]),
    ],
)
def test_incidents_are_found_by_number_and_words(cast: Cast, words: str, numbers: list[int]) -> None:
    with cast.acts(cast.edo) as by:
        for title in ("Slow", "Down", "Follow-up of INC-1 and INC-99"):
            declare_incident(by=by, workspace_id=cast.main, title=title)
        assert [one.number for one in access_incidents(by, cast.main, words=words)] == numbers
