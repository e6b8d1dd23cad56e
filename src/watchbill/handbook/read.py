"""Reads one document: every block gets its units, every unit its kind, effect and reason.

The order is stated once, here: comments rule first, then sections (alert pages, severities, steps), then tables, lists,
fences and paragraphs, each by its recognisers in order; what none takes is read sentence by sentence, and the rest is kept.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from watchbill.backups import spec as backups
from watchbill.cadence import spec as cadence
from watchbill.changes import spec as changes
from watchbill.gates import spec as gates
from watchbill.handbook import spec as handbook
from watchbill.handbook import told
from watchbill.handbook.topics import topics
from watchbill.improvement import spec as improvement
from watchbill.incidents import spec as incidents
from watchbill.language.columns import Table
from watchbill.language.document import Block, Document, Entry, Section
from watchbill.language.inline import bold_lead, key_value, plain
from watchbill.language.items import Effect, Item, Unit, targets
from watchbill.language.keyed import transposed
from watchbill.language.scope import Scope, headings
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_owners
from watchbill.objectives import spec as objectives
from watchbill.oncall import spec as oncall
from watchbill.people import spec as people
from watchbill.runbooks import spec as runbooks
from watchbill.support import spec as support

_HISTORY = re.compile(
    r"\b(?:change ?log|revision(?: history)?|version history|document history|history|past (?:incidents|drills|events)|drill log|incident log|previous (?:incidents|drills)|drill results|test(?:ing)? results|lessons learned(?: from)?|release notes|review log|amendments|incident (?:recovery )?summary|recent (?:incidents|slo performance)|performance trend|20\d\d (?:incident|improvements|targets))\b",
    re.I,
)
_TEMPLATE = re.compile(
    r"\btemplates?\b|\bexamples?\b(?! (?:incidents? by|of severity))|\bsample\b|\bskeleton\b|\bformat\b$|canned responses?",
    re.I,
)
_SETUP = re.compile(
    r"^\W*(?:set ?up|configure|define|create|establish|install|implement|plan|refactor|introduce|design|build)\b", re.I
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`\[])")
_TOOLS = re.compile(r"^\W*(?:tools?|tooling|links?|stack|tech stack)\b\W", re.I)
_DELIVERABLES = re.compile(r"^\W*(?:deliverables|outputs|artefacts|artifacts|work products)\W*$", re.I)
_TASKS = re.compile(r"^\W*(?:tasks|activities|responsibilities|objectives|goals)\W*$", re.I)
_AREA_KEYS = re.compile(
    r"^\W*(?:owners?|participants?|timeline|secondary owners?|lead|accountable|responsible|team)\W*$", re.I
)
#: Some word that every sentence with policy has; most sentences have none, and cost one search.
_SAYS = re.compile(
    r"hourly|daily|nightly|weekly|fortnight|monthly|quarterly|annual|yearly|\bevery\b|\beach\b|\bonce\b|\btwice\b|\bafter an?y?\b|escalat|brief|notif|inform|leadership|executive|"
    r"stakeholder|management|freeze|calendar|maintenance|announce|schema|feature flag|approv|budget|\d|\brpo\b|\brto\b|recovery|living|up to date|current|whenever|rotat|on-?call|week|schedule upgrades",
    re.I,
)
#: Topics of a procedure's title that hold for each of its steps.
_WHOLE = {"A4", "C3", "C4", "G1"}
_ORDER: tuple[Effect, ...] = ("enforced", "later", "shown", "proposed")


@dataclass(slots=True)
class BlockReading:
    """One block with its units. ``kind`` and ``effect`` are the block's own; ``state`` says what became of it."""

    block: Block
    units: list[Unit] = field(default_factory=list)

    @property
    def items(self) -> list[Item]:
        """The items read here."""
        return [item for unit in self.units for item in unit.items]

    @property
    def kind(self) -> str | None:
        """What the block is read as: its items' kind, else its units'."""
        names = (
            [item.kind for item in self.items]
            or [u.kind for u in self.units if u.kind != "reference"]
            or [u.kind for u in self.units]
        )
        return max(dict.fromkeys(names), key=names.count) if names else None

    @property
    def state(self) -> str:
        """compiled, kept or finding."""
        if any(unit.effect in {"proposed", "enforced", "later"} and unit.kind != "reference" for unit in self.units):
            return "compiled"
        return "finding" if any(unit.finding for unit in self.units) else "kept"

    @property
    def effect(self) -> Effect:
        """The first of enforced, later, shown, proposed that its lines have; shown where it has none."""
        found = {unit.effect for unit in self.units if unit.kind != "reference"} or {unit.effect for unit in self.units}
        return next((effect for effect in _ORDER if effect in found), "shown")


