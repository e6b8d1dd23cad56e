"""Markdown as sections and blocks with line spans. Nothing is dropped: every line that is not blank belongs to a block.

markdown-it-py (CommonMark and tables) finds the blocks; its inline pass is not run. Cells are split here from the source
lines, because extra cells of ragged rows would be lost, and lines that no block covers (too deeply nested, link
definitions) become paragraphs of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Literal

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from watchbill.language.inline import plain

Kind = Literal["table", "list", "tasklist", "heading", "fence", "paragraph", "frontmatter", "html"]
MOST_BYTES = 2_000_000
MOST_NESTING = 40
MOST_LINE = 50_000
MOST_COLUMNS = 200


@dataclass(slots=True)
class Cell:
    """One cell: its Markdown and where it begins."""

    raw: str
    line: int
    column: int

    @property
    def text(self) -> str:
        """As a reader sees it."""
        return plain(self.raw)


@dataclass(slots=True)
class Row:
    """One row of a table."""

    line: int
    cells: list[Cell]


@dataclass(slots=True)
class Entry:
    """One entry of a list, with the lists and fences below it."""

    line: int
    end_line: int
    raw: str
    depth: int
    number: int | None = None
    checked: bool | None = None
    entries: list["Entry"] = field(default_factory=list)
    fences: list["Block"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """As a reader sees it."""
        return plain(self.raw)

    def walk(self) -> Iterator["Entry"]:
        """Itself and all below."""
        yield self
        for entry in self.entries:
            yield from entry.walk()


@dataclass(slots=True)
class Section:
    """What stands under one heading, down to the next of the same level."""

    title: str
    level: int
    line: int
    parent: "Section | None" = None
    blocks: list["Block"] = field(default_factory=list)
    sections: list["Section"] = field(default_factory=list)

    @property
    def path(self) -> list[str]:
        """Titles from the outermost heading to this one."""
        above = self.parent.path if self.parent else []
        return [*above, self.title] if self.title else above


@dataclass(slots=True)
class Block:
    """One block. Lines count from 1; ``end_line`` is the last one."""

    kind: Kind
    line: int
    end_line: int
    section: Section
    raw: str = ""
    level: int = 0
    info: str = ""
    header: Row | None = None
    rows: list[Row] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    ordered: bool = False
    comment: str = ""

    @property
    def text(self) -> str:
        """As a reader sees it."""
        return plain(self.raw)


@dataclass(slots=True)
class Trouble:
    """Something about the file itself, for findings."""

    code: str
    line: int
    detail: str = ""


@dataclass(slots=True)
class Document:
    """One Markdown file."""

    path: str
    lines: list[str]
    root: Section
    blocks: list[Block]
    title: str = ""
    frontmatter: list[tuple[str, Any, int]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": MOST_NESTING}).enable("table")
    parser.core.ruler.disable("inline")
    return parser


_MARKDOWN = _parser()
_DIRECTIVE = re.compile(r"<!--\s*watchbill:\s*([a-z-]+)\s*(?:\(.*\)\s*)?-->")
_TASK = re.compile(r"^(?:\[([ xX])\]|([☐☑☒✅✔]))\s+")


def parse(path: str, text: str) -> Document:
    """Reads one file's text. Never raises for any text."""
    troubles: list[Trouble] = []
    if "\0" in text:
        troubles.append(Trouble("WB012", text[: text.index("\0")].count("\n") + 1))
        text = text.replace("\0", "\ufffd")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    root = Section("", 0, 1)
    document = Document(path, lines, root, [], troubles=troubles)
    body, start = list(lines), _frontmatter(document)
    for number in range(start):
        body[number] = ""
    covered = bytearray(len(lines) + 2)
    covered[: start + 1] = b"\1" * (start + 1)
    for number, line in enumerate(body):
        if len(line) > MOST_LINE:
            troubles.append(Trouble("WB013", number + 1, f"{len(line):,} characters"))
            body[number] = ""
    _Builder(document, body, covered).run(_MARKDOWN.parse("\n".join(body)))
    _rescue(document, covered)
    _sections(document)
    title = next((block for block in document.blocks if block.kind == "heading"), None)
    document.title = title.text if title else ""
    return document


def _frontmatter(document: Document) -> int:
    """Reads YAML between two lines of dashes at the top; answers how many lines it takes."""
    lines = document.lines
    if not lines or lines[0].lstrip("\ufeff").rstrip() != "---":
        return 0
    end = next((n for n in range(1, min(len(lines), 400)) if lines[n].rstrip() in {"---", "..."}), 0)
    if not end:
        return 0
    source = "\n".join(lines[1:end])
    block = Block("frontmatter", 1, end + 1, document.root, source)
    document.blocks.append(block)
    try:
        document.frontmatter = list(read_yaml_entries(source, first_line=2))
    except YamlTrouble as error:
        document.troubles.append(Trouble("WB020", error.line, error.problem))
    return end + 1


