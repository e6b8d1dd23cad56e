"""Silences: what they hold back, why, until when; what still fires at their end pages then. Matchers are Alertmanager's."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, api, signed_in
from tests.night import night
from watchbill.base.errors import Denied, Invalid
from watchbill.signals.matchers import Matcher, holds, read_matcher, read_matchers
from watchbill.signals.rules import Quiet, Route, quiet_until, route_of
from watchbill.signals.silences import create_silence, end_silence

T0 = datetime(2026, 3, 28, 1, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ('service="checkout"', {"service": "checkout"}, True),
        ("service=checkout", {"service": "checkout"}, True),
        ('service="checkout"', {"service": "checkout2"}, False),
        ('service!="checkout"', {}, True),
        ('service=""', {}, True),
        ('service=~"check.*|pay"', {"service": "pay"}, True),
        ('service=~"check"', {"service": "checkout"}, False),
        ('service!~"check.*"', {"service": "mail"}, True),
        ('note="a \\"word\\""', {"note": 'a "word"'}, True),
        ('"odd name"="x"', {"odd name": "x"}, True),
    ],
)
def test_matchers_match_as_alertmanagers(text: str, labels: dict[str, str], expected: bool) -> None:
    assert read_matcher(text).holds(labels) is expected
    assert read_matcher(str(read_matcher(text))) == read_matcher(text) if " " not in read_matcher(text).name else True


@pytest.mark.parametrize("text", ["", "service", "=x", 'service=~"("', 'service="x', "1a=b", "a" * 2000])
def test_a_wrong_matcher_is_named(text: str) -> None:
    with pytest.raises(Invalid):
        read_matcher(text)


@given(st.sampled_from(["=", "!=", "=~", "!~"]), st.text(max_size=30))
def test_any_value_is_read_back_as_it_was_written(op: Any, value: str) -> None:
    made = Matcher("a", op, value)
    if op in ("=~", "!~"):
        try:
            read_matcher(str(made))
        except Invalid:
            return
    assert read_matcher(str(made)) == made


def test_an_expression_that_blows_up_elsewhere_takes_no_time_here() -> None:
    matcher = read_matcher('a=~"(x+x+)+y"')
    assert not matcher.holds({"a": "x" * 5000})


def test_the_first_route_that_fits_takes_an_alert() -> None:
    routes = [
        Route("1", "one", "shadow", tuple(read_matchers(["a=b"]))),
        Route("2", "two", "live", tuple(read_matchers(["a=c"]))),
        Route("3", "three", "live", ()),
    ]
    assert route_of(routes, {"a": "b"}).key == "3"  # type: ignore[union-attr]
    assert route_of(routes, {"a": "c"}).key == "2"  # type: ignore[union-attr]
    assert route_of(routes, {"a": "b"}, "shadow").key == "1"  # type: ignore[union-attr]
    assert route_of(routes[:1], {"a": "b"}) is None
    assert holds([], {})


@pytest.mark.parametrize(
    ("quiet", "at", "end"),
    [
        (Quiet(T0, T0 + timedelta(hours=2)), T0, T0 + timedelta(hours=2)),
        (Quiet(T0, T0 + timedelta(hours=2)), T0 + timedelta(hours=2), None),
        (Quiet(T0, T0 + timedelta(hours=2)), T0 - timedelta(seconds=1), None),
        # Every day from 02:00 to 04:00 in Berlin, also after the clocks went forward.
        (Quiet(T0, T0 + timedelta(hours=2), "day", "Europe/Berlin"), datetime(2026, 4, 2, 2, tzinfo=BERLIN), datetime(2026, 4, 2, 4, tzinfo=BERLIN)),
        (Quiet(T0, T0 + timedelta(hours=2), "day", "Europe/Berlin"), datetime(2026, 4, 2, 1, 59, tzinfo=BERLIN), None),
        (Quiet(T0, T0 + timedelta(hours=2), "week", "Europe/Berlin"), datetime(2026, 4, 4, 3, tzinfo=BERLIN), datetime(2026, 4, 4, 4, tzinfo=BERLIN)),
        (Quiet(T0, T0 + timedelta(hours=2), "week", "Europe/Berlin"), datetime(2026, 4, 3, 3, tzinfo=BERLIN), None),
        # Over midnight.
        (Quiet(T0.replace(hour=22), T0.replace(hour=22) + timedelta(hours=8), "day"), datetime(2026, 4, 2, 5, tzinfo=UTC), datetime(2026, 4, 2, 6, tzinfo=UTC)),
        (Quiet(T0, T0 + timedelta(hours=2), "day", "UTC", T0 + timedelta(days=3)), T0 + timedelta(days=4), None),
    ],
)  # fmt: skip
def test_a_silence_holds_once_or_again_at_the_same_local_time(quiet: Quiet, at: datetime, end: datetime | None) -> None:
    assert quiet_until(quiet, at) == end


def silence(it: Any, clock: Any, who: str = "edo", **more: Any) -> Any:
    told: dict[str, Any] = {
        "match": ["service=web"],
        "reason": "The release is noisy",
        "starts_at": clock.now(),
        "ends_at": clock.now() + timedelta(hours=2),
    } | more
    with it.cast.acts(it.person(who)) as by:
        return create_silence(by=by, workspace_id=it.cast.main, **told)


def test_what_is_silenced_pages_nobody_and_says_why_and_pages_at_the_end(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        silence(it, clock)
        clock.forward(seconds=1)
        it.fire(service="web")
        assert it.rows("SELECT count(*) FROM incidents_incident") == [(0,)]
        (why,) = [row[1] for row in it.rows("SELECT what, why FROM signals_group_event") if row[0] == "held back"]
        assert "The release is noisy" in why
        assert (
            "held back"
            in signed_in(cast.edo)
            .get(f"/w/main/alerts/{it.rows('SELECT id FROM signals_group')[0][0]}")
            .content.decode()
            .lower()
        )
        clock.forward(hours=2)
        it.run()
        assert it.incident() == ("open", "Sev1")
        assert len(it.mail.to("edo@example.org")) == 1


def test_what_ends_during_a_silence_pages_nobody_ever(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        silence(it, clock)
        clock.forward(seconds=1)
        it.fire(service="web")
        it.fire(service="web", status="resolved")
        clock.forward(hours=3)
        it.run()
        assert it.rows("SELECT count(*) FROM incidents_incident") == [(0,)]


def test_a_silence_that_is_ended_early_lets_go_at_once(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        made = silence(it, clock)
        clock.forward(seconds=1)
        it.fire(service="web")
        with cast.acts(cast.edo) as by:
            end_silence(by=by, workspace_id=cast.main, silence_id=made.id)
        it.run()
        assert it.incident()[0] == "open"


def test_an_escalation_waits_while_a_silence_holds(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        before = len(it.mail.got)
        silence(it, clock)
        clock.forward(minutes=30)
        it.run()
        assert len(it.mail.got) == before
        assert "held back" in [row[0] for row in it.rows("SELECT what FROM paging_event")]
        clock.forward(hours=2)
        it.run()
        assert len(it.mail.to("apo@example.org")) == 1, "it goes on where it was"


def test_its_author_is_reminded_before_it_ends(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up()
        silence(it, clock, ends_at=clock.now() + timedelta(hours=5))
        clock.forward(hours=4, minutes=5)
        it.run()
        assert any(
            "Your silence ends" in str(message["Subject"]) for to, message in it.mail.got if to == "edo@example.org"
        )
        it.run()
        assert len(it.mail.got) == 1, "once"


def test_what_it_would_hide_is_shown_before_it_is_made(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        it.set_up().fire(service="web")
        it.fire("Other", service="mail")
        program = api(cast.token(cast.edo))
        body = {
            "match": ['service=~"web|pay"'],
            "reason": "x",
            "starts_at": clock.now().isoformat(),
            "ends_at": (clock.now() + timedelta(hours=1)).isoformat(),
        }
        found = program.post("/api/v1/workspaces/main/silences/preview", body, content_type="application/json").json()
        assert [one["title"] for one in found["items"]] == ["LedgerCorrupt: web"]
        page = signed_in(cast.edo).post(
            "/w/main/silences",
            {"do": "preview", "match": "service=web", "starts": "2026-01-01T00:00", "ends": "2026-01-01T01:00"},
        )
        assert "LedgerCorrupt: web" in page.content.decode()
        assert it.rows("SELECT count(*) FROM signals_silence") == [(0,)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"match": []}, "needs a matcher"),
        ({"match": ["a!=b"]}, "says what a label is"),
        ({"match": ['a=~".*"']}, "says what a label is"),
        ({"reason": "  "}, "Say why"),
        ({"ends_at": T0}, "ends after"),
        ({"every": "day", "ends_at": datetime(2099, 1, 1, tzinfo=UTC)}, "at most a year"),
        ({"zone": "Mars"}, "time zone"),
    ],
)  # fmt: skip
def test_a_silence_that_hides_everything_or_says_nothing_is_refused(
    cast: Cast, db: Any, clock: Any, more: dict[str, Any], words: str
) -> None:
    with night(cast, db) as it:
        with pytest.raises(Invalid, match=words):
            silence(it, clock, **more)
        with pytest.raises(Denied):
            silence(it, clock, who="vera")
