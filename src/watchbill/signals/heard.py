"""Which alerts must be heard where no route takes them, and the route that would take them: pure, for the compiler and the hub."""

import re
from collections.abc import Collection, Mapping, Sequence

from watchbill.language.names import severity_name

#: Severities that are counted and page nobody, where the handbook does not say otherwise.
QUIET = ("info", "none", "debug")
ADMINS, NOBODY = "admins", "nobody"
_WORDS = {"yes", "no", "on", "off", "true", "false", "null"}


def is_nobody(name: str) -> bool:
    """Whether ``pages`` means nobody."""
    return name.strip().casefold() == NOBODY


def sign(severity: str) -> str:
    """What two spellings of a severity have in common: “INFO” and “info”, “SEV-4” and “sev4”."""
    found = severity_name(severity)
    return found if re.fullmatch(r"[a-z]\d", found) else " ".join(severity.casefold().split())


def counts_as_paging(severity: str, quiet: Collection[str] = QUIET) -> bool:
    """Whether an alert of a severity must be heard where no route takes it: all but the quiet ones, and one without a severity, too."""
    return sign(severity) not in {sign(one) for one in quiet}


def route_fields(
    labels: Mapping[str, str], severity: str, severities: Sequence[str], whom: Sequence[str]
) -> list[tuple[str, str]]:
    """The fields of a route for alerts of a severity, else of these labels, with names of the handbook where it has any; as YAML."""
    match = [("severity", severity)] if severity else sorted(labels.items())
    if not severity:
        match = [pair for pair in match if pair[0] in ("alertname", "service")] or match[:3]
    name = f"Alerts of severity {severity}" if severity else labels.get("alertname", "Alerts without a severity")
    same = (one for one in severities if severity and sign(one) == sign(severity))
    level = next(same, severities[0] if severities else "")
    return [
        ("kind", "route"),
        ("name", _scalar(name)),
        ("match", f"[{', '.join(_quoted(f'{key}={_double(value)}') for key, value in match)}]"),
        *([("severity", _scalar(level))] if level else []),
        *([("pages", _scalar(whom[0]))] if whom else [("pages", "nobody"), ("reason", "''")]),
    ]


def route_yaml(labels: Mapping[str, str], severity: str, severities: Sequence[str], whom: Sequence[str]) -> str:
    """Such a route as an item to paste, a field a line."""
    lines = [f"{name}: {value}" for name, value in route_fields(labels, severity, severities, whom)]
    return "- " + "\n  ".join(lines) + "\n"


def route_line(severity: str, level: str, whom: Sequence[str]) -> str:
    """Such a route on one line, for a finding: ``severity`` is the label of the alerts, ``level`` the handbook's."""
    fields = route_fields({}, severity, [level], whom)
    return "- {" + ", ".join(f"{name}: {value}" for name, value in fields) + "}"


def _double(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _quoted(text: str) -> str:
    return "'" + " ".join(text.split()).replace("'", "''") + "'"


def _scalar(text: str) -> str:
    """Text as YAML; in quotes where it could be read as something else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9 _-]*[A-Za-z0-9]", text) and text.casefold() not in _WORDS
    return text if plain else _quoted(text)
