"""Explicit items: a fence with the info string `yaml watchbill`, or a file `*.watchbill.yaml`.

A list of items, or one item; each names its ``kind``. The form is published (`watchbill schema items`). Errors stand at the
line of the YAML that is wrong.
"""

from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from watchbill.handbook.kinds import KINDS, LATER, NOW
from watchbill.language.document import YamlTrouble, compose
from watchbill.language.findings import Finding, finding
from watchbill.language.items import FULL, Item, Source

#: What the compiler sets itself.
_OURS = ("key", "state", "workspace", "source", "effect", "reason", "map", "text")


def plain_value(node: yaml.Node) -> Any:
    """A YAML node as plain data. A time of day stays text (YAML 1.1 would make 09:00 a number), and so does a date."""
    if isinstance(node, yaml.MappingNode):
        return {str(plain_value(key)): plain_value(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain_value(one) for one in node.value]
    text = str(node.value)
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in {"true", "yes", "on"}
    if kind in {"int", "float"} and ":" not in text:
        try:
            return int(text.replace("_", ""), 0) if kind == "int" else float(text.replace("_", ""))
        except ValueError:
            return text
    return text


def line_of(node: yaml.Node, path: tuple[int | str, ...], first_line: int) -> tuple[int, int]:
    """Line and column of the deepest part of a path that exists; of the key where there is one."""
    mark = node.start_mark
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            mark, node = found[0].start_mark, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return first_line + mark.line, mark.column + 1


def problems(error: ValidationError) -> list[tuple[tuple[int | str, ...], str, str]]:
    """Path, field and sentence of each problem that pydantic found."""
    found = []
    for one in error.errors(include_url=False):
        path = tuple(part for part in one["loc"] if not (isinstance(part, str) and part.startswith("function-")))
        message = str(one["msg"]).removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            message = "there is no such field"
        elif one["type"] == "missing":
            message = "it is missing"
        found.append((path, ".".join(map(str, path)) or "item", message[:300]))
    return found


def read_explicit(source: str, path: str, first_line: int, workspace: str) -> tuple[list[Item], list[Finding]]:
    """The items of one YAML text, and its findings. Never raises."""
    try:
        node = compose(source, first_line)
    except YamlTrouble as error:
        return [], [finding("WB021", path, error.line, detail=error.problem)]
    if node is None:
        return [], []
    if isinstance(node, yaml.MappingNode) and any(key.value == "items" for key, _ in node.value):
        node = next(value for key, value in node.value if key.value == "items")
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    items: list[Item] = []
    findings: list[Finding] = []
    for one in nodes:
        line = first_line + one.start_mark.line
        if not isinstance(one, yaml.MappingNode):
            findings.append(finding("WB021", path, line, detail="an item is a mapping with a kind"))
            continue
        end = first_line + max(one.start_mark.line, one.end_mark.line - (1 if one.end_mark.column == 0 else 0))
        values = plain_value(one)
        made, found = _item(values, one, path, line, end, first_line)
        findings += found
        if made is not None:
            made.workspace = workspace
            made.text = "\n".join(source.split("\n")[line - first_line : end - first_line + 1])[:2000]
            items.append(made)
    return items, findings


def _item(
    values: dict[str, Any], node: yaml.Node, path: str, line: int, end: int, first_line: int
) -> tuple[Item | None, list[Finding]]:
    kind = values.get("kind")
    model = KINDS.get(str(kind)) if kind else None
    if model is None:
        at, column = line_of(node, ("kind",), first_line)
        return None, [finding("WB022", path, at, column, kind=str(kind or ""), kinds=", ".join(sorted(KINDS)))]
    key = values.pop("id", "")
    if kind == "route" and "reason" in values:
        values["because"] = values.pop("reason") or ""
    wrong = [name for name in values if name in _OURS]
    if wrong:
        return None, [
            finding(
                "WB023", path, *line_of(node, (name,), first_line), field=name, problem="the compiler sets it itself"
            )
            for name in wrong
        ]
    try:
        made = model.model_validate({**values, "key": str(key or "")})
    except ValidationError as error:
        return None, [
            finding("WB023", path, *line_of(node, where, first_line), field=field, problem=problem)
            for where, field, problem in (_as_written(one) for one in problems(error))
        ]
    made.source = Source(path=path, line=line, end_line=end)
    made.effect = "proposed" if kind in FULL else "later"
    made.map = [NOW.get(str(kind)) or LATER[str(kind)]]
    return made, []


def _as_written(problem: tuple[tuple[int | str, ...], str, str]) -> tuple[tuple[int | str, ...], str, str]:
    where, _, text = problem
    return (("reason",), "reason", text) if where == ("because",) else problem


def validate(model: type[BaseModel], source: str, path: str) -> tuple[BaseModel | None, list[Finding]]:
    """A YAML file as a model, e.g. watchbill.yaml."""
    try:
        node = compose(source, 1)
    except YamlTrouble as error:
        return None, [finding("WB021", path, error.line, detail=error.problem)]
    if node is None:
        return model(), []
    if not isinstance(node, yaml.MappingNode):
        return None, [finding("WB021", path, 1, detail="it is no list of “key: value” lines")]
    try:
        made = model.model_validate(plain_value(node))
        if isinstance(lines := getattr(made, "_lines", None), dict):
            lines |= {str(key.value): 1 + key.start_mark.line for key, _ in node.value}
        return made, []
    except ValidationError as error:
        return None, [
            finding("WB023", path, *line_of(node, where, 1), field=field, problem=problem)
            for where, field, problem in problems(error)
        ]
