"""Applying a handbook: the only way by which policy changes in the hub."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.handbook.models import PolicyItem, Revision, RunbookDocument
from watchbill.ledger.command import command, record
from watchbill.runtime.now import now

# The compiler is imported where it is used: a web process starts faster without it.
if TYPE_CHECKING:
    from watchbill.handbook.compile import Handbook
    from watchbill.handbook.lock import Lock
    from watchbill.handbook.plan import Plan

MOST_BYTES = 8_000_000
MOST_DOCUMENTS = 2000


def _compile(files: Iterable[tuple[str, str]], config: str, lock: str, slug: str) -> tuple[Handbook, Lock]:
    from watchbill.handbook.compile import compile_sources
    from watchbill.handbook.config import FILE, Config
    from watchbill.handbook.explicit import validate
    from watchbill.handbook.files import Source
    from watchbill.handbook.lock import parse_lock

    sources = [Source(path, text) for path, text in files]
    if not sources:
        raise Invalid("There is no document in it.", field="files")
    if len(sources) > MOST_DOCUMENTS or sum(len(source.text) for source in sources) > MOST_BYTES:
        raise Invalid(
            f"A handbook has at most {MOST_DOCUMENTS:,} documents and {MOST_BYTES:,} characters.", field="files"
        )
    paths = [source.path for source in sources]
    if len(set(paths)) != len(paths) or any(
        not path or len(path) > 400 or "\0" in path or path.startswith("/") or ".." in path.split("/") for path in paths
    ):
        raise Invalid(
            "A document's path is relative, without “..”, at most 400 characters, and there once.", field="files"
        )
    if any("\0" in text for text in (config, lock, *(source.text for source in sources))):
        raise Invalid("There is a NUL byte in it.", field="files")
    made, findings = validate(Config, config, FILE) if config else (Config(), [])
    parsed, problems = parse_lock(lock)
    errors = [one for one in [*findings, *problems] if one.level == "error"]
    if parsed is None or made is None or errors:
        _refuse([f"{one.path}:{one.line} {one.message}" for one in errors])
    book = compile_sources(sources, slug, made, findings, lock=parsed)  # type: ignore[arg-type]
    _refuse([f"{one.path}:{one.line} {one.code} {one.message}" for one in book.findings if one.level == "error"])
    return book, parsed  # type: ignore[return-value]


def _refuse(errors: list[str]) -> None:
    if errors:
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        raise Invalid(
            f"The handbook has errors; the live one stays. {'; '.join(errors[:3])}{more}",
            hint="Run watchbill check.",
            field="files",
        )


def _fits(book: Handbook, lock: Lock) -> None:
    """The lock must be of these files: what is live is what was accepted, to the letter."""
    from watchbill.handbook.compile import VERSION
    from watchbill.handbook.lock import FILE
    from watchbill.handbook.plan import make_plan

    wrong = [step for step in make_plan(book, lock).steps if step.action in {"change", "remove", "ask"}]
    if wrong or lock.compiler != VERSION:
        what = (
            f"“{wrong[0].name[:60]}” ({wrong[0].place}) is not as it was accepted"
            if wrong
            else "it was written by another compiler"
        )
        raise Conflict(
            f"{FILE} does not fit the files: {what}.", hint="Run watchbill plan, then watchbill accept.", field="lock"
        )


@command("handbook.apply", needs="handbook.apply")
def apply_handbook(
    *, by: Actor, workspace_id: UUID, slug: str, files: Iterable[tuple[str, str]], lock: str, config: str = "", expected: int | None = None, reason: str = "",
    rolled_back_to: int | None = None,
) -> Revision:  # fmt: skip
    """Makes accepted runbooks the workspace's live handbook, as a new revision; needs a reason where it weakens the policy."""
    from watchbill.handbook.compile import VERSION
    from watchbill.handbook.lock import Lock, parse_lock
    from watchbill.handbook.plan import policy_changes

    chosen = list(files)
    book, accepted = _compile(chosen, config, lock, slug)
    _fits(book, accepted)
    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").first()
    number = live.number if live else 0
    if expected is not None and expected != number:
        raise Conflict(
            f"Somebody else applied revision {number} in the meantime.",
            hint="Look at it, then plan anew.",
            field="expected",
        )
    before, _ = parse_lock(live.lock) if live else (Lock(VERSION), [])
    plan = policy_changes(before or Lock(VERSION), accepted)
    reason = " ".join(reason.split())[:500]
    if live is None and not by.may("handbook.weaken", workspace_id):
        raise Denied(
            "Nothing is live here yet: the first handbook of a workspace is applied by an admin.",
            hint="Ask somebody who holds handbook.weaken.",
        )
    if plan.weakens:
        _weakening(by, workspace_id, plan, reason)
    revision = Revision(
        workspace_id=workspace_id, number=number + 1, compiler=VERSION, config=config, lock=lock, digest=plan.digest, weakens=plan.weakens,
        steps=[{"action": step.action, "key": step.key, "name": step.name, "kind": step.kind, "weakens": step.weakens, "changes": [[c.field, c.before, c.after, c.weaker] for c in step.changes]} for step in plan.steps],
        reason=reason if plan.weakens else "", rolled_back_to=rolled_back_to, applied_by=by.id, applied_at=now(),
    )  # fmt: skip
    try:
        with transaction.atomic():
            revision.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            "Somebody else applied this handbook in the same moment.", hint="Look at it, then plan anew."
        ) from None
    _keep(revision, book, dict(chosen))
    record(
        ("revision", revision.id),
        detail={
            "number": revision.number, "digest": plan.digest, "items": len(accepted.items), "documents": len(chosen), "weakens": revision.weakens,
            "reason": revision.reason, "rolled_back_to": rolled_back_to,
            "changes": [f"{step.action} {step.kind} {step.name[:60]}" for step in plan.steps][:20],
        },
    )  # fmt: skip
    return revision


