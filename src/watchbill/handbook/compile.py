"""compile(files, compiler version) → handbook and findings. Pure: no clock, no network, no database, no files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from watchbill.handbook.config import FILE, Config
from watchbill.handbook.explicit import read_explicit, validate
from watchbill.handbook.files import Folder, Source
from watchbill.handbook.heads import Head, agree, chains, head_of, mint, routes
from watchbill.handbook.heads import outside as missing
from watchbill.handbook.heard import heard
from watchbill.handbook.kinds import ENFORCED
from watchbill.handbook.lock import Lock, Matched, match, parse_lock
from watchbill.handbook.read import Reading, read
from watchbill.incidents.spec import Severity
from watchbill.language.document import Block, parse
from watchbill.language.findings import Finding
from watchbill.language.items import Effect, Item, Unit
from watchbill.language.names import severity_name
from watchbill.language.scope import Scope, references
from watchbill.support.spec import Sla

#: Part of every lock: a changed compiler yields a plan, never a silently changed policy.
VERSION = 1


@dataclass(slots=True)
class Handbook:
    """One workspace's compiled policy."""

    slug: str
    config: Config
    readings: list[Reading] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lock: Lock | None = None
    matched: Matched | None = None


@dataclass(slots=True)
class Kept:
    """One document as it was read, so that an unchanged one is not read again."""

    text: str
    reading: Reading
    items: list[tuple[Item, str, Effect, str | None]]
    outside: list[tuple[str, int]]
    heads: list[Head]


@dataclass(slots=True)
class Cache:
    """Documents by path, for a process that compiles a folder again and again. Holds what was read, decides nothing."""

    kept: dict[str, Kept] = field(default_factory=dict)
    told: str = ""
    #: Give back cells and texts after reading: for folders of many megabytes, where nobody renders the documents.
    compact: bool = False
    #: Keep nothing for a next time.
    once: bool = False

    def get(self, source: Source) -> Kept | None:
        """The document as it was read, where its text is the same; its items with the keys they were read with."""
        found = self.kept.get(source.path)
        if found is None or found.text != source.text:
            return None
        for item, key, effect, reason in found.items:
            # Not by attribute: pydantic's bookkeeping for tens of thousands of items would cost more than the rest.
            item.__dict__.update(key=key, effect=effect, reason=reason, state="proposed")
        return found


def compile_folder(folder: Folder, cache: Cache | None = None) -> Handbook:
    """Compiles what :func:`files.load` read."""
    config, findings = Config(), list(folder.findings)
    if folder.config is not None:
        made, found = validate(Config, folder.config, FILE)
        findings += found
        config = cast(Config, made) if made is not None else config
    lock = None
    if folder.lock is not None:
        lock, found = parse_lock(folder.lock)
        findings += found
    return compile_sources(folder.sources, config.slug or folder.name, config, findings, cache, lock)


def compile_sources(
    sources: Iterable[Source],
    slug: str,
    config: Config,
    findings: Iterable[Finding] = (),
    cache: Cache | None = None,
    lock: Lock | None = None,
) -> Handbook:
    """Compiles texts. A ``cache`` spares documents whose text is the same as last time."""
    book = Handbook(slug, config, findings=list(findings))
    cache = cache if cache is not None else Cache()
    told = f"{slug} {config.model_dump_json()}"
    if cache.told != told:
        cache.kept, cache.told = {}, told
    sources = [one for one in sources if not config.excludes(one.path)]
    paths = {source.path for source in sources}
    outside: list[tuple[str, list[tuple[str, int]]]] = []
    heads: list[Head] = []
    for source in sources:
        if source.path.endswith((".yaml", ".yml")):
            items, found = read_explicit(source.text, source.path, 1, slug)
            book.items += items
            book.findings += found
            heads += [head_of(item) for item in items]
            continue
        kept = cache.get(source)
        if kept is None:
            reading = read_source(source, slug, config)
            items = joined(reading)
            for item in items:
                item.workspace = slug
            kept = Kept(
                source.text,
                reading,
                [(item, item.key, item.effect, item.reason) for item in items],
                references_of(reading),
                [head_of(item) for item in items],
            )
            if cache.compact:
                reading.compact()
            if not cache.once:
                cache.kept[source.path] = kept
        book.readings.append(kept.reading)
        book.findings += kept.reading.scope.findings
        book.items += [item for item, *_ in kept.items]
        heads += kept.heads
        outside.append((source.path, kept.outside))
    keys, found = mint(heads)
    for item, key in zip(book.items, keys, strict=True):
        item.__dict__["key"] = key
    if lock is not None:
        _accepted(book, lock)
    disagreements, overruled = agree(heads, config.precedence)
    for number in overruled:
        if book.items[number].state == "proposed":
            book.items[number].effect, book.items[number].reason = "shown", "reference"
    book.findings = in_order(
        [
            *book.findings, *found, *disagreements, *missing(outside, paths), *chains(heads), *routes(heads),
            *heard(heads, config, (item.state for item in book.items)),
        ]
    )  # fmt: skip
    return book


