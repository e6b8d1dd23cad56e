"""What came in, what belongs together, and when a silence holds: pure. Whether an alert fires is decided in `state.py`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from watchbill.signals.heard import is_nobody
from watchbill.signals.matchers import Matcher, holds


@dataclass(frozen=True, slots=True)
class Incoming:
    """One alert as an adapter read it. ``group_key`` and ``group_labels`` are the sender's own grouping."""

    labels: Mapping[str, str]
    firing: bool
    starts_at: datetime
    ends_at: datetime | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    fingerprint: str = ""
    group_key: str = ""
    group_labels: Mapping[str, str] = field(default_factory=dict)
    #: When a firing alert is over unless it is sent again: what Prometheus says of its own.
    expires_at: datetime | None = None
    #: The end that every report gives, firing or not, by the sender's clock: read against the one before (`state.read_promise`).
    promise: datetime | None = None
    #: The sender does not say when an episode began: what fires already goes on, what ended may fire again at any time.
    keeps: bool = False
    #: When the hub received it.
    received_at: datetime | None = None
    #: Which of several replicas of a sender says so, where they can be told apart.
    replica: str = ""


class Read(list[Incoming]):
    """What an adapter read of one arrival, and what it could not read beside that: the rest is taken in all the same."""

    def __init__(self, alerts: Iterable[Incoming] = (), problems: Iterable[str] = ()) -> None:
        super().__init__(alerts)
        self.problems = tuple(problems)


#: A sender's fingerprint is kept as it is up to this length.
LONGEST_FINGERPRINT = 200


def fingerprint(alert: Incoming) -> str:
    """The sender's fingerprint, else one of the labels: the same labels are the same alert."""
    mark = alert.fingerprint
    if not mark:
        told = json.dumps(sorted(alert.labels.items()), ensure_ascii=False)
        return sha256(told.encode("utf-8", "replace")).hexdigest()[:32]
    if len(mark) > LONGEST_FINGERPRINT:
        # Cut, two that differ only at their end would be one alert, and the end of one would end the other.
        return f"{mark[: LONGEST_FINGERPRINT - 65]}#{sha256(mark.encode('utf-8', 'replace')).hexdigest()}"
    return mark


#: The product's default: seconds in which alerts that fire again reopen what was over.
REOPEN_WITHIN = 300
#: The longest such window: beyond a day it is something else that fires.
LONGEST_REOPEN = 86400


def reopen_window(route: Mapping[str, object]) -> timedelta:
    """How long after its end a group with this stamped route is reopened by what fires again."""
    told = route.get("reopen_within")
    return timedelta(seconds=told if isinstance(told, int) else REOPEN_WITHIN)


def reopens(stamped: Mapping[str, object], key: object, resolved_at: datetime | None, at: datetime) -> bool:
    """Whether what fires now, by the route with this key, reopens a group that was over: within its window, and by the same route."""
    window = reopen_window(stamped)
    return resolved_at is not None and bool(window) and stamped.get("key") == key and at - resolved_at <= window


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the handbook, ready to be asked."""

    key: str
    name: str
    state: str
    matchers: tuple[Matcher, ...]
    severity: str = ""
    pages: str = ""
    group_by: tuple[str, ...] = ()
    path: str = ""
    line: int = 0
    reason: str = ""
    reopen_within: int | None = None

    @property
    def nobody(self) -> bool:
        """Whether it says that nobody is paged."""
        return is_nobody(self.pages)

    def stamp(self) -> dict[str, object]:
        """What a group keeps of it. A route that pages nobody says why, under “nobody”."""
        mark = {"nobody": self.reason or "the route says so"} if self.nobody else {}
        return {
            "key": self.key, "name": self.name, "severity": self.severity, "pages": self.pages, "path": self.path, "line": self.line,
            "reopen_within": REOPEN_WITHIN if self.reopen_within is None else self.reopen_within,
        } | mark  # fmt: skip


def words_of_gap(gap: timedelta) -> str:
    """A short time for people: “40 s”, “4 min”."""
    seconds = int(gap.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


#: How a problem begins that says that a sender's clock is wrong.
CLOCK = "Its sender's clock"


def words_of_clock(skew: timedelta) -> str:
    """A sender's clock that is so far ahead, or behind, as a problem; empty where it is near enough."""
    minutes = round(abs(skew).total_seconds() / 60)
    if abs(skew) < timedelta(minutes=1):
        return ""
    where = "ahead of" if skew > timedelta() else "behind"
    return f"{CLOCK} is about {minutes:,} min {where} this hub's: its alerts open and end late. Set the clock, by NTP."