def _weakening(by: Actor, workspace_id: UUID, plan: Plan, reason: str) -> None:
    """Weakening the live policy is loud: only with the permission for it, and with a reason that stays on record."""
    weak = [step for step in plan.steps if step.weakens]
    what = "; ".join(f"{step.kind} “{step.name[:40]}”" for step in weak[:3])
    if not by.may("handbook.weaken", workspace_id):
        raise Denied(
            f"This weakens the live policy ({what}), and you may not do that alone.",
            hint="Ask somebody who holds handbook.weaken.",
        )
    if not reason:
        raise Conflict(
            f"This weakens the live policy: {what}.",
            hint="Say why (`reason`); it is recorded and shown with the revision.",
            field="reason",
        )


def _keep(revision: Revision, book: Handbook, texts: dict[str, str]) -> None:
    findings: dict[str, list[list[object]]] = {}
    for one in book.findings:
        findings.setdefault(one.path, []).append([one.code, one.level, one.line, one.message, one.hint])
    told = {reading.document.path: reading for reading in book.readings}
    RunbookDocument.objects.bulk_create(
        RunbookDocument(
            workspace_id=revision.workspace_id, revision=revision, path=path, text=text, title=told[path].document.title[:400] if path in told else "",
            owner=told[path].owner[:400] if path in told else "", placeholder=told[path].placeholder if path in told else False,
            findings=findings.get(path, [])[:500],
        )
        for path, text in texts.items()
    )  # fmt: skip
    PolicyItem.objects.bulk_create(
        PolicyItem(
            workspace_id=revision.workspace_id, revision=revision, key=item.key, kind=item.kind, name=item.name, state=item.state, effect=item.effect,
            path=item.source.path, line=item.source.line, end_line=item.source.end_line, map=item.map, data=item.model_dump(mode="json"),
        )
        for item in book.items
    )  # fmt: skip


def roll_back(*, by: Actor, workspace_id: UUID, slug: str, number: int, reason: str = "") -> Revision:
    """Applies an earlier revision's files again, as a new revision, under the same rules. Raises NotFound."""
    earlier = Revision.objects.filter(workspace_id=workspace_id, number=number).first()
    if earlier is None:
        raise NotFound(f"There is no revision {number} here.")
    files = list(RunbookDocument.objects.filter(revision=earlier).values_list("path", "text"))
    return apply_handbook(
        by=by,
        workspace_id=workspace_id,
        slug=slug,
        files=files,
        lock=earlier.lock,
        config=earlier.config,
        reason=reason,
        rolled_back_to=number,
    )
