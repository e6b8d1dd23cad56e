"""What fires and pages nobody is loud: the admins hear of it at once and each hour, and a route that fits takes it, whenever it goes live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cast import Cast
from tests.night import Night, night

RUNBOOK = """# Acme on-call

**Owner:** Edo

## Severity levels

| Severity | Definition | Acknowledge |
|---|---|---|
| SEV1 | Customers cannot pay | 15 min |
| SEV2 | Customers are slowed down | 30 min |
| SEV3 | Nobody notices | 4 hours |

## Contacts

| Role | Primary | Secondary |
|---|---|---|
| Checkout on-call | Edo | Apo |

## On-call rotation

| Week | Primary |
|---|---|
| Week 1 | Edo |
| Week 2 | Apo |

## Escalation

If Checkout on-call does not acknowledge within 15 minutes, escalate to Apo.
"""
ROUTE = """- kind: route
  id: route/critical
  name: Critical
  match: ['severity="critical"']
  severity: SEV1
  pages: Checkout on-call
"""


class Acme:
    """Main with a handbook of its own: no route, until one is applied."""

    def __init__(self, it: Night, folder: Path) -> None:
        self.it, self.folder, self.number = it, folder, 0

    def live(
        self, routes: str = "", config: str = "", *, reason: str = "", by: str = "ada", break_glass: bool = True
    ) -> None:
        """Accepts and applies the runbook with these routes, as an admin who may weaken it at once."""
        from watchbill.handbook.accept import Choice, accept_items
        from watchbill.handbook.commands import apply_handbook
        from watchbill.handbook.compile import compile_folder
        from watchbill.handbook.files import load
        from watchbill.handbook.lock import dump

        (self.folder / "runbook.md").write_text(RUNBOOK)
        (self.folder / "watchbill.yaml").write_text(f"slug: main\n{config}")
        (self.folder / "routes.watchbill.yaml").write_text(routes or "[]\n")
        (self.folder / "watchbill.lock").unlink(missing_ok=True)
        lock = dump(accept_items(compile_folder(load(self.folder)), Choice(everything=True))[0])
        files = [(name, (self.folder / name).read_text()) for name in ("runbook.md", "routes.watchbill.yaml")]
        with self.it.cast.acts(self.it.person(by)) as actor:
            apply_handbook(
                by=actor, workspace_id=self.it.cast.main, slug="main", files=files, lock=lock, config=(self.folder / "watchbill.yaml").read_text(),
                reason=reason or "the tests say so here", break_glass=self.number > 0,
            )  # fmt: skip
        self.number += 1

    def mails(self, to: str = "ada@example.org") -> list[str]:
        """The subjects that somebody was mailed."""
        return [str(message["Subject"]) for there, message in self.it.mail.got if there == to]

    def history(self) -> list[tuple[str, str]]:
        return self.it.rows("SELECT what, why FROM signals_group_event ORDER BY id")

    def pages(self) -> list[tuple[str, str]]:
        return self.it.rows("SELECT state, title FROM paging_page WHERE subject_kind = 'unrouted' ORDER BY id")


@pytest.fixture
def acme(cast: Cast, db: Any, clock: Any, tmp_path: Path) -> Any:
    """Main, its channels, an integration, people with addresses; nothing is live yet."""
    from watchbill.paging.setup import set_channel
    from watchbill.signals.commands import create_source

    with night(cast, db) as it:
        with cast.acts(cast.ada) as by:
            set_channel(by=by, workspace_id=cast.main, kind="email", name="Mail", config=it.mail.config())
            it.source = create_source(by=by, workspace_id=cast.main, protocol="alertmanager", name="Prometheus")[0]
        it.verify("edo", "apo", "ada")
        for name in ("Edo", "Checkout on-call"):
            cast.bind(name, person_id=cast.edo)
        cast.bind("Apo", person_id=cast.apo)
        yield Acme(it, tmp_path)


def test_an_alert_that_no_route_takes_is_heard_until_a_route_takes_it(acme: Acme, clock: Any) -> None:
    acme.live()
    acme.it.fire("PayFailed", service="checkout")
    assert acme.mails() == ["PayFailed: checkout (critical) fires and pages nobody"], "the admins hear of it at once"
    assert acme.mails("edo@example.org") == []
    (_, message), *_ = [pair for pair in acme.it.mail.got if pair[0] == "ada@example.org"]
    text = message.get_body(("plain",)).get_content()
    for part in ("kind: route", 'severity="critical"', "SEV1"):
        assert part in text, "it says how to make a route"
    clock.forward(minutes=59)
    acme.it.run()
    assert len(acme.mails()) == 1
    clock.forward(minutes=1)
    acme.it.run()
    assert len(acme.mails()) == 2, "and again after an hour"
    acme.live(ROUTE)
    acme.it.run()
    assert acme.it.incident() == ("open", "SEV1")
    assert len(acme.mails("edo@example.org")) == 1, "it pages by the route"
    assert [state for state, _ in acme.pages()] == ["ended", "ended"]
    assert ("routed", "revision 2: the route “Critical” (routes.watchbill.yaml:1) takes it") in acme.history()
    (why,) = acme.it.rows("SELECT text FROM incidents_event WHERE what = 'opened'")[0]
    assert "paged nobody until now; its clocks run from now" in why
    clock.forward(hours=1)
    acme.it.run()
    assert len([one for one in acme.mails() if "pages nobody" in one]) == 2, "nothing is said any more"


def test_the_same_alert_again_is_taken_by_the_route_that_is_live_by_now(acme: Acme) -> None:
    """At every receipt: a route that went live while no worker looked."""
    from tests.cast import as_worker
    from watchbill.intake.adapters import ADAPTERS
    from watchbill.signals.commands import take_in

    acme.live()
    acme.it.fire("PayFailed", service="checkout")
    acme.live(ROUTE)
    acme.it.run = lambda: None  # type: ignore[method-assign]
    acme.it.fire("PayFailed", service="checkout")
    with as_worker():
        take_in(ADAPTERS)
    assert acme.it.rows("SELECT count(*), min(route->>'key') FROM signals_group") == [(1, "route/critical")]
    del acme.it.run
    acme.it.run()
    assert acme.it.rows("SELECT count(*) FROM incidents_incident") == [(1,)]


def test_it_is_over_when_it_resolves(acme: Acme, clock: Any) -> None:
    acme.live()
    acme.it.fire("PayFailed")
    acme.it.fire("PayFailed", status="resolved")
    assert [state for state, _ in acme.pages()] == ["ended"]
    clock.forward(hours=3)
    acme.it.run()
    assert len(acme.mails()) == 1


def test_acknowledged_it_stays_quiet_and_another_one_pages_at_once(acme: Acme, cast: Cast, clock: Any) -> None:
    from watchbill.paging.commands import acknowledge

    acme.live()
    acme.it.fire("PayFailed")
    (page,) = acme.it.rows("SELECT id FROM paging_page")[0]
    with cast.acts(cast.ada) as by:
        acknowledge(by=by, workspace_id=cast.main, page_id=page)
    clock.forward(hours=5)
    acme.it.run()
    assert len(acme.mails()) == 1
    acme.it.fire("DiskFull")
    assert acme.mails()[1:] == ["DiskFull: ledger (critical) fires and pages nobody"], "only the new one"
    clock.forward(hours=1)
    acme.it.run()
    assert len(acme.mails()) == 3, "the new one again, since nobody acknowledged it"
    assert acme.mails()[2] == acme.mails()[1]


def test_a_storm_is_one_page(acme: Acme, clock: Any) -> None:
    acme.live()
    for number in range(12):
        acme.it.fire(f"Alert{number}")
    assert len(acme.pages()) == 1
    clock.forward(seconds=11)
    acme.it.run()
    assert [title for _, title in acme.pages()][1:] == ["12 groups of alerts fire and page nobody"]


def test_without_any_handbook_the_admins_hear_of_it_too(acme: Acme) -> None:
    acme.it.fire("PayFailed")
    assert acme.mails() == ["PayFailed: ledger (critical) fires and pages nobody"]


@pytest.mark.parametrize(
    ("severity", "heard"),
    [
        ("page", True), ("critical", True), ("SEV3", True), ("warning", True), ("", True), ("informational", True), ("kritisch", True),
        ("info", False), ("INFO", False), (" Info ", False), ("none", False), ("Debug", False),
    ],
)  # fmt: skip
def test_which_severities_are_heard(acme: Acme, severity: str, heard: bool) -> None:
    from watchbill.signals.unrouted import unrouted

    acme.live()
    acme.it.fire("PayFailed", severity=severity)
    assert (len(acme.mails()) == 1) == heard
    with acme.it.cast.acts(acme.it.cast.ada):
        assert [one.paging for one in unrouted(acme.it.cast.main)] == [heard], "counted either way"


def test_a_note_that_comes_first_hides_no_critical_alert_of_its_group(acme: Acme) -> None:
    acme.live()
    acme.it.fire("PayFailed", severity="info")
    assert acme.mails() == []
    acme.it.fire("PayFailed", severity="critical")
    assert len(acme.mails()) == 1


def test_a_route_to_nobody_with_a_reason_is_a_decision(acme: Acme, clock: Any) -> None:
    acme.live(
        ROUTE.replace("  severity: SEV1\n", "").replace(
            "Checkout on-call", "nobody\n  reason: the batch team looks in the morning"
        )
    )
    acme.it.fire("PayFailed")
    clock.forward(hours=2)
    acme.it.run()
    assert acme.mails() == []
    assert acme.pages() == []
    acme.live(ROUTE)
    acme.it.run()
    assert acme.it.incident() == ("open", "SEV1"), "looked at again when the route changes"


def test_a_route_to_nobody_that_is_removed_leaves_what_it_took_unrouted(acme: Acme) -> None:
    acme.live(ROUTE.replace("Checkout on-call", "nobody\n  reason: the batch team looks in the morning"))
    acme.it.fire("PayFailed")
    acme.live()
    acme.it.run()
    assert acme.mails() == ["PayFailed: ledger (critical) fires and pages nobody"]
    assert ("routed", "revision 2: no route fits its alerts any more") in acme.history()


def test_what_pages_keeps_its_policy_when_its_route_goes(acme: Acme, clock: Any) -> None:
    acme.live(ROUTE)
    acme.it.fire("PayFailed")
    acme.live()
    acme.it.fire("PayFailed")
    assert acme.it.incident() == ("open", "SEV1")
    assert acme.it.rows("SELECT count(*) FROM signals_group") == [(1,)]
    clock.forward(minutes=16)
    acme.it.run()
    assert len(acme.mails("apo@example.org")) == 1, "its second step, as it was stamped"
    assert acme.pages() == []


def test_a_shadow_route_takes_nothing(acme: Acme, cast: Cast) -> None:
    acme.live(ROUTE)
    acme.it.db.run("UPDATE signals_route SET state = 'shadow'")
    acme.it.fire("PayFailed")
    assert acme.mails() == ["PayFailed: ledger (critical) fires and pages nobody"]


def test_a_silence_that_fits_holds_it_until_it_ends(acme: Acme, cast: Cast, clock: Any) -> None:
    from datetime import timedelta

    from watchbill.runtime.now import now
    from watchbill.signals.silences import create_silence

    acme.live()
    with cast.acts(cast.edo) as by:
        create_silence(
            by=by, workspace_id=cast.main, match=['alertname="PayFailed"'], reason="a deploy", starts_at=now(), ends_at=now() + timedelta(hours=2)
        )  # fmt: skip
    acme.it.fire("PayFailed")
    clock.forward(minutes=90)
    acme.it.run()
    assert acme.mails() == []
    clock.forward(minutes=31)
    acme.it.run()
    assert acme.mails() == ["PayFailed: ledger (critical) fires and pages nobody"]


def test_a_silence_made_later_stops_the_repetition(acme: Acme, cast: Cast, clock: Any) -> None:
    from datetime import timedelta

    from watchbill.runtime.now import now
    from watchbill.signals.silences import create_silence

    acme.live()
    acme.it.fire("PayFailed")
    with cast.acts(cast.edo) as by:
        create_silence(
            by=by, workspace_id=cast.main, match=['alertname="PayFailed"'], reason="known", starts_at=now(), ends_at=now() + timedelta(hours=3)
        )  # fmt: skip
    clock.forward(hours=2)
    acme.it.run()
    assert len(acme.mails()) == 1
    clock.forward(hours=1, minutes=1)
    acme.it.run()
    assert len(acme.mails()) == 2, "heard again when the silence ends"


def test_the_handbook_may_name_somebody_else_or_nobody_with_a_reason(acme: Acme, clock: Any) -> None:
    acme.live(config="unrouted: Checkout on-call\n")
    acme.it.fire("PayFailed")
    assert len(acme.mails("edo@example.org")) == 1
    assert acme.mails() == []
    acme.live(config="unrouted: {pages: nobody, reason: another hub pages until March}\n")
    acme.it.run()
    clock.forward(hours=3)
    acme.it.run()
    assert [state for state, _ in acme.pages()] == ["ended"]


def test_the_handbook_may_name_other_quiet_severities(acme: Acme) -> None:
    acme.live(config="unrouted: {quiet: [info, sev-3]}\n")
    acme.it.fire("PayFailed", severity="SEV3")
    assert acme.mails() == []
    acme.it.fire("DiskFull", severity="debug")
    assert len(acme.mails()) == 1


def test_one_group_that_cannot_be_looked_at_stops_no_other(acme: Acme, clock: Any) -> None:
    acme.live()
    acme.it.fire("PayFailed")
    acme.it.fire("DiskFull")
    acme.it.db.run("UPDATE signals_alert SET labels = '[1]' WHERE labels->>'alertname' = 'PayFailed'")
    acme.live(ROUTE)
    acme.it.run()
    assert acme.it.rows("SELECT count(*) FROM incidents_incident") == [(1,)]
    assert acme.it.rows("SELECT unit, count FROM runtime_failure") == [("looking again", 1)], "it is on record"
    acme.it.db.run("UPDATE signals_alert SET labels = '{\"severity\": \"critical\"}' WHERE labels = '[1]'")
    clock.forward(minutes=1)
    acme.it.run()
    assert acme.it.rows("SELECT count(*) FROM incidents_incident") == [(2,)], "and is looked at again"
    assert acme.it.rows("SELECT count(*) FROM runtime_failure") == [(0,)]


def test_a_deadlock_keeps_no_group_from_the_route_that_takes_it(
    acme: Acme, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passes by itself must not wait for the next revision."""
    from django.db import OperationalError

    from watchbill.signals import reroute

    real, tries = reroute._taken, list[int]()

    def deadlocked(*args: Any) -> Any:
        tries.append(1)
        if len(tries) <= 2:
            raise OperationalError("deadlock detected")
        return real(*args)

    acme.live()
    acme.it.fire("PayFailed")
    monkeypatch.setattr(reroute, "_taken", deadlocked)
    acme.live(ROUTE)
    acme.it.run()
    for _ in range(4):
        clock.forward(seconds=5)
        acme.it.run()
    assert len(tries) == 3
    assert acme.it.incident() == ("open", "SEV1")


