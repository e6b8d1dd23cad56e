"""Inline Markdown of one cell or line as plain text, with its code spans and links. No HTML is kept."""

import html
import re
from functools import lru_cache

_SPECIAL = re.compile(r"[`*_~\[\]<>\\&!]")
_INLINE = re.compile(
    r"(?P<code>(?P<ticks>`+)(?P<span>.+?)(?<!`)(?P=ticks)(?!`))"
    r"|\\(?P<escaped>[!-/:-@\[-`{-~])"
    r"|!?\[(?P<label>[^\[\]]*)\]\((?P<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+[\"'][^\"']*[\"'])?\)"
    r"|!?\[(?P<named>[^\[\]]+)\]\[[^\[\]]*\]"
    r"|(?P<br><br\s*/?>)"
    r"|<(?P<auto>https?://[^<>\s]+|[\w.+-]+@[\w-]+\.[\w.-]+)>"
    r"|(?P<tag><!--.*?-->|</?[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>)"
    r"|(?P<emphasis>\*\*\*|\*\*|__|~~|(?<![\w*])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w*])|(?<!\w)_(?=\S)|(?<=\S)_(?!\w))"
)


def _text(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if match["code"]:
        return match["span"].strip()
    if match["escaped"]:
        return match["escaped"]
    if match["label"] is not None:
        return match["label"]
    if match["named"]:
        return match["named"]
    if match["br"]:
        return "\n"
    return match["auto"] or "" if kind != "tag" else ""


@lru_cache(maxsize=8192)
def plain(raw: str) -> str:
    """The text a reader sees: emphasis, tags and link targets gone, code spans verbatim, ``<br>`` a line break."""
    if not _SPECIAL.search(raw):
        return raw.strip()
    text = _INLINE.sub(_text, raw)
    if "**" in text or "`" in text:
        # What was opened and never closed, e.g. “**Timeline: Ongoing”.
        text = text.replace("**", "")
    if "[" in text and _INLINE.search(text):
        # A code span or emphasis inside of a link's label.
        text = _INLINE.sub(_text, text)
    if "&" in text:
        text = html.unescape(text)
    return text.strip()


def codes(raw: str) -> list[str]:
    """The code spans, in order."""
    return [match["span"].strip() for match in _INLINE.finditer(raw) if match["code"]] if "`" in raw else []


def links(raw: str) -> list[tuple[str, str]]:
    """Label and target of each link."""
    if "](" not in raw:
        return []
    return [(plain(match["label"]), match["target"]) for match in _INLINE.finditer(raw) if match["target"]]


_LEAD = re.compile(
    r"\s*(?:\*\*|__)(?P<inside>[^*\n]{1,120}?):\s*(?:\*\*|__)\s*(?P<a>.*)"
    r"|\s*(?:\*\*|__)(?P<bold>[^*\n]{1,120}?)(?:\*\*|__)\s*(?:\([^()]*\)\s*)?(?::|—|–|->|→|\s-\s)\s*(?P<b>.*)"
    r"|\s*\*\*(?P<unclosed>[^*:\n]{1,60}):\s+(?P<c>[^*]*)$",
    re.S,
)


def bold_lead(raw: str) -> tuple[str, str] | None:
    """Label and value of “**Label:** value”, “**Label**: value”, “**Label** — value”, or one that was never closed."""
    if "**" not in raw and "__" not in raw:
        return None
    match = _LEAD.match(raw)
    if not match:
        return None
    label = match["inside"] or match["bold"] or match["unclosed"]
    value = match["a"] if match["inside"] else match["b"] if match["bold"] else match["c"]
    return plain(label), (value or "").strip()


_KEY = re.compile(r"^([A-Z][\w /&'()-]{1,40}?):\s+(\S.*)$", re.S)


def key_value(raw: str) -> tuple[str, str] | None:
    """Label and value of a bold lead or of a short plain “Label: value”."""
    found = bold_lead(raw)
    if found:
        return found
    match = _KEY.match(raw.strip())
    return (plain(match[1]), match[2]) if match else None