@dataclass(slots=True)
class Reading:
    """A whole document."""

    document: Document
    scope: Scope
    blocks: list[BlockReading]
    owner: str = ""
    placeholder: bool = False

    def compact(self) -> None:
        """Gives back what only reading needed: cells, entries, texts. Lines, units and items stay."""
        for one in self.blocks:
            block = one.block
            block.entries, block.rows, block.header, block.raw = [], [], None, ""
            for unit in one.units:
                unit.text = ""
        for block in self.document.blocks:
            # Sections and blocks point at each other; without the cycles they go at once.
            block.section.sections, block.section.blocks, block.section.parent = [], [], None
            block.section = self.document.root
        self.document.root.sections, self.document.root.blocks = [], []
        self.document.frontmatter, self.scope.section_owners = [], {}


class Reader:
    """Reads one document."""

    def __init__(self, document: Document, scope: Scope) -> None:
        self.document, self.scope = document, scope
        self.claims: dict[int, list[Unit]] = {}
        self.comment = ""
        self.read_headings: dict[int, BlockReading] = {}

    def run(self) -> Reading:
        """All blocks, in order."""
        scope, document = self.scope, self.document
        for trouble in document.troubles:
            scope.find(trouble.code, trouble.line, detail=trouble.detail)
        scope.placeholder = self._is_placeholder()
        if scope.placeholder:
            scope.find("WB102", 1)
        self._owners()
        self._sections(document.root)
        readings: list[BlockReading] = []
        for block in document.blocks:
            units = self._block(block)
            scope.lead = _lead(block)
            if units and block.kind not in {"heading", "frontmatter"}:
                self._mark_heading(block, units)
            self._enrich(block, units)
            self._refer(units)
            readings.append(BlockReading(block, units))
            if block.kind == "heading":
                self.read_headings[block.line] = readings[-1]
            self._unclosed(block)
        owner = ", ".join(target.name for target in scope.owners)
        if not owner and document.blocks:
            scope.find("WB114", 1)
        return Reading(document, scope, readings, owner, scope.placeholder)

    def _unclosed(self, block: Block) -> None:
        """Bold text that begins in a line and is never closed."""
        lines = (
            [(block.line + n, text) for n, text in enumerate(block.raw.split("\n"))]
            if block.kind == "paragraph"
            else []
        )
        lines += [(entry.line, entry.raw) for top in block.entries for entry in top.walk()]
        for line, text in lines:
            if text.count("**") % 2 and "`" not in text and text.lstrip().startswith("**") and text.count("**") == 1:
                self.scope.find("WB113", line, text.find("**") + 1)

    def _mark_heading(self, block: Block, units: list[Unit]) -> None:
        """“Daily checklist (09:00)” is part of the duty that was read from the list below it."""
        heading = self.read_headings.get(block.section.line)
        if heading is None or heading.units:
            return
        item = next((item for unit in units for item in unit.items if item.source.line == heading.block.line), None)
        if item is not None:
            heading.units = [
                Unit(
                    heading.block.line,
                    heading.block.end_line,
                    item.kind,
                    heading.block.text,
                    item.effect,
                    item.reason,
                    tuple(item.map),
                )
            ]

    def _is_placeholder(self) -> bool:
        if is_gap(self.document.title) or re.search(
            r"needs clarification|to be written|placeholder", self.document.title, re.I
        ):
            return True
        for block in self.document.blocks:
            if block.kind == "paragraph" and len(block.raw) < 400:
                for name, value, _ in handbook.lines_of(block) or []:
                    if re.match(r"\W*status", name, re.I) and handbook.STATUS_GAP.search(plain(value)):
                        return True
        return False

    def _owners(self) -> None:
        """The document's owner and those of its areas, before anything is read that needs them."""
        scope = self.scope
        for name, value, _ in self.document.frontmatter:
            if handbook.OWNER.match(name) and isinstance(value, str):
                scope.owners = tuple(targets(read_owners(value)))
        for block in self.document.blocks:
            if block.kind not in {"paragraph", "list", "table"}:
                continue
            for raw, section in self._owner_lines(block):
                found = tuple(targets(read_owners(plain(raw)))) if not is_gap(raw) else ()
                if found and section.level >= 2 and not self._about_document(block):
                    scope.section_owners.setdefault(section.line, found)
                elif found and not scope.owners and len(plain(raw)) < 120:
                    scope.owners = found

    def _owner_lines(self, block: Block) -> list[tuple[str, Section]]:
        if block.kind == "paragraph":
            lines = handbook.lines_of(block) or []
            return [(raw, block.section) for name, raw, _ in lines if handbook.OWNER.match(name)]
        if block.kind == "list":
            pairs = [pair for entry in block.entries if (pair := bold_lead(entry.raw))]
            return [
                (raw, self.document.root) for name, raw in pairs
                if re.match(r"\W*(?:primary |document |runbook )?owner\W*$", name, re.I) and (block.section.level <= 2)
            ]  # fmt: skip
        found = []
        if block.header and len(block.header.cells) == 2 and block.line <= 40:
            for row in [block.header, *block.rows]:
                if handbook.OWNER.match(row.cells[0].text):
                    found.append((row.cells[1].raw, self.document.root))
        return found

    def _about_document(self, block: Block) -> bool:
        """Whether a paragraph of fields is about the document rather than about its section."""
        names = [name for name, _, _ in handbook.lines_of(block) or []]
        top = block.section.level <= 1 or block.section.line <= 3
        last = block is self.document.blocks[-1] or block.line >= len(self.document.lines) - 6
        told = any(handbook.OTHER.match(name) or handbook.REVIEW.match(name) for name in names)
        return bool(top or last or (told and not any(re.match(r"\W*timeline", n, re.I) for n in names)))

    # -- sections -------------------------------------------------------------------------------------------------

    def _sections(self, section: Section) -> None:
        path = section.path
        if any(_HISTORY.search(title) for title in path) or self._is_template(section):
            return
        page = runbooks.alert_page(section, self.scope)
        if page:
            item, blocks = page
            for block in blocks:
                if block.kind in {"table", "html"}:
                    continue
                self.claims[block.line] = self._spread(
                    block, "alert-runbook", item.map, item if block.line == section.line else None
                )
            return
        for found in (incidents.section(section, self.scope), self._steps(section)):
            for line, units in (found or {}).items():
                self.claims.setdefault(line, units)
        for child in section.sections:
            self._sections(child)

    def _steps(self, section: Section) -> dict[int, list[Unit]] | None:
        found = runbooks.step_sections(section, self.scope)
        return found[1] if found else None

    def _spread(self, block: Block, kind: str, ids: list[str], item: Item | None) -> list[Unit]:
        lines: list[tuple[int, int, str]] = [
            (e.line, e.end_line, e.text) for top in block.entries for e in top.walk()
        ] or [(block.line, block.end_line, block.text)]
        return [
            Unit(a, b, kind, text, "proposed", None, tuple(ids), [item] if item and n == 0 else [])
            for n, (a, b, text) in enumerate(lines)
        ]

    def _is_template(self, section: Section | None) -> bool:
        while section is not None:
            if (
                section.level >= 2
                and _TEMPLATE.search(section.title)
                and not re.search(r"severity|matrix|escalation|contact", section.title, re.I)
            ):
                return True
            section = section.parent
        return False

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _block(self, block: Block) -> list[Unit]:
        comment, self.comment = self.comment, ""
        if block.kind == "html":
            if block.comment:
                self.comment = block.comment
                return [Unit(block.line, block.end_line, "metadata", block.raw.strip()[:200], "shown", "reference")]
            gap = is_gap(block.raw) or (self.scope.placeholder and "<!--" in block.raw)
            return [
                Unit(n, n, "metadata" if gap else "reference", text.strip(), "shown", "reference", finding=gap)
                for n, text in enumerate(block.raw.rstrip("\n").split("\n"), block.line)
            ]
        if comment == "ignore":
            return [Unit(block.line, block.end_line, "ignored", block.text[:200], "shown", "ignored by comment")]
        if comment:
            return self._told(block, comment)
        if block.line in self.claims:
            return self.claims[block.line]
        if block.kind == "frontmatter":
            return self._frontmatter(block)
        if block.kind == "heading":
            return self._heading(block)
        path = block.section.path
        if any(_HISTORY.search(title) for title in path[-2:]):
            return self._kept(block, "history", "history")
        if block.kind == "fence":
            return self._fence(block)
        if block is self.document.blocks[-1] and block.kind == "paragraph" and handbook.lines_of(block):
            return self._paragraph(block)
        if self._is_template(block.section):
            return self._template(block)
        if block.kind == "table":
            return self._table(block)
        if block.kind in {"list", "tasklist"}:
            return self._list(block)
        return self._paragraph(block)

    def _told(self, block: Block, kind: str) -> list[Unit]:
        """A comment says what the block is. Its recognisers read it where it stands, then as if a heading said so, too; where
        they still read nothing of that kind, the block is kept and the comment named."""
        own, before = block.section, len(self.scope.findings)
        titled = Section(_HEADINGS.get(kind, kind), own.level + 1, block.line, parent=own)
        for section in (own, titled):
            block.section = section
            for attempt in self._attempts(block, kind):
                found = attempt()
                if found and any(unit.kind == kind or any(item.kind == kind for item in unit.items) for unit in found):
                    block.section = own
                    return found
                del self.scope.findings[before:]
        block.section = own
        plainly = told.rows(Table(block), kind, self.scope) if block.kind == "table" else None
        if plainly and any(unit.items for unit in plainly):
            return plainly
        self.scope.find("WB032" if kind in _HEADINGS or kind == "alert-runbook" else "WB031", block.line, what=kind)
        return self._kept(block, "reference", "reference")

    def _attempts(self, block: Block, kind: str) -> Iterator[Callable[[], list[Unit] | None]]:
        """The ways to read a block as a kind: the kind's own recognisers in their order, then everything that reads such blocks."""
        scope = self.scope
        if block.kind == "table":
            group = "budget-policy" if kind in {"objective", "threshold"} else kind
            yield from (partial(recognise, Table(block), scope) for name, recognise in _TABLES if name == group)
        elif block.kind in {"list", "tasklist"}:
            yield from (partial(recognise, block, scope) for name, recognise in _LISTS if name == kind)
            if kind == "procedure" and block.entries:
                yield partial(runbooks.procedure_of, block, scope, (headings(block) or ["Procedure"])[0])
            yield partial(self._list, block)
        elif block.kind == "paragraph":
            yield partial(self._paragraph, block)

    def _heading(self, block: Block) -> list[Unit]:
        if self.scope.placeholder and block.line <= 3 and is_gap(block.raw):
            item = handbook.Metadata(
                name="Status",
                field="status",
                value=block.text,
                source=self.scope.source(block.line),
                text=block.text,
                map=["H5"],
                placeholder=True,
            )
            return [
                Unit(
                    block.line, block.end_line, "metadata", block.text, "proposed", None, ("H5",), [item], finding=True
                )
            ]
        return []

    def _frontmatter(self, block: Block) -> list[Unit]:
        units: list[Unit] = []
        for name, value, line in self.document.frontmatter:
            if isinstance(value, list) and re.search(r"criteria|dependenc|gates?$|prerequisites|checklist", name, re.I):
                units += gates.frontmatter(name, value, line, self.scope)
            elif isinstance(value, list) and re.search(r"outputs?|deliverables|artefacts|artifacts", name, re.I):
                units += [Unit(at, at, "reference", text, "later", None, ("E9",)) for text, at in value]
            elif isinstance(value, list):
                units.append(
                    handbook.entry(
                        name, ", ".join(text for text, _ in value), line, self.scope, [text for text, _ in value]
                    )
                )
            elif isinstance(value, dict):
                units.append(Unit(line, line, "metadata", name, "shown", "reference"))
            else:
                units.append(handbook.entry(name, str(value), line, self.scope))
        if not units:
            return [
                Unit(
                    block.line,
                    block.end_line,
                    "metadata",
                    "",
                    "shown",
                    "reference",
                    finding=bool(self.document.troubles),
                )
            ]
        return units

    def _kept(self, block: Block, kind: str, reason: str) -> list[Unit]:
        if block.entries:
            return [
                Unit(e.line, e.end_line, kind, e.text, "shown", reason) for top in block.entries for e in top.walk()
            ]
        if block.kind == "table":
            return [
                Unit(row.line, row.line, kind, " | ".join(cell.text for cell in row.cells), "shown", reason)
                for row in block.rows
            ]
        return [Unit(block.line, block.end_line, kind, block.text[:2000], "shown", reason)]

    def _template(self, block: Block) -> list[Unit]:
        units = self._kept(block, "template", "template")
        if (
            block.kind in {"list", "tasklist"}
            and all(len(unit.text) < 60 for unit in units)
            and any(re.search(r"template|sample|example", unit.text, re.I) for unit in units)
        ):
            for unit in units:
                unit.effect, unit.reason, unit.map = "later", None, ("H4",)
                unit.items.append(
                    handbook.Template(
                        name=unit.text[:400] or "Template",
                        source=self.scope.source(unit.line),
                        text=unit.text,
                        map=["H4"],
                        effect="later",
                    )
                )
        return units

    def _fence(self, block: Block) -> list[Unit]:
        if self.scope.placeholder or re.search(r"structure|layout|documents", (headings(block) or [""])[0], re.I):
            found = handbook.tree(block, self.scope)
            if found:
                first = block.line + 1
                return [Unit(first, block.end_line, "template", found.name, "later", None, ("H3",), [found])] + [
                    Unit(number, number, "template", line.strip(), "later", None, ("H3",))
                    for number, line in enumerate(block.raw.split("\n"), first)
                    if line.strip() and number > first
                ]
        if not self._is_template(block.section):
            steps = runbooks.script(block, self.scope)
            if steps:
                return steps
        kind = "template" if self._is_template(block.section) else "reference"
        return [
            Unit(
                block.line, block.end_line, kind, block.info, "shown", "template" if kind == "template" else "reference"
            )
        ]

    def _table(self, block: Block) -> list[Unit]:
        table = Table(block)
        if _is_history(table):
            return self._kept(block, "history", "history")
        turned = transposed(block)
        if turned is not None:
            for recognise in (support.table, incidents.table):
                units = recognise(Table(turned), self.scope)
                if units:
                    rows = [
                        Unit(
                            row.line,
                            row.line,
                            units[0].kind,
                            " | ".join(cell.text for cell in row.cells),
                            units[0].effect,
                            None,
                            units[0].map,
                        )
                        for row in block.rows
                    ]
                    return units + rows
        for _, recognise in _TABLES:
            before = len(self.scope.findings)
            units = recognise(table, self.scope)
            if units:
                return units
            del self.scope.findings[before:]
        if re.search(
            r"key metrics|metrics? (?:to|we) (?:monitor|watch|track)|what (?:we|to) monitor",
            (headings(block) or [""])[0],
            re.I,
        ):
            return [
                Unit(
                    row.line, row.line, "reference", " | ".join(cell.text for cell in row.cells), "later", None, ("S7",)
                )
                for row in table.rows
            ]
        return self._kept(block, "reference", "reference")

    def _list(self, block: Block) -> list[Unit]:
        if self.scope.placeholder:
            asked = handbook.questions(block, self.scope)
            if asked:
                return asked
        if sum(
            1 for entry in block.entries if re.match(r"\W*\[[^\]]+\]\(#[^)]*\)\W*$", entry.raw.split("\n")[0])
        ) * 2 >= len(block.entries):
            return self._kept(block, "reference", "reference")
        for _, recognise in _LISTS:
            before = len(self.scope.findings)
            units = recognise(block, self.scope)
            if units:
                if self.scope.placeholder:
                    for unit in units:
                        unit.map = ("H3", *unit.map)
                return self._side_readings(block, units)
            del self.scope.findings[before:]
        units = []
        near = (headings(block) or [""])[0]
        for entry in block.entries:
            for one in entry.walk():
                units += self._entry(one, block, near)
        return units

    def _side_readings(self, block: Block, units: list[Unit]) -> list[Unit]:
        """What stands beside the main reading: a rotation in a role's line, escalations in a procedure's steps."""
        more: list[Unit] = []
        for unit in units:
            if unit.kind == "role":
                name = (bold_lead(unit.text) or (unit.text[:80], ""))[0]
                rota = oncall.rotation(unit.text, unit.line, unit.end_line, self.scope, name)
                if rota:
                    more.append(
                        Unit(unit.line, unit.end_line, "rota", unit.text, "proposed", None, tuple(rota.map), [rota])
                    )
            elif unit.kind in {"procedure", "alert-runbook"} and len(unit.text) < 600:
                for item in people.escalations(unit.text, unit.line, unit.end_line, self.scope):
                    more.append(
                        Unit(unit.line, unit.end_line, "contact", unit.text, "proposed", None, tuple(item.map), [item])
                    )
        return units + more

    def _entry(self, entry: Entry, block: Block, near: str) -> list[Unit]:
        text = entry.text
        if re.search(r"20\d\d-\d\d-\d\d", text[:14]):
            return [Unit(entry.line, entry.end_line, "history", text, "shown", "history")]
        plain_setup = _SETUP.match(text) and not re.search(
            r"\d|\b(?:hourly|daily|weekly|monthly|quarterly|annually|yearly)\b", text, re.I
        )
        found = [] if plain_setup else self._sentences(text, entry.raw, entry.line, entry.end_line, block.section, True)
        if found:
            return found
        if _DELIVERABLES.match(near):
            return [Unit(entry.line, entry.end_line, "reference", text, "later", None, ("E9",))]
        if is_gap(entry.raw) and len(text) < 80:
            self.scope.find("WB101", entry.line, text=text)
            return [Unit(entry.line, entry.end_line, "reference", text, "shown", "no verifiable outcome", finding=True)]
        acts = bool(_TASKS.match(near) or cadence._VERB.match(text) or _SETUP.match(text))
        reason = (
            "reference" if not acts else "no time or trigger" if self.scope.owners_of(block.section) else "no owner"
        )
        return [Unit(entry.line, entry.end_line, "reference", text, "shown", reason)]

    def _sentences(self, text: str, raw: str, line: int, end_line: int, section: Section, bullet: bool) -> list[Unit]:
        """Policy that single sentences state."""
        if len(text) > 1500 or (len(text) < 12 and not bullet):
            return []
        found: list[Unit] = []
        parts = _SENTENCES.split(raw)
        at = line
        for part in parts:
            sentence = plain(part)
            items: list[Item] = []
            if not _SAYS.search(sentence):
                found.append(Unit(at, at + part.count("\n"), "reference", sentence, "shown", "reference"))
                at += part.count("\n")
                continue
            first = (
                handbook.living(sentence, at, end_line, self.scope)
                or objectives.sentence(sentence, at, end_line, self.scope)
                or changes.sentence(sentence, at, end_line, self.scope)
                or backups.sentence(sentence, at, end_line, self.scope)
                or self._duty(sentence, part, at, end_line, section, bullet)
            )
            if first:
                items.append(first)
            items += people.escalations(sentence, at, end_line, self.scope)
            if not first:
                rota = oncall.rotation(sentence, at, end_line, self.scope, (headings_of(section) or ["On-call"])[0])
                if rota:
                    items.append(rota)
            last = at + part.count("\n")
            for item in items:
                found.append(
                    Unit(at, max(at, last), item.kind, sentence, item.effect, item.reason, tuple(item.map), [item])
                )
            if not items and sentence:
                found.append(Unit(at, max(at, last), "reference", sentence, "shown", "reference"))
            at = last
        return found if any(unit.items for unit in found) else []

    def _duty(self, sentence: str, raw: str, line: int, end_line: int, section: Section, bullet: bool) -> Item | None:
        pair = key_value(raw)
        if pair and not cadence._LEAD_FREQUENCY.match(pair[0]) and cadence._VERB.match(plain(pair[1])):
            # “Data retention: re-run the task monthly”: the label is a name, the rest says what to do.
            return cadence.sentence(plain(pair[1]), pair[1], line, end_line, self.scope, section=section)
        if not bullet and not cadence._VERB.match(sentence) and not cadence._NOUN_REVIEW.match(sentence):
            return None
        return cadence.sentence(sentence, raw, line, end_line, self.scope, section=section)

    def _paragraph(self, block: Block) -> list[Unit]:
        if _lead(block):
            return [Unit(block.line, block.end_line, "reference", block.text, "shown", "reference")]
        lines = handbook.lines_of(block)
        if lines:
            about = self._about_document(block)
            if (
                not about
                and sum(1 for name, _, _ in lines if _AREA_KEYS.match(name)) * 2 >= len(lines)
                and any(_AREA_KEYS.match(name) for name, _, _ in lines)
            ):
                return self._area(block, lines)
            if about and sum(1 for name, _, _ in lines if handbook.is_field(name)) * 2 >= len(lines):
                return [handbook.entry(name, value, line, self.scope) for name, value, line in lines]
        for recognise in (incidents.paragraph, people.contact_lines):
            units = recognise(block, self.scope)
            if units:
                return units
        found = self._sentences(block.text, block.raw, block.line, block.end_line, block.section, False)
        if found:
            return found
        if "|" in block.raw and block.raw.count("\n|") >= 2:
            self.scope.find("WB105", block.line, text=block.text.split("\n")[0])
        return [Unit(block.line, block.end_line, "reference", block.text[:2000], "shown", "reference")]

    def _area(self, block: Block, lines: list[tuple[str, str, int]]) -> list[Unit]:
        """“**Owner**: … **Participants**: …” under a section's heading: the area's roles."""
        name = (
            re.sub(r"^\W*(?:(?:step|phase|section)\s*)?\d+(?:\.\d+)*[.):]?\s+", "", block.section.title, flags=re.I)
            or "Area"
        )
        units: list[Unit] = []
        for label, raw, line in lines:
            item = people.Role(
                name=name[:400], source=self.scope.source(line), text=f"{label}: {plain(raw)}", map=["H8"]
            )
            unit = Unit(line, line, "role", item.text, "proposed", None, ("H8",), [item])
            if is_gap(raw):
                self.scope.find("WB110", line, name=f"{name}: {label}")
                unit = Unit(line, line, "role", item.text, "shown", "no owner", finding=True)
            elif re.match(r"\W*timeline", label, re.I):
                item.timeline = plain(raw)
            elif handbook.PARTICIPANTS.match(label):
                item.participants = targets(read_owners(plain(raw)))
            elif handbook.SECOND.match(label):
                item.secondary_owners = targets(read_owners(plain(raw)))
            elif _AREA_KEYS.match(label):
                item.owners = targets(read_owners(plain(raw)))
            else:
                unit = Unit(line, line, "reference", item.text, "shown", "reference")
            units.append(unit)
        return units

    # -- after --------------------------------------------------------------------------------------------------------

    def _enrich(self, block: Block, units: list[Unit]) -> None:
        """Adds what the map says to each line, and names documents outside of the folder."""
        for unit in units:
            if unit.kind in {"history", "ignored"} or unit.reason in {"history", "ignored by comment"}:
                continue
            more = topics(unit.text) if len(unit.text) < 1500 else ()
            if unit.kind == "procedure":
                more = (*more, *(key for key in topics((headings(block) or [""])[0]) if key in _WHOLE))
            if unit.kind == "metadata" and unit.effect == "shown":
                more = ()
            if (
                more
                and unit.kind == "reference"
                and unit.effect == "shown"
                and block.kind in {"list", "tasklist", "paragraph", "table"}
            ) and (
                not _SETUP.match(unit.text)
                and not (block.kind == "paragraph" and len(unit.text) > 300)
                and unit.reason != "template"
                and not self._intro(block)
                and not _TOOLS.match(unit.text)
            ):
                unit.effect, unit.reason = "later", None
            if more and unit.effect != "shown":
                unit.map = tuple(dict.fromkeys([*unit.map, *more]))
                for item in unit.items:
                    item.map = list(dict.fromkeys([*item.map, *more]))

    def _refer(self, units: list[Unit]) -> None:
        """A kept line that a later feature acts on is an item, too, so that nothing is forgotten."""
        for unit in units:
            if unit.kind == "reference" and unit.effect == "later" and not unit.items and unit.text.strip():
                unit.items.append(
                    handbook.Reference(
                        name=unit.text[:400],
                        source=self.scope.source(unit.line, unit.end_line),
                        text=unit.text[:2000],
                        map=list(unit.map),
                        effect="later",
                    )
                )

    def _intro(self, block: Block) -> bool:
        """Prose that only introduces: the document's purpose, an overview."""
        near = (headings(block) or [""])[0]
        return (block.section.level <= 1 and block.kind == "paragraph") or bool(
            re.search(r"purpose|overview|scope|introduction|objective|tooling", near, re.I)
            and block.kind == "paragraph"
        )


