"""“Confirm the contact roster monthly”: the hub shows whom every name means and how they are reached, asks in time, and keeps who confirmed it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.cast import Cast, signed_in
from tests.handbook.test_apply_makes_it_live import accepted
from tests.night import BINDINGS, Night, night
from tests.peers.twilio import TOKEN
from watchbill.base.errors import Conflict, Denied
from watchbill.handbook.bindings import unbind_name
from watchbill.handbook.commands import apply_handbook
from watchbill.paging.ability import ability
from watchbill.paging.own import test_me as page_me
from watchbill.paging.roster import Roster, access_roster, confirm
from watchbill.paging.setup import set_channel
from watchbill.paging.spec import confirms_roster
from watchbill.runtime.now import now

TEXT = """# On-call

## Escalation

| Role | Primary | Secondary |
|---|---|---|
| On-Call SRE | sre@example.org | Ledger Engineering Lead |
| Night Desk | desk phone | |

## Duties

- **Paging:** Confirm the contact roster monthly.
"""
DUTY = "- **Paging:** Confirm the contact roster monthly.\n"
TABLE = (
    "| Cadence | Task | Owner |\n|---|---|---|\n| Monthly | Confirm the contact roster. | Ledger Engineering Lead |\n"
)


def live(it: Night, text: str) -> None:
    with it.cast.acts(it.cast.ada) as by:
        apply_handbook(
            by=by, workspace_id=it.cast.main, slug="main", files=[("a.md", text)], lock=accepted(text), break_glass=True, reason="a test of ours"
        )  # fmt: skip


def set_up(it: Night) -> Night:
    for name, who in {**BINDINGS, "Night Desk": "aud"}.items():
        it.cast.bind(name, person_id=it.person(who))
    with it.cast.acts(it.cast.ada) as by:
        set_channel(by=by, workspace_id=it.cast.main, kind="email", name="Mail", config=it.mail.config())
        set_channel(
            by=by, workspace_id=it.cast.main, kind="twilio", name="Twilio", config=it.twilio.config(), secret=TOKEN
        )
    it.verify("edo", "apo", "ada")
    live(it, TEXT)
    return it


def seen(it: Night) -> Roster:
    with it.cast.acts(it.cast.edo) as by:
        return access_roster(by, it.cast.main)


def do(it: Night, who: Any, digest: str) -> None:
    with it.cast.acts(who) as by:
        confirm(by=by, workspace_id=it.cast.main, seen=digest)


def open_clocks(it: Night) -> list[Any]:
    return it.rows(
        "SELECT state, due_at - started_at > interval '27 days' FROM clocks_clock WHERE kind = 'confirm' AND met_at IS NULL ORDER BY id"
    )


def test_every_name_stands_there_with_whom_it_means_and_how_they_are_reached(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        found = {one.name: one for one in seen(set_up(it)).entries}
        edo = found["On-Call SRE"].people[0]
        assert (found["On-Call SRE"].kind, edo.methods, edo.problem) == ("person", ("email", "sms", "voice"), "")
        assert found["Night Desk"].problems == ["Aud Auditor: no contact is verified"]
        assert seen(it).entries[0].name == "Night Desk", "what is wrong comes first"


def test_a_name_that_means_nobody_any_more_reaches_nobody(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        with cast.acts(cast.ada) as by:
            unbind_name(by=by, workspace_id=cast.main, name="Night Desk")
        (lost,) = [one for one in seen(it).entries if one.kind == "none"]
        assert "not bound" in lost.problem


def test_a_secondary_that_means_nobody_is_not_dropped(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        with cast.acts(cast.ada) as by:
            unbind_name(by=by, workspace_id=cast.main, name="Ledger Engineering Lead")
        (lost,) = [one for one in seen(it).entries if one.kind == "none"]
        assert lost.name == "Ledger Engineering Lead"
        with cast.acts(cast.edo):
            (reason,) = [one for one in ability(cast.main, now()).reasons if one.code == "unbound-name"]
        assert (reason.level, "Ledger Engineering Lead" in reason.text) == ("broken", True)


def test_addresses_and_channels_stand_there_too(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        ((mail,),) = it.rows("SELECT id FROM paging_channel WHERE kind = 'email'")
        targets = [
            {"kind": "email", "id": "desk@example.org", "name": "desk@example.org", "why": "x"},
            {"kind": "channel", "id": str(mail), "name": "Mail", "why": "x"},
        ]
        db.run("UPDATE paging_policy SET otherwise = %s WHERE key = 'contact/night-desk'", json.dumps(targets))
        found = {one.name: one for one in seen(it).entries}
        assert (found["desk@example.org"].kind, found["Mail"].kind) == ("email", "channel")
        assert found["desk@example.org"].problems == found["Mail"].problems == []
        db.run("UPDATE paging_channel SET last_problem = 'does not answer'")
        assert "does not answer" in seen(it).problems
        db.run("UPDATE paging_channel SET removed_at = wb_now()")
        told = {one.name: one.problem for one in seen(it).entries}
        assert told["Mail"] == "this channel was removed"
        assert told["desk@example.org"] == "no channel for e-mail is set up here"


def test_a_person_who_cannot_be_reached_is_a_problem(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        db.run("UPDATE people_contact_method SET verified_at = NULL WHERE person_id = %s", cast.edo)
        assert "Edo Editor: no contact is verified" in seen(it).problems
        db.run("DELETE FROM people_contact_method WHERE person_id = %s", cast.edo)
        assert "Edo Editor: no contact is stored" in seen(it).problems


def test_confirming_it_is_kept_and_begins_the_next_month(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        assert open_clocks(it) == [("running", True)]
        clock.forward(days=20)
        do(it, cast.edo, seen(it).digest)
        assert open_clocks(it) == [("running", True)]
        assert it.rows("SELECT state, met_by FROM clocks_clock WHERE kind = 'confirm' AND met_at IS NOT NULL") == [
            ("met", cast.edo)
        ]
        ((body,),) = it.rows(
            "SELECT p.body FROM ledger_entry e JOIN ledger_payload p ON p.entry_id = e.id WHERE e.action = 'roster.confirm'"
        )
        assert '"problems":1' in body
        assert str(cast.edo) in body
        assert "example.org" not in body, "no address goes into the ledger"


def test_what_changed_in_the_meantime_has_to_be_looked_at_again(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        before = seen(it).digest
        cast.bind("Night Desk", person_id=cast.apo)
        live(it, TEXT)
        with pytest.raises(Conflict, match="not what you looked at"):
            do(it, cast.edo, before)
        do(it, cast.edo, seen(it).digest)


def test_a_message_in_the_meantime_makes_nobody_look_again(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        before = seen(set_up(it))
        with cast.acts(cast.edo) as by:
            page_me(by=by, workspace_id=cast.main)
        it.run()
        after = seen(it)
        assert after.digest == before.digest
        assert [who.last_at is not None for one in after.entries for who in one.people if who.name == "Edo Editor"] == [
            True
        ]


def test_who_may_not_confirm_is_refused(cast: Cast, db: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        with pytest.raises(Denied):
            do(it, cast.vera, seen(it).digest)


def test_it_is_told_before_it_is_due_and_when_it_is_late(cast: Cast, db: Any, clock: Any) -> None:
    """Nobody is named for it, so the admins hear of it."""
    with night(cast, db) as it:
        set_up(it)
        clock.forward(days=15)
        it.run()
        assert it.mail.to("ada@example.org") == []
        clock.forward(days=11)
        it.run()
        (told,) = it.mail.to("ada@example.org")
        assert "Confirm the contact roster" in told
        assert "Aud Auditor: no contact is verified" in told
        clock.forward(days=6)
        it.run()
        assert "was not confirmed in time" in it.mail.to("ada@example.org")[-1]
        assert open_clocks(it) == [("breached", True)]
        do(it, cast.edo, seen(it).digest)
        assert open_clocks(it) == [("running", True)]
        assert set(it.rows("SELECT state FROM paging_page WHERE subject_kind = 'roster'")) == {("ended",)}


def test_who_is_named_for_it_hears_of_it(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        live(it, TEXT.replace(DUTY, TABLE))
        clock.forward(days=26)
        it.run()
        assert len(it.mail.to("apo@example.org")) == 1
        assert it.mail.to("ada@example.org") == []


def test_a_handbook_that_asks_no_more_takes_the_duty_back(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        live(it, TEXT.replace(DUTY, ""))
        assert open_clocks(it) == [("cancelled", True)]
        with pytest.raises(Conflict, match="does not ask"):
            do(it, cast.edo, seen(it).digest)
        live(it, TEXT)
        clock.forward(days=40)
        it.run()
        live(it, TEXT.replace(DUTY, ""))
        assert [state for state, _ in open_clocks(it)] == ["cancelled"], "what was late waits for nobody any more"


def test_applying_again_does_not_begin_the_month_anew(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        before = it.rows("SELECT id, due_at FROM clocks_clock WHERE kind = 'confirm'")
        clock.forward(days=3)
        live(it, TEXT)
        assert it.rows("SELECT id, due_at FROM clocks_clock WHERE kind = 'confirm'") == before
        live(it, TEXT.replace("monthly", "weekly"))
        ((due, started),) = it.rows("SELECT due_at, started_at FROM clocks_clock WHERE kind = 'confirm'")
        assert timedelta(days=6, hours=22) < due - started < timedelta(days=7, hours=2)


def test_due_and_the_page_and_the_api_show_it(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db) as it:
        set_up(it)
        browser = signed_in(cast.edo)
        page = browser.get("/w/main/oncall/contacts")
        assert page.status_code == 200
        assert "Aud Auditor" in page.content.decode()
        assert "edo@example.org" not in page.content.decode(), "how, never where"
        assert "Confirm the contact roster" not in browser.get("/w/main/due").content.decode(), (
            "not before it falls due"
        )
        assert "Confirm the contact roster" in browser.get("/w/main/due?show=all").content.decode()
        assert "Confirm the contact roster" not in browser.get("/w/main/pages").content.decode(), "it is no escalation"
        clock.forward(days=26)
        it.run()
        browser = signed_in(cast.edo)
        assert "Confirm the contact roster" in browser.get("/w/main/due").content.decode()
        told = browser.get("/api/v1/workspaces/main/roster").json()
        stale = browser.post("/w/main/oncall/contacts", {"do": "confirm", "seen": "0" * 64})
        assert stale.status_code == 409
        assert "not what you looked at" in stale.content.decode()
        assert browser.post("/w/main/oncall/contacts", {"do": "confirm", "seen": told["digest"]}).status_code == 302
        assert "Edo Editor" in browser.get("/w/main/oncall/contacts").content.decode()
        assert "Confirm the contact roster" not in browser.get("/w/main/due").content.decode()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Confirm contact roster monthly", True),
        ("Verify the on-call contact list", True),
        ("Review escalation contacts", True),
        ("Check that the list of contacts is current", True),
        ("compare the access list with the HR roster", False),
        ("The on-call roster has acknowledged this runbook.", False),
        ("Review access lists", False),
    ],
)
def test_which_duties_mean_the_roster(text: str, wanted: bool) -> None:
    assert confirms_roster([text]) is wanted
