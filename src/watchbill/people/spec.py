"""What this feature reads in a runbook: contacts with their escalation, and duty roles."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.document import Block, Entry, Row
from watchbill.language.inline import bold_lead, key_value, plain
from watchbill.language.items import Item, Target, Targets, Time, Unit, duration, targets
from watchbill.language.scope import Scope, headings
from watchbill.language.values.duration import find_lengths, read_deadline
from watchbill.language.values.gaps import is_gap
from watchbill.language.values.owner import EMAIL, PHONE, read_chain, read_owners, read_ways

_TITLE = re.compile(r"contact|escalat|on-?call|who to (?:call|page|notify)|notif|support (?:level|tier)|call (?:tree|list)|stakeholder|emergency|communication", re.I)  # fmt: skip
_WAY = re.compile(rf"{EMAIL.pattern}|(?<![\w&/])#[a-z][\w-]+|(?<![\w.])@[A-Za-z][\w-]+|\b(?:pagerduty|opsgenie|slack|phone|telegram|discord|sms|pager|teams|whatsapp|hotline)\b|\bext(?:ension)?\.? ?\d+", re.I)  # fmt: skip
_STRONG = re.compile(
    rf"{EMAIL.pattern}|(?<![\w&/])#[a-z][\w-]+|(?<![\w.])@[A-Za-z][\w-]+|\bpagerduty\b|\bopsgenie\b|\+?\d[\d ().-]{{6,}}\d",
    re.I,
)


class Contact(Item):
    """Somebody to reach, or a step of an escalation.

    ``primary`` and ``secondary`` are who or where; ``severities`` and ``condition`` say when, ``via`` and ``to`` how and
    whom, ``after`` how long a step waits, ``within`` by when somebody must be told, ``chain`` an arrow chain in order.
    """

    kind: Literal["contact"] = "contact"
    primary: Targets = Field(default_factory=list)
    secondary: Targets = Field(default_factory=list)
    notes: str = ""
    condition: str = ""
    severities: list[str] = Field(default_factory=list)
    via: list[str] = Field(default_factory=list)
    to: list[str] = Field(default_factory=list)
    chain: list[str] = Field(default_factory=list)
    after: Time = None
    within: Time = None
    level: int | None = None


class Role(Item):
    """A duty role: who holds it (``holders``), what it answers for; or an area with its owners and participants."""

    kind: Literal["role"] = "role"
    holders: Targets = Field(default_factory=list)
    responsibilities: list[str] = Field(default_factory=list)
    owners: Targets = Field(default_factory=list)
    secondary_owners: Targets = Field(default_factory=list)
    participants: Targets = Field(default_factory=list)
    timeline: str = ""


_WHO = ("role", "name", "team", "level", "from", "condition")
_WAYS = ("primary", "contact", "phone", "email", "slack", "channel")


def contact_table(table: Table, scope: Scope) -> list[Unit] | None:
    """Tables of contacts, escalation levels, “From, To, Condition”."""
    titles = headings(table.block)
    titled = bool(_TITLE.search(" ".join(titles[: 2 if table.block.section.level > 2 else 1])))
    statistic = sum(1 for meaning in table.meanings if "statistic" in meaning)
    if not table.rows or statistic * 2 >= len(table.headers) or len(table.headers) < 2:
        return None
    if {"from", "to"} <= {h.strip().lower() for h in table.headers} | set():
        return _chain_table(table, scope)
    if len(table.headers) == 2 and re.match(
        r"\W*(?:attribute|field|property|parameter|element|aspect)s?\W*$", table.headers[0], re.I
    ):
        return None
    ladder = _ladder(table)
    if ladder is not None:
        return ladder_rows(table, scope, ladder)
    who = table.column("role", "name", "team") if not (titled and "level" in table.meanings[0]) else 0
    if who is None and titled:
        who = next((i for i in range(min(2, len(table.headers))) if table.meanings[i] & {"level", "condition", "severity", "priority"}), 0)  # fmt: skip
    if who is None:
        return None
    ways = {name: index for name in _WAYS if (index := table.column(name, but=(who,))) is not None}
    escalate = table.column("escalate", but=(who,))
    second = table.column("secondary", but=(who,))
    holds = [
        index for index in range(len(table.headers))
        if (index != who and table.share(index, _WAY) >= 0.4) or _phones(table, index) >= 0.4
    ]  # fmt: skip
    explicit = [n for n in ("phone", "email", "slack", "contact") if n in ways and not (n == "slack" and "channel" in table.meanings[ways[n]] and not titled)]  # fmt: skip
    evidence = (
        bool(holds) + bool(explicit) + (escalate is not None) + titled + ("primary" in ways and second is not None)
    )
    if not (
        holds
        or explicit
        or escalate is not None
        or "primary" in ways
        or (titled and table.column("name", "role", "team", but=(who,)) is not None)
    ):
        return None
    if (
        not titled
        and "phone" not in ways
        and "email" not in ways
        and max((table.share(i, _STRONG) for i in range(len(table.headers)) if i != who), default=0) < 0.5
        and escalate is None
        and second is None
    ):
        return None
    if evidence < 2 or (not holds and not titled and not ("phone" in ways or "email" in ways)):
        return None
    if re.search(r"template|matrix of (?:skills|access)", " ".join(titles[:1]), re.I):
        return None
    return [
        _contact_row(table, scope, row, number, who, ways, second, escalate, holds)
        for number, row in enumerate(table.rows, 1)
    ]


_LEVELS = re.compile(
    r"^\W*(?:L|level|tier|line|stage|step)?[ -]?\d\b|^\W*(?:first|second|third|fourth|primary|secondary|tertiary|initial)\b",
    re.I,
)


def _ladder(table: Table) -> tuple[int, int] | None:
    """Level and who of an escalation ladder: “Level, Who, When”, “Tier, Team, Response”."""
    near = " ".join(headings(table.block)[:1])
    if (
        not re.search(r"escalat|on-?call|support (?:level|tier)|response (?:team|tier)", near, re.I)
        or table.share(0, _LEVELS) < 0.7
    ):
        return None
    if table.share(0, re.compile(r"^\W*(?:sev|p\d|s\d)", re.I)) > 0.3:
        return None
    who = next(
        (
            i
            for i in range(1, len(table.headers))
            if re.search(
                r"^who$|team|role|contact|person|responder|owner|escalate to|name|group|notif", table.headers[i], re.I
            )
        ),
        None,
    )
    return (0, who) if who is not None else None


def ladder_rows(table: Table, scope: Scope, columns: tuple[int, int]) -> list[Unit]:
    """One step of the escalation a row."""
    level, who = columns
    units = []
    for number, row in enumerate(table.rows, 1):
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, level)
        if not name or is_gap(row.cells[who].raw):
            if name:
                scope.gap(row.cells[who])
            units.append(Unit(row.line, row.line, "contact", text, "shown", "no owner", finding=bool(name)))
            continue
        digit = re.search(r"\d", name)
        item = Contact(
            name=name[:400],
            source=scope.source(row.line),
            text=text,
            map=["I2"],
            level=int(digit[0]) if digit else number,
        )
        item.primary = targets(read_ways(table.cell(row, who)))
        for index, meaning in enumerate(table.meanings):
            value = table.cell(row, index)
            if index in columns or not value or is_gap(value):
                continue
            found = read_deadline(value)
            if meaning & {"time", "respond", "escalate"} and found.first and len(value) < 60:
                if item.after is None and item.within is None:
                    setattr(item, "within" if "respond" in meaning else "after", duration(found.first))
            elif meaning & {"condition", "severity"} and not item.condition:
                item.condition = value
            elif {"contact", "phone", "email", "slack", "channel"} & meaning:
                item.primary += [one for one in targets(read_ways(value)) if one not in item.primary]
            else:
                item.notes = f"{item.notes}; {value}" if item.notes else value
        item.severities = _severities(item.condition)
        units.append(Unit(row.line, row.line, "contact", text, "proposed", None, ("I2",), [item]))
    return units


def _phones(table: Table, index: int) -> float:
    texts = [text for text in table.texts(index) if text]
    return sum(1 for t in texts if PHONE.search(t) and sum(c.isdigit() for c in t) >= 7) / len(texts) if texts else 0.0


def _contact_row(
    table: Table, scope: Scope, row: Row, number: int, who: int, ways: dict[str, int], second: int | None,
    escalate: int | None, holds: list[int],
) -> Unit:  # fmt: skip
    text = " | ".join(plain(cell.raw) for cell in row.cells)
    name = table.cell(row, who)
    gaps = [cell for cell in row.cells if is_gap(cell.raw)]
    for cell in gaps:
        scope.find("WB101", cell.line, cell.column, text=plain(cell.raw))
    if not name or is_gap(name):
        return Unit(row.line, row.line, "contact", text, "shown", "no owner", finding=bool(gaps))
    item = Contact(name=name[:400], source=scope.source(row.line), text=text, map=["I2"])
    taken: set[int | None] = {who}
    order = [ways[name] for name in _WAYS if name in ways] + holds
    for index in dict.fromkeys(order):
        if index in taken or index in (second, escalate) or index >= len(row.cells) or row.cells[index] in gaps:
            continue
        if "condition" in table.meanings[index] and index not in holds:
            continue
        taken.add(index)
        item.primary += [one for one in targets(read_ways(table.cell(row, index))) if one not in item.primary]
    if second is not None and row.cells[second] not in gaps:
        item.secondary = targets(read_ways(table.cell(row, second)))
        taken.add(second)
    if escalate is not None:
        value = table.cell(row, escalate)
        taken.add(escalate)
        if (find_lengths(value) and "time" in table.meanings[escalate]) or read_deadline(value).clocks:
            item.after = duration(read_deadline(value).first)
        elif value and not is_gap(value):
            item.chain = list(read_chain(value))
    for index, meaning in enumerate(table.meanings):
        if index in taken or index >= len(row.cells):
            continue
        value = table.cell(row, index)
        if "time" in meaning or "respond" in meaning:
            found = read_deadline(value)
            if found.first and item.after is None and item.within is None:
                setattr(item, "within" if "respond" in meaning else "after", duration(found.first))
                continue
        if meaning & {"name", "role", "team"} and value and not is_gap(value) and not item.primary:
            item.primary = targets(read_owners(value))
            continue
        if meaning & {"condition", "severity"} and value and not item.condition:
            item.condition = value
        elif value:
            item.notes = f"{item.notes}; {value}" if item.notes else value
    level = re.match(r"\W*(?:L|level|tier)[ -]?(\d)\b", name, re.I)
    item.level = int(level[1]) if level else number if escalate is not None and table.column("level") == who else None
    item.severities = _severities(item.condition) or _severities(name)
    waits = read_deadline(name)
    if waits.clocks and len(name) < 30 and item.after is None:
        # “15 min | Page the secondary | PagerDuty”: the first column says when.
        item.after = duration(waits.first)
        item.name = (item.notes or ", ".join(one.name for one in item.primary) or name)[:400]
    item.map += ["H8"] if "role" in table.meanings[who] else []
    if not (item.primary or item.secondary or item.chain or item.within or item.after or item.condition or item.notes):
        return Unit(row.line, row.line, "contact", text, "shown", "no owner", finding=bool(gaps))
    if gaps and not (item.primary or item.secondary or item.chain):
        return Unit(row.line, row.line, "contact", text, "shown", "no owner", finding=True)
    return Unit(row.line, row.line, "contact", text, "proposed", None, tuple(item.map), [item])


def _chain_table(table: Table, scope: Scope) -> list[Unit]:
    low = [header.strip().lower() for header in table.headers]
    start, end = low.index("from"), low.index("to")
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        begin, onward = table.cell(row, start), table.cell(row, end)
        rest = " ".join(table.cell(row, i) for i in range(len(low)) if i not in {start, end})
        item = Contact(
            name=f"{begin} → {onward}"[:400], source=scope.source(row.line), text=text, map=["I2"], chain=[begin, onward],
            condition=rest, after=duration(found[0].length) if (found := find_lengths(rest)) else None,
            severities=_severities(rest),
        )  # fmt: skip
        item.after = item.after or scope.waits(row.line)
        units.append(Unit(row.line, row.line, "contact", text, "proposed", None, ("I2",), [item]))
    return units


_SEVERITY = re.compile(r"\b(?:SEV|Sev|sev)[ -]?\d\b|\b[PS][0-4]\b(?!\.\d)")


def _severities(text: str) -> list[str]:
    return list(dict.fromkeys(match[0] for match in _SEVERITY.finditer(text)))


_ROLE_WORD = re.compile(
    r"\b(?:owner|lead|manager|engineer|commander|coordinator|liaison|officer|responder|champion|admin(?:istrator)?|director|"
    r"head|cto|ceo|ciso|coo|cio|cpo|dpo|vp|sre|dba|scribe|primary|secondary|backup|on-?call|team|support|legal|founder|analyst|architect|contact|helpdesk|security|operations|hotline|vendor|provider|hosting)\b",
    re.I,
)


def contact_entries(block: Block, scope: Scope) -> list[Unit] | None:
    """Bullets “**Role:** value” with addresses, numbers, channels under a heading about contacts."""
    if block.ordered and not re.search(r"contact|escalat", headings(block)[0] if headings(block) else "", re.I):
        return None
    titles = headings(block)
    titled = bool(
        re.search(
            r"contact|escalat|on-?call|who to (?:call|page|notify)|call (?:tree|list)",
            " ".join([scope.lead, *titles[:1]]),
            re.I,
        )
    )
    steps = [escalations(entry.text, entry.line, entry.end_line, scope) for entry in block.entries] if titled else []
    if steps and sum(1 for step in steps if step) * 2 >= len(steps) and len(steps) >= 2:
        return [
            Unit(
                entry.line,
                entry.end_line,
                "contact" if step else "reference",
                entry.text,
                "proposed" if step else "shown",
                None if step else "reference",
                ("I2",) if step else (),
                list(step),
            )
            for entry, step in zip(block.entries, steps, strict=True)
        ]
    ladder = _rungs(block, scope)
    if ladder:
        return ladder
    pairs = [key_value(entry.raw) for entry in block.entries]
    if not any(pairs):
        return None
    vendors = bool(
        re.search(
            r"(?:vendor|provider|external|third[- ]party) (?:escalation|contacts?|support)",
            " ".join([scope.lead, *titles[:1]]),
            re.I,
        )
    )
    good = sum(
        1 for pair, entry in zip(pairs, block.entries, strict=True)
        if pair and (_reaches(pair[1]) or vendors) and len(pair[0]) <= 60 and len(plain(pair[1])) <= 160 and not entry.entries
        and (titled or vendors or _ROLE_WORD.search(pair[0]))
    )  # fmt: skip
    if (
        not good
        or good * 2 < len(pairs)
        or not (titled or vendors or (good >= 2 and _TITLE.search(" ".join(titles[:2]))))
    ):
        return None
    units = []
    for entry, pair in zip(block.entries, pairs, strict=True):
        units.append(_contact_entry(entry, pair, scope))
    return units


def _rungs(block: Block, scope: Scope) -> list[Unit] | None:
    """An ordered list of who comes next, under a heading about escalation: “1. On-call primary 2. Engineering lead”."""
    titles = [scope.lead, *headings(block)[:1]]
    if (
        not block.ordered
        or len(block.entries) < 2
        or (
            not re.search(
                r"escalation(?: (?:path|ladder|chain|order|levels?|contacts?))?\W*$|call (?:tree|order)",
                " ".join(title for title in titles if title),
                re.I,
            )
            and not any(re.search(r"escalation", title, re.I) for title in titles)
        )
    ):
        return None
    short = [
        entry
        for entry in block.entries
        if len(entry.text) <= 110
        and (_ROLE_WORD.search(entry.text) or _reaches(entry.raw))
        and not re.match(
            r"\W*(?:if|when|notify|page|call|contact|send|check|verify|reply|provide|wait|open)\b", entry.text, re.I
        )
    ]
    if len(short) * 3 < 2 * len(block.entries):
        return None
    units = []
    for number, entry in enumerate(block.entries, 1):
        item = Contact(
            name=entry.text[:200] or str(number),
            source=scope.source(entry.line),
            text=entry.text,
            map=["I2"],
            level=number,
        )
        ways = tuple(way for way in read_ways(entry.text) if way.type != "gap")
        item.primary = targets(ways) or []
        lengths = find_lengths(entry.text)
        item.after = duration(lengths[0].length) if lengths else None
        units.append(Unit(entry.line, entry.end_line, "contact", entry.text, "proposed", None, ("I2",), [item]))
    return units


def contact_lines(block: Block, scope: Scope) -> list[Unit] | None:
    """Lines “Alice Smith (SRE Lead): alice@example.org” of a paragraph under a heading about contacts."""
    titles = [scope.lead, *headings(block)[:1]]
    if not any(re.search(r"contacts?\b|escalation|on-?call", title, re.I) for title in titles if title):
        return None
    lines = [line for line in block.raw.split("\n") if line.strip()]
    pairs = [key_value(line) or _person(line) for line in lines]
    good = [
        bool(pair and len(pair[0]) <= 70 and (EMAIL.search(pair[1]) or (_reaches(pair[1]) and PHONE.search(pair[1]))))
        for pair in pairs
    ]
    if len(lines) < 2 or sum(good) * 2 <= len(good):
        return None
    return [
        _contact_entry(Entry(block.line + number, block.line + number, line, 0), pair if fits else None, scope)
        for number, (line, pair, fits) in enumerate(zip(lines, pairs, good, strict=True))
    ]


def _person(line: str) -> tuple[str, str] | None:
    match = re.match(r"\s*([A-Z][\w .'-]{1,40}(?:\([^()]{1,40}\))?)\s*[:–—-]\s+(\S.*)$", plain(line))
    return (match[1].strip(), match[2]) if match else None


def _reaches(value: str) -> bool:
    text = plain(value)
    return bool(_WAY.search(text) or (PHONE.search(text) and sum(c.isdigit() for c in text) >= 7)) or is_gap(value)


def _contact_entry(entry: Entry, pair: tuple[str, str] | None, scope: Scope) -> Unit:
    if not pair:
        return Unit(entry.line, entry.end_line, "reference", entry.text, "shown", "reference")
    name, value = pair[0], plain(pair[1])
    if is_gap(pair[1]) or is_gap(name):
        scope.find("WB101", entry.line, text=value)
        ways = tuple(one for one in read_ways(value) if one.type in {"email", "phone", "channel", "service"})
        if is_gap(name) or not targets(ways) or re.fullmatch(r"\W*\[[^\]]*\]\W*", pair[1]):
            return Unit(entry.line, entry.end_line, "contact", entry.text, "shown", "no owner", finding=True)
    item = Contact(
        name=name[:400], source=scope.source(entry.line), text=entry.text, map=["I2"], primary=targets(read_ways(value)), notes=value[:300],
    )  # fmt: skip
    return Unit(entry.line, entry.end_line, "contact", entry.text, "proposed", None, ("I2",), [item])


_ESCALATE = re.compile(
    r"\b(?:escalate[sd]?|page|notify|call|contact|inform|alert|brief|loop in|bring in)\b|\bescalation polic|\bbriefing\b",
    re.I,
)
_MUST = re.compile(r"\bescalate immediately\b|\bescalation (?:ladder|path|chain)\b.{0,80}?\b(?:after|within)\b|\bescalat(?:e|es|ed)\b.{0,120}?\b(?:to|via|through|by)\b|\bescalation polic\w+\b.{0,80}\b(?:include|page|notify)|\b(?:executive|leadership|management|stakeholder)s?\b.{0,40}\b(?:briefing|briefed|notified|informed|update)\b|\bbrief\b.{0,40}\b(?:executive|leadership|management)", re.I)  # fmt: skip
_UNANSWERED = re.compile(
    r"(?:\b(?:not|no|un)\b\W?|n['’]t\W|\bun)(?:\w+\W+){0,4}(?:ack\w*|respon\w*|answer\w*|resolv\w*)[^.]{0,60}?\b(?:within|in|after|for)\b",
    re.I,
)
_TO = re.compile(r"\b(?i:escalat(?:e|es|ed))\b[^.;]*?\bto (?:the )?((?:tier|level) \d|[A-Z#@][\w /&'-]{1,60}?)(?=[.,;:)]|\s*\(|\s+(?:if|when|after|within|via|immediately|for|and|or|who|with|by|at|using)\b|$)")  # fmt: skip
_VIA = re.compile(
    r"\bvia (?:the )?([A-Z#@][\w #@&'-]{1,40}?)(?=[.,;:)]|\s*\(|\s+(?:if|when|after|within|and|for|to)\b|$)"
)
_INCLUDE = re.compile(r"\b(?:must |should )?(?:include|page|notify)s? (?:the )?([A-Z][\w &'-]{1,40}?)(?=[.,;:)]|\s*\(|\s+(?:for|if|when|on|in)\b|$)")  # fmt: skip
_BRIEF = re.compile(r"\b((?:executive|leadership|management|stakeholder)s?)\b", re.I)


def escalations(text: str, line: int, end_line: int, scope: Scope) -> list[Item]:
    """Escalations that a sentence of prose states: “Escalate Sev0/Sev1 via PagerDuty; brief executives within 1 hour”."""
    if not _MUST.search(text) and not (_UNANSWERED.search(text) and find_lengths(text)):
        return []
    found: list[Item] = []
    for clause in re.split(r";\s+|(?<=[.!?])\s+", text):
        unanswered = bool(_UNANSWERED.search(clause) and find_lengths(clause))
        if not _MUST.search(clause) and not unanswered:
            continue
        brief = _BRIEF.search(clause) if not re.search(r"\bescalat", clause, re.I) else None
        to = [match[1].strip() for match in _TO.finditer(clause)] + ([brief[1].lower()] if brief else [])
        if "escalation polic" in clause.lower():
            to += [match[1].strip() for match in _INCLUDE.finditer(clause)]
        via = [match[1].strip() for match in _VIA.finditer(clause)]
        lengths = find_lengths(clause)
        ladder = re.match(r"\W*(?:escalate immediately\b|escalation (?:ladder|path|chain)\b)", clause, re.I)
        if not (to or via or unanswered or (ladder and lengths)):
            continue
        item = Contact(
            name=clause.strip(" .")[:120], source=scope.source(line, end_line), text=clause, map=["I2"], severities=_severities(clause),
            via=via, to=[one for one in to if not is_gap(one)], condition=_condition(clause),
        )  # fmt: skip
        if lengths and lengths[0].length.sign in {">", "more than", "over", "at least"}:
            # “If the lag is over 5 min, escalate”: a condition, not how long to wait.
            item.after = scope.waits(line)
        elif lengths:
            late = re.search(
                r"\b(?:after|if (?:no|not|un)\w*|unacknowledged|without)\b", clause[: lengths[0].end], re.I
            )
            setattr(item, "after" if late else "within", duration(lengths[0].length))
        elif re.search(r"\bescalate\b", clause, re.I):
            item.after = scope.waits(line)
        found.append(item)
    return found


def _condition(clause: str) -> str:
    match = re.search(r"\b(?:if|when|for|after)\b [^.;]{3,100}", clause, re.I)
    return match[0] if match else ""


def role_table(table: Table, scope: Scope) -> list[Unit] | None:
    """Role and responsibility; RACI."""
    raci = table.columns("raci")
    matrix = _raci(table, scope)
    if matrix:
        return matrix
    who = table.column("role")
    if who is not None and who > 0 and (table.column("responsibility", but=(who,)) is None or len(table.headers) > 3):
        who = None
    if who is None and table.column("responsibility") is not None:
        texts = [text for text in table.texts(0) if text]
        titled = re.search(
            r"\broles?\b|responsibilit|raci|team (?:structure|composition)|ownership",
            " ".join(headings(table.block)[:1]),
            re.I,
        )
        if (
            texts
            and titled
            and (
                "name" in table.meanings[0]
                or "team" in table.meanings[0]
                or re.match(r"(?:team|member|who|position|title)", table.headers[0], re.I)
            )
        ):
            who = 0
    duty = table.column("responsibility", but=(who,))
    if not raci and (who is None or duty is None):
        return None
    if table.column("phone", "email") is not None or re.search(
        r"permission|access|color", " ".join(table.headers), re.I
    ):
        return None
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, who if who is not None else 0)
        if not name or is_gap(name):
            if name:
                scope.gap(row.cells[who or 0])
            units.append(Unit(row.line, row.line, "role", text, "shown", "no owner", finding=bool(name)))
            continue
        item = Role(name=name[:400], source=scope.source(row.line), text=text, map=["H8"])
        if duty is not None:
            item.responsibilities = [
                part for part in re.split(r"[;\n]|(?<=[a-z]), (?=[a-z])", table.cell(row, duty)) if part.strip()
            ][:20]
        holder = table.column("name", "owner", "primary", but=(who, duty))
        if holder is not None:
            value = table.cell(row, holder)
            if is_gap(row.cells[holder].raw) or not value:
                scope.find("WB110", row.line, row.cells[holder].column, name=name)
            else:
                item.holders = targets(read_owners(value))
        units.append(Unit(row.line, row.line, "role", text, "proposed", None, ("H8",), [item]))
    return units


_RACI = re.compile(r"^\W*(?:[RACIS](?:\s*[/,+&]\s*[RACIS])*|[-–—])?\W*$")


def _raci(table: Table, scope: Scope) -> list[Unit] | None:
    """A matrix of activities and roles with R, A, C, I in its cells."""
    if (
        len(table.headers) < 3
        or len(table.rows) < 2
        or not re.search(r"raci|responsib|ownership", " ".join(headings(table.block)[:1]), re.I)
    ):
        return None
    cells = [table.cell(row, index) for row in table.rows for index in range(1, len(table.headers))]
    if not all(_RACI.match(cell) for cell in cells) or sum(1 for cell in cells if cell.strip()) * 2 < len(cells):
        return None
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        item = Role(name=table.cell(row, 0)[:400] or "Activity", source=scope.source(row.line), text=text, map=["H8"])
        for index in range(1, len(table.headers)):
            told = table.cell(row, index)
            target = [Target(name=table.headers[index])] if table.headers[index] else []
            if "A" in told:
                item.owners += target
            if "R" in told:
                item.holders += target
            if "C" in told or "I" in told:
                item.participants += target
        units.append(Unit(row.line, row.line, "role", text, "proposed", None, ("H8",), [item]))
    return units


_ROLE_TITLE = re.compile(r"\broles?\b|responsibilit|ownership|\bteam\b|owners?\b", re.I)
_ROLE_KEY = re.compile(
    r"\b(?:owner|liaison|lead|commander|coordinator|scribe|manager|officer|responder|engineer|champion|director|approver|sponsor|secretary|analyst|architect|specialist|administrator|counsel|reviewer|responsible|deputy|cto|ciso|ceo|dpo|founder|on-?call|team|sre|support|compliance|legal|security|operations|staff|user|member)s?\b",
    re.I,
)


def role_entries(block: Block, scope: Scope) -> list[Unit] | None:
    """Bullets “**Primary owner:** Operations Manager” under a heading about roles."""
    titles = headings(block)
    if not titles or not _ROLE_TITLE.search(titles[0]):
        return None
    pairs = [bold_lead(entry.raw) for entry in block.entries]
    keyed = [bool(pair and _ROLE_KEY.search(pair[0]) and len(pair[0]) <= 60) for pair in pairs]
    if sum(keyed) * 2 < len(keyed) or not any(keyed):
        return None
    units: list[Unit] = []
    for entry, pair, good in zip(block.entries, pairs, keyed, strict=True):
        if not pair or not good:
            units.append(Unit(entry.line, entry.end_line, "reference", entry.text, "shown", "reference"))
            continue
        value = plain(pair[1])
        item = Role(name=pair[0], source=scope.source(entry.line, entry.end_line), text=entry.text, map=["H8"])
        if is_gap(pair[1]):
            scope.find("WB101", entry.line, text=value)
            scope.find("WB110", entry.line, name=pair[0])
        elif (
            re.search(r"owner|liaison|contact|deputy|backup|primary|secondary|sponsor", pair[0], re.I)
            and len(value) <= 90
        ):
            item.holders = targets(read_owners(value))
        elif value:
            item.responsibilities = [value[:400]]
        for one in entry.walk():
            if one is entry:
                units.append(Unit(one.line, one.end_line, "role", one.text, "proposed", None, ("H8",), [item]))
            else:
                item.responsibilities.append(one.text[:400])
                units.append(Unit(one.line, one.end_line, "role", one.text, "proposed", None, ("H8",)))
    return units
