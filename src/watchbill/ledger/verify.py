"""`watchbill verify`: checks an export with nothing but the public key. No database, no hub, no trust in either.

What it can find, and what it cannot know without a checkpoint from outside, is said in docs/ledger.md.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchbill.ledger import merkle, notes


class _Line(msgspec.Struct):
    """Any line of an export; which fields are there says what it is."""

    watchbill: str | None = None
    version: int = 0
    workspace: str = ""
    origin: str = ""
    signer: str = ""
    size: int = 0
    i: int = -1
    b: str | None = None
    s: str | None = None
    p: str | None = None
    checkpoint: str | None = None


class _Body(msgspec.Struct):
    id: str
    workspace: str
    payload: str | None
    at: str
    action: str


@dataclass
class Report:
    """What verification found. ``problems`` empty means that the export is exactly what was signed."""

    entries: int = 0
    erased: int = 0
    checkpoints: int = 0
    outside: int = 0
    root: bytes = merkle.EMPTY
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems


class FileLines:
    """A file's lines, as often as they are asked for, without holding them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from file


_MAX_PROBLEMS = 50


class _Verifier:
    def __init__(self, name: str, key: Ed25519PublicKey, outside: list[notes.Checkpoint]) -> None:
        self.name, self.key, self.outside = name, key, outside
        self.report = Report()
        self.frontier = merkle.Frontier()
        self.header: _Line | None = None
        self.expected = 0
        self.wanted: set[int] = set()
        self.roots: dict[int, bytes] = {}
        self.ids: dict[int, str] = {}
        self.last_id = "none"
        self.notes: list[str] = []

    def problem(self, text: str) -> None:
        if len(self.report.problems) < _MAX_PROBLEMS:
            self.report.problems.append(text)
        elif len(self.report.problems) == _MAX_PROBLEMS:
            self.report.problems.append("… and more; only the first are listed")

    def entry(self, line: _Line, number: int) -> None:
        body_text = line.b or ""
        raw = body_text.encode("utf-8", "surrogatepass")
        if line.i != self.expected:
            what = "entries are missing before it" if line.i > self.expected else "it stands twice or out of order"
            self.problem(f"line {number}: entry {line.i} stands where {self.expected} is expected: {what}")
            self.expected = line.i
        self.expected += 1
        try:
            body = _decode_body(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.problem(f"line {number}: entry {line.i} cannot be read: {error}")
            self.frontier.append(merkle.leaf_hash(raw))
            return
        self.commit(line, body, number)
        if self.header and body.workspace != self.header.workspace:
            self.problem(f"line {number}: entry {line.i} ({body.id}) belongs to another workspace, {body.workspace}")
        self.frontier.append(sha256(b"\x00" + raw).digest())
        size = self.frontier.size
        # Ids are kept only where a message may need them: at the edges of checkpoints, and the last one.
        if size in self.wanted or size - 1 in self.wanted:
            self.ids[size - 1] = body.id
        self.last_id = body.id
        if size in self.wanted:
            self.roots[size] = self.frontier.root()
        self.report.entries += 1

    def commit(self, line: _Line, body: _Body, number: int) -> None:
        if line.p is None:
            if body.payload is not None:
                self.report.erased += 1
            return
        try:
            salt = base64.b64decode(line.s or "", validate=True)
        except (binascii.Error, ValueError):
            salt = b""
        if body.payload is None:
            self.problem(
                f"line {number}: entry {line.i} ({body.id}, {body.action}) carries a payload that it never committed to"
            )
        elif sha256(salt + line.p.encode("utf-8", "surrogatepass")).hexdigest() != body.payload:
            self.problem(
                f"line {number}: the payload of entry {line.i} ({body.id}, {body.action}) was changed: it does not fit its commitment"
            )

    def check_checkpoints(self) -> None:
        good: list[notes.Checkpoint] = []
        for note in self.notes:
            try:
                checkpoint = notes.verify(note, self.name, self.key)
            except notes.BadNote as error:
                self.problem(f"{error}")
                continue
            if self.header and checkpoint.origin != self.header.origin:
                self.problem(f"the checkpoint at size {checkpoint.size} is of another log, {checkpoint.origin}")
                continue
            good.append(checkpoint)
        good.sort(key=lambda checkpoint: checkpoint.size)
        self.report.checkpoints = len(good)
        last_good = 0
        for checkpoint in good:
            if not self._matches(checkpoint, last_good, "a signed checkpoint"):
                break
            last_good = checkpoint.size
        if not good and self.report.entries:
            self.problem("no signed checkpoint is in the export: nothing proves any of it")
        elif good and good[-1].size < self.report.entries:
            first = good[-1].size
            self.problem(
                f"entries {first} to {self.report.entries - 1} (from {self._id(first)}) are covered by no signed checkpoint"
            )

    def _matches(self, checkpoint: notes.Checkpoint, after: int, what: str) -> bool:
        if checkpoint.size > self.frontier.size:
            self.problem(
                f"{what} knows {checkpoint.size} entries, the export has {self.frontier.size}: the tail was cut off "
                f"after entry {self.frontier.size - 1} ({self._id(self.frontier.size - 1)})"
            )
            return False
        root = self.roots.get(checkpoint.size)
        if root is not None and root != checkpoint.root:
            where = f"entry {after} ({self._id(after)})"
            if checkpoint.size - after > 1:
                where = f"one of the entries {after} to {checkpoint.size - 1} ({self._id(after)} … {self._id(checkpoint.size - 1)})"
            self.problem(
                f"{what} at size {checkpoint.size} has another root: {where} was changed, removed, added or moved after sealing"
            )
            return False
        return True

    def _id(self, place: int) -> str:
        return self.last_id if place == self.frontier.size - 1 else self.ids.get(place, "none")

    def check_outside(self) -> None:
        mine = [c for c in self.outside if self.header and c.origin == self.header.origin]
        self.report.outside = len(mine)
        if not self.outside:
            self.report.remarks.append(
                "Without a checkpoint from outside (--checkpoint) this cannot know whether the whole log was rebuilt and "
                "signed anew with the real key, or whether newer entries were cut off together with their checkpoints."
            )
        elif not mine:
            self.problem("the outside checkpoints are of other logs; none names this one")
        last_good = 0
        for checkpoint in sorted(mine, key=lambda checkpoint: checkpoint.size):
            if not self._matches(checkpoint, last_good, "the checkpoint from outside"):
                self.problem(
                    "this export is not the history that was published: it was rebuilt, forked or cut back, "
                    "even where its own signatures are good"
                )
                break
            last_good = checkpoint.size


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_body = msgspec.json.Decoder(_Body).decode


def read_notes(text: str) -> list[str]:
    """Splits a file of checkpoints (each a note, separated by blank lines after its signatures) into notes."""
    found: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line or (lines and not any(item.startswith("\u2014 ") for item in lines)):
            if line and lines and lines[-1].startswith("\u2014 ") and not line.startswith("\u2014 "):
                found.append("\n".join(lines) + "\n")
                lines = []
            lines.append(line)
        elif lines:
            found.append("\n".join(lines) + "\n")
            lines = []
    return [*found, "\n".join(lines) + "\n"] if any(lines) else found


def verify_export(lines: Iterable[bytes], *, name: str, key: Ed25519PublicKey, outside: Iterable[str] = ()) -> Report:
    """Verifies an export line by line, in two passes: ``lines`` must be iterable twice (a list, or ``FileLines``).

    ``outside`` are notes that somebody else kept; they must be signed, too.
    """
    trusted: list[notes.Checkpoint] = []
    problems: list[str] = []
    for note in outside:
        try:
            trusted.append(notes.verify(note, name, key))
        except notes.BadNote as error:
            problems.append(f"the checkpoint from outside cannot be used: {error}")
    verifier = _Verifier(name, key, trusted)
    for problem in problems:
        verifier.problem(problem)
    _scan_for_checkpoints(verifier, lines)
    number = 0
    for number, raw in enumerate(lines, 1):
        try:
            line = _decode_line(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            verifier.problem(f"line {number} is not a line of an export: {error}")
            continue
        if number == 1:
            _check_header(verifier, line)
        elif line.b is not None:
            verifier.entry(line, number)
        elif line.checkpoint is None:
            verifier.problem(f"line {number} is neither an entry nor a checkpoint")
    if not number:
        verifier.problem("the file is empty")
    if verifier.header and verifier.header.size != verifier.frontier.size:
        verifier.problem(
            f"the header announces {verifier.header.size} entries, {verifier.frontier.size} are there; "
            f"the last one is {verifier._id(verifier.frontier.size - 1)}"
        )
    verifier.check_checkpoints()
    verifier.check_outside()
    verifier.report.root = verifier.frontier.root()
    return verifier.report


def _scan_for_checkpoints(verifier: _Verifier, rows: Iterable[bytes]) -> None:
    for raw in rows:
        if not raw.startswith(b'{"checkpoint"'):
            continue
        try:
            note = _decode_line(raw).checkpoint or ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        verifier.notes.append(note)
        try:
            verifier.wanted.add(notes.parse(note)[0].size)
        except notes.BadNote:
            continue
    verifier.wanted |= {checkpoint.size for checkpoint in verifier.outside}
    if 0 in verifier.wanted:
        verifier.roots[0] = merkle.EMPTY


def _check_header(verifier: _Verifier, line: _Line) -> None:
    if line.watchbill != "ledger-export" or line.version != 1:
        verifier.problem("line 1 is not the header of a ledger export, version 1")
        return
    verifier.header = line
    if line.signer != verifier.name:
        verifier.problem(f"the export says that {line.signer} signed it, the key given is {verifier.name}'s")


def as_text(report: Report) -> list[str]:
    """The report for a person."""
    head = f"{report.entries} entries, {report.checkpoints} signed checkpoints, {report.outside} from outside"
    if report.erased:
        head += f", {report.erased} payloads erased (their entries still hold)"
    lines = [head, f"root {base64.b64encode(report.root).decode()}"]
    lines += [f"PROBLEM {problem}" for problem in report.problems] + [f"note: {remark}" for remark in report.remarks]
    return [*lines, "VERIFIED" if report.ok else "NOT VERIFIED"]


def as_data(report: Report) -> dict[str, Any]:
    """The report for a program."""
    return {
        "ok": report.ok,
        "entries": report.entries,
        "erased": report.erased,
        "checkpoints": report.checkpoints,
        "outside": report.outside,
        "root": base64.b64encode(report.root).decode(),
        "problems": report.problems,
        "remarks": report.remarks,
    }
