"""A runbook as safe HTML with its items marked in place. No HTML of the document's own, no images, no scripts.

markdown-it-py escapes HTML when ``html`` is off and refuses javascript:, vbscript:, file: and data: links. Each line that was
read carries an anchor (#L12) and the effect of what was read there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_MARKED = {"tr_open", "list_item_open", "paragraph_open", "heading_open", "fence"}


def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 40}).enable("table")

    def image(self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        # Pictures would load from elsewhere; their text says what they show.
        return f"<em>{self.renderInlineAsText(tokens[index].children or [], options, env)}</em>"

    def note(self: RendererHTML, tokens: list[Token], index: int, options: Any, env: Any) -> str:
        level, line, message, hint = tokens[index].meta["note"]
        return str(
            format_html(
                '<aside class="found found-{}" aria-label="Finding in line {}"><p><strong>line {}</strong> {}</p><p>{}</p></aside>',
                level, line, line, message, hint,
            )
        )  # fmt: skip

    made.add_render_rule("image", image)
    made.add_render_rule("found", note)
    return made


_RENDERER = _renderer()


def _without_title(tokens: list[Token]) -> list[Token]:
    """The document's first heading is the page's own."""
    for number, token in enumerate(tokens[:12]):
        if token.type == "heading_open" and token.tag == "h1":
            return tokens[:number] + tokens[number + 3 :]
    return tokens


def _with_notes(tokens: list[Token], notes: Mapping[int, Sequence[tuple[str, str, str]]]) -> list[Token]:
    """Findings right below the block that they are about; those of no block (frontmatter) come first."""
    left = dict(sorted(notes.items()))
    found: list[Token] = []
    end = 0
    for token in tokens:
        if token.level == 0 and token.map and token.nesting >= 0:
            found += _notes(left, token.map[0])
            end = token.map[1]
        found.append(token)
        if token.level == 0 and token.nesting <= 0:
            found += _notes(left, end)
    return found + _notes(left, 10**9)


def _notes(left: dict[int, Sequence[tuple[str, str, str]]], end: int) -> list[Token]:
    made = []
    for line in [line for line in left if line <= end]:
        for level, message, hint in left.pop(line):
            made.append(Token("found", "", 0, meta={"note": (level, line, message, hint)}))
    return made


def render(
    text: str,
    effects: Mapping[int, tuple[str, str]],
    notes: Mapping[int, Sequence[tuple[str, str, str]]] | None = None,
) -> SafeString:
    """HTML of a document. ``effects`` maps a line to (effect, words for the mark), ``notes`` to its findings as (level, message, hint)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    skip = 0
    if lines and lines[0].strip() == "---":
        skip = next((n for n in range(1, min(len(lines), 400)) if lines[n].rstrip() in {"---", "..."}), 0)
        if skip:
            lines[: skip + 1] = [""] * (skip + 1)
    tokens = _without_title(_RENDERER.parse("\n".join(lines)))
    _levels(tokens)
    marked: set[int] = set()
    for token in tokens:
        if token.type not in _MARKED or not token.map:
            continue
        line = token.map[0] + 1
        if line in marked:
            continue
        marked.add(line)
        token.attrSet("id", f"L{line}")
        found = effects.get(line)
        if found:
            token.attrJoin("class", f"mark mark-{found[0]}")
            token.attrSet("title", found[1])
    tokens = _with_notes(tokens, notes or {})
    # All text was escaped by the renderer; raw HTML is off.
    body: SafeString = mark_safe(_RENDERER.renderer.render(tokens, _RENDERER.options, {}))  # noqa: S308
    return body


def _levels(tokens: list[Token]) -> None:
    """Headings below the page's own, none more than one level deeper than the one before: for those who listen to a page."""
    before = 1
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            before = min(max(2, int(token.tag[1])), before + 1)
            for one in tokens[number : number + 3]:
                if one.type in {"heading_open", "heading_close"}:
                    one.tag = f"h{before}"
