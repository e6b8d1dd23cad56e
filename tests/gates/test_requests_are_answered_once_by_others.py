"""Requests for approval against the database: who may answer, what an answer is bound to, and that each is used once."""

from datetime import timedelta
from typing import Any

import pytest

from tests.cast import Cast, api, as_worker, signed_in
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.clocks.commands import sweep
from watchbill.clocks.models import Clock
from watchbill.facts.publish import deliver_one
from watchbill.gates.commands import answer, ask, pass_gate, review, withdraw
from watchbill.gates.models import DecisionRow, Request
from watchbill.gates.rules import Decision
from watchbill.ledger.command import COMMANDS, command
from watchbill.ledger.quieter import harmless
from watchbill.people.commands import revoke_role

POLICY = [{"condition": "reason"}, {"condition": "approval", "count": 1}]
SHOWN = [
    {
        "what": "Delete <b>everything</b>",
        "weakens": True,
        "changes": [{"field": "f", "before": "1", "after": "2", "note": ""}],
    }
]


def asks(cast: Cast, who: Any, digest: str = "d1") -> Request:
    with cast.acts(who) as by:
        return ask(
            by=by, workspace_id=cast.main, gate="t.gate", title="Delete things", digest=digest, shown=SHOWN, policy=POLICY, needs="handbook.approve",
            reason="to see",
        )  # fmt: skip


def answers(
    cast: Cast, who: Any, request: Request, *, approves: bool = True, digest: str = "d1", note: str = ""
) -> Request:
    with cast.acts(who) as by:
        return answer(by=by, workspace_id=cast.main, request_id=request.id, approves=approves, digest=digest, note=note)


@command("test.pass", needs="handbook.apply", quieter=harmless("a test"))
def do_it(*, by: Any, workspace_id: Any, digest: str, reason: str = "x y z", break_glass: bool = False) -> Decision:
    """Passes the test's gate."""
    decision, _ = pass_gate(
        by=by, workspace_id=workspace_id, gate="t.gate", title="Delete things", digest=digest, shown=SHOWN, policy=POLICY, needs="handbook.approve",
        reason=reason, break_glass=break_glass,
    )  # fmt: skip
    if not decision.allowed:
        raise Conflict(decision.missing)
    return decision


COMMANDS.pop("test.pass")


def does(cast: Cast, who: Any, digest: str = "d1", **more: Any) -> Decision:
    with cast.acts(who) as by:
        return do_it(by=by, workspace_id=cast.main, digest=digest, **more)


def test_an_approval_serves_once_and_for_exactly_what_was_shown(cast: Cast, db: Any) -> None:
    request = asks(cast, cast.edo)
    with pytest.raises(Conflict, match="another person"):
        does(cast, cast.edo)
    assert answers(cast, cast.apo, request).state == "approved"
    with pytest.raises(Conflict, match="another person"):
        does(cast, cast.edo, "d2")
    assert does(cast, cast.edo).allowed
    with pytest.raises(Conflict, match="another person"):
        does(cast, cast.edo)
    with cast.acts(cast.ada):
        assert Request.objects.get(id=request.id).state == "used"
        assert DecisionRow.objects.get().request_id == request.id
    actions = [row[0] for row in db.run("SELECT action FROM ledger_entry ORDER BY id")]
    assert [one for one in actions if one.startswith("gate.")] == ["gate.ask", "gate.answer", "gate.pass"]


def test_who_asked_cannot_approve_and_who_may_not_cannot_answer(cast: Cast) -> None:
    request = asks(cast, cast.ada)
    with pytest.raises(Denied, match="somebody else"):
        answers(cast, cast.ada, request)
    for who in (cast.edo, cast.vera):
        with pytest.raises(Denied, match=r"handbook\.approve"):
            answers(cast, who, request)
    with pytest.raises(Conflict, match="not what you were shown"):
        answers(cast, cast.apo, request, digest="d2")
    with pytest.raises(Invalid, match="Say why"):
        answers(cast, cast.apo, request, approves=False)
    assert answers(cast, cast.apo, request, approves=False, note="too early").state == "refused"
    with pytest.raises(Conflict, match="refused already"):
        answers(cast, cast.apo, request)


def test_an_approval_counts_only_while_its_giver_may_give_it(cast: Cast) -> None:
    request = asks(cast, cast.edo)
    answers(cast, cast.apo, request)
    with cast.acts(cast.ada) as by:
        revoke_role(by=by, workspace_id=cast.main, person_id=cast.apo, role="approver")
    with pytest.raises(Conflict, match="may no longer"):
        does(cast, cast.edo)


def test_a_request_expires_and_can_be_asked_again(cast: Cast, clock: Any) -> None:
    request = asks(cast, cast.edo)
    assert asks(cast, cast.edo).id == request.id
    clock.forward(days=3, minutes=1)
    with pytest.raises(Conflict, match="expired"):
        answers(cast, cast.apo, request)
    again = asks(cast, cast.edo)
    assert again.id != request.id
    assert again.expires_at - again.opened_at == timedelta(days=3)
    answers(cast, cast.apo, again)
    clock.forward(days=4)
    with pytest.raises(Conflict, match="expired"):
        does(cast, cast.edo)