def test_a_route_whose_severity_names_nobody_is_heard_and_pages_once_it_does(acme: Acme) -> None:
    lonely = ROUTE.replace("  pages: Checkout on-call\n", "")
    acme.live(lonely)
    acme.it.fire("PayFailed")
    if acme.it.rows("SELECT jsonb_array_length(policy->'escalation'->'steps') FROM incidents_incident") == [(0,)]:
        assert acme.mails() == ["PayFailed: ledger (critical) fires and pages nobody"]
        acme.live(ROUTE)
        acme.it.run()
        assert len(acme.mails("edo@example.org")) == 1
        assert acme.it.rows("SELECT count(*) FROM incidents_incident") == [(1,)]


def test_the_console_and_the_api_say_what_pages_nobody_and_how_to_make_a_route(acme: Acme, cast: Cast) -> None:
    from tests.cast import signed_in

    acme.live()
    acme.it.fire("PayFailed", service="checkout")
    acme.it.fire("Note", severity="info")
    key = acme.it.rows("SELECT id FROM signals_group WHERE severity = 'critical'")[0][0]
    browser = signed_in(cast.ada)
    page = browser.get("/w/main/alerts").content.decode()
    assert "1 group of alerts fires and pages nobody" in page
    assert page.count("pages nobody</") >= 2, "each row says so"
    only = browser.get("/w/main/alerts?show=unrouted").content.decode()
    assert "PayFailed" in only
    assert "Note" in only
    group = browser.get(f"/w/main/alerts/{key}").content.decode()
    assert "Make a route" in group
    assert "pages: Checkout on-call" in group
    token = {"Authorization": f"Bearer {cast.token(cast.ada)}"}
    found = browser.get("/api/v1/workspaces/main/unrouted", headers=token).json()
    assert (found["count"], found["paging"], found["by_severity"]) == (2, 1, {"critical": 1, "info": 1})
    assert [one["title"] for one in found["items"]] == ["PayFailed: checkout", "Note: ledger"]
    one = browser.get(f"/api/v1/workspaces/main/alerts/{key}", headers=token).json()
    assert one["pages_nobody"] is True
    assert one["why"] == "no route of the live handbook fits"
    assert one["route"].startswith("- kind: route\n")


