"""A time zone is one that every machine knows by its name; for a name that is none, what was meant is said."""

import pytest

from watchbill.base.errors import Invalid
from watchbill.base.zones import meant
from watchbill.handbook.config import Config
from watchbill.people.values import clean_zone


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "UTC", "US/Pacific", "Europe/Kiev", "Etc/GMT+1", "America/Argentina/Buenos_Aires", "EST5EDT"],
)
def test_iana_names_are_taken(name: str) -> None:
    assert clean_zone(name) == name


@pytest.mark.parametrize(
    "name", ["localtime", "Factory", "posixrules", "", "Mars/Olympus", "../etc/passwd", "x" * 5000]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is no time zone") as error:
        clean_zone(name)
    assert error.value.hint == "Use a name such as Europe/Helsinki."
    if name in ("localtime", "Factory", "posixrules"):
        return
    with pytest.raises(ValueError, match="is no time zone"):
        Config.model_validate({"time_zone": name})


def test_a_handbook_that_is_stored_can_still_be_read() -> None:
    assert Config.model_validate({"time_zone": "Factory"}).time_zone == "Factory"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("europe/berlin", "Europe/Berlin"), ("EUROPE/BERLIN", "Europe/Berlin"), ("Europe/Berlin ", "Europe/Berlin"), ("america/new york", "America/New_York"),
        ("Berlin", "Europe/Berlin"), ("new york", "America/New_York"), ("Europe/Belrin", "Europe/Berlin"), ("utc", "UTC"), ("Ameria/Chicago", "America/Chicago"),
    ],
)  # fmt: skip
def test_what_was_meant_is_said(typed: str, name: str) -> None:
    assert meant(typed) == name
    with pytest.raises(Invalid) as error:
        clean_zone(typed)
    assert error.value.hint == f"Did you mean {name}?"
    with pytest.raises(ValueError, match=f"write {name}"):
        Config.model_validate({"time_zone": typed})