def test_withdrawing_is_the_requesters(cast: Cast) -> None:
    request = asks(cast, cast.edo)
    with cast.acts(cast.ada) as by, pytest.raises(Denied, match="Only who asked"):
        withdraw(by=by, workspace_id=cast.main, request_id=request.id)
    with cast.acts(cast.edo) as by:
        assert withdraw(by=by, workspace_id=cast.main, request_id=request.id).state == "withdrawn"
    with pytest.raises(Conflict, match="withdrawn already"):
        answers(cast, cast.apo, request)


def test_breaking_the_glass_is_on_record_until_somebody_else_reviewed_it(cast: Cast, db: Any) -> None:
    assert does(cast, cast.ada, break_glass=True).broken
    with cast.acts(cast.ada) as by:
        request = Request.objects.get()
        assert (request.state, request.requested_by) == ("broken", cast.ada)
        with pytest.raises(Denied, match="somebody else"):
            review(by=by, workspace_id=cast.main, request_id=request.id)
    assert "review" in signed_in(cast.apo).get("/w/main/due").content.decode()
    with cast.acts(cast.apo) as by:
        review(by=by, workspace_id=cast.main, request_id=request.id)
        with pytest.raises(Conflict, match="nothing to review"):
            review(by=by, workspace_id=cast.main, request_id=request.id)
    assert db.run("SELECT count(*) FROM ledger_entry WHERE action = 'gate.break_glass'") == [(1,)]
    assert "Delete things" not in signed_in(cast.apo).get("/w/main/due").content.decode()


def test_pages_and_due_lead_an_approver_to_it(cast: Cast) -> None:
    request = asks(cast, cast.edo)
    browser = signed_in(cast.apo)
    due = browser.get("/w/main/due").content.decode()
    assert f"/w/main/requests/{request.id}" in due
    assert "1 thing waits for you" in due
    page = browser.get(f"/w/main/requests/{request.id}").content.decode()
    assert "Edo Editor asks for your approval" in page
    assert "&lt;b&gt;everything" in page
    done = browser.post(f"/w/main/requests/{request.id}", {"do": "approve", "digest": "d1", "note": "fine"})
    assert done.status_code == 302
    assert "Approved" in browser.get(f"/w/main/requests/{request.id}").content.decode()
    (told,) = api(cast.token(cast.edo)).get("/api/v1/workspaces/main/due").json()["items"]
    assert (told["title"], told["note"], told["mine"], told["role"]) == (
        "Delete things",
        "approved, to be carried out",
        True,
        False,
    )
    assert told["asked_by"] == str(cast.edo)
    mine = signed_in(cast.edo)
    assert "to be carried out" in mine.get("/w/main/due").content.decode()
    refused = mine.post(f"/w/main/requests/{request.id}", {"do": "approve", "digest": "d1"})
    assert refused.status_code == 403
    assert browser.get("/w/main/requests").status_code == 200
    assert "Nothing waits for you" in signed_in(cast.vera).get("/w/main/due").content.decode()


def test_the_api_answers_and_a_stranger_sees_nothing(cast: Cast) -> None:
    request = asks(cast, cast.edo)
    client = api(cast.token(cast.apo))
    url = f"/api/v1/workspaces/main/requests/{request.id}"
    assert client.get("/api/v1/workspaces/main/requests").json()["items"][0]["title"] == "Delete things"
    said = client.post(f"{url}/answer", {"approves": True, "digest": "d1"}, content_type="application/json")
    assert said.json()["state"] == "approved"
    assert said.json()["answers"][0]["person"] == str(cast.apo)
    assert signed_in(cast.sam).get(f"/w/main/requests/{request.id}").status_code == 404
    with cast.acts(cast.sam) as by:
        assert not Request.objects.exists()
        with pytest.raises(NotFound):
            answer(by=by, workspace_id=cast.main, request_id=request.id, approves=True, digest="d1")


def test_nobody_answers_and_its_clock_ends_it(cast: Cast, clock: Any) -> None:
    request = asks(cast, cast.edo)
    clock.forward(days=2, hours=12)
    with as_worker():
        sweep()
    assert "80 % of its time is over" in signed_in(cast.apo).get("/w/main/due").content.decode()
    clock.forward(hours=13)
    with as_worker():
        sweep()
        while deliver_one():
            pass
    with cast.acts(cast.ada):
        assert Request.objects.get(id=request.id).state == "expired"
    assert "Nothing waits for you" in signed_in(cast.apo).get("/w/main/due").content.decode()
    assert asks(cast, cast.edo).id != request.id


def test_an_answer_meets_the_clock_and_withdrawing_cancels_it(cast: Cast) -> None:
    for finish, wanted in (("approve", "met"), ("refuse", "met"), ("withdraw", "cancelled")):
        request = asks(cast, cast.edo, finish)
        if finish == "withdraw":
            with cast.acts(cast.edo) as by:
                withdraw(by=by, workspace_id=cast.main, request_id=request.id)
        else:
            answers(cast, cast.apo, request, approves=finish == "approve", digest=finish, note="so")
        with cast.acts(cast.ada):
            assert Clock.objects.get(subject_id=str(request.id)).state == wanted