class YamlTrouble(Exception):
    """YAML that cannot be read, with its line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map", "timestamp")} | {
    "!"
}


def compose(source: str, first_line: int) -> yaml.Node | None:
    """The YAML node tree, without aliases and tags (no bombs, no objects). Raises YamlTrouble."""
    depth = 0
    try:
        for event in yaml.parse(source, Loader=yaml.SafeLoader):
            line = first_line + (event.start_mark.line if event.start_mark else 0)
            if isinstance(event, yaml.AliasEvent):
                raise YamlTrouble(line, "aliases (*name) are not read here")
            tag = getattr(event, "tag", None)
            if tag and tag not in _TAGS:
                raise YamlTrouble(line, f"the tag {tag} is not read here")
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                depth += 1
                if depth > 30:
                    raise YamlTrouble(line, "it is nested more than 30 deep")
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                depth -= 1
        node: yaml.Node | None = yaml.compose(source, Loader=yaml.SafeLoader)
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlTrouble(first_line + (mark.line if mark else 0), error.problem or "it is no YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlTrouble(first_line, str(error).split("\n")[0][:120]) from None


def scalar(node: yaml.Node) -> str:
    """A scalar's text as written."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def read_yaml_entries(source: str, first_line: int) -> Iterator[tuple[str, Any, int]]:
    """Key, value and line of a mapping; lists become [(text, line), …]. Raises YamlTrouble."""
    node = compose(source, first_line)
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise YamlTrouble(first_line, "it is not a list of “key: value” lines")
    for key, value in node.value:
        line = first_line + key.start_mark.line
        if isinstance(value, yaml.SequenceNode):
            yield scalar(key), [(scalar(one), first_line + one.start_mark.line) for one in value.value], line
        elif isinstance(value, yaml.MappingNode):
            yield scalar(key), {scalar(k): scalar(v) for k, v in value.value}, line
        else:
            yield scalar(key), scalar(value), line


