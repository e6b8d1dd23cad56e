"""The folder beside the hub: a change in it becomes a review, never a live policy; an accepted lock goes back into it."""

import os
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction

from watchbill.base.actor import system
from watchbill.base.errors import Invalid
from watchbill.facts.models import Fact
from watchbill.facts.publish import subscribe
from watchbill.handbook.commands import MOST_BYTES, Files, check_files, chosen_files, discard_draft, keep_draft
from watchbill.handbook.models import Draft, Revision, RunbookDocument
from watchbill.people.models import Workspace
from watchbill.runtime.isolation import clear_failure, database_is_gone, describe, failures, note_failure

log = structlog.get_logger("watchbill.handbook")
#: The unit of work under which a folder is recorded that could not be brought.
UNIT = "handbook"
Fingerprint = tuple[tuple[str, int, int], ...]


def folder() -> Path | None:
    """WATCHBILL_HANDBOOKS, where there is one: a folder with one handbook in each folder below."""
    text = settings.CONFIG.get("WATCHBILL_HANDBOOKS")
    return Path(text) if text else None


def places(top: Path) -> list[Path]:
    """The handbooks of the folder; none where it cannot be read (then nothing changes)."""
    try:
        return sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def fingerprint(place: Path) -> Fingerprint:
    """Names, sizes and times of everything below: cheap, and another one as soon as somebody writes."""
    found = []
    for top, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            try:
                status = os.stat(os.path.join(top, name), follow_symlinks=False)
            except OSError:
                continue
            found.append((os.path.join(top, name), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))


class Watcher:
    """Looks at each handbook's folder; acts once it changed and then kept still for one look, so that no half-written state is read."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.before: dict[Path, Fingerprint] = {}
        self.done: dict[Path, Fingerprint] = {}
        #: What failed, as it was then: it pauses until it changes, or as long as `runtime_failure` says.
        self.failed: dict[Path, Fingerprint] = {}

    def step(self) -> bool:
        """One look. Says whether something was brought or taken back."""
        worked = False
        for place in places(self.top):
            seen = fingerprint(place)
            still, self.before[place] = self.before.get(place) == seen, seen
            if still and self.done.get(place) != seen and not (self.failed.get(place) == seen and _pauses(place)):
                worked |= self._sync(place, seen)
        return worked

    def _sync(self, place: Path, seen: Fingerprint) -> bool:
        """One folder. What it raises stays with it: it is tried again after a pause, or as soon as it changes and keeps still."""
        try:
            worked = sync(place)
        except Exception as error:
            if isinstance(error, DatabaseError) and database_is_gone():
                # A database that is away is asked again at the next look.
                raise
            self.failed[place] = seen
            note_failure(UNIT, place.name, error)
            return False
        if self.failed.pop(place, None) is not None:
            clear_failure(UNIT, place.name)
        # Done only when it is done.
        self.done[place] = seen
        return worked


def _pauses(place: Path) -> bool:
    return failures(UNIT).get(place.name[:200], (0, False))[1]


def sync(place: Path) -> bool:
    """Brings a folder for review where it differs from what is live and from what was brought before."""
    from watchbill.handbook.compile import VERSION
    from watchbill.handbook.config import read_text
    from watchbill.handbook.files import load

    try:
        found = load(place)
    except OSError as error:
        log.warning("handbook.folder_unreadable", folder=str(place), reason=error.strerror)
        return False
    slug = read_text(found.config or "").slug or found.name
    problems: list[list[Any]] = [
        [one.path, one.line, one.code, one.message, one.hint] for one in found.findings if one.level == "error"
    ]
    texts = [(source.path, source.text) for source in found.sources]
    files = chosen_files(texts, found.lock or "", found.config or "").clean()
    digest = files.digest
    try:
        check_files(files)
    except Invalid as error:
        # Too much of it, say: nobody is there to be refused, so it stands under Review as what is wrong.
        problems.append([".", 1, "WB001", error.detail, error.hint])
        files = Files((), files.lock[:MOST_BYTES], files.config[:MOST_BYTES])
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Two workers, one folder: the second finds it done.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('handbook.sync'), hashtext(%s))", [slug])
        workspace = Workspace.objects.filter(slug=slug).first()
        if workspace is None:
            log.info("handbook.no_workspace", folder=str(place), slug=slug)
            return False
        draft = Draft.objects.filter(workspace=workspace).first()
        live = Revision.objects.filter(workspace=workspace).order_by("-number").first()
        by = system("worker")
        if live is not None and not problems and digest in {live.source_digest, _live_digest(live)}:
            if draft is None or draft.origin != "folder":
                return False
            discard_draft(by=by, workspace_id=workspace.id)
            return True
        if draft is not None and draft.source_digest == digest and draft.compiler == VERSION:
            return False
        keep_draft(
            by=by, workspace_id=workspace.id, slug=slug, files=files.documents, lock=files.lock, config=files.config, origin="folder",
            problems=problems, source_digest=digest,
        )  # fmt: skip
        log.info("handbook.brought", folder=str(place), slug=slug, errors=len(problems))
    return True


def _live_digest(live: Revision) -> str:
    rows = RunbookDocument.objects.filter(revision=live).values_list("path", "text")
    return Files(tuple(rows), live.lock, live.config).digest


@subscribe("handbook.applied", "handbook.write_lock")
def write_lock(fact: Fact) -> None:
    """Writes the accepted lock beside the runbooks, where the folder still holds exactly what was applied and can be written.

    Elsewhere (a read-only checkout, a folder that went on) the console offers the lock as a file.
    """
    from watchbill.handbook.config import read_text
    from watchbill.handbook.files import load
    from watchbill.handbook.lock import FILE

    top = folder()
    live = Revision.objects.filter(workspace_id=fact.workspace_id).order_by("-number").first()
    workspace = Workspace.objects.filter(id=fact.workspace_id).first()
    if top is None or live is None or workspace is None or live.number != fact.data["number"]:
        return
    for place in places(top):
        try:
            found = load(place)
        except Exception as error:
            # Another handbook's folder that cannot be read is no reason to keep this one's lock.
            log.warning("handbook.folder_unreadable", folder=str(place), reason=describe(error))
            continue
        texts = [(source.path, source.text) for source in found.sources]
        documents = dict(chosen_files(texts, "", found.config or "").documents)
        kept = dict(RunbookDocument.objects.filter(revision=live).values_list("path", "text"))
        slug = read_text(found.config or "").slug or found.name
        if (
            slug != workspace.slug
            or found.lock == live.lock
            or documents != kept
            or (found.config or "") != live.config
        ):
            continue
        fresh = place / f".{FILE}.new"
        try:
            fresh.write_text(live.lock, encoding="utf-8")
            fresh.replace(place / FILE)
            log.info("handbook.lock_written", folder=str(place), number=live.number)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            log.warning("handbook.lock_not_written", folder=str(place), reason=error.strerror)
