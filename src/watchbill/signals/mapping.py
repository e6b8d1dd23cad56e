"""Mappings of generic JSON: where an alert's parts stand, as JMESPath expressions (https://jmespath.org). Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from watchbill.base.errors import Invalid
from watchbill.signals.expressions import Failed, TooLarge, compiled

FIELDS = ("alerts", "title", "fingerprint", "status", "severity", "url", "summary", "starts_at")
RESOLVED = ("resolved", "ok", "up", "closed", "recovered", "success", "green", "normal")


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
    check_mapping(found)
    return found


def check_mapping(mapping: Mapping[str, Any]) -> None:
    """That every expression of a mapping can be evaluated here; also of one that is stored. Raises Invalid naming the field."""
    for name, expression in _expressions(mapping):
        try:
            compiled(expression)
        except Failed as error:
            raise Invalid(f"{name}: “{expression[:60]}” is no JMESPath expression: {error}", field="mapping") from None
        except TooLarge as error:
            raise Invalid(
                f"{name}: “{expression[:60]}” is too large: {error}.",
                hint="Let the sender put what you need in a field of its own, or use several labels.",
                field="mapping",
            ) from None


def _expressions(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, mapping[name]) for name in FIELDS if mapping.get(name))
    yield from ((f"labels.{name}"[:80], expression) for name, expression in mapping.get("labels", {}).items())
