"""The folder beside the hub: a change is brought for review, never applied; a broken one is said; an accepted lock goes back."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from tests.cast import Cast, as_worker, signed_in
from tests.handbook.test_apply_makes_it_live import TEXT, accepted
from watchbill.facts.models import Fact
from watchbill.handbook.commands import apply_draft, apply_handbook, choose
from watchbill.handbook.jobs import Watcher, write_lock
from watchbill.handbook.models import Draft, Revision
from watchbill.handbook.queries import access_review


@pytest.fixture
def place(tmp_path: Path, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the handbook “main”, accepted and live."""
    made = tmp_path / "main"
    made.mkdir()
    (made / "a.md").write_text(TEXT)
    (made / "watchbill.lock").write_text(accepted(TEXT))
    with cast.acts(cast.ada) as by:
        apply_handbook(by=by, workspace_id=cast.main, slug="main", files=[("a.md", TEXT)], lock=accepted(TEXT))
    monkeypatch.setattr("watchbill.handbook.jobs.folder", lambda: tmp_path)
    return made


def look(watcher: Watcher, db: Any, times: int = 2) -> bool:
    """So many looks, under the worker's role."""
    with as_worker():
        return sum(watcher.step() for _ in range(times)) > 0


@pytest.fixture
def watcher(place: Path) -> Watcher:
    return Watcher(place.parent)


def drafts(db: Any) -> list[Any]:
    return db.run("SELECT origin, version, jsonb_array_length(errors) FROM handbook_draft")


def test_a_change_is_brought_once_and_taken_back_when_it_is_undone(place: Path, watcher: Watcher, db: Any) -> None:
    assert not look(watcher, db)
    (place / "a.md").write_text(TEXT.replace("15 min", "5 min"))
    assert not look(watcher, db, 1), "it may still be being written"
    assert look(watcher, db, 1)
    assert not look(watcher, db, 3)
    assert drafts(db) == [("folder", 1, 0)]
    assert db.run("SELECT count(*) FROM handbook_revision") == [(1,)], "it never applies by itself"
    (place / "a.md").write_text(TEXT)
    assert look(watcher, db)
    assert drafts(db) == []


def test_another_worker_and_a_restart_bring_nothing_twice(place: Path, watcher: Watcher, db: Any) -> None:
    (place / "a.md").write_text(TEXT.replace("15 min", "5 min"))
    assert look(watcher, db)
    assert not look(Watcher(place.parent), db)
    assert drafts(db) == [("folder", 1, 0)]


def test_a_broken_handbook_is_said_and_replaces_nothing(place: Path, watcher: Watcher, db: Any, cast: Cast) -> None:
    (place / "a.md").write_text(TEXT + "\n```yaml watchbill\n- kind: nonsense\n  name: x\n```\n")
    (place / "b.md").write_bytes(b"# B\n\xff\xfe broken \x00")
    (place / "watchbill.yaml").write_text("time_zone: Nowhere/City\n")
    assert look(watcher, db)
    assert drafts(db)[0][2] >= 2
    page = signed_in(cast.edo).get("/w/main/handbook/review").content.decode()
    assert "b.md:" in page
    assert "Nowhere/City" in page
    assert db.run("SELECT count(*) FROM handbook_revision") == [(1,)]
    (place / "watchbill.lock").write_text("<<<<<<< HEAD")
    assert look(watcher, db)
    assert "was a merge left unfinished" in signed_in(cast.edo).get("/w/main/handbook/review").content.decode()
    shutil.rmtree(place)
    assert not look(watcher, db)


def hear(db: Any) -> list[Any]:
    """What the folder's facts say to whom: person, state of the page."""
    from watchbill.facts.publish import deliver_one

    with as_worker():
        while deliver_one():
            pass
    return db.run(  # type: ignore[no-any-return]
        "SELECT d.target, p.title, p.text, p.state FROM paging_page p JOIN paging_delivery d ON d.page_id = p.id AND d.step > 0 ORDER BY d.id"
    )


