"""Runs of one job that overlap are told apart: each that was started has to end, and the oldest that has not decides."""

from typing import Any

import pytest

from tests.cast import Cast
from tests.intake.test_other_senders_are_understood import groups, ping, source, swept
from watchbill.signals.checks import create_check
from watchbill.signals.models import Check
from watchbill.signals.runs import MOST

A, B, C = (f"rid=0b2b6a3c-5a5e-4b4a-9b1e-00000000000{one}" for one in "abc")
OPEN, OVER = [("Sync", "open")], [("Sync", "resolved")]


class Job:
    """A check with a grace of ten minutes, its pings and its clock."""

    def __init__(self, cast: Cast, db: Any, clock: Any, period: int = 86400) -> None:
        self.db, self.clock, self.of = db, clock, source(cast, "healthchecks")
        with cast.acts(cast.ada) as by:
            self.check: Check = create_check(
                by=by, workspace_id=cast.main, source_id=self.of.id, name="Sync", period=period, grace=600
            )

    def pings(self, *told: tuple[str, str]) -> None:
        """Pings (what happened, run), a minute from one to the next."""
        for rest, run in told:
            ping(self.db, self.of, self.check, rest, query=run)
            self.clock.forward(minutes=1)

    def after(self, minutes: int) -> list[Any]:
        """What is open and over then; the sweep comes round each minute."""
        for _ in range(minutes):
            self.clock.forward(minutes=1)
            swept()
        return groups(self.db)

    def summary(self) -> str:
        return str(self.db.run("SELECT annotations->>'summary' FROM signals_alert ORDER BY id DESC LIMIT 1")[0][0])


@pytest.fixture
def job(cast: Cast, db: Any, clock: Any) -> Job:
    return Job(cast, db, clock)


@pytest.mark.parametrize("first", [("", ""), ("/log", ""), ("/fail", A)])
@pytest.mark.parametrize(("ends", "hangs"), [(A, B), (B, A)])
def test_a_run_that_hangs_is_late_though_another_one_ends(job: Job, first: Any, ends: str, hangs: str) -> None:
    job.pings(first, ("/start", A), ("/start", B), ("", ends))
    assert job.after(5) in ([], OVER)
    assert job.after(7)[-1:] == OPEN
    assert hangs.removeprefix("rid=") in job.summary()
    assert "has not ended" in job.summary()


def test_runs_that_all_end_are_no_alert_in_whatever_order(job: Job) -> None:
    job.pings(("/start", A), ("/start", B), ("/start", C), ("", B), ("/0", C), ("", A))
    assert job.after(30) == []
    assert job.db.run("SELECT round(last_duration::numeric / 10) FROM signals_check") == [(30,)], (
        "of the run that ended last"
    )


def test_a_job_that_is_started_anew_and_never_ends_is_late_from_its_first_start(job: Job) -> None:
    for _ in range(3):
        job.pings(("/start", ""))
        found = job.after(4)
    assert found == OPEN, "eleven minutes after the first start"


def test_a_job_that_is_started_anew_after_a_success_is_late_long_before_its_period_is_over(job: Job) -> None:
    job.pings(("", ""))
    for _ in range(3):
        job.pings(("/start", A))
        found = job.after(4)
    assert found == OPEN


def test_what_was_started_twice_and_ended_once_has_ended(job: Job) -> None:
    job.pings(("/start", ""), ("/start", ""), ("", ""))
    assert job.after(30) == []
    assert job.db.run("SELECT round(last_duration::numeric / 10) FROM signals_check") == [(6,)], "from its last start"


@pytest.mark.parametrize("end", [("", ""), ("/0", "")])
def test_an_end_without_a_run_is_for_all_of_them(job: Job, end: tuple[str, str]) -> None:
    job.pings(("/start", A), ("/start", B), end)
    assert job.after(30) == []


def test_a_good_end_of_a_run_that_nobody_started_leaves_the_others_standing(job: Job) -> None:
    job.pings(("/start", A), ("", C))
    assert job.after(15) == OPEN


def test_a_failure_of_one_run_is_over_with_the_good_end_of_another(job: Job) -> None:
    job.pings(("/start", A), ("/fail", B))
    assert groups(job.db) == OPEN
    job.pings(("", A))
    assert groups(job.db) == OVER
    assert job.after(30) == OVER


def test_a_run_is_late_also_where_another_one_failed_meanwhile(job: Job) -> None:
    job.pings(("/start", A), ("/start", B), ("/fail", B), ("/start", C), ("", C))
    assert groups(job.db) == OVER
    assert job.after(10)[-1:] == OPEN
    assert A.removeprefix("rid=") in job.summary()


def test_what_is_late_stays_late_while_a_run_beside_it_ends(job: Job) -> None:
    job.pings(("/start", A))
    job.after(5)
    job.pings(("/start", B))
    assert job.after(5) == OPEN
    job.pings(("", B))
    assert job.after(3) == OPEN, "A still hangs"
    job.pings(("", A))
    assert groups(job.db) == OVER


def test_a_run_that_was_killed_is_forgotten_with_the_next_good_one(job: Job) -> None:
    job.pings(("/start", A))
    assert job.after(12) == OPEN
    job.pings(("/start", B), ("", B))
    assert groups(job.db) == OVER
    assert job.after(60) == OVER
    job.pings(("/start", A))
    assert job.after(12)[-1:] == OPEN, "started anew, it is timed anew"


def test_what_was_started_before_the_update_is_still_noticed(job: Job) -> None:
    job.pings(("/start", A))
    job.db.run("UPDATE signals_check SET runs = NULL")
    assert job.after(12) == OPEN
    job.pings(("", A))
    assert groups(job.db) == OVER


def test_a_job_that_starts_and_never_ends_fills_no_row(cast: Cast, job: Job) -> None:
    for one in range(MOST + 5):
        ping(job.db, job.of, job.check, "/start", query=f"rid=0b2b6a3c-5a5e-4b4a-9b1e-{one:012}")
    assert job.db.run("SELECT jsonb_array_length(runs) FROM signals_check") == [(MOST,)]
    assert job.after(12) == OPEN
    job.pings(("", ""))
    assert groups(job.db) == OVER


def test_a_sweep_that_comes_late_finds_the_run_that_hung_meanwhile(job: Job) -> None:
    job.pings(("/start", A))
    job.clock.forward(minutes=30)
    job.pings(("/start", B), ("", B))
    assert job.after(1) == OPEN, "nobody was told of A"
    job.pings(("/start", C), ("", C))
    assert groups(job.db) == OVER
