"""Applying a handbook: the only way by which policy changes in the hub. Reviewing one before, and binding its names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Denied, Invalid, NotFound
from watchbill.facts.publish import declare, publish
from watchbill.gates.commands import ask, pass_gate
from watchbill.gates.models import Request
from watchbill.gates.queries import access_asked
from watchbill.handbook.apply import bring
from watchbill.handbook.models import Draft, DraftItem, PolicyItem, Revision, RunbookDocument
from watchbill.handbook.queries import access_review, bound_names, rows_from
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import gated, harmless
from watchbill.people import commands as people
from watchbill.people.models import GroupMapping
from watchbill.runtime.now import now

# The compiler is imported where it is used: a web process starts faster without it.
if TYPE_CHECKING:
    from watchbill.handbook.compile import Handbook
    from watchbill.handbook.config import Config
    from watchbill.handbook.lock import Lock
    from watchbill.handbook.plan import Plan

APPLIED = declare("handbook.applied", "a handbook is live", "number")
DRAFTED = declare("handbook.drafted", "a handbook was brought for review", "origin", "errors")
WITHDRAWN = declare("handbook.withdrawn", "what was brought for review was taken back")
MOST_BYTES = 8_000_000
MOST_DOCUMENTS = 2000
#: The gate in front of what weakens the live policy. Files cannot change it.
GATE = "handbook.weaken"
POLICY = ({"condition": "reason"}, {"condition": "approval", "count": 1})
APPROVERS = "handbook.approve"


class ApprovalNeeded(Conflict):
    """Another person has to approve this."""

    code = "approval-needed"

    def __init__(self, detail: str, *, hint: str, digest: str, plan: Plan, reason: str, title: str) -> None:
        super().__init__(detail, hint=hint, field="reason" if not reason else "")
        self.digest, self.plan, self.reason, self.asks = digest, plan, reason, title


class Unbound(Conflict):
    """Names that nobody bound."""

    code = "unbound-names"


@dataclass(frozen=True)
class Files:
    """A handbook as it came: documents, `watchbill.lock`, `watchbill.yaml`."""

    documents: tuple[tuple[str, str], ...]
    lock: str = ""
    config: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return sha256(json.dumps([sorted(self.documents), self.lock, self.config]).encode()).hexdigest()

    def clean(self) -> Files:
        """Without NUL bytes, which the database cannot hold: for a folder, whose documents nobody can be asked to mend first."""
        return Files(
            tuple((path.replace("\0", ""), text.replace("\0", "\ufffd")) for path, text in self.documents),
            self.lock.replace("\0", "\ufffd"),
            self.config.replace("\0", "\ufffd"),
        )


def chosen_files(files: Iterable[tuple[str, str]], lock: str, config: str) -> Files:
    """A handbook as it came, without the documents that its watchbill.yaml leaves out."""
    from watchbill.handbook.config import read_text

    settings = read_text(config)
    return Files(tuple((path, text) for path, text in files if not settings.excludes(path)), lock, config)


def check_files(files: Files) -> None:
    """Raises Invalid where something of it cannot be kept."""
    documents = files.documents
    if not documents:
        raise Invalid("There is no document in it.", field="files")
    if len(documents) > MOST_DOCUMENTS or sum(len(text) for _, text in documents) > MOST_BYTES:
        raise Invalid(
            f"A handbook has at most {MOST_DOCUMENTS:,} documents and {MOST_BYTES:,} characters.", field="files"
        )
    paths = [path for path, _ in documents]
    if len(set(paths)) != len(paths) or any(
        not path or len(path) > 400 or "\0" in path or path.startswith("/") or ".." in path.split("/") for path in paths
    ):
        raise Invalid(
            "A document's path is relative, without “..”, at most 400 characters, and there once.", field="files"
        )
    if any("\0" in text for text in (files.config, files.lock, *(text for _, text in documents))):
        raise Invalid("There is a NUL byte in it.", field="files")


def _read(files: Files, slug: str) -> tuple[Handbook | None, Lock | None, list[list[Any]]]:
    """The compiled handbook and its lock, and the findings at error level as [path, line, code, message, hint]."""
    from watchbill.handbook.compile import VERSION, compile_sources
    from watchbill.handbook.config import FILE, Config
    from watchbill.handbook.explicit import validate
    from watchbill.handbook.files import Source
    from watchbill.handbook.lock import Lock, parse_lock

    made, findings = validate(Config, files.config, FILE) if files.config else (Config(), [])
    parsed, problems = parse_lock(files.lock) if files.lock else (Lock(VERSION), [])
    found = [*findings, *problems]
    book = None
    if made is not None and parsed is not None:
        sources = [Source(path, text) for path, text in files.documents]
        book = compile_sources(sources, slug, made, found, lock=parsed)  # type: ignore[arg-type]
        found = book.findings
    return (
        book,
        parsed,
        [[one.path, one.line, one.code, one.message, one.hint] for one in found if one.level == "error"],
    )


def _compile(files: Files, slug: str) -> tuple[Handbook, Lock]:
    check_files(files)
    book, parsed, errors = _read(files, slug)
    if errors or book is None or parsed is None:
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        what = "; ".join(f"{path}:{line} {code} {message}" for path, line, code, message, _ in errors[:3])
        raise Invalid(
            f"The handbook has errors; the live one stays. {what}{more}", hint="Run watchbill check.", field="files"
        )
    return book, parsed


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


def _bound(book: Handbook, workspace_id: UUID) -> None:
    """An item that needs a name goes live only when somebody bound it."""
    from watchbill.handbook.names import unbound

    missing = unbound(book.items, bound_names(workspace_id))
    if missing:
        names = [f"“{name.text[:60]}”" for name in missing.values()]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise Unbound(
            f"Live items need names that nobody bound to a person or team: {', '.join(names[:5])}{more}.",
            hint="Bind them on the hub's page Review, or accept those items as shadow.",
        )


@command("handbook.apply", needs="handbook.apply", quieter=gated("a weakening waits for somebody independent"))
def apply_handbook(
    *, by: Actor, workspace_id: UUID, slug: str, files: Iterable[tuple[str, str]], lock: str, config: str = "", expected: int | None = None, reason: str = "",
    break_glass: bool = False, rolled_back_to: int | None = None, source_digest: str = "",
) -> Revision:  # fmt: skip
    """Makes accepted runbooks the workspace's live handbook, as a new revision; what weakens the policy needs another's approval."""
    from watchbill.handbook.compile import VERSION
    from watchbill.handbook.config import read_text
    from watchbill.handbook.lock import Lock, parse_lock
    from watchbill.handbook.plan import policy_changes

    chosen = chosen_files(files, lock, config)
    book, accepted = _compile(chosen, slug)
    _fits(book, accepted)
    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").first()
    number = live.number if live else 0
    if expected is not None and expected != number:
        raise Conflict(
            f"Somebody else applied revision {number} in the meantime.",
            hint="Look at it, then plan anew.",
            field="expected",
        )
    if live is None and not by.may("handbook.weaken", workspace_id):
        raise Denied(
            "Nothing is live here yet: the first handbook of a workspace is applied by an admin.",
            hint="Ask somebody who holds handbook.weaken.",
        )
    _bound(book, workspace_id)
    before, _ = parse_lock(live.lock) if live else (Lock(VERSION), [])
    plan = policy_changes(before or Lock(VERSION), accepted, read_text(live.config) if live else None, book.config)
    reason = " ".join(reason.split())[:500]
    passed = _weakening(by, workspace_id, plan, chosen, number, reason, break_glass) if plan.weakens else None
    _roles(by, workspace_id, read_text(live.config) if live else None, book.config)
    revision = Revision(
        workspace_id=workspace_id, number=number + 1, compiler=VERSION, config=config, lock=lock, digest=plan.digest, weakens=plan.weakens,
        steps=[{"action": step.action, "key": step.key, "name": step.name, "kind": step.kind, "weakens": step.weakens, "changes": [[c.field, c.before, c.after, c.weaker] for c in step.changes]} for step in plan.steps],
        reason=passed.reason if passed else "", rolled_back_to=rolled_back_to, applied_by=by.id, applied_at=now(),
        source_digest=source_digest, request=passed, broken=passed is not None and passed.state == Request.State.BROKEN,
    )  # fmt: skip
    try:
        with transaction.atomic():
            revision.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            "Somebody else applied this handbook in the same moment.", hint="Look at it, then plan anew."
        ) from None
    _keep(revision, book, dict(chosen.documents))
    draft = Draft.objects.filter(workspace_id=workspace_id).first()
    # One that came by itself from the folder stays until the folder says the same as the live one.
    if draft is not None and (draft.origin == "upload" or files_of(draft).documents == chosen.documents):
        draft.delete()
    record(
        ("revision", revision.id),
        detail={
            "number": revision.number, "digest": plan.digest, "items": len(accepted.items), "documents": len(chosen.documents), "weakens": revision.weakens,
            "reason": revision.reason, "rolled_back_to": rolled_back_to, "broken": revision.broken,
            # Counts, no names: a ledger's entry cannot be mended where a runbook names persons.
            "changes": [f"{count} {action} {kind}" for (action, kind), count in sorted(Counter((s.action, s.kind) for s in plan.steps).items())],
        },
    )  # fmt: skip
    bring(workspace_id)
    publish(APPLIED, workspace_id=workspace_id, subject=("revision", revision.id), data={"number": revision.number})
    return revision


def exact_digest(plan: Plan, files: Files, number: int) -> str:
    """What an approval is bound to: every change, every byte of the handbook, and the live revision that it comes after."""
    return sha256(json.dumps([plan.digest, files.digest, number]).encode()).hexdigest()


def shown_steps(plan: Plan) -> list[dict[str, Any]]:
    """A plan's steps as an approver sees them, what weakens first."""
    words = {"add": "New", "change": "Changed", "remove": "Removed"}
    return [
        {
            "what": f"{words.get(step.action, step.action)}: {step.kind} “{step.name[:200]}”", "weakens": step.weakens, "place": step.place,
            "changes": [{"field": c.field.replace("_", " "), "before": c.before, "after": c.after, "note": c.weaker} for c in step.changes],
        }
        for step in sorted(plan.steps, key=lambda step: not step.weakens)
    ]  # fmt: skip


