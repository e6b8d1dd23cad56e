"""Placeholders: text that says that something is still to be written. Never a person, a target or a policy."""

import re
from functools import lru_cache

_WORDS = r"TBD|TBC|TBA|TODO|FIXME|XXX+|REPLACE[_ -]?ME|CHANGE[_ -]?ME|FILL[_ -]?(?:ME[_ -]?)?IN|PLACEHOLDER|NEEDS? CLARIFICATION|TO BE (?:DETERMINED|DEFINED|CONFIRMED|ANNOUNCED|DECIDED|ASSIGNED|FILLED IN|WRITTEN)|NOT YET (?:ASSIGNED|DEFINED)|UNASSIGNED|YOUR[_ -][A-Z_ -]+[_ -](?:HERE|NAME)"
_GAP = re.compile(
    rf"^\W*(?:{_WORDS})\b"
    r"|^\s*\[(?!\d+\]|[ xX]\]|[^\]]*\]\()[^\[\]]{1,60}\]\s*$"
    r"|\bREPLACE_ME\b|\bNEEDS CLARIFICATION\b"
    r"|<(?:your|my|insert|add|enter|fill|replace|name|phone|email|person|contact|team|url|number|slack|tbd|todo|owner|on-?call)[\w ./_-]*>"
    r"|\{\{?\s*[\w. -]+\s*\}?\}"
    r"|\[(?:your|insert|name|phone|email|e-mail|contact|phone number|number|tbd|todo|person|to be [a-z ]+|fill in|add|slack handle|link|url|date|company)[\w ./@_-]*\]"
    r"|(?<!\d)(?:\+?1?[ .-]?)?\(?(?:\d{3})?\)?[ .-]?555-?0?1\d{2}\b|\b555-\d{4}\b"
    r"|\b[xX]{3}[-. ][xX]{3,4}(?:[-. ][xX]{4})?\b|\bx{4,}\b|\bX{4,}\b"
    r"|^_{3,}$|^\.{3,}$|^…$",
    re.IGNORECASE,
)
_CASED = re.compile(r"\b(?:TBD|TBC|TODO|FIXME)\b")


@lru_cache(maxsize=8192)
def is_gap(text: str) -> bool:
    """Whether a cell's text (or Markdown) is a placeholder: ``[Name]``, ``TBD``, ``555-0100``, ``<your-team>``."""
    return bool(text) and bool(_GAP.search(text) or _CASED.search(text))
