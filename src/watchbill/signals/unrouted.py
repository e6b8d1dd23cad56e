"""What fires and pages nobody: open groups that no route takes, or whose incident found nobody to page.

A route that says ``pages: nobody`` is a decision, and its groups are not listed here. Neither is what a silence holds back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Q

from watchbill.base.ids import HUB
from watchbill.signals.heard import ADMINS, NOBODY, QUIET, is_nobody, route_yaml, sign
from watchbill.signals.models import Unrouted

#: The key of a stamped route that says why nobody is paged: the route's own reason, or that nobody was named. It is prose: what decides is `pages`.
MARK = "nobody"
#: The integration by which the hub tests itself: it pages by itself.
_SELF_TEST = "Self-test"
#: Groups that page nobody: what the partial index `signals_group_unpaged` holds.
UNPAGED = Q(state="open") & (Q(route={}) | Q(route__has_key=MARK))


def pages_nobody(route: Mapping[str, Any]) -> bool:
    """Whether a group with this stamped route pages nobody: no route took it, the route says so, or nobody was named."""
    return not route or MARK in route or is_decision(route)


def is_decision(route: Mapping[str, Any]) -> bool:
    """Whether that is what the route says, so that nobody has to be told."""
    return is_nobody(str(route.get("pages", "")))


def words_of(route: Mapping[str, Any], revision: int) -> str:
    """Which route takes a group now, for its history. ``route`` is stamped; empty where none fits."""
    which = f"revision {revision}: " if revision else ""
    if not route:
        return f"{which}no route fits its alerts any more"
    return f"{which}the route “{route.get('name', '')}” ({route.get('path', '')}:{route.get('line', 0)}) takes it"


@dataclass(frozen=True, slots=True)
class Setting:
    """`unrouted:` of the live handbook. ``pages`` is “admins”, “nobody” or the name of an escalation or contact."""

    pages: str = ADMINS
    reason: str = ""
    quiet: tuple[str, ...] = QUIET
    revision: int = 0
    path: str = ""
    line: int = 0


def setting_of(workspace_id: UUID) -> Setting:
    """What the live handbook says about alerts that no route takes; the product's default where it says nothing, or none is live."""
    row = Unrouted.objects.filter(workspace_id=workspace_id).first()
    if row is None:
        return Setting()
    return Setting(row.pages, row.reason, tuple(row.quiet), row.revision, row.path, row.line)


@dataclass(frozen=True, slots=True)
class Unpaged:
    """An open group that fires and pages nobody. ``paging``: one of its alerts has a severity that must be heard.

    ``told``: the page by which the admins (or whoever `unrouted:` names) were told of it.
    """

    id: UUID
    title: str
    severity: str
    severities: tuple[str, ...]
    firing: int
    since: datetime
    paging: bool
    why: str
    labels: Mapping[str, str]
    told: UUID | None


#: Groups that are looked at, those that must be heard first and then the newest: a page or message names a few, and thousands must not hold up whoever looks.
MOST = 5000
_FIND = """
WITH g AS MATERIALIZED (
  SELECT id, title, severity, firing, opened_at, route, told_id, labels::text AS labels FROM signals_group
  WHERE workspace_id = %(here)s AND state = 'open' AND (route = '{}'::jsonb OR route ? 'nobody') AND held_until IS NULL AND firing > 0
  AND (%(here)s <> %(hub)s OR source_id NOT IN (SELECT id FROM signals_source WHERE workspace_id = %(hub)s AND name = %(self)s))
  ORDER BY lower(trim(severity)) = ANY(%(quiet)s), opened_at DESC LIMIT %(most)s
), s AS (
  SELECT a.group_id, array_agg(DISTINCT coalesce(a.labels->>'severity', '')) AS found
  FROM signals_alert a JOIN g ON g.id = a.group_id WHERE a.workspace_id = %(here)s AND a.firing GROUP BY a.group_id
)
SELECT g.id, g.title, g.severity, coalesce(s.found, ARRAY[g.severity]), g.firing, g.opened_at, coalesce(g.route->>'nobody', ''), coalesce(g.route->>'pages', ''), g.labels, g.told_id
FROM g LEFT JOIN s ON s.group_id = g.id
"""


def unrouted(workspace_id: UUID, setting: Setting | None = None) -> list[Unpaged]:
    """Open groups that fire and page nobody: those that must be heard first, then the oldest first. One query, or two without a setting.

    For rules; pages ask for `alert.read` first.
    """
    quiet = {sign(one) for one in (setting or setting_of(workspace_id)).quiet}
    with connection.cursor() as cursor:
        cursor.execute(
            _FIND, {"here": workspace_id, "hub": HUB, "self": _SELF_TEST, "most": MOST, "quiet": sorted(quiet)}
        )
        rows = cursor.fetchall()
    found = []
    loud: dict[str, bool] = {}
    for key, title, severity, severities, firing, since, mark, pages, labels, told in rows:
        if is_nobody(pages):
            continue
        heard = [one for one in severities if loud.setdefault(one, sign(one) not in quiet)]
        shown = severity if severity in heard or not heard else heard[0]
        why = mark or "no route of the live handbook fits"
        found.append(
            Unpaged(key, title, shown, tuple(severities), firing, since, bool(heard), why, msgspec.json.decode(labels), told)
        )  # fmt: skip
    return sorted(found, key=lambda one: (not one.paging, one.since, one.id))


def must_be_heard(found: Iterable[Unpaged], setting: Setting) -> list[Unpaged]:
    """Those of which somebody must hear: none, where the handbook says with a reason that nobody does."""
    return [] if setting.pages == NOBODY else [one for one in found if one.paging]


def count_by_severity(rows: Iterable[Unpaged]) -> dict[str, int]:
    """How many groups there are of each severity, as their senders write it, the most frequent first."""
    found: dict[str, int] = {}
    for one in rows:
        found[one.severity or "no severity"] = found.get(one.severity or "no severity", 0) + 1
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


#: Names of the live handbook for a suggested route: (severities, the worst first; escalations and contacts).
Names = tuple[list[str], list[str]]
_names: list[Callable[[UUID], Names]] = []


def names_from(source: Callable[[UUID], Names]) -> None:
    """Who knows the severities and escalations of a workspace: features above this one register themselves."""
    _names[:] = [source]


def suggest(workspace_id: UUID, labels: Mapping[str, str], severity: str) -> str:
    """A route that would take alerts like these, as YAML to paste."""
    severities, whom = _names[0](workspace_id) if _names else ([], [])
    return route_yaml(labels, severity, severities, whom)
