"""What a check answers: JSON (a published contract), text, SARIF and GitHub annotations."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

import msgspec

from watchbill.handbook.compile import VERSION, Handbook
from watchbill.handbook.kinds import KINDS, OTHERS
from watchbill.handbook.read import BlockReading, Reading
from watchbill.language.document import Kind
from watchbill.language.findings import CODES, Finding
from watchbill.language.items import REASONS, Effect

EFFECTS: tuple[str, ...] = get_args(Effect)


class Summary(msgspec.Struct, array_like=True):
    """What a check says of one document: its part of the JSON answer, and the counts for the text."""

    path: str
    title: str
    placeholder: bool
    text: str
    blocks: dict[str, int]
    effects: dict[str, int]
    items: dict[str, int]


@dataclass(slots=True)
class Checked:
    """A check's answer without the handbook behind it: summaries, findings, and items as (kind, JSON). ``texts`` are the documents."""

    slug: str
    findings: list[Finding]
    summaries: list[Summary]
    items: Callable[[], Iterator[tuple[str, str]]]
    texts: Mapping[str, str]


Books = Sequence[Handbook | Checked]


def _summaries(book: Handbook | Checked) -> Iterator[Summary]:
    if isinstance(book, Checked):
        yield from book.summaries
    else:
        yield from (document_of(book.slug, reading) for reading in book.readings)


def _items(book: Handbook | Checked) -> Iterator[tuple[str, str]]:
    if isinstance(book, Checked):
        yield from book.items()
    else:
        yield from ((item.kind, item.model_dump_json()) for item in book.items)


def _lines(book: Handbook | Checked) -> Callable[[str], list[str]]:
    """The lines of a document by its path."""
    if isinstance(book, Checked):
        texts = book.texts

        @lru_cache(maxsize=4)
        def split(path: str) -> list[str]:
            return texts.get(path, "").replace("\r\n", "\n").replace("\r", "\n").split("\n")

        return split
    known = {reading.document.path: reading.document.lines for reading in book.readings}
    return lambda path: known.get(path, [])


def as_json(books: Books) -> dict[str, Any]:
    """The whole answer as the contract of `watchbill schema check` has it."""
    found: dict[str, Any] = json.loads("".join(json_parts(books)))
    return found


def json_parts(books: Books) -> Iterator[str]:
    """The same as text, piece by piece: a large folder's answer is never whole in memory. One document or item a line."""
    yield f'{{"version": 1,\n"compiler": {VERSION},\n"documents": ['
    totals: Counter[str] = Counter()
    first = True
    for book in books:
        for document in _summaries(book):
            totals.update({f"blocks/{key}": value for key, value in document.blocks.items()})
            totals.update({f"effects/{key}": value for key, value in document.effects.items()})
            totals["documents"] += 1
            yield ("\n" if first else ",\n") + document.text
            first = False
    yield '],\n"items": ['
    kinds: Counter[str] = Counter()
    first = True
    for book in books:
        for kind, text in _items(book):
            kinds[kind] += 1
            yield ("\n" if first else ",\n") + text
            first = False
    findings = [one for book in books for one in book.findings]
    yield '],\n"findings": ['
    yield ",".join("\n" + json.dumps(_finding(one), ensure_ascii=False) for one in findings)
    summary = {
        "documents": totals["documents"],
        "items": dict(sorted(kinds.items())),
        "findings": {level: sum(1 for one in findings if one.level == level) for level in ("error", "warning", "note")},
        "blocks": {state: totals[f"blocks/{state}"] for state in ("compiled", "kept", "finding")},
        "effects": {effect: totals[f"effects/{effect}"] for effect in EFFECTS},
    }
    yield f'],\n"summary": {json.dumps(summary)}}}\n'


def _counts(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "blocks": {
            state: sum(1 for block in blocks if block["state"] == state) for state in ("compiled", "kept", "finding")
        },
        "effects": {
            effect: sum(1 for block in blocks for line in block["lines"] if line["effect"] == effect)
            for effect in EFFECTS
        },
    }