def _weakening(
    by: Actor, workspace_id: UUID, plan: Plan, files: Files, number: int, reason: str, break_glass: bool
) -> Request | None:
    """Weakening the live policy needs a reason and another person's approval of exactly this, or somebody who breaks the glass."""
    digest = exact_digest(plan, files, number)
    weak = [step for step in plan.steps if step.weakens]
    title = f"Weaken the handbook: {weak[0].kind} “{weak[0].name[:60]}”" + (
        f" and {len(weak) - 1} more" if len(weak) > 1 else ""
    )
    asked = access_asked(by, workspace_id, GATE, digest)
    reason = reason or (asked.reason if asked else "")
    if break_glass:
        by.require("handbook.weaken", workspace_id)
        if len(reason.split()) < 3:
            raise Invalid(
                "Breaking the glass needs a reason, in a few words.",
                hint="It is recorded, shown with the revision, and reviewed by somebody else.",
                field="reason",
            )
    decision, request = pass_gate(
        by=by, workspace_id=workspace_id, gate=GATE, title=title, digest=digest, shown=shown_steps(plan), policy=POLICY, needs=APPROVERS, reason=reason,
        break_glass=break_glass,
    )  # fmt: skip
    if decision.allowed:
        return request
    what = "; ".join(f"{step.kind} “{step.name[:40]}”" for step in weak[:3])
    raise ApprovalNeeded(
        f"This weakens the live policy ({what}). {decision.missing}",
        hint="Say why (`reason`), and somebody else who holds handbook.approve approves it."
        if not reason
        else "Somebody else who holds handbook.approve approves it; then apply the same again.",
        digest=digest,
        plan=plan,
        reason=reason,
        title=title,
    )


