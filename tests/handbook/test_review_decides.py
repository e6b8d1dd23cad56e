"""The page Review: names first, each sentence beside its reading, choices that stay, and an apply of exactly what was shown."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast, api, as_worker, signed_in
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.facts.publish import deliver_one
from watchbill.handbook.bindings import bind_name, unbind_name
from watchbill.handbook.commands import Unbound, apply_draft, choose, discard_draft, keep_draft, submit
from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source
from watchbill.handbook.lock import Lock, parse_lock
from watchbill.handbook.models import Draft, DraftItem, PolicyItem, Revision
from watchbill.handbook.names import names_of
from watchbill.handbook.queries import access_review
from watchbill.handbook.review import lock_of, rows_of, undecided
from watchbill.language.names import canonical
from watchbill.people.commands import deactivate_person, erase_person

TEXT = """# Operations

## Severity levels

| Severity | Response |
|---|---|
| SEV-1 | 15 min |
| SEV-2 | 1 hour |

## Contacts

| Role | Primary | Email |
|---|---|---|
| Night Captain | #bridge | captain@ship.example |

## Maintenance

| Task | Frequency | Owner |
|---|---|---|
| Check the <b>pumps</b> | Weekly | Stokers |
| Test the siren | Monthly | Stokers |
"""


def bring(cast: Cast, who: Any, text: str = TEXT, **more: Any) -> Draft:
    with cast.acts(who) as by:
        return keep_draft(by=by, workspace_id=cast.main, slug="main", files=[("a.md", text)], **more)


def chose(cast: Cast, who: Any, draft: Draft, choice: str, *keys: str) -> None:
    with cast.acts(who) as by:
        wanted = keys or [row.key for row in DraftItem.objects.filter(draft=draft)]
        choose(by=by, workspace_id=cast.main, version=draft.version, keys=list(wanted), choice=choice)


def apply(cast: Cast, who: Any, **more: Any) -> Any:
    with cast.acts(who) as by:
        found = access_review(by, cast.main)
        assert found is not None
        return apply_draft(
            by=by, workspace_id=cast.main, slug="main", version=found.draft.version, lock_digest=found.lock_digest, **more
        )  # fmt: skip


def test_from_nothing_to_live_by_hand(cast: Cast) -> None:
    draft = bring(cast, cast.ada)
    chose(cast, cast.ada, draft, "live")
    with pytest.raises(Unbound, match="“Night Captain”, “Stokers”"):
        apply(cast, cast.ada)
    cast.bind("night captain", "The  Stokers")
    made = apply(cast, cast.ada)
    assert isinstance(made, Revision)
    with cast.acts(cast.vera):
        assert set(PolicyItem.objects.filter(state="live").values_list("kind", flat=True)) == {
            "severity",
            "contact",
            "duty",
        }
        assert not Draft.objects.exists()


def test_shadow_and_ignored_need_no_name(cast: Cast) -> None:
    draft = bring(cast, cast.ada)
    with cast.acts(cast.ada):
        keys = {row.kind: row.key for row in DraftItem.objects.filter(draft=draft)}
    chose(cast, cast.ada, draft, "live")
    chose(cast, cast.ada, draft, "shadow", keys["contact"])
    duties = [row for row in ["duty"] if row in keys]
    assert duties
    with cast.acts(cast.ada):
        wanted = list(DraftItem.objects.filter(draft=draft, kind="duty").values_list("key", flat=True))
    chose(cast, cast.ada, draft, "ignored", *wanted)
    assert isinstance(apply(cast, cast.ada), Revision)
    with cast.acts(cast.vera):
        states = dict(PolicyItem.objects.exclude(kind="reference").values_list("kind", "state"))
    assert (states["severity"], states["contact"], states["duty"]) == ("live", "shadow", "ignored")


def test_choices_stay_when_the_runbook_changes_elsewhere(cast: Cast) -> None:
    draft = bring(cast, cast.ada)
    chose(cast, cast.ada, draft, "live")
    again = bring(cast, cast.ada, TEXT.replace("1 hour", "2 hours"))
    with pytest.raises(Conflict, match="brought anew"):
        chose(cast, cast.ada, draft, "live")
    with cast.acts(cast.ada):
        choices = dict(DraftItem.objects.filter(draft=again).values_list("name", "choice"))
    assert choices["SEV-1"] == "live"
    assert choices["SEV-2"] == ""


def test_a_change_must_be_decided_and_a_removal_too(cast: Cast) -> None:
    cast.bind("Night Captain", "Stokers")
    chose(cast, cast.ada, bring(cast, cast.ada), "live")
    apply(cast, cast.ada)
    draft = bring(
        cast, cast.edo, TEXT.replace("1 hour", "30 min").replace("| Test the siren | Monthly | Stokers |\n", "")
    )
    with pytest.raises(Conflict, match="2 changes are not decided"):
        apply(cast, cast.edo)
    with pytest.raises(Invalid, match="cannot be chosen"):
        chose(cast, cast.edo, draft, "gone", "severity/sev-2")
    chose(cast, cast.edo, draft, "live", "severity/sev-2")
    with cast.acts(cast.edo):
        gone = DraftItem.objects.get(draft=draft, action="remove")
    assert gone.weakens
    chose(cast, cast.edo, draft, "gone", gone.key)
    with cast.acts(cast.edo) as by:
        found = access_review(by, cast.main)
        assert found is not None
        assert found.plan.weakens
        assert undecided(found.rows) == []


def test_a_rename_is_asked_and_the_answer_keeps_the_key(cast: Cast) -> None:
    cast.bind("Night Captain", "Stokers")
    chose(cast, cast.ada, bring(cast, cast.ada), "live")
    apply(cast, cast.ada)
    renamed = TEXT.replace("| Test the siren | Monthly |", "| Try the siren out | Every 2 months |")
    draft = bring(cast, cast.ada, renamed)
    with cast.acts(cast.ada):
        asked = DraftItem.objects.get(draft=draft, action="ask")
    assert [answer[1] for answer in asked.answers] == ["Try the siren out"]
    chose(cast, cast.ada, draft, f"is:{asked.answers[0][0]}", asked.key)
    with cast.acts(cast.ada) as by:
        found = access_review(by, cast.main)
    assert found is not None
    lock = parse_lock(found.lock_text)[0]
    assert lock is not None
    assert lock.items[asked.key].name == "Try the siren out"


def test_what_was_not_shown_is_not_applied(cast: Cast) -> None:
    draft = bring(cast, cast.ada)
    with cast.acts(cast.ada) as by:
        seen = access_review(by, cast.main)
        assert seen is not None
    chose(cast, cast.ada, draft, "live", "severity/sev-1")
    with cast.acts(cast.ada) as by, pytest.raises(Conflict, match="in the meantime"):
        apply_draft(
            by=by, workspace_id=cast.main, slug="main", version=seen.draft.version, lock_digest=seen.lock_digest
        )


def test_errors_stay_with_the_draft_and_the_live_one_stays(cast: Cast) -> None:
    chose(cast, cast.ada, bring(cast, cast.ada), "shadow")
    apply(cast, cast.ada)
    bring(cast, cast.edo, TEXT + "\n```yaml watchbill\n- kind: nonsense\n  name: x\n```\n")
    with pytest.raises(Invalid, match="errors"):
        apply(cast, cast.edo)
    for path in ("handbook", "runbooks", "runbooks/a.md"):
        assert "what was live stays live" in signed_in(cast.vera).get(f"/w/main/{path}").content.decode(), path
    page = signed_in(cast.edo).get("/w/main/handbook/review").content.decode()
    assert "WB022" in page
    assert "Mend the handbook" in signed_in(cast.edo).get("/w/main/due").content.decode()


def test_the_command_line_leaves_what_cannot_go_live_for_review(cast: Cast) -> None:
    chose(cast, cast.ada, bring(cast, cast.ada), "live")
    with cast.acts(cast.ada) as by:
        lock = access_review(by, cast.main)
        assert lock is not None
        discard_draft(by=by, workspace_id=cast.main)
    client = api(cast.token(cast.ada))
    body = {"files": [{"path": "a.md", "text": TEXT}], "lock": lock.lock_text}
    said = client.post("/api/v1/workspaces/main/handbook", body, content_type="application/json")
    assert said.status_code == 409
    assert "unbound-names" in said.json()["type"]
    page = signed_in(cast.ada).get("/w/main/handbook/review").content.decode()
    assert "Night Captain" in page
    assert "holds it up" in page


def test_bindings_mean_somebody_who_is_here(cast: Cast) -> None:
    with cast.acts(cast.edo) as by:
        for kind, target in (("person", cast.sam), ("team", cast.edo), ("service", cast.edo)):
            with pytest.raises(NotFound):
                bind_name(by=by, workspace_id=cast.main, name="Stokers", target_kind=kind, target_id=target)
        with pytest.raises(Invalid, match="no name"):
            bind_name(by=by, workspace_id=cast.main, name=" \0 ", target_kind="person", target_id=cast.edo)
        with pytest.raises(NotFound, match="not bound"):
            unbind_name(by=by, workspace_id=cast.main, name="Stokers")
    with cast.acts(cast.vera) as by, pytest.raises(Denied, match=r"handbook\.bind"):
        bind_name(by=by, workspace_id=cast.main, name="Stokers", target_kind="person", target_id=cast.edo)
    cast.bind("Night Captain", "Stokers", person_id=cast.vera)
    chose(cast, cast.ada, bring(cast, cast.ada), "live")
    apply(cast, cast.ada)
    with cast.acts(cast.ada) as by:
        deactivate_person(by=by, workspace_id=cast.main, person_id=cast.vera)
    page = signed_in(cast.ada).get("/w/main/handbook/review").content.decode()
    assert "Names to bind" in page, "what is live needs them, and she left"
    assert "left" in page


def test_the_page_escapes_marks_and_answers_without_scripts(cast: Cast) -> None:
    draft = bring(cast, cast.ada)
    browser = signed_in(cast.ada)
    page = browser.get("/w/main/handbook/review").content.decode()
    assert "Check the <b>pumps" not in page
    assert "<mark>SEV-1 | 15 min</mark>" in page
    form = {"do": "choose", "version": draft.version, "key": "severity/sev-1", "choice": "live"}
    assert browser.post("/w/main/handbook/review", form).status_code == 302
    part = browser.post(
        "/w/main/handbook/review", form | {"choice": "shadow"}, headers={"HX-Request": "true"}
    ).content.decode()
    assert part.lstrip().startswith("<li")
    assert "hx-swap-oob" in part
    assert "<html" not in part
    wrong = browser.post("/w/main/handbook/review", form | {"choice": "nonsense"})
    assert wrong.status_code == 422
    assert browser.post("/w/main/handbook/review", {"do": "sing"}).status_code == 422
    all_of_it = {"do": "choose", "version": draft.version, "choice": "live"}
    assert browser.post("/w/main/handbook/review", all_of_it).status_code == 302
    bound = {"do": "bind", "name": "Stokers", "target": f"person:{cast.edo}"}
    assert browser.post("/w/main/handbook/review", bound).status_code == 302
    assert "Stokers" in browser.get("/w/main/handbook/review").content.decode().partition("Bound names")[2]
    assert browser.post("/w/main/handbook/review", bound | {"target": ""}).status_code == 422
    lock = browser.get("/w/main/handbook/review/lock")
    assert json.loads(lock.content)["version"] == 1
    viewer = signed_in(cast.vera)
    assert "Accept</button>" not in viewer.get("/w/main/handbook/review").content.decode()
    assert viewer.post("/w/main/handbook/review", form).status_code == 403
    assert signed_in(cast.sam).get("/w/main/handbook/review").status_code == 404


def test_the_api_does_the_same(cast: Cast) -> None:
    client = api(cast.token(cast.ada))
    base = "/api/v1/workspaces/main"
    assert client.get(f"{base}/handbook/review").status_code == 404
    found = client.post(
        f"{base}/handbook/review", {"files": [{"path": "a.md", "text": TEXT}]}, content_type="application/json"
    ).json()
    keys = [item["key"] for item in found["items"]]
    found = client.post(
        f"{base}/handbook/review/choose", {"version": found["version"], "keys": keys, "choice": "live"}, content_type="application/json"
    ).json()  # fmt: skip
    assert found["unbound"] == ["Night Captain", "Stokers"]
    for name in found["unbound"]:
        body = {"name": name, "target_kind": "person", "target_id": str(cast.edo)}
        assert client.put(f"{base}/bindings", body, content_type="application/json").status_code == 200
    assert len(client.get(f"{base}/bindings?limit=1").json()["items"]) == 1
    body = {"version": found["version"], "lock_digest": found["lock_digest"]}
    assert client.post(f"{base}/handbook/review/apply", body, content_type="application/json").status_code == 201
    first = client.get(f"{base}/handbook/items?limit=2").json()
    rest = client.get(f"{base}/handbook/items?limit=200&cursor={first['next']}").json()
    with cast.acts(cast.ada):
        assert len(first["items"]) + len(rest["items"]) == PolicyItem.objects.count()
    assert (
        client.post(f"{base}/bindings/unbind", {"name": "Stokers"}, content_type="application/json").status_code == 204
    )


def test_submit_raises_unbound_and_keeps_the_draft(cast: Cast) -> None:
    chose(cast, cast.ada, bring(cast, cast.ada), "live")
    with cast.acts(cast.ada) as by:
        found = access_review(by, cast.main)
        assert found is not None
        with pytest.raises(Unbound):
            submit(by=by, workspace_id=cast.main, slug="main", files=[("a.md", TEXT)], lock=found.lock_text)
    with cast.acts(cast.ada):
        assert Draft.objects.count() == 1


@given(st.lists(st.sampled_from(["live", "shadow", "ignored", ""]), min_size=5, max_size=5))
def test_the_lock_of_a_review_is_what_was_chosen(choices: list[str]) -> None:
    book = compile_sources([Source("a.md", TEXT)], "main", Config(), lock=Lock(1))
    rows = rows_of(book, Lock(1))
    assert len(rows) == 5
    for row, choice in zip(rows, choices, strict=True):
        row.choice = choice
    found = lock_of(Lock(1), rows)
    assert {key: one.state for key, one in found.items.items()} == {row.key: row.choice for row in rows if row.choice}
    # What the lock says is what compiling with it reads.
    again = compile_sources([Source("a.md", TEXT)], "main", Config(), lock=found)
    assert {item.key: item.state for item in again.items if item.state != "proposed"} == {
        key: one.state for key, one in found.items.items()
    }


def test_names_are_the_same_whatever_their_case_and_article() -> None:
    assert canonical(" The  Night Captain. ") == canonical("night captain")
    book = compile_sources([Source("a.md", TEXT)], "main", Config())
    found = names_of(book.items)
    assert {key for key, name in found.items() if name.needed_by} == {"night captain", "stokers"}
    assert found["#bridge"].sort == "channel"


def test_an_erased_person_is_bound_to_nothing(cast: Cast, db: Any) -> None:
    cast.bind("Night Captain", person_id=cast.vera)
    with cast.acts(cast.ada) as by:
        erase_person(by=by, workspace_id=cast.main, person_id=cast.vera)
    with as_worker():
        while deliver_one():
            pass
    assert db.run("SELECT count(*) FROM handbook_binding") == [(0,)]


def test_what_is_live_can_be_looked_through_again(cast: Cast) -> None:
    browser = signed_in(cast.ada)
    assert browser.post("/w/main/handbook/review", {"do": "live"}).status_code == 404
    chose(cast, cast.ada, bring(cast, cast.ada), "shadow")
    apply(cast, cast.ada)
    assert "Review the live handbook" in browser.get("/w/main/handbook/review").content.decode()
    assert browser.post("/w/main/handbook/review", {"do": "live"}).status_code == 302
    assert browser.post("/w/main/handbook/review", {"do": "live"}).status_code == 409
    with cast.acts(cast.ada):
        draft = Draft.objects.get()
        assert set(DraftItem.objects.values_list("action", "state")) == {("same", "shadow")}
    chose(cast, cast.ada, draft, "live", "severity/sev-1")
    made = apply(cast, cast.ada)
    assert isinstance(made, Revision)
    assert [change[:3] for step in made.steps for change in step["changes"]] == [["state", "shadow", "live"]]


def test_a_review_of_routes_says_what_they_would_have_done(cast: Cast, db: Any) -> None:
    """The alerts of the last fourteen days, by the routes under review."""
    from tests.night import example_files, night
    from watchbill.handbook.commands import choose, keep_draft

    with night(cast, db) as it:
        it.set_up().fire(service="web")
        it.fire("Note", service="web", severity="info")
        files, lock, config = example_files()
        changed = [(path, text.replace("""['severity!="info"']""", "[]")) for path, text in files]
        with cast.acts(cast.ada) as by:
            draft = keep_draft(by=by, workspace_id=cast.main, slug="main", files=changed, lock=lock, config=config)
            choose(by=by, workspace_id=cast.main, version=draft.version, keys=["route/the-rest"], choice="live")
        page = signed_in(cast.ada).get("/w/main/handbook/review").content.decode()
        assert "it would have paged 1 time more: 2, not 1, for 2 groups of alerts" in page
        assert "More: Note: web" in page


def test_a_route_to_nobody_that_is_known_is_an_error_with_its_line() -> None:
    from watchbill.handbook.compile import compile_sources
    from watchbill.handbook.config import Config
    from watchbill.handbook.files import Source

    text = "- kind: route\n  name: r\n  pages: Prodcution\n  severity: Sev9\n- kind: escalation\n  name: Production\n  steps: [{to: [SRE]}]\n"
    found = compile_sources([Source("r.watchbill.yaml", text)], "main", Config()).findings
    assert {(one.code, one.level, one.line) for one in found} == {("WB119", "error", 1), ("WB115", "warning", 1)}
