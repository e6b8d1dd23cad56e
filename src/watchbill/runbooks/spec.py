"""What this feature reads in a runbook: procedures, troubleshooting tables, pages for one alert."""

import re
from typing import Literal

from pydantic import Field

from watchbill.language.columns import Table
from watchbill.language.document import Block, Entry, Section
from watchbill.language.inline import bold_lead, codes, plain
from watchbill.language.items import Duration, Item, Model, Targets, Time, Unit, duration
from watchbill.language.scope import Scope, artefacts, headings, references
from watchbill.language.values.duration import find_deadlines, find_lengths
from watchbill.language.values.gaps import is_gap

StepKind = Literal["manual", "command", "check", "decision", "approval"]


class Step(Model):
    """One step. ``within`` is its deadline, ``hold`` how long to watch before going on, ``figures`` its percentages."""

    number: int
    text: str
    line: int
    kind: StepKind = "manual"
    within: Time = None
    hold: Time = None
    figures: list[str] = Field(default_factory=list)
    commands: list[str] = Field(default_factory=list)
    references: list[str] = Field(default_factory=list)
    artefacts: list[str] = Field(default_factory=list)
    notify: list[str] = Field(default_factory=list)
    sets: list[str] = Field(default_factory=list)
    steps: list[str] = Field(default_factory=list)


class Procedure(Item):
    """A procedure: steps in order, with the deadlines and escalations that its prose states."""

    kind: Literal["procedure"] = "procedure"
    steps: list[Step] = Field(default_factory=list)
    owners: Targets = Field(default_factory=list)
    budget: Time = None


class Troubleshooting(Item):
    """One symptom with its causes, checks and mitigation."""

    kind: Literal["troubleshooting"] = "troubleshooting"
    symptom: str
    causes: list[str] = Field(default_factory=list)
    checks: list[str] = Field(default_factory=list)
    mitigation: list[str] = Field(default_factory=list)
    runbook: str = ""


class AlertRunbook(Item):
    """The page of one alert, linked to alerts of that name and to their ``runbook_url``."""

    kind: Literal["alert-runbook"] = "alert-runbook"
    alert: str
    meaning: str = ""
    impact: str = ""
    diagnosis: list[str] = Field(default_factory=list)
    mitigation: list[str] = Field(default_factory=list)


_CHECK = re.compile(
    r"^\W*(?:verify|check|confirm|validate|ensure|test|inspect|run (?:smoke|sanity|health)|monitor|make sure|review)\b",
    re.I,
)
_DECIDE = re.compile(r"^\W*(?:if|when|decide|determine whether|assess whether|choose|in case)\b|\botherwise\b", re.I)
_APPROVE = re.compile(r"\b(?:obtain|get|request|require[sd]?|seek|await|wait for|with|needs?)\b[^.;]{0,40}\b(?:approval|sign-?off|authori[sz]ation|legal review|permission|consent)\b|\bapprove\b", re.I)  # fmt: skip
_SHELL = re.compile(
    r"^(?:sudo |kubectl|docker|systemctl|psql|pg_|aws |gcloud|az |helm|git |npm |pnpm |yarn |make |curl |python|terraform|ansible|ssh |scp |rsync|redis-cli|mysql|\./)"
)
_HOLD = re.compile(r"\b(?:monitor|observe|watch|wait|soak|hold|bake|pause)\b", re.I)
_PERCENT = re.compile(r"(?<![\w.])\d+(?:\.\d+)?\s?%")
_NAMED = r"[A-Z][\w&/-]*(?: [A-Z][\w&/-]*){0,4}"
_NOTIFY = re.compile(
    rf"\b(?i:notify|inform|alert|page|tell|contact|call)\s+(?:the )?({_NAMED}(?:(?:,| and| &| or)\s+(?:the )?{_NAMED})*)"
)
_SETS = re.compile(r"^[A-Z][A-Z0-9_]{2,}=\S+$")


