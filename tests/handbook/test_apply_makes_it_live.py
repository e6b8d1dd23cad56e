"""Applying: only what was accepted, by somebody who may, as a revision that stays; weakening is loud; the last good stays."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cast import Cast, api, signed_in
from watchbill.base.errors import Conflict, Denied, Invalid
from watchbill.gates.commands import answer
from watchbill.gates.models import Request
from watchbill.handbook.accept import Choice, accept_items
from watchbill.handbook.commands import ApprovalNeeded, apply_handbook, roll_back
from watchbill.handbook.compile import compile_sources
from watchbill.handbook.config import Config
from watchbill.handbook.files import Source, load
from watchbill.handbook.lock import Lock, dump, parse_lock
from watchbill.handbook.models import PolicyItem, Revision, RunbookDocument

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "handbooks"
TEXT = "# Operations\n\n**Owner:** SRE Lead\n\n## Severity levels\n\n| Severity | Response |\n|---|---|\n| SEV-1 | 15 min |\n| SEV-2 | 1 hour |\n\n<script>alert(1)</script>\n\n[click](javascript:alert(1)) ![x](http://evil.example/x.png)\n"


def accepted(text: str, before: str | None = None) -> str:
    old: Lock | None = parse_lock(before)[0] if before else None
    book = compile_sources([Source("a.md", text)], "main", Config(), lock=old)
    lock, problems, _ = accept_items(book, Choice(everything=True))
    assert problems == []
    return dump(lock)


def apply(cast: Cast, who: Any, text: str = TEXT, lock: str | None = None, **more: Any) -> Revision:
    with cast.acts(who) as by:
        return apply_handbook(
            by=by, workspace_id=cast.main, slug="main", files=[("a.md", text)], lock=lock or accepted(text), **more
        )


def test_applying_keeps_the_source_the_items_and_an_entry(cast: Cast, db: Any) -> None:
    revision = apply(cast, cast.ada)
    assert (revision.number, revision.weakens) == (1, False)
    assert db.run("SELECT text FROM handbook_document") == [(TEXT,)]
    assert set(db.run("SELECT key, state FROM handbook_item WHERE kind = 'severity'")) == {
        ("severity/sev-1", "live"),
        ("severity/sev-2", "live"),
    }
    (entry,) = db.run("SELECT body FROM ledger_entry WHERE action = 'handbook.apply'")
    assert json.loads(entry[0])["subject"] == str(revision.id)


def test_who_may_not_is_refused_and_the_first_apply_is_an_admins(cast: Cast) -> None:
    with pytest.raises(Denied, match="which you do not hold"):
        apply(cast, cast.vera)
    with pytest.raises(Denied, match="first handbook"):
        apply(cast, cast.edo)
    apply(cast, cast.ada)
    assert apply(cast, cast.edo).number == 2


def test_errors_and_what_was_not_accepted_never_replace_the_live_one(cast: Cast, db: Any) -> None:
    apply(cast, cast.ada)
    broken = TEXT + "\n```yaml watchbill\n- kind: nonsense\n  name: x\n```\n"
    with pytest.raises(Invalid, match="WB022"):
        apply(cast, cast.ada, broken, accepted(TEXT))
    with pytest.raises(Conflict, match="not as it was accepted"):
        apply(cast, cast.ada, TEXT.replace("15 min", "5 min"), accepted(TEXT))
    with pytest.raises(Invalid, match="lock"):
        apply(cast, cast.ada, TEXT, "{")
    for path in ("../a.md", "/a.md", "", "a\0.md"):
        with cast.acts(cast.ada) as by, pytest.raises(Invalid):
            apply_handbook(by=by, workspace_id=cast.main, slug="main", files=[(path, TEXT)], lock=accepted(TEXT))
    assert db.run("SELECT count(*) FROM handbook_revision") == [(1,)]


def test_two_applies_at_once_one_wins_and_the_other_is_told(cast: Cast) -> None:
    apply(cast, cast.ada, expected=0)
    with pytest.raises(Conflict, match="Somebody else applied revision 1"):
        apply(cast, cast.edo, expected=0)


def test_going_back_is_a_new_revision_under_the_same_rules(cast: Cast) -> None:
    first = accepted(TEXT)
    apply(cast, cast.ada, lock=first)
    strong = TEXT.replace("15 min", "5 min")
    apply(cast, cast.ada, strong, accepted(strong, first))
    with cast.acts(cast.edo) as by, pytest.raises(ApprovalNeeded, match="weakens"):
        roll_back(by=by, workspace_id=cast.main, slug="main", number=1)
    with cast.acts(cast.edo) as by:
        asked = roll_back(by=by, workspace_id=cast.main, slug="main", number=1, reason="it paged too early")
    assert isinstance(asked, Request)
    with cast.acts(cast.apo) as by:
        answer(by=by, workspace_id=cast.main, request_id=asked.id, approves=True, digest=asked.digest)
    with cast.acts(cast.edo) as by:
        back = roll_back(by=by, workspace_id=cast.main, slug="main", number=1)
    assert isinstance(back, Revision)
    assert (back.number, back.rolled_back_to, back.weakens, back.reason) == (3, 1, True, "it paged too early")
    with cast.acts(cast.ada):
        assert RunbookDocument.objects.get(revision=back).text == TEXT


def test_pages_show_items_with_their_lines_and_run_nothing_of_the_document(cast: Cast) -> None:
    apply(cast, cast.ada)
    browser = signed_in(cast.vera)
    page = browser.get("/w/main/handbook").content.decode()
    assert "SEV-1" in page
    assert "/w/main/runbooks/a.md#L9" in page
    page = browser.get("/w/main/runbooks/a.md").content.decode()
    assert 'id="L9"' in page
    assert "mark-later" in page
    body = page.partition('<article class="card runbook"')[2].partition("</article>")[0]
    assert "<script" not in body
    assert "&lt;script&gt;" in body
    assert 'href="javascript' not in body
    assert "evil.example" not in body
    assert browser.get("/w/main/runbooks").status_code == 200
    assert browser.get("/w/main/handbook/revisions").status_code == 200
    assert browser.get("/w/main/runbooks/nothing.md").status_code == 404
    assert "SEV-1" in browser.get("/w/main/search?q=SEV-1").content.decode()


def test_headings_of_a_runbook_never_skip_a_level() -> None:
    from watchbill.handbook.render import render

    body = render("# Title\n\n#### Deep\n\n# Again\n\n### Deeper\n\n###### Deepest\n", {})
    assert re.findall(r"<h(\d)", body) == ["2", "2", "3", "4"]


def test_pages_without_a_handbook_say_what_to_do(cast: Cast) -> None:
    browser = signed_in(cast.vera)
    assert "watchbill accept" in browser.get("/w/main/handbook").content.decode()
    assert "watchbill apply" in browser.get("/w/main/runbooks").content.decode()


def test_a_stranger_sees_nothing_of_it(cast: Cast) -> None:
    apply(cast, cast.ada)
    browser = signed_in(cast.sam)
    for path in ("/w/main/handbook", "/w/main/runbooks/a.md", "/w/main/handbook/revisions"):
        assert browser.get(path).status_code == 404
    with cast.acts(cast.sam):
        assert not Revision.objects.exists()
        assert not PolicyItem.objects.exists()


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir()))
def test_the_examples_apply_through_the_api(cast: Cast, folder: str) -> None:
    found = load(EXAMPLES / folder)
    body = {
        "files": [{"path": source.path, "text": source.text} for source in found.sources],
        "lock": found.lock,
        "config": found.config,
    }
    cast.bind_example(folder)
    client = api(cast.token(cast.ada))
    answer = client.post("/api/v1/workspaces/main/handbook", body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    items = client.get("/api/v1/workspaces/main/handbook/items").json()["items"]
    assert {item["state"] for item in items} <= {"live", "proposed"}
    assert any(item["state"] == "live" for item in items)
    assert client.get("/api/v1/workspaces/main/handbook/revisions").json()["items"][0]["number"] == 1
