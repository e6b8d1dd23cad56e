"""One mapping of one integration holds up no other one: what it may cost has an end, when it is made and when it is used."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cast import Cast
from tests.signals.test_nothing_stops_the_intake import alert, drain, put, source, titles
from watchbill.base.errors import Invalid
from watchbill.intake.generic.adapter import read
from watchbill.signals.commands import create_source
from watchbill.signals.expressions import Budget, TooLarge, find
from watchbill.signals.mapping import clean_mapping

AT = datetime(2026, 11, 26, tzinfo=UTC)
DOUBLED = "what|" + "|".join(["[@,@]"] * 21)
EXPENSIVE = [
    DOUBLED,
    "what|" + "|".join(["[@,@]"] * 11),
    "[@,@][]|" * 11 + "@",
    "[@,@,@,@,@,@,@,@,@,@,@,@][]|" * 5 + "@",
    "[@,@,@,@,@,@,@,@,@,@]|" * 8 + "to_string(@)",
    "what|" + "|".join(["join(@,[@,@,@,@,@,@])"] * 6),
    "what|" + "|".join(["to_string([@,@,@])"] * 6),
    "[@,@,@,@,@,@,@,@]|" * 8 + "contains(@, `[]`)",
    "[[@,@,@,@,@,@,@]|" + "[@,@,@,@,@,@,@]|" * 5 + "@, @]|[0]==[0]",
    "(" * 480 + "a" + ")" * 480,
    "a" * 5000,
    "|".join(["a"] * 400),
]


def mapped(title: str, **more: Any) -> dict[str, Any]:
    return {"mapping": {"alerts": "events[]", "title": title, "labels": {}, "resolved": [], **more}}


@pytest.mark.parametrize("expression", EXPENSIVE, ids=range(len(EXPENSIVE)))
def test_no_expression_costs_more_than_it_may(expression: str) -> None:
    """Stored by a release before, or new: a moment, and never a page of memory that doubles."""
    body = json.dumps({"events": [{"what": "aaaa" * 20, "n": [1, 2, 3]}] * 800}).encode()
    for config in (mapped(expression), mapped("what", alerts=expression), mapped("what", labels={"l": expression})):
        start = time.process_time()
        with suppress(Invalid):
            assert len(read(body, AT, config)) <= 800
        assert time.process_time() - start < 5


def test_a_mapping_beyond_the_bounds_is_refused_when_it_is_made_with_the_reason() -> None:
    with pytest.raises(Invalid, match=r"title: .* is too large: it has 21 lists"):
        clean_mapping({"title": DOUBLED})
    with pytest.raises(Invalid, match=r"labels\.x: .* is too large: it has 5,000 characters"):
        clean_mapping({"title": "a", "labels": {"x": "a" * 5000}})
    with pytest.raises(Invalid, match="levels"):
        clean_mapping({"title": "!" * 60 + "a"})
    with pytest.raises(Invalid, match="no JMESPath"):
        clean_mapping({"title": "a["})


def test_mappings_as_people_write_them_find_what_they_found() -> None:
    import jmespath

    told = {"a": [{"b": 1, "c": "x"}, {"b": 2, "c": "y", "d": [[1], [2, 3]]}], "o": {"k": "v", "z": None}}
    for expression in (
        "a[?b==`2`].c | [0]", "a[*].{n: b, t: c}", "join(', ', a[].c)", "o.*", "a[1].d[]", "a[::-1].c", "sort_by(a, &b)[0].c",
        "a[?b > `1` && contains(c, 'y')]", "!o.z", "o.z || o.k", "merge(o, {x: 'y'})", "map(&b, a)", "length(a)", "to_string(a)",
        "a[?c < 'y']", "a[0] == a[1]", "max_by(a, &b).c", "not_null(o.z, o.k)", "keys(o)", "a[?!d].c",
    ):  # fmt: skip
        assert find(expression, told, Budget()) == jmespath.search(expression, told), expression
        clean_mapping({"title": expression})


def test_a_large_structure_is_no_title_and_costs_only_what_needs_it() -> None:
    body = json.dumps({"events": [{"what": "Good", "all": list(range(9000))}, {"what": list(range(9000))}]}).encode()
    found = read(body, AT, mapped("what", labels={"all": "all"}))
    assert [one.labels for one in found] == [{"alertname": "Good"}]
    assert "too large to be text" in "; ".join(found.problems)


def test_a_budget_is_one_for_the_whole_arrival() -> None:
    budget = Budget(10)
    for _ in range(10):
        find("a", {}, budget)
    with pytest.raises(TooLarge):
        find("a", {}, budget)


def test_a_stored_mapping_beyond_the_bounds_keeps_nobody_from_being_heard(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        bomb, _ = create_source(
            by=by, workspace_id=cast.main, protocol="json", name="Bomb", config={"mapping": {"title": "what"}}
        )
    db.run("UPDATE signals_source SET config = %s WHERE id = %s", json.dumps(mapped(DOUBLED)), bomb.id)
    put(db, bomb, raw=json.dumps({"events": [{"what": "aaaa"}] * 800}).encode())
    put(db, source(cast), alert("Heard"))
    drain()
    assert titles(db) == {"Heard: checkout"}
    ((problem,),) = db.run("SELECT last_problem FROM signals_source WHERE id = %s", bomb.id)
    assert "is too large: it has 21 lists" in problem