def step(entry: Entry, number: int, scope: Scope) -> Step:
    """One list entry as a step."""
    text = entry.text
    spans = codes(entry.raw)
    found = Step(
        number=number, text=text[:2000], line=entry.line, kind=_kind(text, entry), figures=[m[0].replace(" ", "") for m in _PERCENT.finditer(text)],
        commands=[code for code in spans if _SHELL.match(code)] + [block.raw.strip()[:2000] for block in entry.fences],
        references=references(entry.raw), artefacts=artefacts(entry.raw), sets=[code for code in spans if _SETS.match(code)],
        steps=[one.text[:400] for one in entry.walk() if one is not entry][:100],
    )  # fmt: skip
    found.within, found.hold = times(text)
    named = _NOTIFY.search(text)
    if named:
        found.notify = [part.strip() for part in re.split(r",|\band\b|&|\bor\b", named[1]) if part.strip()]
    return found


def times(text: str) -> tuple[Duration | None, Duration | None]:
    """A step's deadline and how long it watches."""
    deadlines = find_deadlines(text)
    within = duration(deadlines[0]) if deadlines else None
    hold = None
    if within is None and _HOLD.search(text):
        lengths = find_lengths(text)
        hold = duration(lengths[0].length) if lengths else None
    return within, hold


def _kind(text: str, entry: Entry) -> StepKind:
    if _APPROVE.search(text):
        return "approval"
    if _DECIDE.search(text):
        return "decision"
    if _CHECK.match(text):
        return "check"
    if entry.fences or any(_SHELL.match(code) for code in codes(entry.raw)):
        return "command"
    return "manual"


_LINK_ONLY = re.compile(r"^\W*\[[^\]]+\]\([^)]+\)\W*$")
_NO_PROCEDURE = re.compile(r"table of contents|^contents$|\btoc\b|references?$|related|see also|links|resources|questions?\b|glossary|principles|objectives?$|goals?$|lessons|examples?$|assumptions|out of scope|limitations|benefits|features|action items|to-?dos?\b|success (?:metrics|criteria)|criteria$|overview$|index$|further reading|next steps?$|appendix|changelog|roadmap", re.I)  # fmt: skip
_AREA = re.compile(r"^\W*(?:tasks|deliverables|approvals|inputs|outputs|outcomes)\W*$", re.I)
_NEVER = re.compile(r"action items|to-?dos?\b|tracking items|metrics\b|principles|lessons", re.I)
_STEPS = re.compile(
    r"\bprocedures?\b|\bsteps?\b|\bactions?\b|\bprocess\b|\bworkflow\b|\bresponse\b|\bresolution\b|\bmitigat|\brecover|\brestor|\brollback\b|\brunbook\b|\bplaybook\b|how to|what to do|containment|eradication|remediat|immediate|failover|deploy|investigat|diagnos|triage|verification|\bphase\b|instructions|\bdo\b|checklist|protocol|playbook|contain\b|eradicate|recover\b|hand-?off|escalation process|fix\b|troubleshoot|handover|shutdown|startup|start-up|rotation procedure",
    re.I,
)
_IMPERATIVE = re.compile(
    r"^\W*(?:(?:immediately|then|next|first|finally|always|please|do not|don't|never|if|once|after|when|as)\b|"
    r"(?:(?:temporarily|manually|carefully|quickly|explicitly|re-?)\W?\s*)?(?:access|acknowledge|activate|add|adjust|alert|analy[sz]e|announce|apply|approve|archive|ask|assess|assign|attach|begin|block|bring|build|bump|call|cancel|capture|change|check|choose|clean|clear|click|close|collect|communicate|compare|complete|confirm|connect|contact|contain|continue|coordinate|copy|create|declare|define|delete|deploy|describe|determine|disable|document|download|drain|draft|drop|edit|enable|engage|ensure|enter|escalate|establish|evaluate|examine|execute|export|fail|file|find|fix|flip|flush|follow|force|gather|generate|get|halt|hand|hold|give|go|grant|identify|implement|import|increase|inform|initiate|inspect|install|investigate|invoke|isolate|issue|join|keep|kill|launch|leave|list|locate|log|look|maintain|make|mark|merge|migrate|monitor|move|navigate|notify|obtain|open|page|patch|pause|perform|ping|plan|post|prepare|preserve|press|prevent|proceed|promote|preserve|reach|reconcile|rely|provide|provision|publish|pull|push|put|query|quarantine|read|rebuild|reboot|reconnect|record|recover|redeploy|reduce|refresh|reload|remove|rename|repeat|replace|replay|report|request|rerun|reset|resolve|respond|restart|restore|resume|retrieve|retry|return|revert|review|revoke|roll|rotate|route|run|save|scale|scan|schedule|search|secure|select|send|set|share|shut|sign|start|stop|submit|suspend|switch|sync|tag|take|tell|terminate|test|track|transfer|trigger|try|turn|unblock|uninstall|update|upgrade|upload|use|validate|verify|view|visit|wait|work|write|page)\b)",
    re.I,
)


