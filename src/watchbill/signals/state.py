"""Whether an alert fires, from what its senders said of it: pure (docs/intake.md has the rules in words, decision 12 the reasons).

What is kept does not depend on the order in which workers read it: for each replica its last end and its last two reports of
firing, by the numbers of their arrivals. `judge` decides from these alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

#: How long a sender may repeat what it has ended already: Alertmanager's default group_interval (5 min), and a minute for the way.
STALE = timedelta(minutes=6)
#: Replicas of one alert that are kept apart; the one heard of least recently goes first.
MOST_REPLICAS = 6
#: How much earlier or later than its clock says a report may come, in seconds.
_JITTER = 30.0
#: Seconds between two reports from which a lease is told from two ends that were said at once, and an end from a request sent twice.
_SHORTEST, _RESENT = 30.0, 10.0
#: Seconds up to which the time between two reports is a sender's pace already at the second; a longer one may be a gap.
_USUAL = 150.0
#: A lease that leaves less of its length than this would run out before the next report.
_ENOUGH = 0.375
_LONGEST_LEASE = timedelta(minutes=20)
#: What begins later than this has a clock that is ahead.
_AHEAD = timedelta(minutes=1)
#: Reports in one arrival that are told apart: a report's number is its arrival's number and its place among them.
_PLACES = 64


class Report(msgspec.Struct, array_like=True, frozen=True):
    """One thing that a sender said: that the alert fires (``until``: over by then unless it is said again) or that it ended (``until``: when)."""

    number: int
    at: datetime
    starts: datetime
    until: datetime | None = None


class Promise(msgspec.Struct, array_like=True, frozen=True):
    """The end that a report gave, by its sender's clock: one that moves on with the reports is a lease, one that stands still an end."""

    number: int
    at: datetime
    ends: datetime
    #: How often it moved on as fast as time went by, and the shortest time between two such reports in seconds.
    moved: int = 0
    pace: float = 0
    #: It stood still: the alert is over.
    over: bool = False


class Replica(msgspec.Struct, omit_defaults=True):
    """What one replica of a sender said last."""

    fired: Report | None = None
    over: Report | None = None
    #: The number of the report of firing before the last one.
    before: int = 0
    #: The number of the first report of the end that ``over`` repeats.
    since: int = 0
    promise: Promise | None = None


class Heard(msgspec.Struct, omit_defaults=True):
    """All that was said of one alert. Kept with it, as JSON."""

    replicas: dict[str, Replica] = {}
    #: The sender's grouping, while a report waits to be believed.
    group_key: str = ""
    group_labels: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """How an alert stands. ``until``: over then unless it is said again. ``held``: a report of firing is believed then, unless it ends before."""

    firing: bool
    starts: datetime | None = None
    until: datetime | None = None
    held: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a report with an end means by the hub's clock. ``skew``: how far its sender's clock is ahead, where that shows."""

    firing: bool
    until: datetime
    skew: timedelta | None = None


_DECODER = msgspec.json.Decoder(Heard)


def load(text: str | bytes) -> Heard:
    return _DECODER.decode(text)


def dump(heard: Heard) -> str:
    return msgspec.json.encode(heard).decode()


def report_number(arrival: int, place: int = 0) -> int:
    """The number of a report: later arrivals are newer, and of one arrival what stands later in it."""
    return arrival * _PLACES + min(place, _PLACES - 1)


def hear(heard: Heard, key: str, firing: bool, report: Report) -> None:
    """Adds what was said by a replica, in whatever order it is read; what was heard already changes nothing."""
    one = heard.replicas.setdefault(key, Replica())
    last = one.fired if firing else one.over
    if firing:
        if last is None or report.number > last.number:
            if last is not None and last.number // _PLACES != report.number // _PLACES:
                one.before = max(one.before, last.number)
            one.fired = report
        elif report.number // _PLACES != last.number // _PLACES:
            one.before = max(one.before, report.number)
    else:
        same = last is not None and (last.starts, last.until) == (report.starts, report.until)
        newer = last is None or report.number > last.number
        if same:
            one.since = min(one.since, report.number)
        elif newer:
            one.since = report.number
        if newer:
            one.over = report
    if len(heard.replicas) > MOST_REPLICAS:
        del heard.replicas[min(heard.replicas, key=lambda name: _newest(heard.replicas[name]))]


def read_promise(heard: Heard, key: str, number: int, at: datetime, starts: datetime, ends: datetime) -> Reading:
    """Reads the end that a report gives against the one that its replica gave before, so that its clock may be wrong.

    An end that moves on as fast as time goes by is a lease: the alert fires, whatever the sender's clock shows. One that stands still
    after that is an end. All else is read as it stands. Call it before ``hear``.
    """
    one = heard.replicas.setdefault(key, Replica())
    stated = Reading(ends > at, ends, starts - at if starts - at > _AHEAD else None)
    last = one.promise
    if last is None:
        one.promise = Promise(number, at, ends)
        return stated
    if number <= last.number:
        return stated
    gap, step = (at - last.at).total_seconds(), (ends - last.ends).total_seconds()
    if step == 0:
        ahead = bool(last.moved) and ends > at
        if not last.over and not (ahead and gap >= _RESENT):
            return stated
        one.promise = msgspec.structs.replace(last, number=number, over=True)
        return Reading(False, ends, max(ends - last.at, timedelta()) or stated.skew)
    known = last.moved > 0
    # What waited in a queue comes at once: it is no measure of time.
    paced = 0 < step <= 2 * gap and abs(step - gap) <= max(_JITTER, last.pace)
    if paced and (known or gap >= _SHORTEST):
        pace = min(gap, last.pace or gap) if gap >= _SHORTEST else last.pace
        one.promise = Promise(number, at, ends, last.moved + 1, pace)
        if one.over is not None and one.over.number >= last.number:
            # What stood for an end was a lease all along.
            one.over, one.since = None, 0
        return _leased(one.promise, stated)
    if not known and step > 0 and gap < _SHORTEST:
        # Too soon to tell: the next one is compared with the earlier one.
        return stated
    # Moved back: of a lease, or where the start shows that the clock is ahead, it is an end once it is repeated.
    one.promise = Promise(number, at, ends, int(known or (step < 0 and stated.skew is not None)), last.pace)
    return stated


def _leased(promise: Promise, stated: Reading) -> Reading:
    """A lease by the hub's clock. As Prometheus counts it, it lasts four times as long as the time between two reports."""
    left, length = promise.ends - promise.at, timedelta(seconds=4 * promise.pace)
    sure = promise.moved > 1 or promise.pace <= _USUAL
    if left > timedelta() and (not sure or left >= length * _ENOUGH):
        return stated if stated.skew is None else Reading(True, stated.until, max(stated.skew, left - length))
    return Reading(True, promise.at + min(length, _LONGEST_LEASE), left - length if sure else None)


