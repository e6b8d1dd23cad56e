"""Reads a handbook's folder: what is no readable document becomes a finding, never an error. The only I/O of a check."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from watchbill.handbook.config import FILE
from watchbill.language.document import MOST_BYTES
from watchbill.language.findings import Finding, finding

_ENDINGS = (".md", ".markdown", ".mdown")
_EXPLICIT = (".watchbill.yaml", ".watchbill.yml")
_PASSED_BY = {".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".github", ".idea", ".vscode"}
LOCK = "watchbill.lock"
MOST_FILES = 20_000


@dataclass(slots=True)
class Source:
    """One file's text; ``path`` is relative to the folder, with forward slashes."""

    path: str
    text: str


@dataclass(slots=True)
class Folder:
    """What a handbook consists of."""

    name: str
    root: Path
    sources: list[Source] = field(default_factory=list)
    config: str | None = None
    lock: str | None = None
    findings: list[Finding] = field(default_factory=list)
    prefix: str = ""


def load(place: Path) -> Folder:
    """Reads a file or a folder. Raises OSError only where ``place`` itself is not there."""
    place = Path(place)
    os.stat(place)
    if not place.is_dir():
        folder = Folder(_slug(place.name.split(".")[0]), place.parent)
        _read(folder, place, place.name)
        return folder
    folder = Folder(_slug(place.resolve().name), place)
    config = place / FILE
    if config.is_file():
        folder.config = _text(folder, config, FILE)
    lock = place / LOCK
    if lock.is_file():
        folder.lock = _text(folder, lock, LOCK, 50_000_000)
    for path, name in _walk(folder, place, place.resolve()):
        _read(folder, path, name)
        if len(folder.sources) >= MOST_FILES:
            folder.findings.append(finding("WB001", name, 1, why=f"a folder may have {MOST_FILES:,} documents"))
            break
    if not folder.sources and not folder.findings:
        folder.findings.append(finding("WB006", ".", 1))
    return folder


def _slug(name: str) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
    return "-".join(part for part in kept.split("-") if part)[:50] or "handbook"


def _walk(folder: Folder, top: Path, resolved: Path, depth: int = 0, below: str = "") -> Iterator[tuple[Path, str]]:
    try:
        entries = sorted(os.scandir(top), key=lambda entry: entry.name)
    except OSError as error:
        folder.findings.append(finding("WB001", below or ".", 1, why=error.strerror or "it cannot be opened"))
        return
    for entry in entries:
        name = f"{below}{entry.name}"
        name = name.encode("utf-8", "replace").decode()
        if entry.is_symlink():
            target = Path(os.path.realpath(entry.path))
            if not target.is_relative_to(resolved):
                if _wanted(entry.name) or target.is_dir():
                    folder.findings.append(finding("WB004", name, 1, target=str(target)))
                continue
            if target.is_dir():
                # What it leads to is inside of the folder and is read there.
                continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _PASSED_BY and depth < 20:
                    yield from _walk(folder, Path(entry.path), resolved, depth + 1, f"{name}/")
                continue
        except OSError:
            continue
        if _wanted(entry.name):
            yield Path(entry.path), name


def _wanted(name: str) -> bool:
    low = name.lower()
    return low.endswith(_ENDINGS) or low.endswith(_EXPLICIT)


def _read(folder: Folder, path: Path, name: str) -> None:
    text = _text(folder, path, name)
    if text is not None:
        folder.sources.append(Source(name, text))


def _text(folder: Folder, path: Path, name: str, most: int = MOST_BYTES) -> str | None:
    """A file's text, or a finding. A FIFO is never opened, a large file never read."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            what = (
                "a FIFO"
                if stat.S_ISFIFO(status.st_mode)
                else "a socket"
                if stat.S_ISSOCK(status.st_mode)
                else "a device or folder"
            )
            folder.findings.append(finding("WB005", name, 1, what=what))
            return None
        if status.st_size > most:
            folder.findings.append(finding("WB002", name, 1, size=status.st_size))
            return None
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK)) as handle:
            data = handle.read(most + 1)
    except OSError as error:
        folder.findings.append(finding("WB001", name, 1, why=(error.strerror or "it cannot be opened").lower()))
        return None
    return decode(data, name, folder.findings)


def decode(data: bytes, name: str, findings: list[Finding]) -> str | None:
    """UTF-8 text, with or without a byte order mark; anything else is a finding with its line."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        findings.append(finding("WB003", name, 1, why="it is UTF-16"))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.append(
            finding("WB003", name, line, why=f"byte 0x{data[error.start]:02x} in line {line} (is it Latin-1?)")
        )
        return None
