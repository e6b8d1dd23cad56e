"""What a check of a large folder read before, on disk: an unchanged document is not read again, even by a new process.

A sheet is one document's whole contribution to a check: its part of the answer, its findings, the heads of its items. It depends on
the document's text, the settings, and the compiler alone. Keys and comparisons between documents are made anew each time (`heads.py`).
The files lie in the user's cache folder, readable by the user only; anything wrong with them means that the document is read again.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import cast

import msgspec

import watchbill
from watchbill.handbook.compile import (
    VERSION,
    Cache,
    Handbook,
    compile_folder,
    in_order,
    joined,
    read_source,
    references_of,
)
from watchbill.handbook.config import FILE, Config
from watchbill.handbook.explicit import read_explicit, validate
from watchbill.handbook.files import Folder, Source
from watchbill.handbook.heads import Head, agree, chains, head_of, mint, outside, routes
from watchbill.handbook.heard import heard
from watchbill.handbook.report import Checked, Summary, document_of
from watchbill.language.findings import Finding, Level
from watchbill.language.items import Item

#: Smaller folders are read faster than a cache is worth.
MANY = 50
#: Changed sheets go into a small file beside the large one until they are so many.
MOST_BESIDE = 100


class Sheet(msgspec.Struct, array_like=True):
    """One document (or one `*.watchbill.yaml`, then without a summary). Items are JSON, cut where their key belongs."""

    path: str
    digest: str
    summary: Summary | None
    findings: list[tuple[str, Level, str, str, int, int]]
    outside: list[tuple[str, int]]
    heads: list[Head]
    bodies: list[tuple[str, str]]


class _File(msgspec.Struct, array_like=True):
    told: str
    sheets: list[Sheet]


def check_folder(folder: Folder, place: Path | None = None) -> Handbook | Checked:
    """Checks a folder; ``place`` is where sheets are kept, None keeps none.

    A handbook with a lock, or with documents that overrule others, is compiled whole: there one document's items depend on others.
    """
    config, findings = Config(), list(folder.findings)
    if folder.config is not None:
        made, found = validate(Config, folder.config, FILE)
        findings += found
        config = cast(Config, made) if made is not None else config
    if folder.lock is not None or config.precedence or len(folder.sources) < MANY:
        return compile_folder(folder, Cache(compact=True, once=True))
    slug = config.slug or folder.name
    told = json.dumps([watchbill.__version__, VERSION, _code(), slug, config.model_dump_json()])
    kept = _load(place, told) if place else {}
    sources = [source for source in folder.sources if not config.excludes(source.path)]
    sheets, fresh = [], []
    for source in sources:
        digest = sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest()
        sheet = kept.get(source.path)
        if sheet is None or sheet.digest != digest:
            sheet = _read(source, digest, slug, config)
            fresh.append(sheet)
        sheets.append(sheet)
    if place and (fresh or len(kept) != len(sheets)):
        _save(place, told, sheets, fresh, kept)
    return _compare(slug, config, findings, sheets, {source.path: source.text for source in sources})


def _read(source: Source, digest: str, slug: str, config: Config) -> Sheet:
    summary, items, found, refers = None, [], [], []  # type: ignore[var-annotated]
    if source.path.endswith((".yaml", ".yml")):
        items, found = read_explicit(source.text, source.path, 1, slug)
    else:
        reading = read_source(source, slug, config)
        items, found, refers = joined(reading), reading.scope.findings, references_of(reading)
        for item in items:
            item.workspace = slug
        summary = document_of(slug, reading)
        reading.compact()
    heads, bodies = [], []
    for item in items:
        heads.append(head_of(item))
        bodies.append(_cut(item))
    told = [(one.code, one.level, one.message, one.hint, one.line, one.column) for one in in_order(found)]
    return Sheet(source.path, digest, summary, told, refers, heads, bodies)


def _cut(item: Item) -> tuple[str, str]:
    """The item's JSON before and after its key."""
    text = item.model_dump_json()
    mark = f'"key":{json.dumps(item.key, ensure_ascii=False)}'
    before, _, after = text.partition(mark)
    return f'{before}"key":', after


def _compare(
    slug: str, config: Config, findings: list[Finding], sheets: list[Sheet], texts: Mapping[str, str]
) -> Checked:
    heads = [head for sheet in sheets for head in sheet.heads]
    keys, found = mint(heads)
    disagreements, _ = agree(heads, config.precedence)
    own = [
        Finding(code, level, message, hint, sheet.path, line, column)
        for sheet in sheets
        for code, level, message, hint, line, column in sheet.findings
    ]
    missing = outside(
        [(sheet.path, sheet.outside) for sheet in sheets if sheet.summary], {sheet.path for sheet in sheets}
    )
    everything = in_order(
        [*findings, *own, *found, *disagreements, *missing, *chains(heads), *routes(heads), *heard(heads, config)]
    )

    def items() -> Iterator[tuple[str, str]]:
        bodies = (body for sheet in sheets for body in sheet.bodies)
        for head, key, (before, after) in zip(heads, keys, bodies, strict=True):
            yield head.kind, f"{before}{json.dumps(key, ensure_ascii=False)}{after}"

    return Checked(slug, everything, [sheet.summary for sheet in sheets if sheet.summary], items, texts)


def _code() -> str:
    """Which compiler this is, to the file: a developer changes a recogniser without a new version."""
    here = Path(watchbill.__file__).parent
    rooms = [here / "language", here / "handbook", *here.glob("*/spec.py")]
    files = sorted(file for room in rooms for file in (room.rglob("*.py") if room.is_dir() else [room]))
    marks = [f"{file.relative_to(here)} {(status := file.stat()).st_size} {status.st_mtime_ns}" for file in files]
    return sha256("\n".join(marks).encode()).hexdigest()


def cache_place(folder: Path) -> Path | None:
    """Where a folder's sheets are kept: below $XDG_CACHE_HOME, or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        top = Path(home) if home.startswith("/") else Path.home() / ".cache"
        return top / "watchbill" / "check" / sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    except (OSError, RuntimeError):
        return None


def _load(place: Path, told: str) -> dict[str, Sheet]:
    found: dict[str, Sheet] = {}
    for name in ("sheets", "beside"):
        with contextlib.suppress(OSError, msgspec.DecodeError, RecursionError):
            one = msgspec.msgpack.decode((place / name).read_bytes(), type=_File)
            if one.told == told:
                found |= {sheet.path: sheet for sheet in one.sheets}
    return found


def _save(place: Path, told: str, sheets: list[Sheet], fresh: list[Sheet], kept: Mapping[str, Sheet]) -> None:
    """Writes the few that are new beside the many, or all of them anew. A full disk or a strange folder keeps nothing."""
    few = len(fresh) <= MOST_BESIDE and len(kept) > 0
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if few:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                before = msgspec.msgpack.decode((place / "beside").read_bytes(), type=_File)
                if before.told == told:
                    new = {sheet.path for sheet in fresh}
                    fresh = fresh + [sheet for sheet in before.sheets if sheet.path not in new]
            few = len(fresh) <= MOST_BESIDE
        if few:
            _write(place / "beside", _File(told, fresh))
        else:
            _write(place / "sheets", _File(told, sheets))
            (place / "beside").unlink(missing_ok=True)


def _write(path: Path, what: _File) -> None:
    """Whole or not at all, for this user only."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as handle:
            handle.write(msgspec.msgpack.encode(what))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