def document_of(slug: str, reading: Reading) -> Summary:
    """What a check says of a document."""
    blocks = [_block(one) for one in reading.blocks]
    items = dict(sorted(Counter(item.kind for one in reading.blocks for item in one.items).items()))
    counts = _counts(blocks)
    found = {
        "path": reading.document.path,
        "workspace": slug,
        "title": reading.document.title,
        "owner": reading.owner,
        "placeholder": reading.placeholder,
        "blocks": blocks,
        "items": items,
        **{f"{name}_counts": value for name, value in counts.items()},
    }
    text = json.dumps(found, ensure_ascii=False)
    return Summary(
        reading.document.path,
        reading.document.title,
        reading.placeholder,
        text,
        counts["blocks"],
        counts["effects"],
        items,
    )


def _block(one: BlockReading) -> dict[str, Any]:
    return {
        "kind": one.block.kind,
        "line": one.block.line,
        "end_line": one.block.end_line,
        "state": one.state,
        "effect": one.effect,
        "as": one.kind,
        "items": len(one.items),
        "lines": [
            {
                "line": unit.line,
                "end_line": unit.end_line,
                "as": unit.kind,
                "effect": unit.effect,
                "reason": unit.reason,
                "map": list(unit.map),
            }
            for unit in one.units
        ],
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code, "level": one.level, "message": one.message, "hint": one.hint, "path": one.path, "line": one.line, "column": one.column,
    }  # fmt: skip


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `watchbill check --format json`."""
    line = {"type": "integer", "minimum": 0}
    kinds = [*sorted(KINDS), *OTHERS]
    effect = {"enum": list(EFFECTS)}
    counts = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}

    def closed(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(properties),
            "additionalProperties": False,
        }

    definitions: dict[str, Any] = {}
    choices = []
    for name, model in sorted(KINDS.items()):
        made = model.model_json_schema(mode="serialization")
        definitions |= made.pop("$defs", {})
        definitions[name] = made
        choices.append({"$ref": f"#/$defs/{name}"})
    item = {"oneOf": choices}
    unit = closed(
        {
            "line": line, "end_line": line, "as": {"enum": kinds}, "effect": effect, "reason": {"enum": [*REASONS, None]},
            "map": {"type": "array", "items": {"type": "string"}},
        }
    )  # fmt: skip
    block = closed(
        {
            "kind": {"enum": list(get_args(Kind))}, "line": line, "end_line": line, "state": {"enum": ["compiled", "kept", "finding"]},
            "effect": effect, "as": {"enum": [*kinds, None]}, "items": line, "lines": {"type": "array", "items": unit},
        }
    )  # fmt: skip
    document = closed(
        {
            "path": {"type": "string"}, "workspace": {"type": "string"}, "title": {"type": "string"}, "owner": {"type": "string"},
            "placeholder": {"type": "boolean"}, "blocks": {"type": "array", "items": block}, "items": counts, "blocks_counts": counts, "effects_counts": counts,
        }
    )  # fmt: skip
    finding = closed(
        {
            "code": {"enum": sorted(CODES)}, "level": {"enum": ["error", "warning", "note"]}, "message": {"type": "string"},
            "hint": {"type": "string"}, "path": {"type": "string"}, "line": {"type": "integer", "minimum": 1}, "column": {"type": "integer", "minimum": 1},
        }
    )  # fmt: skip
    whole = closed(
        {
            "version": {"const": 1}, "compiler": line, "documents": {"type": "array", "items": document}, "items": {"type": "array", "items": item},
            "findings": {"type": "array", "items": finding},
            "summary": closed({"documents": line, "items": counts, "findings": counts, "blocks": counts, "effects": counts}),
        }
    )  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "watchbill check",
        **whole,
        "$defs": definitions,
    }


def items_schema() -> dict[str, Any]:
    """JSON Schema of explicit items (`yaml watchbill` fences, `*.watchbill.yaml`), for editors."""
    definitions: dict[str, Any] = {}
    choices = []
    for name, model in sorted(KINDS.items()):
        made = model.model_json_schema(mode="validation")
        definitions |= made.pop("$defs", {})
        for ours in ("key", "state", "workspace", "source", "effect", "reason", "map", "text"):
            made["properties"].pop(ours, None)
        if "because" in made["properties"]:
            # As it is written: a route's own reason.
            made["properties"]["reason"] = {**made["properties"].pop("because"), "title": "Reason"}
        made["properties"]["id"] = {"type": "string", "description": "a key that survives renaming"}
        made["required"] = sorted({"kind", *made.get("required", [])} - {"key"})
        made["additionalProperties"] = False
        definitions[name] = made
        choices.append({"$ref": f"#/$defs/{name}"})
    one = {"oneOf": choices}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Watchbill items",
        "oneOf": [
            {"type": "array", "items": one},
            one,
            {"type": "object", "properties": {"items": {"type": "array", "items": one}}, "required": ["items"]},
        ],
        "$defs": definitions,
    }


def as_text(books: Books, colour: bool = False) -> Iterator[str]:
    """A compiler's output: each finding with its line and a caret, then what became of each document."""
    paint = _painter(colour)
    for book in books:
        lines = _lines(book)
        for one in book.findings:
            yield f"{paint(one.level, one.level)} {one.code}: {one.message}"
            yield f"  --> {one.path}:{one.line}:{one.column}"
            source = lines(one.path)
            if 0 < one.line <= len(source) and source[one.line - 1].strip():
                text = source[one.line - 1][:200].replace("\t", " ")
                text = "".join(c if c.isprintable() else "�" for c in text)
                number = str(one.line)
                yield f"  {number} | {text}"
                yield f"  {' ' * len(number)} | {' ' * min(one.column - 1, 199)}^"
            yield f"  = {one.hint}"
            yield ""
    documents = 0
    for document in (document for book in books for document in _summaries(book)):
        documents += 1
        blocks, effects = document.blocks, document.effects
        name = document.path + (f" ({document.title})" if document.title else "")
        yield paint("title", name) + (" is a placeholder" if document.placeholder else "")
        yield f"  blocks   {blocks['compiled']} compiled, {blocks['kept']} kept, {blocks['finding']} not understood"
        yield "  items    " + (", ".join(f"{count} {kind}" for kind, count in document.items.items()) or "none")
        yield "  effects  " + ", ".join(f"{effects[effect]} {effect}" for effect in EFFECTS)
        yield ""
    found = Counter(one.level for book in books for one in book.findings)
    counts = ", ".join(_many(found[level], level) for level in ("error", "warning", "note"))
    yield f"{_many(documents, 'document')}: {counts}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _painter(colour: bool) -> Callable[[str, str], str]:
    codes = {"error": "31;1", "warning": "33;1", "note": "36", "title": "1"}
    return lambda kind, text: f"\033[{codes[kind]}m{text}\033[0m" if colour else text


