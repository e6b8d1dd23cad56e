"""Findings: what the compiler has to say, each with a code, a place, what it means and how to fix it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding. ``message`` and ``hint`` may name {values}."""

    level: Level
    title: str
    message: str
    hint: str


CODES: dict[str, Code] = {
    "WB001": Code("error", "A file cannot be read", "This file cannot be read: {why}.", "Make it readable for the user that runs Watchbill, or leave it out."),
    "WB002": Code("error", "A file is too large", "This file has {size:,} bytes; more than 2,000,000 are not read.", "Split the document, or move data out of it."),
    "WB003": Code("error", "A file is not UTF-8", "This file is not UTF-8 text: {why}.", "Save it as UTF-8."),
    "WB004": Code("error", "A link leads out of the folder", "This link leads out of the folder, to {target}.", "Put the document itself into the folder."),
    "WB005": Code("error", "Not a regular file", "This is {what}, not a file.", "Remove it from the folder."),
    "WB006": Code("warning", "No document found", "There is no Markdown document and no *.watchbill.yaml here.", "Name a folder or file with runbooks."),
    "WB011": Code("warning", "Nested too deeply", "What is nested more than 40 deep is kept as text.", "Make the list flatter."),
    "WB012": Code("warning", "A NUL byte", "There is a NUL byte here; it is shown as �.", "Remove it: the file may be damaged or in another encoding."),
    "WB013": Code("warning", "A line is too long", "This line has {detail}; it is kept, not read.", "Break the line."),
    "WB014": Code("warning", "A table is too wide", "This table has {detail}; 200 are read.", "Move data out of the runbook."),
    "WB020": Code("error", "Frontmatter is not YAML", "The frontmatter cannot be read: {detail}.", "Correct the YAML on this line."),
    "WB021": Code("error", "An explicit item is not YAML", "This YAML cannot be read: {detail}.", "Correct the YAML on this line; run `watchbill schema items` for its form."),
    "WB022": Code("error", "An unknown kind of item", "“{kind}” is no kind of item.", "One of: {kinds}."),
    "WB023": Code("error", "A field of an item is wrong", "{field}: {problem}.", "Run `watchbill schema items` for the form of each kind."),
    "WB024": Code("error", "Two items have the same id", "The id “{key}” was already given at {place}.", "Give each item an id of its own."),
    "WB025": Code("error", "The lock cannot be read", "What was accepted cannot be read: {why}.", "Take the file back from version control; it is written by `watchbill accept`."),
    "WB030": Code("note", "A row has more cells than its header", "This row has {detail}; the further ones are kept as text.", "Escape a pipe inside of a cell as \\|."),
    "WB031": Code("note", "An unknown comment", "“{what}” is no kind and not “ignore”.", "Write <!-- watchbill: severity --> or <!-- watchbill: ignore -->."),
    "WB032": Code("note", "A comment that cannot be followed", "Nothing below this comment could be read as “{what}”; it is kept as text.", "Write it as a table with headers, or as explicit items in a `yaml watchbill` fence."),
    "WB101": Code("warning", "A placeholder", "“{text}” is a placeholder; nothing is read from it.", "Fill it in, or remove it."),
    "WB102": Code("warning", "A document that is still to be written", "This document says of itself that it is a placeholder; it cannot satisfy a gate.", "Write it, then remove the marker."),
    "WB103": Code("warning", "A frequency with two readings", "“{text}” can mean {one} or {other}; {one} is taken.", "Write what you mean: “{one}” or “{other}”."),
    "WB104": Code("warning", "A cadence that is no time", "“{text}” does not say when.", "Write how often (“monthly”) or what triggers it (“after every change”)."),
    "WB105": Code("warning", "A deadline that is not understood", "“{text}” is no length of time that is known.", "Write “15 min”, “2 business days” or “best effort”."),
    "WB106": Code("note", "Immediate", "“{text}” is taken as {meaning}, because a deadline of nothing cannot be met.", "Write the minutes, or set `immediate` in watchbill.yaml."),
    "WB107": Code("note", "A target in words", "“{text}” has no figure; it is kept, not watched.", "Write a figure with its unit."),
    "WB108": Code("note", "An escalation without a time", "This escalation names no time; it waits {wait}.", "Write after how long it goes on."),
    "WB109": Code("warning", "The same severity twice", "“{name}” stands here with {one} and at {place} with {other}.", "Say in watchbill.yaml which document rules (`precedence`), or make them agree."),
    "WB110": Code("warning", "Nobody in a role", "Nobody holds “{name}”.", "Name who does."),
    "WB111": Code("note", "A duty without an owner", "Nobody is named for “{name}”.", "Name an owner here, in the section or in the document."),
    "WB112": Code("note", "A document outside of the folder", "“{target}” is not in the folder.", "Add it, or link to where it is."),
    "WB113": Code("note", "Bold that is never closed", "The bold text that begins here is never closed; it is read as if it were.", "Add the missing **."),
    "WB114": Code("note", "A document without an owner", "This document names no owner.", "Add “**Owner:** …” under its title, or to the frontmatter."),
    "WB115": Code("warning", "An unknown severity", "“{name}” is no severity of this handbook.", "Use one of: {known}."),
    "WB116": Code("error", "An escalation in a circle", "This escalation comes back to where it began: {chain}.", "End the chain with somebody who decides."),
    "WB117": Code("warning", "A time that cannot be", "“{text}” is no {what} that exists.", "Correct it."),
    "WB119": Code("error", "A route that pages nobody that is known", "“{name}” is no escalation and no contact of this handbook, so this route would page nobody.", "Write one of {known}, or “nobody”."),
    "WB120": Code("warning", "A shift that cannot be placed", "“{text}” {why}, so nobody is on call through this line.", "Write days with their year (2026-11-02 – 2026-11-08), weekdays, or hours (Night 20:00–08:00)."),
    "WB121": Code("warning", "A handbook without a route", "This handbook has no route: no alert would page anybody{but}.", "Say which alerts begin an incident, in a file such as routes.watchbill.yaml: {yaml}"),
    "WB122": Code("warning", "A severity that no route gives", "No route gives “{name}”: no alert would begin an incident of it.", "Write a route that does, in a file such as routes.watchbill.yaml: {yaml}"),
    "WB124": Code("error", "A route that pages nobody without saying why", "This route pages nobody and does not say why.", "Write `reason:` below `pages: nobody`, or name an escalation or a contact."),
    "WB125": Code("error", "Nobody hears of alerts without a route", "`unrouted` names “{name}”, which is no escalation and no contact of this handbook.", "Write admins, nobody with a reason, or one of: {yaml}"),
    "WB123": Code("warning", "A cron line that cannot be used", "{why}", "Correct the line: minute, hour, day, month, day of the week."),
    "WB118": Code("warning", "A current value is missing", "The current value of “{name}” is not filled in.", "Let the hub measure it, or fill it in."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding at one place. Lines and columns count from 1."""

    code: str
    level: Level
    message: str
    hint: str
    path: str
    line: int
    column: int = 1


def finding(code: str, path: str, line: int, column: int = 1, **values: object) -> Finding:
    """A finding with its message filled in; long values are cut, but not ``yaml``, which is there to be pasted."""
    known = CODES[code]
    short = {key: value[:80] if isinstance(value, str) and key != "yaml" else value for key, value in values.items()}
    return Finding(
        code, known.level, known.message.format(**short), known.hint.format(**short), path, max(1, line), max(1, column)
    )
