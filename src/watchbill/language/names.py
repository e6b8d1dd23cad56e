"""What spellings of one name have in common."""

import re


def canonical(text: str) -> str:
    """What two spellings of one name have in common: no case, single spaces, no article."""
    found = " ".join(text.casefold().split()).strip(" .,;:")
    for article in ("the ", "our ", "a ", "an "):
        found = found.removeprefix(article)
    return found[:200]


def severity_name(name: str) -> str:
    """A severity's name without decoration: “**SEV-1** (critical)”, “Sev1” and “sev 1” are the same."""
    match = re.search(r"\b(sev(?:erity)?|prio(?:rity)?|p|s)[\s_-]?(\d)\b", name, re.I)
    if match:
        return f"{match[1][0].lower()}{match[2]}"
    return re.sub(r"[^a-z]+", " ", name.lower()).strip()