def times(number: int) -> str:
    """“once”, “twice”, “20 times”."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def route_of(routes: Iterable[Route], labels: Mapping[str, str], state: str = "live") -> Route | None:
    """The first route of a state that fits some labels; None where none does."""
    return next((one for one in routes if one.state == state and holds(one.matchers, labels)), None)


def group_key(source: object, alert: Incoming, route: Route | None = None) -> str:
    """What belongs together: what agrees in the route's labels; else the sender's own group; else one alert name and service."""
    if route is not None and route.group_by:
        told = json.dumps([route.key, *(alert.labels.get(name, "") for name in route.group_by)])
    elif alert.group_key:
        told = alert.group_key
    else:
        told = json.dumps([alert.labels.get("alertname", ""), alert.labels.get("service", "")])
    return f"{source}:{sha256(told.encode('utf-8', 'replace')).hexdigest()[:32]}"


def group_labels(alert: Incoming, route: Route | None = None) -> dict[str, str]:
    """What the alerts of a group have in common: the labels that made it one."""
    names = route.group_by if route is not None and route.group_by else ()
    if not names and alert.group_labels:
        return dict(alert.group_labels)
    return {name: alert.labels[name] for name in names or ("alertname", "service") if name in alert.labels}


#: The names of what Grafana says of a rule, and what they mean; the rule itself is the label `rulename`.
_GRAFANA = {"DatasourceNoData": "no data", "DatasourceError": "cannot be evaluated"}


def title(alert: Incoming) -> str:
    """A group's title: its alert's name and what it is about. Grafana calls every rule that has no data, or cannot be asked, alike."""
    name = alert.labels.get("alertname") or alert.annotations.get("summary") or "An alert without a name"
    if rule := _GRAFANA.get(name) and alert.labels.get("rulename"):
        name = f"{rule} ({_GRAFANA[name]})"
    about = alert.labels.get("service") or alert.labels.get("job") or alert.labels.get("instance") or ""
    return f"{name}{f': {about}' if about else ''}"[:300]


@dataclass(frozen=True, slots=True)
class Quiet:
    """When a silence holds: once, or every day or week at the same local time, at most until ``until``."""

    starts_at: datetime
    ends_at: datetime
    every: str = ""
    zone: str = "UTC"
    until: datetime | None = None


def quiet_until(quiet: Quiet, at: datetime) -> datetime | None:
    """When the silence that holds at an instant ends; None where it does not hold."""
    if at < quiet.starts_at or (quiet.until is not None and at >= quiet.until):
        return None
    if not quiet.every:
        return quiet.ends_at if at < quiet.ends_at else None
    zone = ZoneInfo(quiet.zone)
    start, end, local = (one.astimezone(zone) for one in (quiet.starts_at, quiet.ends_at, at))
    size = 1 if quiet.every == "day" else 7
    days = (local.date() - start.date()).days // size * size
    # The turn of today, or one that began before and lasts over midnight.
    for back in (0, size):
        begun, over = (_on(one, days - back) for one in (start, end))
        if days - back >= 0 and begun <= at < over:
            return min(over, quiet.until) if quiet.until else over
    return None


def _on(local: datetime, days: int) -> datetime:
    """The same local time so many days later, in UTC."""
    day = local.date() + timedelta(days=days)
    return datetime.combine(day, local.time(), local.tzinfo).replace(fold=local.fold).astimezone(UTC)
