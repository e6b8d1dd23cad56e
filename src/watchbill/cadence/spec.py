"""What this feature reads in a runbook: recurring duties, their checklists and evidence."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.document import Block, Entry, Row
from watchbill.language.inline import bold_lead, codes, plain
from watchbill.language.items import Item, Model, Recurs, Targets, Time, Unit, recurrence
from watchbill.language.scope import Scope, artefacts, headings
from watchbill.language.values.duration import read_deadline
from watchbill.language.values.frequency import Often, find_frequency, read_frequency
from watchbill.language.values.gaps import is_gap

_TIMELESS = re.compile(r"^\W*(?:ongoing|continuous(?:ly)?|n/?a|[-–—]+)?\W*$", re.I)


class Takes(Model):
    """How long it takes, ISO 8601: from one end of the range to the other."""

    low: str
    high: str


class Duty(Recurs):
    """A recurring duty. Without a period it has a trigger, and ``within`` is the clock that the trigger starts."""

    kind: Literal["duty"] = "duty"
    owners: Targets = Field(default_factory=list)
    participants: Targets = Field(default_factory=list)
    artefacts: list[str] = Field(default_factory=list)
    activities: list[str] = Field(default_factory=list)
    checklist: list[str] = Field(default_factory=list)
    takes: Takes | None = None
    window: str = ""
    command: str = ""
    due: Time = None


_SPLIT = re.compile(r",\s+(?![^()]*\))|;\s+|\n|(?<=\w)\.\s+(?=[A-Z])")
_NOT_DUTY = re.compile(r"backup|retention|metric|slo\b|sli\b|kpi|sla\b|severit|response time|contact|escalat|pricing|cost|growth|error budget|monitor(?:ed|ing) metrics|alert", re.I)  # fmt: skip


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Tables with a frequency column and something to do; or below a heading that says how often."""
    if not table.rows or len(table.headers) < 2:
        return None
    if table.column("retention", "rpo") is not None or ({"version"} & table.known and "author" in table.known):
        return None
    if sum(1 for meaning in table.meanings if "statistic" in meaning) * 2 >= len(table.headers):
        return None
    titles = headings(table.block)
    if (
        re.search(r"audience|stakeholder|recipient|who is (?:told|informed)", table.headers[0], re.I)
        and table.column("channel", but=(0,)) is not None
    ):
        # Whom to tell during an incident, and how often: no duty of every day.
        return None
    by_column = _cadence_columns(table, scope)
    if by_column:
        return by_column
    often = _frequency_column(table)
    by_heading: Often | None = None
    if often is None:
        by_heading = next(
            (
                found
                for title in titles[:2]
                if (found := read_frequency(title)).value and (found.value.every or found.value.trigger)
            ),
            None,
        )
        if by_heading is None or not _heading_is_cadence(titles):
            return None
    activity = table.column("activity", but=(often,))
    if activity is None:
        activity = next((i for i in range(len(table.headers)) if i != often), None)
    if (
        activity is None
        or {"warning", "critical"} <= table.known
        or (
            table.column("symptom", but=(activity, often)) is not None
            and table.column("mitigation", but=(activity, often)) is not None
            and often is None
        )
    ):
        return None
    if (
        "metric" in table.meanings[activity]
        and table.column("target", but=(often, activity)) is not None
        and re.search(r"metric|sli|slo|kpi|indicator|objective", table.headers[activity], re.I)
    ):
        return None
    if (
        often is None
        and table.column("owner", "artefact", "verification", but=(activity,)) is None
        and not re.search(r"task|activit|check|action|step|item", table.headers[activity], re.I)
    ):
        return None
    if (
        _NOT_DUTY.search(titles[0] if titles else "")
        and table.column("location", but=(activity, often)) is not None
        and table.column("owner") is None
    ):
        return None
    if often is not None and table.column("owner", but=(often, activity)) is None:
        periods = [
            value.every.seconds for text in table.texts(often) if (value := read_frequency(text).value) and value.every
        ]
        if periods and sorted(periods)[len(periods) // 2] < 3600:
            # Every few minutes and nobody's: what machines do.
            return None
    taken: tuple[int | None, ...] = (often, activity)
    columns = {"owner": table.column("owner", but=taken)}
    for name in ("participants", "duration", "artefact", "command"):
        columns[name] = table.column(name, but=(*taken, *columns.values()))
    return [_row(table, scope, row, often, by_heading, activity, columns) for row in table.rows]


def _cadence_columns(table: Table, scope: Scope) -> list[Unit] | None:
    """“Daily | Weekly | Monthly” as columns, a task in each cell."""
    found = [
        read_frequency(header).value if _CADENCE_HEADING.match(header) and len(header) < 40 else None
        for header in table.headers
    ]
    known = [index for index, value in enumerate(found) if value and value.every]
    if len(known) < 2 or len(known) < len(table.headers) - 1:
        return None
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        items: list[Item] = []
        for index in known:
            name = table.cell(row, index)
            if name and not is_gap(name) and not re.fullmatch(r"[\W✓✔xX]*", name):
                items.append(
                    Duty(
                        name=name[:400],
                        source=scope.source(row.line),
                        text=name,
                        map=["D1"],
                        owners=scope.owners_of(table.block.section),
                        **recurrence(found[index]),
                    )
                )
        if not items:
            return None
        units.append(Unit(row.line, row.line, "duty", text, "proposed", None, ("D1",), items))
    return units


def _heading_is_cadence(titles: list[str]) -> bool:
    return any(_CADENCE_HEADING.search(title) for title in titles[:2])


_CADENCE_HEADING = re.compile(
    r"^\W*(?:\d[\d.]*\s*)?(?:[\w&/ -]{0,25}\b)?(?:hourly|daily|nightly|weekly|bi-?weekly|fortnightly|monthly|quarterly|(?:semi-?|bi-?)?annual(?:ly)?|yearly|(?:mon|tues|wednes|thurs|fri|satur|sun)days?(?: and (?:mon|tues|wednes|thurs|fri|satur|sun)days?)?$|every (?:\d+ )?(?:morning|hours?|day|week|month|quarter|year|shift|monday|friday)s?|each (?:day|week|month|quarter|morning|shift))\b"
    r"(?!\s+(?:performance|trend|budget|report(?:ing)? (?:template|format)|digest of|active users|error budget|growth|downtime|cost|revenue|uptime|snapshot|backup))",
    re.I,
)


def _frequency_column(table: Table) -> int | None:
    best: int | None = None
    for index, meaning in enumerate(table.meanings):
        texts = [text for text in table.texts(index) if text]
        if not texts:
            continue
        good = sum(1 for text in texts if read_frequency(text).value is not None and len(text) < 80)
        if "frequency" in meaning and good * 2 >= len(texts):
            # “When” may say on which condition; then its cells are no periods.
            periods = sum(1 for text in texts if (value := read_frequency(text).value) and value.every)
            if re.fullmatch(r"\W*when\W*", table.headers[index], re.I) and periods * 2 < len(texts):
                continue
            return index
        if index == 0 and good >= 0.75 * len(texts) and len(texts) >= 2 and best is None:
            # “Daily | …” without a telling header.
            times = sum(1 for text in texts if (value := read_frequency(text).value) and value.every)
            if (
                times * 3 >= 2 * len(texts)
                and all(len(text) < 40 for text in texts)
                and not re.search(
                    r"window|retention|period|time|date|month|day$|target|rto|rpo", table.headers[0], re.I
                )
            ):
                best = index
    return best


def _row(
    table: Table,
    scope: Scope,
    row: Row,
    often: int | None,
    by_heading: Often | None,
    activity: int,
    columns: dict[str, int | None],
) -> Unit:
    text = " | ".join(plain(cell.raw) for cell in row.cells)
    raw = table.raw(row, activity)
    name = table.cell(row, activity)
    if not name or is_gap(raw):
        if name:
            scope.gap(row.cells[activity])
        return Unit(row.line, row.line, "duty", text, "shown", "no verifiable outcome", finding=bool(name))
    found = by_heading
    if often is not None:
        cell = row.cells[often]
        found = scope.frequency(plain(cell.raw), row.line, cell.column)
    value = found.value if found else None
    item = Duty(name=name[:400], source=scope.source(row.line), text=text, map=["D1"], **recurrence(value))
    parts = [part.strip(" .") for part in _SPLIT.split(name) if part.strip(" .")]
    item.activities = parts if len(parts) > 1 else []
    owner = columns["owner"]
    if owner is not None and table.cell(row, owner):
        item.owners = scope.people(table.cell(row, owner), row.line, row.cells[owner].column)
    else:
        item.owners = scope.owners_of(table.block.section)
        if not item.owners:
            scope.find("WB111", row.line, name=name)
    if columns["participants"] is not None:
        item.participants = scope.people(table.cell(row, columns["participants"]), row.line)
    if columns["duration"] is not None:
        length = read_deadline(table.cell(row, columns["duration"])).first
        if length:
            item.takes = Takes(low=length.low_iso or length.iso, high=length.iso)
        elif table.cell(row, columns["duration"]) and re.search(r"\d", table.cell(row, columns["duration"])):
            item.window = table.cell(row, columns["duration"])
    if columns["artefact"] is not None:
        item.artefacts = artefacts(table.raw(row, columns["artefact"])) or [
            table.cell(row, columns["artefact"])
        ] * bool(table.cell(row, columns["artefact"]))
    if columns["command"] is not None and codes(table.raw(row, columns["command"])):
        item.command = codes(table.raw(row, columns["command"]))[0]
    known = value is not None and (value.every or value.trigger or value.cron or value.continuous)
    if not known:
        return Unit(
            row.line, row.line, "duty", text, "shown", "no time or trigger", ("D1",), [_shown(item)], finding=True
        )
    return Unit(row.line, row.line, "duty", text, "proposed", None, tuple(item.map), [item])


def _shown(item: Duty) -> Duty:
    item.effect, item.reason = "shown", "no time or trigger"
    return item


def checklist(block: Block, scope: Scope) -> list[Unit] | None:
    """A list below “Daily checklist (09:00 local)”: one duty with the entries to check off. A bold line counts as a heading."""
    titles = [scope.lead, *headings(block)] if _CADENCE_HEADING.search(scope.lead) else headings(block)
    if block.kind == "tasklist" and not any(_CADENCE_HEADING.search(title) for title in titles[:1]):
        # Check-off lists below “Daily operations checklist”, whatever their own headings say.
        above = next((title for title in titles if _CADENCE_HEADING.search(title)), None)
        titles = (
            [above, *titles]
            if above and re.search(r"check|operation|procedure|routine|task|startup|review|verif", above, re.I)
            else titles
        )
    if not titles or not _CADENCE_HEADING.search(titles[0]) or len(titles[0]) > 80:
        return None
    if re.search(r"\b(?:targets?|goals?|kpis?|objectives?|standards?|achievements|highlights)\b", titles[0], re.I) or (
        re.search(r"backup|retention|report template|metrics|summary|budget|snapshot|release notes", titles[0], re.I)
        and not re.search(r"task|check|verif|review|procedure", titles[0], re.I)
    ):
        return None
    found = read_frequency(titles[0])
    if not found.value or not (found.value.every or found.value.cron):
        return None
    heading = block.section
    if found.other_readings:
        scope.frequency(titles[0], heading.line)
    steps = [entry for entry in block.entries if entry.text]
    if not steps or all(entry.raw.startswith("[") and entry.raw.endswith(")") for entry in steps):
        return None
    item = Duty(
        name=(titles[0] if titles[0] in headings(block)[:1] or titles[0] == scope.lead else f"{headings(block)[0]} ({titles[0]})")[:400], source=scope.source(heading.line, block.end_line), text=titles[0], map=["D1"],
        owners=scope.owners_of(block.section), checklist=[entry.text[:400] for entry in steps][:200], **recurrence(found.value),
    )  # fmt: skip
    item.artefacts = list(
        dict.fromkeys(path for entry in steps for one in entry.walk() for path in artefacts(one.raw))
    )[:50]
    if titles[0] == scope.lead:
        item.source = scope.source(block.line, block.end_line)
    if not item.owners:
        scope.find("WB111", heading.line, name=titles[0])
    return [
        Unit(
            one.line,
            one.end_line,
            "duty",
            one.text,
            "proposed",
            None,
            ("D1",),
            [item] if number == 0 and one is entry else [],
        )
        for number, entry in enumerate(steps)
        for one in entry.walk()
    ]


def leads(block: Block, scope: Scope) -> list[Unit] | None:
    """Entries that each begin with how often: “**Weekly**: review the dashboards”."""
    found = [
        (entry, sentence(entry.text, entry.raw, entry.line, entry.end_line, scope, section=block.section))
        for entry in block.entries
        if (lead := bold_lead(entry.raw)) and _LEAD_FREQUENCY.match(lead[0])
    ]
    if len(found) * 3 < 2 * len(block.entries) or len(found) < 2 or any(duty is None for _, duty in found):
        return None
    made = {entry.line: duty for entry, duty in found if duty is not None}
    units: list[Unit] = []
    for entry in block.entries:
        duty = made.get(entry.line)
        kind = "duty" if duty else "reference"
        units += [
            Unit(
                one.line,
                one.end_line,
                kind,
                one.text,
                "proposed" if duty else "shown",
                None if duty else "reference",
                ("D1",) if duty else (),
                [duty] if duty and one is entry else [],
            )
            for one in entry.walk()
        ]
    return units


_LEAD_FREQUENCY = re.compile(r"^\W*(?:hourly|daily|nightly|weekly|bi-?weekly|fortnightly|monthly|quarterly|(?:semi-?|bi-?)?annual(?:ly)?|yearly|every [\w ]{2,20}|each [\w ]{2,20}|on[- ]demand|as needed|after each [\w ]{2,20}|per [\w]{2,20}|continuous(?:ly)?)\b[\w :()-]{0,40}$", re.I)  # fmt: skip
_VERB = re.compile(
    r"^\W*(?:please |always |then )?(?:re-?run|re-?view|re-?train|re-?new|re-?validate|re-?fresh|run|check|verify|confirm|test|conduct|perform|rotate|update|audit|validate|monitor|maintain|execute|ensure|clean|purge|archive|back ?up|backup|restore|export|compare|apply|patch|schedule|hold|send|publish|prepare|analy[sz]e|assess|examine|inspect|measure|report|refresh|sync|scan|track|reconcile|sample|drill|practice|exercise|simulate|replace|reset|review|meet|discuss|triage|prune|vacuum|reindex|optimi[sz]e|evaluate|document|complete|collect|generate|create|remove|delete|revoke|approve|sign|walk|plan|groom|close|do|take|make|delegate|attend|share|post|file|identify|consider|retire|recertify|quarterly|monthly|weekly|daily|annual)\b",
    re.I,
)


def sentence(
    text: str, raw: str, line: int, end_line: int, scope: Scope, owners: bool = True, section: object = None
) -> Duty | None:
    """A duty that a bullet or sentence states plainly: “Conduct DR drills (quarterly)”, “Confirm the roster monthly”."""
    if len(text) > 400 or is_gap(text):
        return None
    lead = bold_lead(raw)
    if lead and _LEAD_FREQUENCY.match(lead[0]) and plain(lead[1]):
        found = read_frequency(lead[0])
        name = plain(lead[1])
    else:
        found, name = find_frequency(text), text
        body = plain(lead[1]) if lead else text
        if not found.value or not (
            _VERB.match(body)
            or re.match(
                r"^[\w &/-]{2,60}\s*\((?:daily|weekly|bi-?weekly|monthly|quarterly|(?:semi-?)?annual(?:ly)?|yearly)\)?",
                text,
                re.I,
            )
            or _THEN_VERB.search(text)
            or _NOUN_REVIEW.match(text)
        ):
            return None
    if not found.value or not (found.value.every or found.value.trigger or found.value.cron):
        return None
    by_lead = bool(lead and _LEAD_FREQUENCY.match(lead[0]))
    if (
        not by_lead
        and re.search(
            r"\b(?:retained|kept|stored|expires?|rotates? (?:weekly|daily|monthly)|per (?:month|year|day) (?:of|is)|backups? (?:are|run)|run automatically|is sent|are sent|resets?|budget|limit|fee|price|\$\d)\b",
            text,
            re.I,
        )
        and not _VERB.match(name)
    ):
        return None
    item = Duty(name=name[:400], source=scope.source(line, end_line), text=text, map=["D1"], **recurrence(found.value))
    if found.other_readings:
        scope.find("WB103", line, text=text, one=found.other_readings[0], other=found.other_readings[1])
    item.owners = scope.owners_of(section) if section is not None else []  # type: ignore[arg-type]
    item.artefacts = artefacts(raw)
    commands = [code for code in codes(raw) if " " in code and re.match(r"[a-z./][\w./-]*\s+\S", code)]
    item.command = commands[0] if commands else ""
    if owners and not item.owners:
        scope.find("WB111", line, name=name)
    return item


_THEN_VERB = re.compile(r"(?:[;:]|\band)\s+(?:re-?run|review|confirm|verify|check|run|test|rotate|back up|export)\b[^.;]*\b(?:hourly|daily|weekly|monthly|quarterly|annually|yearly)\b", re.I)  # fmt: skip
_NOUN_REVIEW = re.compile(r"^\W*(?:hourly|daily|nightly|weekly|bi-?weekly|fortnightly|monthly|quarterly|(?:semi-?|bi-?)?annual(?:ly)?|yearly)\s+[\w &/-]{0,40}?\b(?:review|audit|test|drill|check|meeting|report|exercise|training|scan|rotation|rehearsal|assessment|walk-?through|sync|retro(?:spective)?|verification|maintenance|game ?day|update|simulation|restore|cleanup|stand-?up)s?\b", re.I)  # fmt: skip


def entry_duties(entry: Entry, scope: Scope, block: Block) -> Duty | None:
    """A list entry as a duty."""
    return sentence(entry.text, entry.raw, entry.line, entry.end_line, scope, section=block.section)
