"""What a column of a table means, by its header alone. Header rows almost never repeat; column names do."""

import re
from functools import lru_cache

from watchbill.language.document import Block, Row
from watchbill.language.inline import plain

#: meaning → pattern on the lower-case header. A header may have several meanings; a recogniser asks for the one it needs.
_PATTERNS = {
    "severity": r"\bsev(?:erity|erities)?\b",
    "priority": r"\bprio(?:rity)?\b",
    "level": r"^(?:\w+ )?(?:level|tier|class(?:ification)?|grade|category)$|^(?:level|tier)\b|\bplan$",
    "definition": r"\bcriteria\b|definition|descri|meaning|\bimpact|condition|scenario|characteristic|\bscope\b|what (?:it|this) means|\bname\b|trigger|\btype\b|when to use|situation|summary|symptom",
    "example": r"example|e\.g\.|sample|typical",
    "acknowledge": r"\back(?:nowledg\w*)?\b|\bmtta\b|time to ack",
    "respond": r"respon(?:se|d)|reaction|\bsla\b|time to (?:respond|engage|page)|page within|investigat|\bfirst reply|initial (?:reply|contact)|\bslo\b|\btime ?frame|^time$|target time|deadline|initial action",
    "resolve": r"resol|mitigat|\bfix\b|restor|time to (?:fix|recover)|\bmttr\b|remediat",
    "update": r"update|comm(?:unication)?s? (?:freq|cadence|interval)|status (?:cadence|freq)|^communication$",
    "escalate": r"escalat|notify|who to (?:call|page)|engage|inform",
    "channel": r"channel|\bwhere\b|\bvia\b|\bmethod|notif|rout(?:e|ing)|\bmedium\b|how to (?:reach|contact)|communication",
    "contact": r"contact|contato|\breach\b|details|\bhandle\b|pager",
    "phone": r"phone|mobile|\btel\b|\bcell\b|call",
    "email": r"e-?mail",
    "slack": r"slack|teams|chat|discord",
    "role": r"^(?:\w+ )?roles?\b|^papel$|^rolle$|^r[oô]le$|position|^title$|function\b|responder|stakeholder|audience|vendor|provider|organi[sz]ation|regulator|authority|agency",
    "name": r"^(?:full )?name$|^person(?:nel)?$|^who$|member|^contact name|^engineer$|assigned|^individual|^lead$",
    "team": r"\bteam|\bgroup\b|squad|department|service area|domain|^area",
    "primary": r"\bprimary\b|^1st\b|\bmain\b|^first (?:contact|responder|on-?call)|on-?call$|^shift lead",
    "secondary": r"secondary|backup|alternate|deputy|fall-?back|^2nd\b|substitute",
    "condition": r"condition|situation|\bwhen\b|trigger|scenario|criteria|\bif\b|circumstance|^issue|event|incident type|after\b|threshold",
    "from": r"^from$|current",
    "to": r"^to$|escalate to|next",
    "time": r"\btime\b|\bafter\b|timeline|within|\btimeframe|\bdelay\b|minutes|elapsed|duration|wait",
    "frequency": r"frequen|schedule|cadence|interval|how often|recurren|periodic|^cycle$|^when$|^rotation$",
    "activity": r"\btasks?\b|activit|\bactions?\b|\bchecks?\b|\btests?\b|drill|\bitems?\b|^what\b|dut(?:y|ies)|\breview|meeting|exercise|procedure|control|scenario|ceremony|report|process|ritual|^type\b|\bjob\b|maintenance|training|audit|event|topic|deliverable|work|operation|component|^name$|step|patch|routine|certificate|key|secret|credential|scope",
    "owner": r"owner|responsib|assignee|accountab|\bwho\b|\blead\b|\bdri\b|performed by|run by|conducted by|\bteam\b|\brole\b|maintainer|facilitator",
    "participants": r"participant|attendee|involved|invitee|audience",
    "duration": r"duration|time (?:required|needed|estimate|budget)|effort|length|est(?:imated)?\.? time|^time$|expected time|window|downtime",
    "artefact": r"artefact|artifact|output|deliverable|evidence|\breport\b|record|documentation|result",
    "command": r"command|script|automation|\bcron\b|tool",
    "automated": r"automat",
    "retention": r"retention|retain|keep|kept|expir|ttl|lifecycle|how long",
    "location": r"location|storage|stored|destination|\bstore\b|where|target location|region|off-?site|bucket|backend",
    "method": r"method|type|technology|mechanism|\btool|\bhow\b|strategy|approach|engine",
    "verification": r"verif|validat|tested|\btest\b|restore test|integrity",
    "rpo": r"\brpo\b|recovery point|data loss",
    "rto": r"\brto\b|recovery time|restore time|time to recover|\bmtpd\b|max(?:imum)? (?:tolerable )?downtime",
    "data": r"\bdata\b|dataset|component|resource|asset|backup|system|service|database|\bwhat\b|scope|target$|application|\bstore\b|tier|environment|item|record|category|table|source|object|^type$|process|function|engine|^log",
    "metric": r"metric|\bsli\b|\bslo\b|indicator|\bkpi\b|measure(?!ment)|objective|service level|endpoint|operation|service|component|^name$|signal|criterion|criteria|resource|^sla$|dimension|category|attribute|item|area|journey|test",
    "target": r"target|\bgoal\b|objective|\bslo\b|commitment|\bp(?:50|75|90|95|99)\b|\bsla\b|guarantee|expected|budget|limit|requirement|uptime|availability|latency|accuracy|error rate|acceptable|threshold|healthy",
    "window": r"window|period|rolling|time ?frame|measurement|interval",
    "current": r"current|actual|status|baseline|achiev|today|now|trend|observed",
    "warning": r"\bwarn",
    "critical": r"\bcrit(?:ical)?\b|\balert\b|page\b|alarm",
    "threshold": r"threshold|condition|\blimit\b|trigger|alert (?:when|at|if)|expr",
    "budget": r"budget",
    "action": r"action|respon|what to do|policy|consequence|effect|measure|next step|behaviou?r|engineering",
    "symptom": r"symptom|\balert|\bissue|problem|\berror|condition|\bsign\b|failure|indication|observ|scenario|message|if you see|what you see|incident|question",
    "cause": r"cause|diagnos|reason|meaning|likely|why|root|explanation",
    "checks": r"\bcheck|diagnos|investigat|verify|verification|how to (?:check|verify)|detect|look|inspect|debug|triage|first step|confirm|query|where",
    "mitigation": r"mitigat|\bfix|remed|solution|resol|action|workaround|respon|what to do|recover|how to|next step|steps|treatment|procedure|answer|repair|handling|command",
    "runbook": r"runbook|playbook|\blink\b|section|\bdocs?\b|documentation|guide|procedure|reference|see",
    "alert": r"\balert",
    "responsibility": r"responsib|dut(?:y|ies)|accountab|descri|owns|what they do|tasks|purpose|function|scope|authority|main|focus",
    "raci": r"^(?:r|a|c|i|r/a|responsible|accountable|consulted|informed)$",
    "change": r"change|release|deploy|\bgate\b|environment|\btype\b|category|class|risk|request|access|action|stage|phase|scenario|decision|severity|level|operation|exception",
    "approver": r"approv|sign-?off|authori[sz]|\bcab\b|who (?:can|may)|decision maker|reviewer",
    "freeze": r"freeze|blackout|window|lead time|notice|advance",
    "theme": r"theme|initiative|improvement|opportunit|\barea\b|epic|gap|recommendation|enhancement",
    "tracking": r"track|ticket|jira|backlog|issue|board|\bowner\b|status|where",
    "day": r"^(?:day|date|week|weekday|month|shift|sprint|period|rotation|slot|weeks?|dates?|time ?slot|time ?zone|region|quarter)\b",
    "hours": r"hours|coverage|availab|time ?zone|shift|schedule",
    "version": r"version|revision|^rev\.?$",
    "date": r"^date\b|^when$|\bdate$|timestamp|^year|^quarter$|^month$|^period$|reviewed",
    "author": r"author|changed by|editor|updated by|^by$",
    "changes": r"change|summary|description|notes?|what changed|modification|comment",
    "field": r"^(?:field|property|attribute|key|item|metadata|parameter|element|document|detail)s?(?: (?:name|info(?:rmation)?))?$",
    "value": r"^(?:value|detail|details|information|description|setting|content)s?$",
    "statistic": r"\bcount\b|average|\bavg\b|median|mean\b|\btotal\b|rate\b|score|incidents\b|\bcost|\broi\b|\bsavings|percentile|\d{4}|\bresults?\b|lessons|outcome|passed|pass rate|actual|achieved|improvement",
}  # fmt: skip
_COMPILED = [(name, re.compile(pattern)) for name, pattern in _PATTERNS.items()]