def read_source(source: Source, slug: str, config: Config) -> Reading:
    """One document, with its explicit fences."""
    document = parse(source.path, source.text)
    scope = Scope(document, workspace=slug)
    scope.immediate, scope.wait = config.immediate or scope.immediate, config.escalation_wait or scope.wait
    reading = read(document, scope)
    for one in reading.blocks:
        for block in _fences(one.block):
            if block.info.split() != ["yaml", "watchbill"]:
                continue
            items, found = read_explicit(block.raw, source.path, block.line + 1, slug)
            scope.findings += found
            unit = Unit(
                block.line,
                block.end_line,
                "explicit",
                block.raw[:2000],
                "shown",
                "reference",
                items=list(items),
                finding=bool(found),
            )
            if items:
                unit.effect, unit.reason = items[0].effect, None
            if one.block is block:
                one.units = [unit]
            else:
                one.units.append(unit)
    return reading


def _fences(block: Block) -> list[Block]:
    return (
        [block]
        if block.kind == "fence"
        else [fence for top in block.entries for entry in top.walk() for fence in entry.fences]
    )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, by place."""
    return sorted(set(findings), key=lambda one: (one.path, one.line, one.column, one.code, one.message))


def _accepted(book: Handbook, lock: Lock) -> None:
    """Gives items the keys and states they were accepted with. An item whose reading changed stays what it was accepted
    as: the plan, not the file, changes policy."""
    book.lock, book.matched = lock, match(lock, book.items)
    for old, item in book.matched.pairs:
        item.state = old.state
        if old.state == "ignored":
            item.effect, item.reason = "shown", "ignored by comment"
        elif item.kind in ENFORCED:
            item.effect, item.reason = "enforced", None
        elif item.effect == "proposed":
            # Accepted, and no feature acts on it yet: said as it is.
            item.effect = "later"


def joined(reading: Reading) -> list[Item]:
    """The items of a document, severities and SLAs of the same name as one: definitions in one table and clocks in
    another, or several rows for one severity. Where both say something else about a clock they stay two, and a finding names them."""
    found: dict[int, Item] = {}
    known: dict[tuple[str, str, str], Severity | Sla] = {}
    for block in reading.blocks:
        here: set[tuple[str, str, str]] = set()
        for unit in block.units:
            for position, item in enumerate(unit.items):
                if not isinstance(item, Severity | Sla) or item.key:
                    found.setdefault(id(item), item)
                    continue
                sign = (item.kind, severity_name(item.name), item.plan if isinstance(item, Sla) else "")
                first = known.setdefault(sign, item)
                if first is item or not _join(first, item, sign in here):
                    found.setdefault(id(item), item)
                else:
                    unit.items[position] = first
                here.add(sign)
    return list(found.values())


def _join(first: Severity | Sla, item: Severity | Sla, same_block: bool) -> bool:
    """Adds to ``first`` what only ``item`` says. False, and nothing changed, where their clocks disagree in different tables."""
    clocks = ("acknowledge", "respond", "resolve", "update")
    differ = [
        name
        for name in clocks
        if getattr(first, name) and getattr(item, name) and getattr(first, name) != getattr(item, name)
    ]
    if differ and not same_block:
        return False
    for name in (*clocks, "definition", "examples", "channels", "escalate", "hours"):
        if name in type(first).model_fields and name in type(item).model_fields and not getattr(first, name):
            setattr(first, name, getattr(item, name))
    first.off_hours = {**item.off_hours, **first.off_hours}
    if isinstance(first, Severity) and isinstance(item, Severity):
        first.all_hands = first.all_hands or item.all_hands
    return True


def references_of(reading: Reading) -> list[tuple[str, int]]:
    """Other documents that a document names, with the line of the first time."""
    found: dict[str, int] = {}
    for one in reading.blocks:
        raws = [(one.block.raw, one.block.line)] if one.block.kind == "paragraph" else []
        raws += [(entry.raw, entry.line) for top in one.block.entries for entry in top.walk()]
        raws += [(cell.raw, row.line) for row in one.block.rows for cell in row.cells]
        for raw, line in raws:
            for target in references(raw):
                path = target.split("#")[0]
                if "<" not in path and "*" not in path:
                    found.setdefault(path, line)
    return list(found.items())