def test_who_owns_a_broken_document_hears_of_it_once_until_it_is_mended(
    place: Path, watcher: Watcher, db: Any, cast: Cast
) -> None:
    assert look(watcher, db) is False
    bad = TEXT + "\n```yaml watchbill\n- kind: nonsense\n  name: x\n```\n"
    (place / "a.md").write_text(bad)
    assert look(watcher, db)
    told = hear(db)
    assert {row[0] for row in told} == {"Ada Admin"}, "nobody is bound as its owner: the admins"
    assert told[0][1] == "The handbook cannot go live: 1 error in a.md"
    assert "WB022" in told[0][2]
    assert told[0][3] != "ended"
    (place / "a.md").write_text(bad + "\nMore.\n")
    assert look(watcher, db)
    assert len(hear(db)) == len(told), "it is told once"
    (place / "a.md").write_text(TEXT)
    assert look(watcher, db)
    assert {row[3] for row in hear(db)} == {"ended"}
    cast.bind("SRE Lead", person_id=cast.edo)
    (place / "a.md").write_text(bad)
    assert look(watcher, db)
    assert {row[0] for row in hear(db) if row[3] != "ended"} == {"Edo Editor"}


def test_what_is_accepted_in_the_console_is_written_beside_the_runbooks(
    place: Path, watcher: Watcher, cast: Cast, db: Any
) -> None:
    strong = TEXT.replace("15 min", "5 min")
    (place / "a.md").write_text(strong)
    assert look(watcher, db)
    accept(cast)
    assert (place / "watchbill.lock").read_text() == accepted(TEXT)
    deliver(db)
    assert (place / "watchbill.lock").read_text() == accepted(strong, accepted(TEXT))
    assert not look(watcher, db)
    assert drafts(db) == []


def test_a_read_only_folder_keeps_its_lock_and_is_not_asked_about_again(
    place: Path, watcher: Watcher, cast: Cast, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a.md").write_text(TEXT.replace("15 min", "5 min"))
    assert look(watcher, db)
    accept(cast)

    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    deliver(db)
    assert (place / "watchbill.lock").read_text() == accepted(TEXT)
    assert not look(watcher, db, 3)
    assert drafts(db) == []
    assert signed_in(cast.vera).get("/w/main/handbook/revisions/2/lock").content.decode().startswith("{")


def test_a_folder_that_went_on_is_not_written_into(place: Path, watcher: Watcher, cast: Cast, db: Any) -> None:
    (place / "a.md").write_text(TEXT.replace("15 min", "5 min"))
    assert look(watcher, db)
    accept(cast)
    (place / "a.md").write_text(TEXT.replace("15 min", "4 min"))
    before = (place / "watchbill.lock").read_text()
    deliver(db)
    assert (place / "watchbill.lock").read_text() == before


def test_links_out_of_the_folder_are_not_followed(place: Path, watcher: Watcher, db: Any, tmp_path: Path) -> None:
    secret = tmp_path.parent / "secret.md"
    secret.write_text("# Secret\n")
    os.symlink(secret, place / "c.md")
    look(watcher, db)
    assert "Secret" not in str(db.run("SELECT files::text FROM handbook_draft"))


def accept(cast: Cast) -> None:
    with cast.acts(cast.edo) as by:
        found = access_review(by, cast.main)
        assert found is not None
        choose(by=by, workspace_id=cast.main, version=found.draft.version, keys=["severity/sev-1"], choice="live")
        found = access_review(by, cast.main)
        assert found is not None
        made = apply_draft(
            by=by, workspace_id=cast.main, slug="main", version=found.draft.version, lock_digest=found.lock_digest
        )
        assert isinstance(made, Revision)
        assert not Draft.objects.exists()


def deliver(db: Any) -> None:
    with as_worker():
        fact = Fact.objects.filter(kind="handbook.applied").order_by("-id").first()
        assert fact is not None
        write_lock(fact)


def test_too_much_is_said_under_review_and_not_only_in_a_log(
    place: Path, watcher: Watcher, db: Any, cast: Cast
) -> None:
    for number in range(6):
        (place / f"big-{number}.md").write_text("# Big\n\n" + "words and words\n" * 100_000)
    assert look(watcher, db)
    assert drafts(db) == [("folder", 1, 1)]
    assert not look(watcher, db, 3)
    assert not look(Watcher(place.parent), db, 2)
    assert "8,000,000 characters" in signed_in(cast.edo).get("/w/main/handbook/review").content.decode()
    assert db.run("SELECT count(*) FROM handbook_revision") == [(1,)]


def test_a_database_that_is_away_is_asked_again(
    place: Path, watcher: Watcher, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a.md").write_text(TEXT.replace("15 min", "5 min"))
    with monkeypatch.context() as away:

        def refuse(place: Path) -> bool:
            raise OperationalError("the connection is closed")

        away.setattr("watchbill.handbook.jobs.sync", refuse)
        with pytest.raises(OperationalError):
            look(watcher, db)
    assert look(watcher, db)
    assert drafts(db) == [("folder", 1, 0)]