def _newest(one: Replica) -> int:
    return max(one.fired.number if one.fired else 0, one.over.number if one.over else 0)


def believe(heard: Heard) -> None:
    """The report that was held back is taken as true: nobody said anything else in time."""
    for one in heard.replicas.values():
        if one.fired is not None:
            one.before = one.fired.number


def judge(heard: Heard, at: datetime) -> Standing:
    """How the alert stands: it fires while any replica says so. At an instant, since what nobody repeats ends."""
    # What is read late was not said late: it is judged by the newest report.
    at = max([at, *(one.at for each in heard.replicas.values() for one in (each.fired, each.over) if one)])
    fires: list[Report] = []
    held: list[datetime] = []
    for key, one in heard.replicas.items():
        if one.fired is None or (one.fired.until is not None and one.fired.until <= at):
            continue
        when = _believed(one, one.fired, _end(heard, key, one))
        if when is None:
            continue
        if when <= at:
            fires.append(one.fired)
        else:
            held.append(when)
    if fires:
        promises = [one.until for one in fires]
        latest = max(fires, key=lambda one: one.number)
        return Standing(True, latest.starts, None if None in promises else max(one for one in promises if one))
    ends = [one.over for one in heard.replicas.values() if one.over is not None]
    last = max(ends, key=lambda one: one.number, default=None)
    return Standing(False, last.starts if last else None, _ended(last) if last else None, min(held, default=None))


def _ended(over: Report) -> datetime | None:
    """When it was over, as an end says: never later than that came, whatever its sender's clock shows."""
    return None if over.until is None else min(over.until, over.at)


def _end(heard: Heard, key: str, one: Replica) -> tuple[Report, int] | None:
    """The end that counts for a replica, and since when it was said: its own, or one that names no replica; where it promised no end, anybody's."""
    anybody = one.fired is not None and one.fired.until is None
    ends = [
        (each.over, each.since)
        for name, each in heard.replicas.items()
        if each.over is not None and (name in (key, "") or anybody)
    ]
    return max(ends, key=lambda end: end[0].number, default=None)


def _believed(one: Replica, fired: Report, end: tuple[Report, int] | None) -> datetime | None:
    """From when on a report of firing is believed, against the end that was said; None where the end stands."""
    if end is None:
        return fired.at
    over, since = end
    # Where a report has a promise it ends by itself: then an end that is only repeated does not count anew, and a second replica
    # with the same start is heard through the repetitions of the first one's end.
    if one.before > (over.number if fired.until is None else since):
        return fired.at
    if fired.number < over.number:
        # The end of an earlier episode that came late; but not long after. Both by the sender's clock, right or wrong.
        earlier = over.until is not None and over.starts < fired.starts and over.until <= fired.starts
        return fired.at if earlier and over.at - fired.at < STALE else None
    # An end, or a start of what ended, that lies in the future holds back nothing that begins after it came.
    ended, other = _ended(over), fired.starts != over.starts
    next_one = other and ended is not None and fired.starts > min(over.starts, over.at) and fired.starts >= ended
    return fired.at if next_one or fired.at - over.at >= STALE else fired.at + STALE