class _Builder:
    """Turns block tokens into blocks."""

    def __init__(self, document: Document, body: list[str], covered: bytearray) -> None:
        self.document, self.body, self.covered = document, body, covered
        self.tokens: list[Token] = []
        self.at = 0

    def run(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        while self.at < len(tokens):
            self._one()

    def _cover(self, token: Token) -> tuple[int, int]:
        first, after = token.map or (0, 0)
        last = min(after, len(self.body))
        for number in range(first, last):
            self.covered[number + 1] = 1
        while last > first + 1 and not self.body[last - 1].strip():
            last -= 1
        return first + 1, last

    def _add(self, kind: Kind, token: Token, raw: str = "", **more: Any) -> Block:
        line, end = self._cover(token)
        block = Block(kind, line, max(line, end), self.document.root, raw, **more)
        self.document.blocks.append(block)
        return block

    def _one(self) -> None:
        token = self.tokens[self.at]
        kind = token.type
        if kind == "heading_open":
            self._add("heading", token, self.tokens[self.at + 1].content, level=int(token.tag[1]))
            self.at += 3
        elif kind == "paragraph_open":
            self._add("paragraph", token, self.tokens[self.at + 1].content)
            self.at += 3
        elif kind in {"fence", "code_block"}:
            self._add("fence", token, token.content, info=token.info.strip())
            self.at += 1
        elif kind == "html_block":
            self._html(token)
            self.at += 1
        elif kind == "table_open":
            self._table(token)
        elif kind in {"bullet_list_open", "ordered_list_open"}:
            self._list(token)
        else:
            if kind == "hr":
                self._cover(token)
            self.at += 1

    def _table(self, token: Token) -> None:
        block = self._add("table", token)
        first, after = token.map or (0, 0)
        rows = [n for n in range(first, after) if self.body[n].strip()]
        block.header = split_row(self.body[rows[0]], rows[0] + 1)
        block.rows = [split_row(self.body[n], n + 1) for n in rows[2:]]
        width = len(block.header.cells)
        if width > MOST_COLUMNS:
            self.document.troubles.append(Trouble("WB014", block.line, f"{width:,} columns"))
            block.header.cells = block.header.cells[:MOST_COLUMNS]
            for row in block.rows:
                row.cells = row.cells[:MOST_COLUMNS]
        for row in block.rows:
            if len(row.cells) > width:
                self.document.troubles.append(Trouble("WB030", row.line, f"{len(row.cells)} cells under {width}"))
            while len(row.cells) < width:
                row.cells.append(Cell("", row.line, 1))
        self._skip("table_close")

    def _skip(self, closing: str) -> None:
        level = self.tokens[self.at].level
        self.at += 1
        while self.at < len(self.tokens) and not (
            self.tokens[self.at].type == closing and self.tokens[self.at].level == level
        ):
            self.at += 1
        self.at += 1

    def _list(self, token: Token) -> None:
        block = self._add("list", token, ordered=token.type == "ordered_list_open")
        block.entries = self._entries(block, 0)
        everything = [entry for top in block.entries for entry in top.walk()]
        if everything and any(entry.checked is not None for entry in everything):
            block.kind = "tasklist"

    def _entries(self, block: Block, depth: int) -> list[Entry]:
        opening = self.tokens[self.at]
        closing, level = opening.type.replace("_open", "_close"), opening.level
        found: list[Entry] = []
        self.at += 1
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.type == closing and token.level == level:
                self.at += 1
                break
            if token.type == "list_item_open":
                line, after = token.map or (0, 0)
                number = int(token.info) if opening.type == "ordered_list_open" and token.info.isdecimal() else None
                found.append(Entry(line + 1, max(line + 1, after), "", depth, number))
                self.at += 1
            elif token.type in {"bullet_list_open", "ordered_list_open"} and found:
                found[-1].entries += self._entries(block, depth + 1)
            elif token.type in {"paragraph_open", "heading_open"} and found:
                self._entry_text(found[-1], self.tokens[self.at + 1])
                self.at += 3
            elif token.type in {"fence", "code_block"} and found:
                first, after = token.map or (0, 0)
                found[-1].fences.append(
                    Block("fence", first + 1, after, self.document.root, token.content, info=token.info.strip())
                )
                self.at += 1
            elif token.type == "table_open":
                # A table inside of a list is a table of its own.
                self._table(token)
            elif token.type == "html_block" and found:
                self._entry_text(found[-1], token)
                self.at += 1
            else:
                self.at += 1
        return found

    def _entry_text(self, entry: Entry, token: Token) -> None:
        raw = token.content
        if not entry.raw:
            match = _TASK.match(raw)
            if match:
                entry.checked = (match[1] or match[2]) in "xX☑☒✅✔"
                raw = raw[match.end() :]
            first = (token.map or (entry.line - 1, 0))[0]
            entry.raw, entry.end_line = raw, max(entry.line, (token.map or (0, first + 1))[1])
        else:
            entry.raw += "\n" + raw

    def _html(self, token: Token) -> None:
        block = self._add("html", token, token.content)
        directive = _DIRECTIVE.search(token.content)
        if directive:
            block.comment = directive[1]
        if "<table" in token.content.lower():
            rows = read_html_table(token.content, block.line)
            if len(rows) > 1:
                width = len(rows[0].cells)
                for row in rows:
                    row.cells += [Cell("", row.line, 1) for _ in range(width - len(row.cells))]
                block.kind, block.header, block.rows = "table", rows[0], rows[1:]


def split_row(line: str, number: int) -> Row:
    """The cells of one row: escaped pipes stay, outer pipes go, nothing is dropped."""
    text = line.lstrip(" \t>")
    offset = len(line) - len(text)
    text = text.rstrip()
    cells: list[Cell] = []
    start = position = 1 if text.startswith("|") else 0
    while True:
        position = text.find("|", position)
        if position == -1:
            break
        if text[position - 1] == "\\" and position > 0:
            position += 1
            continue
        cells.append(_cell(text[start:position], number, offset + start))
        start = position = position + 1
    if start < len(text):
        cells.append(_cell(text[start:], number, offset + start))
    return Row(number, cells)


def _cell(raw: str, line: int, offset: int) -> Cell:
    stripped = raw.strip()
    lead = len(raw) - len(raw.lstrip())
    return Cell(stripped.replace("\\|", "|"), line, offset + lead + 1)


class _HtmlTable(HTMLParser):
    """Rows of an HTML table, with the line of each."""

    def __init__(self, first_line: int) -> None:
        super().__init__(convert_charrefs=True)
        self.first, self.rows, self.open = first_line, list[Row](), False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line = self.first + self.getpos()[0] - 1
        if tag == "tr":
            self.rows.append(Row(line, []))
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].cells.append(Cell("", line, self.getpos()[1] + 1))
            self.open = True
        elif tag == "br" and self.open:
            self.rows[-1].cells[-1].raw += "<br>"

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "tr"}:
            self.open = False

    def handle_data(self, data: str) -> None:
        if self.open and self.rows and self.rows[-1].cells:
            cell = self.rows[-1].cells[-1]
            cell.raw = (cell.raw + data).strip() if not cell.raw else cell.raw + data


def read_html_table(source: str, first_line: int) -> list[Row]:
    """Rows of the first HTML table in ``source``."""
    reader = _HtmlTable(first_line)
    reader.feed(source)
    reader.close()
    return [row for row in reader.rows if row.cells]


def _rescue(document: Document, covered: bytearray) -> None:
    """Paragraphs for lines that no block covers."""
    lines = document.lines
    number = 1
    while number <= len(lines):
        if covered[number] or not lines[number - 1].strip():
            number += 1
            continue
        end = number
        while end < len(lines) and not covered[end + 1] and lines[end].strip():
            end += 1
        text = "\n".join(line[:MOST_LINE] for line in lines[number - 1 : end])
        document.blocks.append(Block("paragraph", number, end, document.root, text))
        if text.count(">") > MOST_NESTING // 2 or re.match(r"\s{40,}(?:[-*+]|\d+[.)])", text):
            document.troubles.append(Trouble("WB011", number))
        number = end + 1
    document.blocks.sort(key=lambda block: block.line)


def _sections(document: Document) -> None:
    """Gives every block its section."""
    current = document.root
    for block in document.blocks:
        if block.kind == "heading":
            while current.parent and current.level >= block.level:
                current = current.parent
            section = Section(block.text, block.level, block.line, current)
            current.sections.append(section)
            current = section
        block.section = current
        current.blocks.append(block)
