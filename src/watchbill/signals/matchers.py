"""Matchers of labels, as Alertmanager writes them: `name="value"`, `!=`, `=~`, `!~`. Pure.

Expressions are RE2 (google-re2), as Prometheus and Alertmanager have it: they match the whole value, and no expression takes
more than linear time. A label that is not there is empty. Source: https://prometheus.io/docs/alerting/latest/configuration/#matcher
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import re2

from watchbill.base.errors import Invalid

Op = Literal["=", "!=", "=~", "!~"]
LONGEST = 1000
_FORM = re.compile(
    r'^\s*(?:"(?P<quoted>[^"]+)"|(?P<name>[A-Za-z_][\w.:/-]*))\s*(?P<op>=~|!~|!=|=)\s*(?P<value>.*?)\s*$', re.S
)
_PARTS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+|"')
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    name: str
    op: Op
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it."""
        found = labels.get(self.name, "")
        if self.op in ("=", "!="):
            return (found == self.value) == (self.op == "=")
        return (_compiled(self.value).fullmatch(found) is not None) == (self.op == "=~")

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.op}"{value}"'


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _OPTIONS)


def read_matcher(text: str) -> Matcher:
    """One matcher. Raises Invalid saying what is wrong with it."""
    match = _FORM.match(text) if len(text) <= LONGEST else None
    if match is None:
        raise Invalid(
            f"“{text[:60]}” is no matcher.", hint='Write it as service="checkout", severity=~"critical|page" or env!="test".', field="match",
        )  # fmt: skip
    value = match["value"]
    if value[:1] == '"':
        if len(value) < 2 or value[-1] != '"':
            raise Invalid(f"“{text[:60]}” has a quotation mark that is not closed.", field="match")
        value = re.sub(
            r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]) if found[1] in 'n"\\' else found[0], value[1:-1]
        )
    made = Matcher(match["quoted"] or match["name"], match["op"], value)  # type: ignore[arg-type]
    if made.op in ("=~", "!~"):
        try:
            _compiled(made.value)
        except re2.error as error:
            told = error.args[0] if error.args else error
            told = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
            raise Invalid(f"“{made.value[:60]}” is no regular expression (RE2): {told[:100]}.", field="match") from None
    return made


def read_matchers(texts: Iterable[str]) -> list[Matcher]:
    """Several matchers, all of which must hold. Raises Invalid."""
    return [read_matcher(text) for text in texts]


def holds(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether the labels fulfil all of them."""
    return all(one.holds(labels) for one in matchers)


def split_search(text: str) -> tuple[str, list[Matcher]]:
    """What somebody typed to find alerts: its plain words, and its matchers. Raises Invalid for a matcher that is none.

    `slow service="check out" env!=test` is one word and two matchers; a value with blanks stands in quotation marks.
    """
    words, matchers = [], []
    for part in _PARTS.findall(text):
        if _FORM.match(part):
            matchers.append(read_matcher(part))
        else:
            words.append(part)
    return " ".join(words), matchers