def _worth(block: Block) -> bool:
    entries = block.entries
    if len(entries) < 2 or sum(1 for e in entries if _LINK_ONLY.match(e.raw)) * 2 >= len(entries):
        return False
    return sum(1 for e in entries if e.text.endswith("?")) * 2 < len(entries)


def numbered(block: Block, scope: Scope) -> list[Unit] | None:
    """An ordered list as a procedure; bullets where the heading says that they are steps."""
    titles = headings(block)
    near = titles[0] if titles else ""
    if _AREA.match(near) or _NEVER.search(near):
        return None
    if not _worth(block) or (_NO_PROCEDURE.search(near) and not _STEPS.search(near)):
        return None
    every = [one for entry in block.entries for one in entry.walk()]
    top = sum(1 for one in block.entries if _acts(one))
    share = max(top / len(block.entries), sum(1 for one in every if _acts(one)) / len(every))
    steps = bool(_STEPS.search(near) or _STEPS.search(scope.lead))
    above = (
        len(titles) > 1
        and block.section.level > 2
        and bool(_STEPS.search(re.sub(r"^\W*(?:step|phase)\b", "", titles[1], flags=re.I)))
    )
    if block.ordered:
        named = (
            bool(re.search(r"protocol|procedure|process|\bsteps?\b|hand-?off|ceremony", near, re.I))
            and len(block.entries) >= 3
        )
        if not (share >= 0.5 or ((steps or above) and share >= 0.25) or named or any(e.fences for e in block.entries)):
            return None
    elif not (((steps and len(near) <= 60) or above) and share >= 0.66) or _labelled(block):
        return None
    return procedure_of(block, scope, near or scope.document.title or "Procedure")


def _acts(entry: Entry) -> bool:
    """Whether an entry begins by saying what to do."""
    lead = bold_lead(entry.raw)
    return bool(_IMPERATIVE.match(entry.text) or (lead and _IMPERATIVE.match(plain(lead[1]))))


def _labelled(block: Block) -> bool:
    """Bullets “**Name:** text” whose names say nothing to do: a list of things, not of steps."""
    leads = [lead for entry in block.entries if (lead := bold_lead(entry.raw))]
    return len(leads) * 2 >= len(block.entries) and sum(1 for lead in leads if _IMPERATIVE.match(lead[0])) * 2 < len(
        leads
    )


def procedure_of(block: Block, scope: Scope, name: str) -> list[Unit]:
    item = Procedure(
        name=_name(name), source=scope.source(block.line, block.end_line), text=name, map=["A3"], owners=scope.owners_of(block.section),
        budget=_budget(name),
    )  # fmt: skip
    units: list[Unit] = []
    for number, entry in enumerate(block.entries, 1):
        item.steps.append(step(entry, number, scope))
        for one in entry.walk():
            if is_gap(one.raw) and len(one.text) < 80:
                scope.find("WB101", one.line, text=one.text)
            first = not units
            units.append(
                Unit(one.line, one.end_line, "procedure", one.text, "proposed", None, ("A3",), [item] if first else [])
            )
    return units