def as_github(books: Books) -> Iterator[str]:
    """Workflow commands, one annotation a finding."""
    levels = {"error": "error", "warning": "warning", "note": "notice"}
    for book in books:
        for one in book.findings:
            place = f"file={_property(one.path)},line={one.line},col={one.column},title={_property(one.code)}"
            yield f"::{levels[one.level]} {place}::{_data(f'{one.message} {one.hint}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(books: Books, version: str) -> str:
    """SARIF 2.1.0."""
    used = sorted({one.code for book in books for one in book.findings})
    rules = [
        {
            "id": code,
            "name": "".join(word.capitalize() for word in CODES[code].title.split()),
            "shortDescription": {"text": CODES[code].title},
            "help": {"text": CODES[code].hint},
            "defaultConfiguration": {"level": CODES[code].level},
        }
        for code in used
    ]
    results = [
        {
            "ruleId": one.code,
            "ruleIndex": used.index(one.code),
            "level": one.level,
            "message": {"text": f"{one.message} {one.hint}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": one.path.replace("%", "%25").replace(" ", "%20")},
                        "region": {"startLine": one.line, "startColumn": one.column},
                    }
                }
            ],
        }
        for book in books
        for one in book.findings
    ]
    run = {
        "tool": {"driver": {"name": "watchbill", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps(
        {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]},
        indent=2,
        ensure_ascii=False,
    )