def _lead(block: Block) -> str:
    """A short paragraph that introduces what follows: “**Monthly reviews:**”."""
    text = block.raw.strip()
    if (
        block.kind == "paragraph"
        and "\n" not in text
        and len(text) <= 90
        and re.fullmatch(r"\*\*[^*]+\*\*:?|__[^_]+__:?|[^.!?:]+:", text)
    ):
        return plain(text).rstrip(":")
    return ""


def headings_of(section: Section) -> list[str]:
    """Titles from a section upwards, nearest first."""
    return list(reversed(section.path))


def _is_history(table: Table) -> bool:
    low = [header.strip().lower() for header in table.headers]
    named = {"version", "author", "changes", "date"} & table.known
    if "version" in table.known and len(named) >= 3:
        return True
    if table.column("primary") is not None and re.search(
        r"rota|roster|shift|on-?call", " ".join(headings(table.block)[:1]), re.I
    ):
        return False
    if low and re.fullmatch(r"date|when|incident date|drill date", low[0]) and table.rows:
        return table.share(0, re.compile(r"\d{4}")) >= 0.5 or (len(low) >= 3 and "day" not in " ".join(low[1:]))
    dated = re.compile(r"\b(?:19|20)\d\d-\d\d|\bQ[1-4] 20\d\d\b|\b20\d\d\b")
    return (
        len(low) >= 3
        and table.share(0, dated) >= 0.8
        and bool(table.rows)
        and any("statistic" in meaning for meaning in table.meanings)
    )


