"""Time zones by their IANA names, and what to write instead of a name that is none. Pure."""

from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import available_timezones

#: Files beside the zones: what the machine is set to, which another one does not know, and a placeholder.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The names of all time zones."""
    return frozenset(available_timezones()) - _NO_ZONES


def known(value: str) -> bool:
    """Whether a name can be used at all: also one that nobody may choose any more and that is stored."""
    return value in zones() or (value in _NO_ZONES and value in available_timezones())


def meant(value: str) -> str:
    """The zone that a wrong name is meant to be: another case, spaces for underscores, a city alone, or a slip; empty where nothing is like it."""
    wanted = "_".join(value.split()).casefold()[:60]
    if not wanted:
        return ""
    known = {one.casefold(): one for one in sorted(zones())}
    if wanted in known:
        return known[wanted]
    cities = [one for name, one in known.items() if "/" in name and name.rpartition("/")[2] == wanted]
    if len(cities) == 1:
        return cities[0]
    close = get_close_matches(wanted, known, n=1, cutoff=0.85)
    return known[close[0]] if close else ""
