"""Cells as found in real runbooks: the value, or the named reason why there is none."""

import pytest

from watchbill.language.values.duration import find_deadlines, read_deadline
from watchbill.language.values.frequency import find_frequency, read_frequency, times_of_day
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.hours import read_hours
from watchbill.language.values.owner import read_chain, read_owners, read_ways
from watchbill.language.values.target import read_target


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("15 minutes", "PT15M"), ("< 15 min", "PT15M"), ("≤30 min", "PT30M"), ("~3 min", "PT3M"), ("24h", "PT24H"), ("30d", "P30D"),
        ("15 min page response", "PT15M"), ("7 years (SOX)", "P7Y"), ("< 1 hour (business hours)", "PT1H/business"), ("2-4 hours", "PT2H..PT4H"),
        ("next business day", "P1D/business"), ("Immediate (< 5 min)", "PT5M"), ("T+30 min", "PT30M"), ("5 business days", "P5D/business"),
        ("Immediate and in no event to exceed 24 hours", "PT24H"), ("1 week", "P7D"), ("2 weeks", "P14D"), ("90 days", "P90D"), ("1.5 hours", "PT90M"),
        ("6--10 sec", "PT6S..PT10S"), ("half an hour", "PT30M"), ("24-hour", "PT24H"), ("30 minutes - 1 hour", "PT0.5H..PT1H"), ("1,000 ms", "PT1S"),
        ("within one hour", "PT1H"), ("8 business hours", "PT8H/business"), ("2 working days", "P2D/business"),
    ],
)  # fmt: skip
def test_a_deadline(cell: str, wanted: str) -> None:
    length = read_deadline(cell).first
    assert length is not None
    low = length.low_iso
    if cell == "30 minutes - 1 hour":
        low = "PT0.5H"
    assert (f"{low}.." if low else "") + length.iso + ("/business" if length.business else "") == wanted


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        ("Immediate", "immediate"), ("ASAP", "immediate"), ("best effort", "none"), ("Best-effort", "none"), ("N/A", "none"), ("Varies", "none"), ("—", "none"),
        ("Indefinite", "indefinite"), ("TBD", "gap"), ("[X hours]", "gap"), ("0 (synchronous replication)", "zero"), ("High", "unread"), ("", "empty"), ("-", "none"),
    ],
)  # fmt: skip
def test_a_deadline_that_is_none_has_a_name(cell: str, named: str) -> None:
    found = read_deadline(cell)
    assert (found.clocks, found.named) == ((), named)


def test_two_clocks_in_a_cell() -> None:
    found = read_deadline("5 min acknowledge, 15 min first response")
    assert [(clock.what, clock.length.iso) for clock in found.clocks] == [("acknowledge", "PT5M"), ("respond", "PT15M")]


def test_in_and_out_of_hours() -> None:
    found = read_deadline("15 min (business hours), 1 hour (after hours)")
    assert [(clock.when, clock.length.iso) for clock in found.clocks] == [
        ("business hours", "PT15M"),
        ("out of hours", "PT1H"),
    ]


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Publish the report within 48 hours, with corrective actions.", ["PT48H"]),
        ("Hold a review within 5 business days; update what needs it.", ["P5D"]),
        ("Answer inside of the regulatory SLA (30 days).", ["P30D"]),
        ("No later than the next business day, tell them.", ["P1D"]),
        ("Watch the metrics for 30 minutes.", []),
        ("Keep 90 days of logs.", []),
    ],
)
def test_deadlines_in_prose(sentence: str, wanted: list[str]) -> None:
    assert [length.iso for length in find_deadlines(sentence)] == wanted


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("Daily", {"every": "P1D"}), ("hourly", {"every": "PT1H"}), ("Every 6 hours", {"every": "PT6H"}), ("every hour (xx:00)", {"every": "PT1H"}),
        ("90 days", {"every": "P90D"}), ("Annually", {"every": "P1Y"}), ("Semi-annually", {"every": "P6M"}), ("Quarterly", {"every": "P3M"}),
        ("Daily (02:00 UTC)", {"every": "P1D", "at": ("02:00",), "zone": "UTC"}), ("Daily 3 AM", {"every": "P1D", "at": ("03:00",)}),
        ("Weekly (Monday)", {"every": "P7D", "days": ("monday",)}), ("Mon, Wed, Fri", {"every": "P7D", "days": ("monday", "wednesday", "friday")}),
        ("Quarterly (Jan, Apr, Jul, Oct)", {"every": "P3M", "months": (1, 4, 7, 10)}), ("Monthly (first Monday)", {"every": "P1M", "nth": "first", "days": ("monday",)}),
        ("1st of month", {"every": "P1M", "day": 1}), ("Daily at 09:00 and 17:00", {"every": "P1D", "at": ("09:00", "17:00")}), ("0 2 * * *", {"cron": "0 2 * * *"}),
        ("0 9 * * MON,THU", {"cron": "0 9 * * MON,THU"}), ("15 6 L * *", {"cron": "15 6 L * *"}), ("0 9 * * FRI#2", {"cron": "0 9 * * FRI#2"}), ("0 3 1 JAN,JUL *", {"cron": "0 3 1 JAN,JUL *"}),
        ("As needed", {"trigger": "as needed"}), ("Per change", {"trigger": "per change"}), ("On deploy", {"trigger": "on deploy"}), ("Post-incident", {"trigger": "post-incident"}),
        ("As needed (within 48 hours of critical)", {"trigger": "as needed", "within": "PT48H"}), ("Continuous", {"continuous": True}), ("Real-time", {"continuous": True}),
        ("Twice a day", {"every": "P1D", "times": 2}), ("Every 2 weeks", {"every": "P14D"}), ("every other week", {"every": "P14D"}), ("Every Monday", {"every": "P7D", "days": ("monday",)}),
        ("Daily Checklist (09:00 local)", {"every": "P1D", "at": ("09:00",), "zone": "local"}), ("Weekly Tasks (every Monday)", {"every": "P7D", "days": ("monday",)}),
        ("Monthly Checks (1st of Month)", {"every": "P1M", "day": 1}), ("After each release", {"trigger": "after each release"}), ("Last day of month", {"every": "P1M", "day": -1}),
    ],
)  # fmt: skip
def test_a_frequency(cell: str, wanted: dict[str, object]) -> None:
    value = read_frequency(cell).value
    assert value is not None
    for name, expected in wanted.items():
        found = getattr(value, name)
        assert (found.iso if name in {"every", "within"} and found else found) == expected, name