def _name(title: str) -> str:
    return (
        re.sub(r"^\W*(?:(?:step|phase|section)\s*)?\d+(?:\.\d+)*[.):]?\s+", "", title, flags=re.I).strip(" :") or title
    )[:400]


def _budget(title: str) -> Duration | None:
    inside = re.search(r"\(([^()]*)\)", title)
    lengths = find_lengths(inside[1]) if inside else ()
    return duration(lengths[-1].length) if lengths else None


_SCRIPT_STEP = re.compile(r"^\s*#+\s*(?:step\s*)?(\d+)[.):]\s*(\S.*)$", re.I)
_SHELLS = {"bash", "sh", "shell", "console", "zsh", "", "powershell"}


def script(block: Block, scope: Scope) -> list[Unit] | None:
    """A shell block whose comments are numbered: “# 1. Stop the writers”."""
    if block.info.split(" ")[0].lower() not in _SHELLS or "#" not in block.raw:
        return None
    lines = block.raw.split("\n")
    marks = [(n, match) for n, line in enumerate(lines) if (match := _SCRIPT_STEP.match(line))]
    if len(marks) < 2 or [int(m[1]) for _, m in marks] != list(
        range(int(marks[0][1][1]), int(marks[0][1][1]) + len(marks))
    ):
        return None
    titles = headings(block)
    item = Procedure(
        name=_name(titles[0] if titles else scope.document.title or "Procedure"),
        source=scope.source(block.line, block.end_line),
        text=titles[0] if titles else "",
        map=["A3"],
        owners=scope.owners_of(block.section),
    )
    units: list[Unit] = []
    first = block.line + 1
    for position, (n, match) in enumerate(marks):
        end = marks[position + 1][0] if position + 1 < len(marks) else len(lines)
        commands = "\n".join(line for line in lines[n + 1 : end] if line.strip())
        item.steps.append(
            Step(
                number=position + 1,
                text=match[2][:2000],
                line=first + n,
                kind="command" if commands else "manual",
                commands=[commands[:2000]] if commands else [],
            )
        )
        units.append(
            Unit(
                first + n,
                first + end - 1,
                "procedure",
                match[2],
                "proposed",
                None,
                ("A3",),
                [item] if not units else [],
            )
        )
    return units


_STEP_TITLE = re.compile(r"^\W*(?:step|phase|stage)\s*(\d+)\b\s*[:.)–—-]?\s*(.*)$", re.I)
_NUMBER_TITLE = re.compile(r"^\W*(\d{1,2})[.)]\s+(.*)$")


def step_sections(section: Section, scope: Scope) -> tuple[Procedure, dict[int, list[Unit]]] | None:
    """“Step 1: …”, “Phase 2 (15 min): …” headings beside each other as one procedure."""
    keyed = [child for child in section.sections if _STEP_TITLE.match(child.title)]
    if len(keyed) < 2 or any(_AREA.match(inner.title) for child in keyed for inner in child.sections):
        return None
    if any(not child.blocks[1:] and not child.sections for child in keyed) and len(keyed) < 3:
        return None
    title = section.title or scope.document.title or "Procedure"
    item = Procedure(
        name=_name(title),
        source=scope.source(section.line or keyed[0].line),
        text=title,
        map=["A3"],
        owners=scope.owners_of(section),
    )
    found: dict[int, list[Unit]] = {}
    for number, child in enumerate(keyed, 1):
        match = _STEP_TITLE.match(child.title)
        text = (match[2] if match else "") or child.title
        within, hold = times(child.title)
        made = Step(number=number, text=text[:2000], line=child.line, within=within or _budget(child.title), hold=hold)
        for block in child.blocks[1:]:
            if block.kind == "fence":
                made.commands.append(block.raw.strip()[:2000])
            made.steps += [entry.text[:400] for entry in block.entries][:50]
        if made.commands:
            made.kind = "command"
        item.steps.append(made)
        found[child.line] = [
            Unit(
                child.line,
                child.line,
                "procedure",
                child.title,
                "proposed",
                None,
                ("A3",),
                [item] if number == 1 else [],
            )
        ]
    return item, found


