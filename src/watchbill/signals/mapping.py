"""Mappings of generic JSON: where an alert's parts stand, as JMESPath expressions (https://jmespath.org). Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from watchbill.base.errors import Invalid

FIELDS = ("alerts", "title", "fingerprint", "status", "severity", "url", "summary", "starts_at")
RESOLVED = ("resolved", "ok", "up", "closed", "recovered", "success", "green", "normal")


@lru_cache(maxsize=512)
def compiled(expression: str) -> Any:
    """An expression, ready to search with. Raises JMESPathError."""
    return jmespath.compile(expression)


def clean_mapping(given: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping, each expression checked. Raises Invalid naming the field."""
    labels, resolved = given.get("labels") or {}, given.get("resolved") or list(RESOLVED)
    unknown = set(given) - {*FIELDS, "labels", "resolved"}
    if unknown:
        raise Invalid(
            f"A mapping has no field “{min(unknown)[:40]}”.",
            hint=f"Fields are {', '.join((*FIELDS, 'labels', 'resolved'))}.",
            field="mapping",
        )
    if not isinstance(labels, dict) or not isinstance(resolved, list) or len(labels) > 50 or len(resolved) > 50:
        raise Invalid(
            "labels is a mapping of names to expressions, resolved a list of words, each at most fifty.",
            field="mapping",
        )
    found: dict[str, Any] = {name: str(given[name]) for name in FIELDS if given.get(name)}
    found["labels"] = {str(name)[:200]: str(value) for name, value in labels.items()}
    found["resolved"] = [str(one).casefold() for one in resolved]
    if not found.get("title"):
        raise Invalid("A mapping says at least where the title is.", field="mapping")
    for name, expression in [*((name, found[name]) for name in FIELDS if name in found), *found["labels"].items()]:
        try:
            compiled(expression)
        except JMESPathError as error:
            raise Invalid(
                f"{name}: “{expression[:60]}” is no JMESPath expression: {str(error).splitlines()[0][:120]}",
                field="mapping",
            ) from None
    return found