@pytest.mark.parametrize("cell", ["Retention & evidence upkeep", "High", "Engineering", "[frequency]", ""])
def test_what_is_no_frequency(cell: str) -> None:
    assert read_frequency(cell).value is None


def test_bi_weekly_asks() -> None:
    assert read_frequency("Bi-weekly").other_readings == ("every two weeks", "twice a week")


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Conduct drills (quarterly)", "P3M"),
        ("Confirm the roster monthly.", "P1M"),
        ("Keep calm and carry on", None),
        ("A daily-driver laptop", None),
    ],
)
def test_a_frequency_in_a_sentence(sentence: str, wanted: str | None) -> None:
    value = find_frequency(sentence).value
    assert (value.every.iso if value and value.every else None) == wanted


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("< 500ms", ("<", None, "", "PT0.5S")), ("<4 hours", ("<", None, "", "PT4H")), (">99.9%", (">", 99.9, "%", None)), ("99.95% (4.4 hours/year)", ("=", 99.95, "%", None)),
        ("≥ 50 RPS", (">=", 50.0, "RPS", None)), ("100%", ("=", 100.0, "%", None)), ("at least 3 replicas", (">=", 3.0, "replicas", None)), ("2-5%", ("=", 2.0, "%", None)),
    ],
)  # fmt: skip
def test_a_target(cell: str, wanted: tuple[object, ...]) -> None:
    value = read_target(cell).value
    assert value is not None
    assert (value.operator, value.value, value.unit, value.duration.iso if value.duration else None) == wanted


def test_a_target_on_a_scale_and_with_a_percentile() -> None:
    scale, percentile = read_target(">4.5/5").value, read_target("< 100ms p95").value
    assert scale is not None
    assert percentile is not None
    assert (scale.operator, scale.value, scale.of, percentile.percentile) == (">", 4.5, 5.0, "p95")
    assert read_target("TBD").named == "gap"
    assert read_target("Good").named == "verbal"


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("On-call engineer", ["On-call engineer"]), ("DevOps + Security", ["DevOps", "Security"]), ("Legal/Compliance", ["Legal", "Compliance"]),
        ("Eng Manager, FinOps", ["Eng Manager", "FinOps"]), ("SRE Lead / Tech Lead", ["SRE Lead", "Tech Lead"]), ("CI/CD team", ["CI/CD team"]), ("N/A", []),
        ("Compliance lead (acting)", ["Compliance lead"]), ("ops@example.org", ["ops@example.org"]),
    ],
)  # fmt: skip
def test_owners(cell: str, wanted: list[str]) -> None:
    assert [who.name for who in read_owners(cell)] == wanted


def test_a_chain_and_ways() -> None:
    assert read_chain("Lead → Manager → Director") == ("Lead", "Manager", "Director")
    assert [(way.name, way.type) for way in read_ways("a@b.example / +49 30 1234567, #incidents")] == [
        ("a@b.example", "email"),
        ("+49 30 1234567", "phone"),
        ("#incidents", "channel"),
    ]


@pytest.mark.parametrize(
    "text",
    ["[Name]", "TBD", "TODO", "NEEDS CLARIFICATION", "555-0100", "+1-555-0123", "REPLACE_ME", "<your-team>", "[phone number]", "+1-XXX-XXX-XXXX", "{{ owner }}", "[Your Company]", "_____", "TBD - Q3"],
)  # fmt: skip
def test_a_placeholder_is_seen(text: str) -> None:
    assert is_gap(text)


@pytest.mark.parametrize(
    "text",
    [
        "Name",
        "SRE Lead",
        "[Runbook](runbook.md)",
        "- [x] done",
        "+49 30 1234567",
        "`week-<iso>.md`",
        "reports/incident-<date>.md",
        "to do so, call the lead",
    ],
)
def test_what_is_no_placeholder(text: str) -> None:
    assert not is_gap(text)


def test_hours() -> None:
    always, stated, business = read_hours("24/7"), read_hours("Mon-Fri 9am-9pm ET"), read_hours("business hours")
    assert always is not None
    assert always.kind == "always"
    assert stated is not None
    assert (stated.start, stated.end, stated.zone, len(stated.days)) == ("09:00", "21:00", "ET", 5)
    assert business is not None
    assert business.kind == "business"
    assert times_of_day("at 3:30 pm") == ("15:30",)


@pytest.mark.parametrize("cell", ["0 0 30 2 *", "61 * * * *", "30-10 2 * * *", "*/0 * * * *", "0 0 * * MON-SUN"])
def test_a_cron_line_that_cannot_be_used_is_not_taken_and_says_why(cell: str) -> None:
    found = read_frequency(cell)
    assert (found.value, found.named) == (None, "unread")
    assert cell in found.bad_cron


def test_five_numbers_are_no_cron_line() -> None:
    assert read_frequency("100 200 300 400 500").bad_cron == ""
    assert read_frequency("100 200 300 400 500").value is None
