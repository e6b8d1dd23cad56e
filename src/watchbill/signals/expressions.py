"""JMESPath with an end: an expression is bounded when it is made, and what it may cost when it is evaluated. Pure.

Anybody who may make an integration writes expressions, and one worker evaluates them for the whole hub.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

#: Of one expression. A mapping of a real sender needs a fraction of each.
LONGEST = 1000
MOST_PARTS = 150
MOST_LISTS = 12
DEEPEST = 40
#: Steps of one arrival, over all expressions and alerts: about half a second.
STEPS = 400_000
#: Values, or characters by sixteen, of a result that becomes text.
LARGEST_TEXT = 4000
#: What makes lists or objects, or goes through them.
_LISTS = frozenset(
    {
        "multi_select_list", "multi_select_dict", "flatten", "projection", "filter_projection", "value_projection", "slice",
        "function_expression",
    }
)  # fmt: skip
#: Functions that cost the same whatever they are given.
_CHEAP = frozenset({"length", "not_null", "type", "to_array", "abs", "ceil", "floor", "map", "min_by", "max_by"})
#: What the library, or Python below it, raises for a value of another type.
_ERRORS = (JMESPathError, ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RecursionError)


class TooLarge(ValueError):
    """An expression, or what it finds, is larger than this hub evaluates."""


class Failed(ValueError):
    """An expression cannot be read, or cannot be applied to what came: why."""


class Budget:
    """How much evaluating one arrival may cost."""

    def __init__(self, steps: int = STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Raises TooLarge where nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise TooLarge("it needs too many steps, or makes too large a result")

    def weigh(self, *values: Any) -> None:
        """Pays for all that is in these values, each as often as it would be written out."""
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            self.spend(1)
            if isinstance(value, str):
                self.spend(len(value) // 16)
            elif isinstance(value, dict):
                self.spend(sum(len(key) for key in value) // 16)
                waiting.extend(value.values())
            elif isinstance(value, list):
                if len(value) > self.left:
                    self.spend(len(value))
                waiting.extend(value)


class _Interpreter(TreeInterpreter):  # type: ignore[misc]
    """The library's own interpreter, paying for every step and for all that a step makes."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget

    def visit(self, node: dict[str, Any], *args: Any, **more: Any) -> Any:
        self.budget.spend(1)
        found = super().visit(node, *args, **more)
        if node["type"] in ("flatten", "slice") and found:
            self.budget.spend(len(found))
        return found

    def visit_flatten(self, node: dict[str, Any], value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        # Paid for before it is made.
        self.budget.spend(sum(len(one) if isinstance(one, list) else 1 for one in base))
        merged: list[Any] = []
        for one in base:
            merged.extend(one if isinstance(one, list) else (one,))
        return merged

    def visit_comparator(self, node: dict[str, Any], value: Any) -> Any:
        sides = [self.visit(child, value) for child in node["children"]]
        if all(isinstance(one, list | dict | str) for one in sides):
            self.budget.weigh(*sides)
        compare = self.COMPARATOR_FUNC[node["value"]]
        comparable = all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in sides)
        return compare(*sides) if node["value"] in self._EQUALITY_OPS or comparable else None

    def visit_function_expression(self, node: dict[str, Any], value: Any) -> Any:
        name, arguments = node["value"], [self.visit(child, value) for child in node["children"]]
        if name not in _CHEAP:
            self.budget.weigh(*arguments)
        if name == "join" and len(arguments) == 2 and isinstance(arguments[0], str) and isinstance(arguments[1], list):
            self.budget.spend(len(arguments[0]) * len(arguments[1]) // 16)
        found = self._functions.call_function(name, arguments)
        if isinstance(found, str):
            self.budget.spend(len(found) // 16)
        return found


def _parts(node: Any, depth: int = 1) -> Iterator[tuple[str, int]]:
    """Each part of an expression: its kind, and how deep it stands."""
    waiting = [(node, depth)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict):
            yield one["type"], depth
            waiting.extend((child, depth + 1) for child in one.get("children", ()))


@lru_cache(maxsize=512)
def compiled(expression: str) -> Any:
    """An expression, ready to evaluate. Raises Failed for what is no JMESPath, TooLarge beyond the bounds."""
    if len(expression) > LONGEST:
        raise TooLarge(f"it has {len(expression):,} characters; this hub takes up to {LONGEST:,}")
    try:
        found = jmespath.compile(expression)
    except _ERRORS as error:
        raise Failed((str(error) or type(error).__name__).splitlines()[0][:120]) from None
    parts = list(_parts(found.parsed))
    lists = sum(kind in _LISTS for kind, _ in parts)
    deepest = max(depth for _, depth in parts)
    for count, most, what in (
        (len(parts), MOST_PARTS, "parts"),
        (lists, MOST_LISTS, "lists, projections and functions"),
        (deepest, DEEPEST, "levels"),
    ):
        if count > most:
            raise TooLarge(f"it has {count:,} {what}; this hub takes up to {most:,}")
    return found


def find(expression: str, value: Any, budget: Budget) -> Any:
    """What an expression finds. Raises Failed, and TooLarge where the budget is spent."""
    try:
        return _Interpreter(budget).visit(compiled(expression).parsed, value)
    except (TooLarge, Failed):
        raise
    except _ERRORS as error:
        raise Failed((str(error) or type(error).__name__)[:500].splitlines()[0][:120]) from None


def check_size(value: Any, budget: Budget) -> None:
    """Before something found is written out as text. Raises TooLarge."""
    if not isinstance(value, list | dict):
        return
    own = Budget(min(LARGEST_TEXT, budget.left))
    before = own.left
    try:
        own.weigh(value)
    except TooLarge:
        budget.spend(before)
        raise TooLarge("it finds a structure that is too large to be text") from None
    budget.spend(before - own.left)
