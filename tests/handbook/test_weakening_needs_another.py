"""What weakens the live policy: another person approves exactly this, or somebody breaks the glass, and files cannot switch that off."""

import json
from typing import Any

import pytest

from tests.cast import Cast, api, signed_in
from tests.handbook.test_apply_makes_it_live import TEXT, accepted, apply
from watchbill.base.errors import Conflict, Denied, Invalid
from watchbill.gates.commands import answer
from watchbill.gates.models import Request
from watchbill.handbook.commands import ApprovalNeeded, submit
from watchbill.handbook.models import Draft, Revision

WEAK = TEXT.replace("15 min", "45 min")


def send(
    cast: Cast, who: Any, text: str = WEAK, *, reason: str = "agreed", first: str = "", **more: Any
) -> Revision | Request:
    with cast.acts(who) as by:
        return submit(
            by=by, workspace_id=cast.main, slug="main", files=[("a.md", text)], lock=accepted(text, first or accepted(TEXT)), reason=reason, **more
        )  # fmt: skip


def approve(cast: Cast, request: Revision | Request) -> None:
    assert isinstance(request, Request)
    with cast.acts(cast.apo) as by:
        answer(by=by, workspace_id=cast.main, request_id=request.id, approves=True, digest=request.digest)


def test_it_waits_for_another_and_then_goes_live_once(cast: Cast, db: Any) -> None:
    apply(cast, cast.ada)
    with pytest.raises(ApprovalNeeded, match="weakens the live policy"):
        send(cast, cast.edo, reason="")
    asked = send(cast, cast.edo)
    assert isinstance(asked, Request)
    assert "30" not in asked.title
    assert asked.shown[0]["changes"][0] | {"note": ""} == {
        "field": "respond",
        "before": "15 min",
        "after": "45 min",
        "note": "",
    }
    again = send(cast, cast.edo)
    assert isinstance(again, Request)
    assert again.id == asked.id
    approve(cast, asked)
    made = send(cast, cast.edo, reason="")
    assert isinstance(made, Revision)
    assert (made.number, made.weakens, made.reason, made.request_id, made.broken) == (
        2,
        True,
        "agreed",
        asked.id,
        False,
    )
    with cast.acts(cast.ada):
        assert not Draft.objects.exists()
    (body,) = db.run(
        "SELECT p.body FROM ledger_payload p JOIN ledger_entry e ON e.id = p.entry_id WHERE e.action = 'handbook.apply' ORDER BY e.id DESC LIMIT 1"
    )[0]
    detail = json.loads(body)["detail"]
    assert detail["reason"] == "agreed"
    assert detail["changes"] == ["1 change severity"]


def test_an_approval_of_one_plan_is_none_of_another(cast: Cast) -> None:
    apply(cast, cast.ada)
    approve(cast, send(cast, cast.edo))
    worse = TEXT.replace("15 min", "46 min")
    assert isinstance(send(cast, cast.edo, worse), Request)
    # Not even where only the words around it changed, or somebody else's revision came between.
    assert isinstance(send(cast, cast.edo, WEAK + "\nMore words.\n"), Request)
    strong = TEXT.replace("1 hour", "30 min")
    apply(cast, cast.edo, strong, accepted(strong, accepted(TEXT)))
    assert isinstance(send(cast, cast.edo), Request)
    with cast.acts(cast.ada):
        assert Revision.objects.count() == 2