def submit(
    *, by: Actor, workspace_id: UUID, slug: str, place_url: str = "", files: Iterable[tuple[str, str]], lock: str, config: str = "",
    expected: int | None = None, reason: str = "", break_glass: bool = False, rolled_back_to: int | None = None, source_digest: str = "",
) -> Revision | Request:  # fmt: skip
    """Applies a handbook, or asks for the approval that it needs: then it waits as the workspace's draft.

    What cannot go live because names are unbound waits as a draft, too; the error says so. Raises what apply_handbook raises.
    """
    chosen = tuple((path, text) for path, text in files)
    common: dict[str, Any] = {"by": by, "workspace_id": workspace_id}
    try:
        return apply_handbook(
            **common, slug=slug, files=chosen, lock=lock, config=config, expected=expected, reason=reason, break_glass=break_glass,
            rolled_back_to=rolled_back_to, source_digest=source_digest,
        )  # fmt: skip
    except Unbound:
        # Kept for the page Review, where the names are bound; the answer that refuses it is committed with it.
        keep_draft(**common, slug=slug, files=chosen, lock=lock, config=config)
        raise
    except ApprovalNeeded as needed:
        if not needed.reason:
            raise
        keep_draft(**common, slug=slug, files=chosen, lock=lock, config=config)
        return ask(
            **common, gate=GATE, title=needed.asks, digest=needed.digest, shown=shown_steps(needed.plan), policy=POLICY, needs=APPROVERS,
            reason=needed.reason, url=place_url,
        )  # fmt: skip