def step_table(table: Table, scope: Scope) -> list[Unit] | None:
    """“Step, Action, Owner, Time”: a procedure as a table."""
    if len(table.rows) < 2 or len(table.headers) < 2:
        return None
    number = next(
        (
            i
            for i, header in enumerate(table.headers[:2])
            if re.match(r"\W*(?:step|#|no\.?|order|phase|seq\w*)\W*$", header or "#", re.I)
        ),
        None,
    )
    if (
        number is None
        or table.share(number, re.compile(r"^\W*(?:step\s*|phase\s*)?\d+\b|^\W*[A-Z]?\d[.)]?\W*$", re.I)) < 0.8
    ):
        return None
    action = next(
        (
            i
            for i, header in enumerate(table.headers)
            if i != number
            and re.search(r"action|task|description|procedure|what|activity|step|additional", header, re.I)
        ),
        None,
    )
    if action is None:
        return None
    time = next(
        (
            i
            for i, header in enumerate(table.headers)
            if re.search(r"time|duration|deadline|target|within|sla", header, re.I)
        ),
        None,
    )
    titles = headings(table.block)
    name = (scope.lead if _STEPS.search(scope.lead) else "") or (titles[0] if titles else "") or "Procedure"
    item = Procedure(
        name=_name(name),
        source=scope.source(table.block.line, table.block.end_line),
        text=name,
        map=["A3"],
        owners=scope.owners_of(table.block.section),
    )
    units: list[Unit] = []
    for position, row in enumerate(table.rows, 1):
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        raw = table.raw(row, action)
        made = Step(
            number=position,
            text=plain(raw)[:2000],
            line=row.line,
            references=references(raw),
            artefacts=artefacts(raw),
            commands=[code for code in codes(raw) if _SHELL.match(code)],
        )
        made.kind = (
            "approval"
            if _APPROVE.search(made.text)
            else "decision"
            if _DECIDE.search(made.text)
            else "check"
            if _CHECK.match(made.text)
            else "command"
            if made.commands
            else "manual"
        )
        if time is not None and (lengths := find_lengths(table.cell(row, time))):
            made.within = duration(lengths[0].length)
        item.steps.append(made)
        units.append(
            Unit(row.line, row.line, "procedure", text, "proposed", None, ("A3",), [item] if position == 1 else [])
        )
    return units


_SYMPTOM_TITLE = re.compile(
    r"troubleshoot|symptom|common (?:issues|problems|errors|failures)|known issues|diagnos|faq|debug|failure modes?|alert",
    re.I,
)