def test_the_admin_cannot_do_it_alone_but_can_break_the_glass_loudly(cast: Cast) -> None:
    apply(cast, cast.ada)
    assert isinstance(send(cast, cast.ada), Request)
    with pytest.raises(Denied, match=r"handbook\.weaken"):
        send(cast, cast.edo, break_glass=True, reason="nobody is here tonight")
    with pytest.raises(Invalid, match="in a few words"):
        send(cast, cast.ada, break_glass=True, reason="now")
    made = send(cast, cast.ada, break_glass=True, reason="nobody is here tonight")
    assert isinstance(made, Revision)
    assert (made.broken, made.weakens) == (True, True)
    assert "glass broken" in signed_in(cast.vera).get("/w/main/handbook/revisions").content.decode()
    assert "reviews it" in signed_in(cast.apo).get("/w/main/due").content.decode()


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("", "business_hours: {days: [monday, tuesday, wednesday, thursday]}\n", "business time stands still"),
        ("", "holidays: {also: [2026-12-24]}\n", "more days are off"),
        ("holidays: {country: DE}\n", "holidays: {country: IT}\n", "other days are off"),
        ("immediate: 5 min\n", "immediate: 30 min\n", "it takes longer"),
    ],
)
def test_settings_that_make_deadlines_later_weaken_too(cast: Cast, before: str, after: str, why: str) -> None:
    text = TEXT.replace("15 min", "Immediate").replace("1 hour", "1 business day")

    def go(config: str) -> Revision | Request:
        from watchbill.handbook.accept import Choice, accept_items
        from watchbill.handbook.compile import compile_sources
        from watchbill.handbook.config import read_text
        from watchbill.handbook.files import Source
        from watchbill.handbook.lock import dump

        lock, problems, _ = accept_items(
            compile_sources([Source("a.md", text)], "main", read_text(config)), Choice(everything=True)
        )
        assert problems == []
        with cast.acts(cast.ada) as by:
            return submit(
                by=by, workspace_id=cast.main, slug="main", files=[("a.md", text)], lock=dump(lock), config=config, reason="so"
            )  # fmt: skip

    assert isinstance(go(before), Revision)
    asked = go(after)
    assert isinstance(asked, Request)
    assert why in json.dumps(asked.shown)


def test_the_settings_words_and_groups_for_roles_are_applied_by_who_may_grant(cast: Cast, db: Any) -> None:
    config = "roles: {Operator: responder}\ngroups: {ops-admins: editor}\n"

    def go(who: Any, config: str) -> Revision | Request:
        with cast.acts(who) as by:
            return submit(
                by=by, workspace_id=cast.main, slug="main", files=[("a.md", TEXT)], lock=accepted(TEXT), config=config, reason="x"
            )  # fmt: skip

    apply(cast, cast.ada)
    approve(cast, go(cast.edo, config))
    with pytest.raises(Denied, match=r"role\.grant"):
        go(cast.edo, config)
    assert isinstance(go(cast.ada, config), Revision)
    assert db.run("SELECT role, label FROM people_role_label") == [("responder", "Operator")]
    assert db.run('SELECT "group", role FROM people_group_mapping') == [("ops-admins", "editor")]
    assert isinstance(go(cast.ada, "groups: {}\n"), Revision)
    assert db.run("SELECT count(*) FROM people_group_mapping") == [(0,)]


def test_the_api_says_202_and_where_to_look(cast: Cast) -> None:
    apply(cast, cast.ada)
    client = api(cast.token(cast.edo))
    body = {
        "files": [{"path": "a.md", "text": WEAK}],
        "lock": accepted(WEAK, accepted(TEXT)),
        "reason": "agreed",
        "expected": 1,
    }
    said = client.post("/api/v1/workspaces/main/handbook", body, content_type="application/json")
    assert said.status_code == 202
    assert said.json()["url"].endswith(f"/w/main/requests/{said.json()['request']}")
    mine = client.post(
        f"/api/v1/workspaces/main/requests/{said.json()['request']}/answer", {"approves": True, "digest": said.json()["digest"]}, content_type="application/json"
    )  # fmt: skip
    assert mine.status_code == 403
    with cast.acts(cast.ada):
        assert Revision.objects.count() == 1
    without = client.post("/api/v1/workspaces/main/handbook", body | {"reason": ""}, content_type="application/json")
    assert without.status_code == 202, "the request that waits has its reason already"
    with pytest.raises(Conflict):
        apply(cast, cast.edo, WEAK, accepted(WEAK, accepted(TEXT)))