def test_what_pages_nobody_is_found_with_the_same_queries_however_much_fires(acme: Acme, cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from watchbill.signals.unrouted import unrouted

    def asked() -> tuple[int, int]:
        with cast.acts(cast.ada), CaptureQueriesContext(connection) as queries:
            return len(unrouted(cast.main)), len(queries)

    acme.live()
    acme.it.fire("PayFailed")
    one, few = asked()
    acme.it.db.run(
        "WITH g AS (INSERT INTO signals_group (id, workspace_id, source_id, key, title, labels, severity, route, shadow, state, firing, opened_at, changed_at) "
        "SELECT gen_random_uuid(), workspace_id, source_id, 'k' || n, 'Storm ' || n, '{}', 'warning', '{}', '{}', 'open', 1, wb_now(), wb_now() "
        "FROM signals_group, generate_series(1, 3000) AS n RETURNING id, workspace_id, source_id, key) "
        "INSERT INTO signals_alert (id, workspace_id, source_id, group_id, fingerprint, labels, annotations, url, firing, starts_at, arrival, seen_at) "
        "SELECT gen_random_uuid(), workspace_id, source_id, id, key, '{\"severity\": \"warning\"}', '{}', '', true, wb_now(), 0, wb_now() FROM g"
    )
    many, more = asked()
    assert (one, many) == (1, 3001)
    assert few == more


def test_the_reason_of_a_route_is_prose_whatever_it_begins_with(acme: Acme, clock: Any) -> None:
    """“nobody is named: …” is what the hub writes on a group whose escalation is empty; a person may write it, too."""
    reason = "nobody is named: the batch team looks in the morning"
    acme.live(ROUTE.replace("Checkout on-call", f"nobody\n  reason: '{reason}'"))
    acme.it.fire("PayFailed")
    clock.forward(hours=2)
    acme.it.run()
    assert acme.it.rows("SELECT route->>'nobody' FROM signals_group") == [(reason,)]
    assert acme.mails() == [], "it is a decision"
    assert acme.pages() == []