@lru_cache(maxsize=8192)
def meanings(header: str) -> frozenset[str]:
    """All meanings of one column header."""
    text = re.sub(r"[^\w\s./%&()-]", " ", plain(header).lower()).strip()
    if len(text) > 80:
        return frozenset()
    return frozenset(name for name, pattern in _COMPILED if pattern.search(text))


class Table:
    """A table with columns by meaning."""

    def __init__(self, block: Block) -> None:
        header = block.header.cells if block.header else []
        self.block = block
        self.headers = [plain(cell.raw) for cell in header]
        self.meanings = [meanings(cell.raw) for cell in header]
        self.rows = [row for row in block.rows if any(cell.raw for cell in row.cells)]
        self.known = frozenset().union(*self.meanings) if self.meanings else frozenset()

    def column(self, *names: str, but: tuple[int | None, ...] = ()) -> int | None:
        """The first column with the first of these meanings that any has, not counting ``but``."""
        for name in names:
            if name not in self.known:
                continue
            for index, found in enumerate(self.meanings):
                if name in found and index not in but:
                    return index
        return None

    def columns(self, name: str, but: tuple[int | None, ...] = ()) -> list[int]:
        """All columns with a meaning."""
        return [index for index, found in enumerate(self.meanings) if name in found and index not in but]

    def cell(self, row: Row, index: int | None) -> str:
        """The plain text of a cell; empty where there is no such column."""
        return plain(row.cells[index].raw) if index is not None and index < len(row.cells) else ""

    def raw(self, row: Row, index: int | None) -> str:
        """The Markdown of a cell."""
        return row.cells[index].raw if index is not None and index < len(row.cells) else ""

    def texts(self, index: int | None) -> list[str]:
        """A column's plain texts."""
        return [self.cell(row, index) for row in self.rows]

    def share(self, index: int | None, test: "re.Pattern[str]") -> float:
        """How many of a column's filled cells a pattern finds, 0 to 1."""
        texts = [text for text in self.texts(index) if text]
        return sum(1 for text in texts if test.search(text)) / len(texts) if texts else 0.0
