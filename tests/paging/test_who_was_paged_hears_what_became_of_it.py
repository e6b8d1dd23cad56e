"""“Taken by Ada”, “over”: whoever was paged hears it once, by the quietest method that reached them; mails about one incident are one thread."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.cast import Cast, signed_in
from tests.night import PHONES, Night, night
from tests.peers.push import Push
from tests.peers.twilio import Script
from watchbill.paging.channels.email.channel import compose
from watchbill.paging.message import Message
from watchbill.paging.rules import Told, Way, notice_way, thread_of

MAIL, PHONE, PUSH = Way(UUID(int=1), "email", True), Way(UUID(int=2), "phone", True), Way(UUID(int=3), "push", True)
WAYS, ALL = (MAIL, PHONE, PUSH), ("email", "sms", "voice", "push")
BY_MAIL, BY_TEXT, BY_CALL, BY_PUSH = Told("email", MAIL.id), Told("sms", PHONE.id), Told("voice", PHONE.id), Told("push", PUSH.id)  # fmt: skip


@pytest.mark.parametrize(
    ("told", "ways", "here", "expected"),
    [
        ([BY_MAIL], WAYS, ALL, BY_MAIL), ([BY_TEXT], WAYS, ALL, BY_TEXT), ([BY_PUSH], WAYS, ALL, BY_PUSH), ([BY_CALL], WAYS, ALL, BY_TEXT),
        ([BY_MAIL, BY_TEXT, BY_CALL], WAYS, ALL, BY_MAIL), ([BY_MAIL, BY_PUSH, BY_CALL], WAYS, ALL, BY_PUSH), ([BY_TEXT, BY_CALL], WAYS, ALL, BY_TEXT),
        # Called, and no text can go out: whatever else is verified.
        ([BY_CALL], WAYS, ("voice", "email", "push"), BY_PUSH), ([BY_CALL], (PHONE, MAIL), ("voice", "email"), BY_MAIL), ([BY_CALL], (PHONE,), ("voice",), None),
        # A contact that was removed since is none; an address of a runbook stays.
        ([BY_MAIL], (PHONE,), ALL, None), ([Told("email", None, "noc@example.org")], (), ALL, Told("email", None, "noc@example.org")), ([], WAYS, ALL, None),
    ],
)  # fmt: skip
def test_the_quietest_method_that_reached_somebody_tells_and_never_a_call(
    told: Any, ways: Any, here: Any, expected: Told | None
) -> None:
    found = notice_way(told, ways, here)
    assert found == expected
    assert found is None or found.method != "voice"


def test_all_mails_about_one_incident_have_one_root() -> None:
    here, there = UUID(int=1), UUID(int=2)
    page = thread_of(here, "[Sev1] Down (INC-142)", "incident", "x", "https://hub.example.org")
    assert page == f"inc-142.{here}@hub.example.org"
    assert (
        thread_of(here, "You were not briefed about INC-142: Down", "briefing", "y", "https://hub.example.org") == page
    )
    assert thread_of(there, "[Sev1] Down (INC-142)", "incident", "x", "https://hub.example.org") != page
    assert (
        thread_of(here, "Handover", "handover", "z 1", "http://[::1]:8000") == f"handover-z-1.{here}@watchbill.invalid"
    )
    root = f"<{page}>"
    for sender in ("a@one.example", "b@two.example"):
        mail = compose(Message("7", "[Sev1] Down (INC-142)", thread=page), sender, "x@example.org")
        assert (mail["Message-ID"], mail["In-Reply-To"], mail["References"]) == ("<7@hub.example.org>", root, root)
    assert compose(Message("7", "Code"), "a@one.example", "x@example.org")["References"] is None


def notices(it: Night) -> list[tuple[Any, ...]]:
    return it.rows("SELECT target, method, state, why FROM paging_delivery WHERE step = -1 ORDER BY id")


def page_id(it: Night) -> UUID:
    return it.rows("SELECT id FROM paging_page WHERE subject_kind = 'incident' ORDER BY id DESC LIMIT 1")[0][0]  # type: ignore[no-any-return]


def take(it: Night, who: str) -> None:
    from watchbill.paging.commands import acknowledge

    with it.cast.acts(it.person(who)) as by:
        acknowledge(by=by, workspace_id=it.cast.main, page_id=page_id(it))
    it.run()


def test_who_was_paged_hears_who_takes_it_and_that_it_is_over(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up().fire(service="web")
        clock.forward(minutes=6)
        it.run()
        assert {row[1] for row in it.told()} >= {"Edo Editor", "Apo Approver"}
        calls, texts = len(it.twilio.calls), len(it.twilio.messages)
        take(it, "apo")
        assert notices(it) == [("Edo Editor", "email", "sent", "it is taken")], "one, and not to who took it"
        last = it.mail.got[-1]
        assert last[0] == "edo@example.org"
        assert "Taken by Apo Approver. [Sev1]" in last[1].get_content()  # type: ignore[attr-defined]
        assert "/reply/" not in last[1].get_content(), "there is nothing to answer"  # type: ignore[attr-defined]
        it.fire(service="web", status="resolved")
        clock.forward(seconds=301)
        it.run()
        assert [row[:3] for row in notices(it)] == [("Edo Editor", "email", "sent")] * 2
        over = it.mail.got[-1][1]
        assert "Over: INC-1 was resolved" in over.get_content()  # type: ignore[attr-defined]
        assert (len(it.twilio.calls), len(it.twilio.messages)) == (calls, texts), "nobody is called or texted for it"
        # All mails of the incident are one thread, also for programs that look at the subject.
        mails = [mail for to, mail in it.mail.got if "INC-1" in str(mail["Subject"])]
        assert len({str(mail["References"]) for mail in mails}) == 1
        assert len({str(mail["Message-ID"]) for mail in mails}) == len(mails)
        assert {str(mail["Subject"]).removeprefix("Re: ") for mail in mails} == {str(mails[0]["Subject"])}
        assert str(over["Subject"]).startswith("Re: ")
        assert over["Importance"] is None


def test_a_page_that_nobody_took_ends_with_one_notice(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("silence")) as it:
        it.set_up().fire(service="web")
        it.fire(service="web", status="resolved")
        clock.forward(seconds=301)
        it.run()
        assert [row[:3] for row in notices(it)] == [("Edo Editor", "email", "sent")]


def test_whom_a_call_woke_gets_a_text(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.paging.own import set_rules

    with night(cast, db, edo=Script("no-answer")) as it:
        it.set_up()
        with cast.acts(cast.edo) as by:
            set_rules(by=by, workspace_id=cast.main, urgency="high", steps=[{"method": "voice", "delay": 0}])
        it.fire(service="web")
        assert len(it.twilio.calls) == 1
        assert it.twilio.messages == [one for one in it.twilio.messages if one["To"] != PHONES["edo"]]
        take(it, "apo")
        (text,) = [one["Body"] for one in it.twilio.messages if one["To"] == PHONES["edo"]]
        assert text.startswith("Taken by Apo Approver. [Sev1]")
        assert "(INC-1)" in text
        assert len([one for one in it.twilio.calls if one["To"] == PHONES["edo"]]) == 1


def test_who_wants_none_of_it_says_so(cast: Cast, db: Any, clock: Any) -> None:
    with night(cast, db, edo=Script("silence")) as it:
        it.set_up()
        browser = signed_in(cast.edo)
        assert "Stop telling me" in browser.get("/w/main/my-paging").content.decode()
        browser.post("/w/main/my-paging", {"do": "notices", "on": "0"})
        browser.post("/w/main/my-paging", {"do": "notices", "on": "0"})
        assert "You do not hear" in browser.get("/w/main/my-paging").content.decode()
        assert it.rows("SELECT count(*) FROM ledger_entry WHERE action = 'paging.notices'") == [(2,)]
        it.fire(service="web")
        take(it, "apo")
        it.fire(service="web", status="resolved")
        clock.forward(seconds=301)
        it.run()
        assert notices(it) == []
        answer = browser.put("/api/v1/workspaces/main/my-paging/notices", {"on": True}, content_type="application/json")
        assert answer.status_code == 204
        it.fire("Other", service="web")
        take(it, "apo")
        assert [row[0] for row in notices(it)] == ["Edo Editor"]


def test_tests_shadows_and_who_was_never_reached_hear_nothing(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.paging.commands import acknowledge

    with night(cast, db, edo=Script(error=21211)) as it:
        it.set_up()
        signed_in(cast.edo).post("/w/main/my-paging", {"do": "test"})
        it.run()
        with cast.acts(cast.edo) as by:
            acknowledge(by=by, workspace_id=cast.main, page_id=it.rows("SELECT id FROM paging_page")[0][0])
        it.run()
        assert notices(it) == []
        it.mail.refused["edo@example.org"] = "550 no such user"
        it.fire(service="web")
        take(it, "ada")
        assert "Edo Editor" not in [row[0] for row in notices(it)], "no message ever reached him"


def test_another_page_that_follows_is_not_the_end(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.paging.commands import end

    with night(cast, db, edo=Script("silence")) as it:
        it.set_up().fire(service="web")
        with cast.acts(cast.ada) as by:
            end(by=by, workspace_id=cast.main, page_id=page_id(it), why="it is Sev0 now: all hands", over=False)
        it.run()
        assert notices(it) == []


def test_it_is_over_before_the_notice_of_who_takes_it_went_out(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.paging.commands import acknowledge, end

    with night(cast, db, edo=Script("silence")) as it:
        it.set_up().fire(service="web")
        with cast.acts(cast.apo) as by:
            acknowledge(by=by, workspace_id=cast.main, page_id=page_id(it))
            end(by=by, workspace_id=cast.main, page_id=page_id(it), why="INC-1 was resolved")
        it.run()
        assert ("Edo Editor", "email", "sent", "it is over: INC-1 was resolved") in notices(it)
        assert len([row for row in notices(it) if row[2] == "sent"]) == 1


@pytest.mark.parametrize(("hour", "silent"), [(12, False), (3, True)])
def test_a_notification_makes_no_sound_at_night(cast: Cast, db: Any, clock: Any, hour: int, silent: bool) -> None:
    from watchbill.paging.setup import set_channel
    from watchbill.people.contacts import add_browser

    at = datetime.now(UTC)
    clock.forward(hours=(hour - at.hour) % 24)
    with night(cast, db, edo=Script("silence")) as it, Push() as browser:
        it.set_up()
        with cast.acts(cast.ada) as by:
            set_channel(
                by=by, workspace_id=cast.main, kind="push", name="Browsers", config={"contact": "a@example.org"}
            )
        with cast.acts(cast.edo) as by:
            add_browser(by=by, workspace_id=cast.main, subscription=browser.subscription(), label="Firefox")
        it.fire(service="web")
        take(it, "apo")
        page, notice = browser.got
        assert "silent" not in page or not page["silent"]
        assert notice["title"].startswith("Taken by Apo Approver")
        assert (notice["silent"], notice["acknowledge"]) == (silent, "")


def test_an_erased_persons_name_stands_in_no_notice(cast: Cast, db: Any, clock: Any) -> None:
    from watchbill.people.commands import erase_person

    with night(cast, db, edo=Script("silence")) as it:
        it.set_up().fire(service="web")
        take(it, "apo")
        it.fire(service="web", status="resolved")
        clock.forward(seconds=301)
        it.run()
        assert len(notices(it)) == 2
        for gone in (cast.apo, cast.edo):
            with cast.acts(cast.ada) as by:
                erase_person(by=by, workspace_id=cast.main, person_id=gone)
            it.run()
        text = str(it.rows("SELECT target, why, reason, address FROM paging_delivery"))
        assert "Apo Approver" not in text
        assert "Edo Editor" not in text