def _roles(by: Actor, workspace_id: UUID, before: Config | None, after: Config) -> None:
    """A handbook's words for roles, and its groups of the identity provider. Who changes them needs role.grant."""
    old_labels, old_groups = (before.roles, before.groups) if before else ({}, {})
    for label, role in after.roles.items():
        if old_labels.get(label) != role:
            people.label_role(by=by, workspace_id=workspace_id, role=role, label=label)
    for group, role in {**old_groups, **after.groups}.items():
        if after.groups.get(group) == old_groups.get(group) == role:
            continue
        there = GroupMapping.objects.filter(
            workspace_id=workspace_id, group=group, role=old_groups.get(group, "")
        ).first()
        if there is not None:
            people.unmap_group(by=by, workspace_id=workspace_id, mapping_id=there.id)
        wanted = after.groups.get(group)
        if wanted and not GroupMapping.objects.filter(workspace_id=workspace_id, group=group, role=wanted).exists():
            people.map_group(by=by, workspace_id=workspace_id, group=group, role=wanted)


def _keep(revision: Revision, book: Handbook, texts: dict[str, str]) -> None:
    findings: dict[str, list[list[object]]] = {}
    for one in book.findings:
        findings.setdefault(one.path, []).append([one.code, one.level, one.line, one.message, one.hint])
    told = {reading.document.path: reading for reading in book.readings}
    RunbookDocument.objects.bulk_create(
        RunbookDocument(
            workspace_id=revision.workspace_id, revision=revision, path=path, text=text, title=told[path].document.title[:400] if path in told else "",
            owner=told[path].owner[:400] if path in told else "", placeholder=told[path].placeholder if path in told else False,
            findings=findings.get(path, []),
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


def roll_back(
    *, by: Actor, workspace_id: UUID, slug: str, number: int, reason: str = "", break_glass: bool = False, place_url: str = ""
) -> Revision | Request:  # fmt: skip
    """Applies an earlier revision's files again, as a new revision, under the same rules. Raises NotFound."""
    earlier = Revision.objects.filter(workspace_id=workspace_id, number=number).first()
    if earlier is None:
        raise NotFound(f"There is no revision {number} here.")
    files = list(RunbookDocument.objects.filter(revision=earlier).order_by("path").values_list("path", "text"))
    return submit(
        by=by, workspace_id=workspace_id, slug=slug, files=files, lock=earlier.lock, config=earlier.config, reason=reason, break_glass=break_glass,
        rolled_back_to=number, place_url=place_url,
    )  # fmt: skip


# Review


def files_of(draft: Draft) -> Files:
    """A draft's files as they came."""
    return Files(tuple((path, text) for path, text in draft.files), draft.base_lock, draft.config)


@command("handbook.draft", needs="handbook.apply", quieter=harmless("a draft enforces nothing"))
def keep_draft(
    *, by: Actor, workspace_id: UUID, slug: str, files: Iterable[tuple[str, str]], lock: str = "", config: str = "", origin: str = "upload",
    problems: Sequence[list[Any]] = (), source_digest: str = "",
) -> Draft:  # fmt: skip
    """Brings a handbook for review. It becomes nothing by itself; choices for items that read the same are kept.

    ``problems`` are findings of what could not even be read, as [path, line, code, message, hint].
    """
    from watchbill.handbook.compile import VERSION
    from watchbill.handbook.review import rows_of

    chosen = chosen_files(files, lock, config)
    if not problems:
        check_files(chosen)
    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").first()
    base = lock or (live.lock if live else "")
    book, parsed, errors = _read(Files(chosen.documents, base, config), slug)
    errors = [*problems, *errors]
    draft = Draft.objects.select_for_update().filter(workspace_id=workspace_id).first()
    version = draft.version + 1 if draft else 1
    before = {one.key: one for one in DraftItem.objects.filter(draft=draft)} if draft else {}
    draft = draft or Draft(workspace_id=workspace_id)
    draft.compiler = VERSION
    draft.origin, draft.version, draft.files, draft.config, draft.base_lock = (
        origin,
        version,
        list(chosen.documents),
        config,
        base,
    )
    if origin == "folder":
        draft.source_digest = source_digest or chosen.digest
    draft.digest, draft.errors, draft.changed_by, draft.changed_at = chosen.digest, errors, by.id, now()
    draft.warnings = sum(1 for one in book.findings if one.level == "warning") if book else 0
    draft.save()
    DraftItem.objects.filter(draft=draft).delete()
    rows = rows_of(book, parsed) if book is not None and parsed is not None and not errors else []
    for row in rows:
        old = before.get(row.key)
        if old and (old.action, old.reading, old.block) == (row.action, row.reading, row.block):
            row.choice = old.choice
    DraftItem.objects.bulk_create(
        DraftItem(workspace_id=workspace_id, draft=draft, position=number, **asdict(row))
        for number, row in enumerate(rows)
    )
    record(
        ("draft", draft.id),
        detail={"origin": origin, "documents": len(chosen.documents), "errors": len(errors), "digest": chosen.digest},
    )
    publish(
        DRAFTED, workspace_id=workspace_id, subject=("draft", draft.id), data={"origin": origin, "errors": len(errors)}
    )
    return draft


def review_live(*, by: Actor, workspace_id: UUID, slug: str) -> Draft:
    """Brings the live handbook for review: to accept what is only proposed, or to make live what runs as a shadow."""
    live = Revision.objects.filter(workspace_id=workspace_id).order_by("-number").first()
    if live is None:
        raise NotFound("No handbook was applied here yet.")
    if Draft.objects.filter(workspace_id=workspace_id).exists():
        raise Conflict("Something else is under review.", hint="Decide it first, or discard it.")
    files = list(RunbookDocument.objects.filter(revision=live).order_by("path").values_list("path", "text"))
    return keep_draft(by=by, workspace_id=workspace_id, slug=slug, files=files, lock=live.lock, config=live.config)


def _draft(workspace_id: UUID) -> Draft:
    draft = Draft.objects.select_for_update().filter(workspace_id=workspace_id).first()
    if draft is None:
        raise NotFound("There is nothing to review here.")
    return draft


@command("handbook.choose", needs="handbook.apply", quieter=harmless("a draft enforces nothing; applying it is gated"))
def choose(*, by: Actor, workspace_id: UUID, version: int, keys: Sequence[str], choice: str) -> int:
    """Chooses for items under review: live, shadow, ignored, gone, is:KEY, or nothing to take it back. Answers for how many."""
    from watchbill.handbook.review import allowed

    draft = _draft(workspace_id)
    if draft.version != version:
        raise Conflict("The handbook was brought anew in the meantime.", hint="Load the page and look again.")
    items = list(DraftItem.objects.filter(draft=draft, key__in=list(keys)))
    if not items or len(items) < len(set(keys)):
        raise NotFound("There is no such item under review.")
    for item, row in zip(items, rows_from(items), strict=True):
        if choice and choice not in allowed(row):
            raise Invalid(f"“{choice[:40]}” cannot be chosen for “{item.name[:60]}”.", field="choice")
        item.choice = choice
    DraftItem.objects.bulk_update(items, ["choice"])
    record(("draft", draft.id), detail={"choice": choice or "nothing", "items": len(items), "version": version})
    return len(items)


@command("handbook.discard", needs="handbook.apply", quieter=harmless("a draft enforces nothing"))
def discard_draft(*, by: Actor, workspace_id: UUID) -> None:
    """Discards what was brought for review, with the choices made for it. The live handbook stays. A folder is changed in the folder."""
    draft = _draft(workspace_id)
    if draft.origin == "folder" and by.kind == "person":
        raise Conflict(
            "This comes from the handbook's folder.", hint="Change the files there; the review follows them."
        )
    record(("draft", draft.id), detail={"origin": draft.origin, "digest": draft.digest})
    publish(WITHDRAWN, workspace_id=workspace_id, subject=("draft", draft.id), data={})
    draft.delete()


def apply_draft(
    *, by: Actor, workspace_id: UUID, slug: str, version: int, lock_digest: str, reason: str = "", break_glass: bool = False, place_url: str = ""
) -> Revision | Request:  # fmt: skip
    """Applies what is under review with the choices made, exactly as they were shown; or asks for the approval that it needs."""
    by.require("handbook.apply", workspace_id)
    _draft(workspace_id)
    found = access_review(by, workspace_id)
    if found is None or found.draft.version != version or found.lock_digest != lock_digest:
        raise Conflict("What is under review changed in the meantime.", hint="Load the page and look again.")
    if found.draft.errors:
        raise Invalid("The handbook has errors; the live one stays.", hint="Mend the runbooks; the page lists them.")
    if found.undecided:
        raise Conflict(
            f"{len(found.undecided)} changes are not decided yet, such as “{found.undecided[0].name[:60]}”.",
            hint="Accept each, or say what became of it; what is live is what was accepted.",
        )
    return submit(
        by=by, workspace_id=workspace_id, slug=slug, files=files_of(found.draft).documents, lock=found.lock_text, config=found.draft.config, reason=reason,
        break_glass=break_glass, place_url=place_url, source_digest=found.draft.source_digest,
    )  # fmt: skip