def table(table: Table, scope: Scope) -> list[Unit] | None:
    """Symptom, checks or cause, mitigation; alert and runbook."""
    if not table.rows or len(table.headers) < 2:
        return None
    titles = " ".join(headings(table.block)[:2])
    symptom = next(
        (
            i
            for i, header in enumerate(table.headers)
            if re.match(r"\W*(?:symptoms?|problem|issue|error(?: message)?|alert(?: name)?)\W*$", header, re.I)
        ),
        None,
    )
    if symptom is None:
        symptom = next(
            (
                i
                for i in range(min(2, len(table.headers)))
                if "symptom" in table.meanings[i] and not table.meanings[i] & {"frequency"}
            ),
            None,
        )
    if symptom is None:
        if (
            not re.search(r"troubleshoot|common (?:issues|problems|errors)", titles, re.I)
            and "cause" not in table.meanings[0]
        ):
            return None
        symptom = 0
    if table.column("version") is not None or any("statistic" in meaning for meaning in table.meanings):
        return None
    cause = table.column("cause", but=(symptom,))
    checks = table.column("checks", but=(symptom, cause))
    mitigation = table.column("mitigation", but=(symptom, cause, checks))
    runbook = table.column("runbook", but=(symptom, cause, checks, mitigation))
    if cause is not None and checks is None and re.search(r"diagnos|investigat|check", table.headers[cause], re.I):
        cause, checks = None, cause
    if mitigation is None and checks is not None and cause is not None:
        mitigation, checks = checks, None
    alert = "alert" in table.meanings[symptom]
    if (
        sum(one is not None for one in (cause, checks, mitigation)) < 2
        and not (
            mitigation is not None
            and (
                _SYMPTOM_TITLE.search(titles)
                or re.search(r"symptom|problem|issue|error|cause", table.headers[symptom], re.I)
            )
        )
        and not (alert and (runbook is not None or mitigation is not None))
    ):
        return None
    if table.column("theme") is not None and table.column("tracking") is not None and mitigation is None:
        return None
    if (
        table.column("owner", but=(symptom, cause, checks, mitigation)) is not None
        and not alert
        and not _SYMPTOM_TITLE.search(titles)
    ):
        return None
    units = []
    for row in table.rows:
        text = " | ".join(plain(cell.raw) for cell in row.cells)
        name = table.cell(row, symptom)
        if not name or is_gap(name):
            units.append(Unit(row.line, row.line, "troubleshooting", text, "shown", "no verifiable outcome"))
            continue
        link = (references(table.raw(row, runbook)) or [table.cell(row, runbook)])[0] if runbook is not None else ""
        item = Troubleshooting(
            name=name[:400], symptom=name[:1000], source=scope.source(row.line), text=text, map=["H7"], causes=_parts(table.cell(row, cause)),
            checks=_parts(table.cell(row, checks)), mitigation=_parts(table.cell(row, mitigation)), runbook=link,
        )  # fmt: skip
        units.append(Unit(row.line, row.line, "troubleshooting", text, "proposed", None, ("H7",), [item]))
    return units


def _parts(text: str) -> list[str]:
    return [
        part.strip(" .")
        for part in re.split(r";\s+|\n|(?<=[a-z)])\.\s+(?=[A-Z])|(?:^|\s)\d[.)]\s+", text)
        if part and part.strip(" .")
    ][:30]


_PAGE = {
    "meaning": re.compile(r"^\W*(?:meaning|description|what (?:it|this)(?: alert)? means|summary|about|overview|alert details?|background|definition|trigger|condition|symptoms?)\b", re.I),
    "impact": re.compile(r"^\W*(?:impact|severity|effect|consequences?|business impact)\b", re.I),
    "diagnosis": re.compile(r"^\W*(?:diagnos\w*|investigat\w*|checks?|debug\w*|triage|verif\w*|possible causes?|causes?|how to (?:check|diagnose|investigate)|likely causes?|common causes?)\b", re.I),
    "mitigation": re.compile(r"^\W*(?:mitigat\w*|resol\w*|remediat\w*|fix\w*|actions?|recover\w*|solutions?|how to fix|response|what to do|steps to resolve|immediate actions?|resolution steps?)\b", re.I),
}  # fmt: skip
#: As bold labels in one section these words are stricter: a scenario's trigger, impact and recovery are no alert page.
_LABELS = {
    "meaning": re.compile(r"^\W*(?:meaning|symptoms?|alert|what (?:it|this)(?: alert)? means)\b", re.I),
    "diagnosis": re.compile(r"^\W*(?:diagnos\w*|checks?|how to (?:\*\*)?(?:check|diagnose|investigate)|possible causes?|likely causes?|common causes?|investigation steps)\b", re.I),
    "mitigation": re.compile(r"^\W*(?:mitigation|resolution|resolve|remediation|fix(?:es)?|solutions?|how to (?:\*\*)?fix|resolution steps?|quick fix)\b", re.I),
}  # fmt: skip
_PAGE_TOO = re.compile(
    r"^\W*(?:prevent\w*|escalat\w*|references?|related|links?|see also|notes?|post-?incident|additional|verification|follow-?up|communication|owner|contacts?|dashboards?|rollback|next steps?|metadata)\b",
    re.I,
)
_NO_PAGE = re.compile(
    r"\b(?:incident (?:response|management)|disaster recovery|policy|process|plan|overview|guide|handbook|historical|documentation|operations|playbooks|runbooks)\b",
    re.I,
)
_ALERT_NAME = re.compile(
    r"^\W*(?:alert:?\s*|runbook:?\s*)?`?([A-Z][a-z0-9]+(?:[A-Z][a-zA-Z0-9]+)+|[a-z][a-z0-9]+(?:_[a-z0-9]+){2,})`?\W*$"
)


