"""Writes the tables of docs/access.md, and of docs/security.md which commands make the hub quieter, anew from the code:
python tools/access_tables.py. The prose around them stays."""

import os
import re
from pathlib import Path

for name, value in {"WATCHBILL_PROCESS": "code", "DJANGO_SETTINGS_MODULE": "watchbill.server.settings"}.items():
    os.environ.setdefault(name, value)

import django  # noqa: E402

django.setup()

import watchbill.server.urls  # noqa: E402 - everything is registered
import watchbill.server.worker  # noqa: E402, F401
from watchbill.facts.publish import KINDS, SUBSCRIBERS  # noqa: E402
from watchbill.ledger.command import COMMANDS  # noqa: E402
from watchbill.people.rules import PERMISSIONS, ROLES  # noqa: E402
from watchbill.runtime.principals import PRINCIPALS  # noqa: E402

DOCS = Path(__file__).resolve().parents[1] / "docs"


def heard(kind: str) -> str:
    names = sorted(name for name, one in SUBSCRIBERS.items() if one.kind == kind)
    return ", ".join(f"`{name}`" for name in names) or "nobody yet"


TABLES = {
    "role": [f"| `{role}` | {', '.join(f'`{one}`' for one in sorted(held))} |" for role, held in ROLES.items()],
    "permission": [f"| `{name}` | {doc} |" for name, doc in PERMISSIONS.items()],
    "command": [
        f"| `{name}` | {f'`{info.needs}`' if info.needs else 'decides itself'} | {info.doc} | {info.quieter.guard}: {info.quieter.why} |"
        for name, info in sorted(COMMANDS.items())
    ],
    "fact": [f"| `{name}` | {kind.doc} | {heard(name)} |" for name, kind in sorted(KINDS.items())],
    "principal": [f"| `{name}` | {doc} |" for name, doc in PRINCIPALS.items()],
}

#: Of docs/security.md: what can make the hub quieter, what guards it first.
QUIETER = {
    "way to make the hub quieter": [
        f"| {info.quieter.why} | `{name}` | {info.quieter.guard} |"
        for name, info in sorted(COMMANDS.items(), key=lambda one: (one[1].quieter.guard != "gated", one[0]))
        if info.quieter.guard != "no"
    ],
}


def write(page: Path, tables: dict[str, list[str]]) -> None:
    """Replaces the rows of each table that is known by the head of its first column."""
    text = page.read_text()
    for head, rows in tables.items():
        text = re.sub(
            rf"(\| {head} \|[^\n]*\n\|[-|]+\|\n)(?:\|[^\n]*\n)*",
            lambda found, rows=rows: found[1] + "\n".join(rows) + "\n",
            text,
        )
    page.write_text(text)


if __name__ == "__main__":
    write(DOCS / "access.md", TABLES)
    write(DOCS / "security.md", QUIETER)