#: A heading that each kind's recognisers trust.
_HEADINGS = {
    "severity": "Severity levels", "contact": "Contacts and escalation", "rota": "On-call rota", "duty": "Recurring maintenance tasks", "sla": "Support SLA",
    "role": "Roles and responsibilities", "procedure": "Procedure", "troubleshooting": "Troubleshooting", "metadata": "Document control", "backup": "Backup and retention",
    "objective": "Service level objectives", "threshold": "Alert thresholds", "budget-policy": "Error budget policy", "change-policy": "Change approvals", "gate": "Quality gate sign-off",
    "backlog": "Improvement backlog",
}  # fmt: skip
_TABLES = (
    ("metadata", handbook.table),
    ("sla", support.table),
    ("severity", incidents.table),
    ("budget-policy", objectives.table),
    ("rota", oncall.table),
    ("backup", backups.table),
    ("duty", cadence.table),
    ("procedure", runbooks.step_table),
    ("backlog", improvement.table),
    ("change-policy", changes.table),
    ("troubleshooting", runbooks.table),
    ("contact", people.contact_table),
    ("role", people.role_table),
)
_LISTS = (
    ("severity", incidents.entries),
    ("duty", cadence.leads),
    ("gate", gates.entries),
    ("duty", cadence.checklist),
    ("contact", people.contact_entries),
    ("role", people.role_entries),
    ("rota", oncall.entries),
    ("procedure", runbooks.numbered),
)


def read(document: Document, scope: Scope) -> Reading:
    """Reads a parsed document."""
    return Reader(document, scope).run()