def alert_page(section: Section, scope: Scope) -> tuple[AlertRunbook, list[Block]] | None:
    """A section with Meaning, Impact, Diagnosis, Mitigation (two of them at least) below a heading that names the alert; and its blocks."""
    parts = {name: child for child in section.sections for name, words in _PAGE.items() if words.match(child.title)}
    name = _ALERT_NAME.match(section.title)
    others = [child for child in section.sections if child not in parts.values() and not _PAGE_TOO.match(child.title)]
    if not name and (
        len(others) > 2 or _NO_PAGE.search(section.title) or any(len(_below(child)) > 8 for child in parts.values())
    ):
        return None
    labelled: dict[str, str] = {}
    if len(parts) < 2:
        for block in section.blocks[1:]:
            for raw in [block.raw] if block.kind == "paragraph" else [entry.raw for entry in block.entries]:
                lead = bold_lead(raw)
                what = (
                    next((key for key, words in _LABELS.items() if lead and words.match(lead[0])), None)
                    if lead
                    else None
                )
                if (
                    what is None
                    and block.kind == "paragraph"
                    and (only := re.match(r"^\*\*([\w ]{3,40}):?\*\*:?\s*$", raw.strip()))
                ):
                    what = next((key for key, words in _LABELS.items() if words.match(only[1])), None)
                if what:
                    labelled.setdefault(what, plain(lead[1]) if lead else "")
    if (
        len(parts) < 2
        and len(labelled) < 2
        and not (name and (parts or labelled or (_has_work(section) and _among_alerts(section))))
    ):
        return None
    strong = (
        ("mitigation" in parts and ("diagnosis" in parts or "meaning" in parts))
        or (len(parts) < 2 and "mitigation" in labelled and len(labelled) >= 2)
        or name is not None
    )
    if not strong or section.level == 0:
        return None
    item = AlertRunbook(
        name=section.title[:400], alert=(name[1] if name else section.title)[:400], source=scope.source(section.line), text=section.title, map=["H7", "H1"],
        meaning=_body(parts.get("meaning")) or labelled.get("meaning", ""), impact=_body(parts.get("impact")) or labelled.get("impact", ""),
        diagnosis=_lines(parts.get("diagnosis")), mitigation=_lines(parts.get("mitigation")),
    )  # fmt: skip
    return item, [block for part in _below(section) for block in part.blocks]


def _among_alerts(section: Section) -> bool:
    """Whether the headings beside this one are names of alerts, too; or the whole document is the page."""
    if section.level == 1:
        return True
    beside = section.parent.sections if section.parent else []
    return sum(1 for one in beside if _ALERT_NAME.match(one.title)) >= max(2, len(beside) // 2)


def _has_work(section: Section) -> bool:
    return any(block.kind in {"fence", "list", "tasklist"} or len(block.raw) > 80 for block in section.blocks[1:])


def _below(section: Section) -> list[Section]:
    found = [section]
    for child in section.sections:
        found += _below(child)
    return found


def _body(section: Section | None) -> str:
    return " ".join(block.text for block in section.blocks if block.kind == "paragraph")[:2000] if section else ""


def _lines(section: Section | None) -> list[str]:
    if section is None:
        return []
    found: list[str] = []
    for block in section.blocks:
        if block.kind in {"list", "tasklist"}:
            found += [entry.text[:1000] for entry in block.entries]
        elif block.kind in {"paragraph", "fence"}:
            found.append(block.text[:1000] if block.kind == "paragraph" else block.raw.strip()[:1000])
    return found[:100]


#: Used by the explicit items' schema.
MODELS = (Procedure, Troubleshooting, AlertRunbook)
