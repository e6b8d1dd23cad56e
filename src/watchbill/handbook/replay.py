"""What a change of routes would have done to the alerts of the last days: a replay of records, which touches nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from watchbill.runtime.now import now
from watchbill.signals.batch import routes_of
from watchbill.signals.matchers import read_matchers
from watchbill.signals.models import Alert
from watchbill.signals.rules import Route, route_of

DAYS = 14
#: Groups that are looked at, the newest first.
MOST = 20_000


@dataclass(frozen=True)
class Replay:
    """How many groups of alerts paged somebody, how many would have; the titles of those that differ."""

    days: int
    groups: int
    before: int
    after: int
    more: list[str]
    fewer: list[str]

    @property
    def words(self) -> str:
        """As a sentence."""
        groups = f"{self.groups} group{'' if self.groups == 1 else 's'} of alerts"
        if self.before == self.after and not self.more:
            return f"In the last {self.days} days it would have paged as often: {self.after} times for {groups}."
        change = abs(self.after - self.before)
        times = f"{change} time{'' if change == 1 else 's'} {'more' if self.after > self.before else 'less'}"
        told = times if change else "as often, about others"
        return (
            f"In the last {self.days} days it would have paged {told}: {self.after}, not {self.before}, for {groups}."
        )


def routes_from(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Route]:
    """Routes of a handbook under review, in their order: (key, data)."""
    return [
        Route(
            key, str(data.get("name", "")), "live", tuple(read_matchers(data.get("match") or [])), str(data.get("severity") or ""), str(data.get("pages") or ""),
        )
        for key, data in rows
    ]  # fmt: skip


def replay(workspace_id: UUID, after: Sequence[Route]) -> Replay:
    """The groups of the last days, by the live routes and by others."""
    before = [one for one in routes_of(workspace_id) if one.state == "live"]
    since = now() - timedelta(days=DAYS)
    labels: dict[UUID, tuple[str, Mapping[str, str]]] = {}
    rows = Alert.objects.filter(workspace_id=workspace_id, group__opened_at__gt=since).order_by("-group__opened_at")
    for group_id, title, told in rows.values_list("group_id", "group__title", "labels")[:MOST]:
        labels.setdefault(group_id, (title, told))
    more, fewer, counts = [], [], [0, 0]
    for title, told in labels.values():
        was, would = _pages(before, told), _pages(after, told)
        counts[0] += was
        counts[1] += would
        if would and not was:
            more.append(title)
        elif was and not would:
            fewer.append(title)
    return Replay(DAYS, len(labels), counts[0], counts[1], more[:5], fewer[:5])


def _pages(routes: Sequence[Route], labels: Mapping[str, str]) -> bool:
    found = route_of(routes, labels)
    return found is not None and not found.nobody
