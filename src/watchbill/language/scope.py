"""What a recogniser sees beside the block itself: the document, its headings, owners and defaults; where findings go."""

import re
from dataclasses import dataclass, field
from typing import Any

from watchbill.language.document import Block, Cell, Document, Section
from watchbill.language.findings import Finding, finding
from watchbill.language.inline import codes, links, plain
from watchbill.language.items import Duration, Source, Target, duration, targets
from watchbill.language.values.duration import Deadline, read_deadline
from watchbill.language.values.frequency import Often, read_frequency
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import read_owners

_TIME = re.compile(r"(?<![\d:])(\d{1,2}):(\d\d)(?![\d:])")
_ARTEFACT = re.compile(r"(?:[\w.<>*{}$-]+/)+[\w.<>*{}$-]*|[\w<>-]+\.(?:md|csv|pdf|json|yaml|yml|xlsx|html|txt)")


@dataclass
class Scope:
    """One document while it is read."""

    document: Document
    workspace: str = ""
    #: What “immediate” means, and how long an escalation without a time waits.
    immediate: Duration = field(default_factory=lambda: Duration(duration="PT5M"))
    wait: Duration = field(default_factory=lambda: Duration(duration="PT5M"))
    owners: tuple[Target, ...] = ()
    section_owners: dict[int, tuple[Target, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    placeholder: bool = False
    #: The bold line or “…:” just above the block that is read: a heading in all but name.
    lead: str = ""

    def find(self, code: str, line: int, column: int = 1, **values: Any) -> None:
        """Adds a finding."""
        self.findings.append(finding(code, self.document.path, line, column, **values))

    def source(self, line: int, end_line: int = 0) -> Source:
        """Where an item was read."""
        return Source(path=self.document.path, line=line, end_line=end_line or line)

    def owners_of(self, section: Section | None) -> list[Target]:
        """The owners of a section or the nearest above it, else the document's."""
        while section is not None:
            if section.line in self.section_owners:
                return list(self.section_owners[section.line])
            section = section.parent
        return list(self.owners)

    def deadline(self, text: str, line: int, column: int = 1) -> tuple[Deadline, Duration | None]:
        """A deadline cell and its first clock; “immediate” becomes the workspace's default. Adds findings."""
        found = read_deadline(text)
        if found.named == "immediate":
            self.find("WB106", line, column, text=text, meaning=self.immediate.duration)
            return found, self.immediate.model_copy(update={"note": "immediate"})
        if found.named == "gap":
            self.find("WB101", line, column, text=text)
        elif found.named == "unread":
            often = read_frequency(text).value
            if often and often.every:
                # “Daily” in a column of updates.
                return found, duration(often.every)
            self.find("WB105", line, column, text=text)
        elif found.named == "zero":
            return found, self.immediate.model_copy(update={"note": "immediate"})
        return found, duration(found.first)

    def frequency(self, text: str, line: int, column: int = 1) -> Often:
        """A frequency cell. Adds findings."""
        found = read_frequency(text)
        for time in _TIME.findall(text):
            if int(time[0]) > 24 or int(time[1]) > 59:
                self.find("WB117", line, column, text=":".join(time), what="time of day")
        day = re.search(r"\b(\d{1,3})(?:st|nd|rd|th) of\b", text)
        if day and not 1 <= int(day[1]) <= 31:
            self.find("WB117", line, column, text=day[0], what="day of a month")
        if found.named == "gap":
            self.find("WB101", line, column, text=text)
        elif found.bad_cron:
            self.find("WB123", line, column, why=found.bad_cron)
        elif found.named == "unread":
            self.find("WB104", line, column, text=text)
        if found.other_readings:
            one, other = found.other_readings
            self.find("WB103", line, column, text=text, one=one, other=other)
        return found

    def waits(self, line: int) -> Duration:
        """How long an escalation waits that names no time; says so."""
        self.find("WB108", line, wait=self.wait.duration)
        return self.wait.model_copy(update={"note": "no time was named"})

    def people(self, text: str, line: int, column: int = 1) -> list[Target]:
        """The owners of a cell; placeholders become findings."""
        found = read_owners(text)
        if any(who.type == "gap" for who in found):
            self.find("WB101", line, column, text=text)
        return targets(found)

    def gap(self, cell: Cell) -> bool:
        """Whether a cell is a placeholder; says so."""
        if is_gap(cell.raw):
            self.find("WB101", cell.line, cell.column, text=plain(cell.raw))
            return True
        return False


def artefacts(raw: str) -> list[str]:
    """Paths of files in a cell or sentence: code spans and link targets that look like one, else bare paths."""
    found = [code for code in codes(raw) if _is_path(code)]
    found += [target for _, target in links(raw) if _is_path(target) and "://" not in target]
    if not found and "/" in raw and "`" not in raw:
        found = [match[0] for match in _ARTEFACT.finditer(plain(raw)) if _is_path(match[0])]
    return list(dict.fromkeys(found))


def _is_path(text: str) -> bool:
    return bool(
        (
            " " not in text
            and not text.startswith(("/api", "http", "-", "$", "#", "@"))
            and (re.search(r"\.\w{1,5}$", text) or text.endswith("/"))
            and re.search(r"[/.]", text)
            and not re.search(r"[=(){}|;]", re.sub(r"\{[\w-]+\}", "", text))
            and not re.fullmatch(r"[\d.]+", text)
            and not re.fullmatch(
                r"[\w-]+(?:\.[a-zA-Z_]\w*)+", text.replace(".md", "").replace(".yaml", "").replace(".ts", "")
            )
        )
        or re.fullmatch(r"[\w-]+\.(?:md|csv|pdf|ya?ml|json|xlsx|txt|html)", text)
    )


_REFERENCE = re.compile(r"^(?!https?:|mailto:|#)[\w./@ -]+\.(?:md|markdown|rst|adoc)(?:#.*)?$")


def references(raw: str) -> list[str]:
    """Other documents that a text names: relative links and code spans that end as a document does."""
    if "`" not in raw and "](" not in raw:
        return []
    found = [code for code in codes(raw) if _REFERENCE.match(code)]
    found += [target for _, target in links(raw) if _REFERENCE.match(target)]
    return list(dict.fromkeys(found))


def headings(block: Block) -> list[str]:
    """The titles above a block, nearest first."""
    return list(reversed(block.section.path))
