"""How a page goes on, by which methods a person is reached, and why a message does not go out: pure functions of data and an instant."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from watchbill.paging.answers import Answer
from watchbill.paging.shorten import number_in

#: Messages a minute to one target by one method; the last of them says how many more wait.
A_MINUTE = 5
MINUTE = timedelta(minutes=1)
#: Messages that are sent at the same time, by each worker. Few of them wait at once, unless servers hang.
SENDERS = 16
#: All that one attempt sends and waits for, in seconds: then its connections are shut, whatever the channel is doing.
SEND_SECONDS = 30.0
#: How long a message stays with its sender before another one takes it over: an attempt is over by then, and its outcome written.
LEASE = timedelta(seconds=SEND_SECONDS + 15)
#: A message is tried again so often before its method counts as failed.
MOST_ATTEMPTS = 8
#: How a channel's problem begins where it was several receivers' addresses that failed: it is shown, and takes the channel from nobody whom it reaches.
FOR_SEVERAL = "it fails for several receivers: "
#: Methods that ring: the default order of a person without own rules, with the seconds each waits.
DEFAULT_HIGH = (("push", 0), ("email", 0), ("sms", 0), ("voice", 60))
DEFAULT_LOW = (("push", 0), ("email", 0))
#: Which contact a method needs.
NEEDS = {"email": "email", "sms": "phone", "voice": "phone"}


#: Why a number that was answered STOP gets no text.
NO_TEXTS = "STOP was answered from this number, so no text reaches it until START is"


@dataclass(frozen=True, slots=True)
class Way:
    """One contact method of a person; ``problem`` says why a stored one cannot be used as it is."""

    id: UUID
    kind: str
    verified: bool
    problem: str = ""
    #: Its owner answered STOP: the carrier delivers no text of ours to it. Calls go on.
    no_texts: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One message to make: by which method, to which contact, after how many seconds; ``stage`` says why it is not to go out."""

    method: str
    contact_id: UUID | None
    delay: float
    stage: str = ""
    reason: str = ""


def ways_of(
    ways: Sequence[Way], urgency: str, available: Iterable[str], steps: Sequence[Mapping[str, Any]] = ()
) -> list[Plan]:  # fmt: skip
    """The messages to a person in their order: by their own rules, else by default. What is left out is there with its reason.

    Only verified contacts are used; a person who has none is paged at unverified ones, since nobody reached is worse.
    """
    usable, found = set(available), []
    trusted = any(way.verified for way in ways)
    wanted: list[tuple[str, float, str]] = [
        (str(one["method"]), float(one["delay"]), str(one.get("contact_id") or "")) for one in steps
    ]
    own = bool(wanted)
    wanted = wanted or [(method, delay, "") for method, delay in (DEFAULT_HIGH if urgency == "high" else DEFAULT_LOW)]
    for method, delay, contact in wanted:
        mine = [way for way in ways if way.kind == NEEDS.get(method, method) and contact in ("", str(way.id))]
        if not mine and own:
            found.append(Plan(method, None, delay, "contact", f"no {NEEDS.get(method, method)} is stored"))
        for way in mine:
            if method not in usable:
                found.append(Plan(method, way.id, delay, "channel", f"no channel for {method} is set up here"))
            elif method == "sms" and way.no_texts:
                found.append(Plan(method, way.id, delay, "contact", NO_TEXTS))
            elif not way.verified and trusted:
                found.append(Plan(method, way.id, delay, "verified", way.problem or "this contact is not verified"))
            else:
                found.append(Plan(method, way.id, delay))
    return found


def quietly(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A person's own rules for what is said at once and without a sound: their methods without the calls, none of them later."""
    return [{**one, "delay": 0} for one in steps if one["method"] != "voice"]


def is_quiet(quiet: Mapping[str, str], at: datetime) -> datetime | None:
    """When a person's quiet hours end, where they run at an instant; None where they do not."""
    if not quiet:
        return None
    zone = ZoneInfo(quiet["zone"])
    local, start, end = at.astimezone(zone), time.fromisoformat(quiet["start"]), time.fromisoformat(quiet["end"])
    clock = local.time()
    inside = start <= clock < end if start < end else (clock >= start or clock < end)
    if not inside:
        return None
    day = local.date() + timedelta(days=1 if clock >= end else 0)
    return datetime.combine(day, end, zone)


#: When people are awake who say no quiet hours of their own, in their workspace's time zone.
NIGHT = {"start": "22:00", "end": "07:00"}
#: How somebody hears that it is taken or over: the quietest first. A call is never one of them.
QUIETEST = ("push", "email", "sms")


@dataclass(frozen=True, slots=True)
class Told:
    """A message that went to somebody about an incident: by which method, to which of their contacts or address."""

    method: str
    contact_id: UUID | None = None
    address: str = ""


def notice_way(told: Iterable[Told], ways: Iterable[Way], available: Iterable[str]) -> Told | None:
    """How whoever was paged hears that it is taken or over: once, by the quietest method that they were paged by, never by a call.

    Whom only a call reached gets a text at that number, else whatever of theirs is verified; None where that is nothing.
    """
    here, mine = set(available), {way.id: way for way in ways}
    rows = list(told)
    for method in QUIETEST:
        for one in rows:
            if one.method == method and method in here and (one.contact_id is None or one.contact_id in mine):
                return one
    called = [one.contact_id for one in rows if one.method == "voice"]
    for method in ("sms", "push", "email"):
        for way in mine.values():
            fits = way.id in called and not way.no_texts if method == "sms" else way.verified and way.kind == method
            if called and fits and method in here:
                return Told(method, way.id)
    return None


@dataclass(frozen=True, slots=True)
class Next:
    """What happens to a page at an instant: a step begins, it starts over, or nobody is left to page; and when it is looked at again."""

    what: str
    step: int
    round: int
    at: datetime | None


def go_on(steps: Sequence[Mapping[str, Any]], repeat: int, step: int, round_: int, at: datetime) -> Next:
    """The next thing of a page whose time has come. ``step`` counts the steps of this round that have begun."""
    if step < len(steps):
        return Next("step", step + 1, round_, at + wait_of(steps, step + 1))
    if round_ < repeat:
        wait = float(steps[1]["after"]) if len(steps) > 1 else _last_wait(steps)
        return Next("again", 1, round_ + 1, at + timedelta(seconds=wait))
    return Next("nobody", step, round_, None)


def wait_of(steps: Sequence[Mapping[str, Any]], step: int) -> timedelta:
    """How long a step, the first is 1, waits before the next thing happens."""
    return timedelta(seconds=float(steps[step]["after"]) if step < len(steps) else _last_wait(steps))


#: How long the last step waits before nobody counts as reached, where no step says a time.
LAST = 300.0


def _last_wait(steps: Sequence[Mapping[str, Any]]) -> float:
    """The last step waits as long as the longest wait between steps, at least five minutes."""
    return max([LAST, *(float(one["after"]) for one in steps[1:])])


#: Pages that are not over, as a handover names them.
SHOWN = 5
_STANDS = {
    "running": "nobody acknowledged it yet",
    "unacknowledged": "nobody acknowledged: all steps went by",
    "unreached": "nobody could be reached",
    "acknowledged": "acknowledged",
}


def words_of_shift(since: datetime | None, paged: int, waiting: Sequence[tuple[str, str]], count: int) -> str:
    """A shift in a few lines: since when it was, how often somebody was paged, and what is not over: (title, how it stands), the newest first."""
    begun = f", since {since:%Y-%m-%d %H:%M} UTC" if since else ""
    times = f"{paged} times" if paged > 1 else "once" if paged else "never"
    lines = [f"The shift before you{begun}: paged {times}."]
    lines += [f"Not over: {title} ({_STANDS.get(state, state)})" for title, state in waiting[:SHOWN]]
    if count > SHOWN:
        lines.append(f"and {count - SHOWN} more.")
    return "\n".join(lines) if waiting else f"{lines[0]} No page is open."


def thread_of(workspace_id: UUID, title: str, kind: str, subject_id: str, hub: str) -> str:
    """What all mails about one incident reply to: the same for its pages, calls and notices, whoever carries them. ``hub`` is its address."""
    number, host = number_in(title), re.sub(r"^\[|\]$", "", urlsplit(hub).hostname or "")
    about = f"inc-{number}" if number is not None else f"{kind}-{subject_id}"
    domain = host if re.fullmatch(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", host) else "watchbill.invalid"
    return f"{re.sub(r'[^A-Za-z0-9-]', '-', about)[:100]}.{workspace_id}@{domain}"


class _Answerable(Protocol):
    title: str
    state: str


Paged = TypeVar("Paged", bound=_Answerable)


def which(pages: Sequence[Paged], answer: Answer) -> tuple[Paged | None, str]:
    """The page that an answer means, of those a person was texted or called about, the newest first; None, with what to say, where it is in doubt.

    Without a number it is the one that waits; where several wait, none is guessed.
    """
    waiting = [one for one in pages if one.state in ("running", "exhausted")]
    if answer.number is not None:
        # Of an incident's own page and a call to it, the one that waits.
        named = [one for one in [*waiting, *pages] if number_in(one.title) == answer.number]
        return (named[0], "") if named else (None, f"You were not paged about INC-{answer.number} lately.")
    if len(waiting) > 1:
        codes = [f"INC-{number}" for one in waiting if (number := number_in(one.title)) is not None]
        if codes:
            return (
                None,
                f"{len(waiting)} pages wait for you: {', '.join(codes[:8])}. Answer 1 and the number, such as: 1 {codes[0][4:]}",
            )
    if waiting or pages:
        return (waiting or list(pages))[0], ""
    return None, "You were not paged lately."


@dataclass(frozen=True, slots=True)
class Look:
    """What the stages look at when a message is due."""

    page_state: str
    acknowledged_by: str = ""
    shadow: bool = False
    demo: bool = False
    person_here: bool | None = None
    channel_here: bool = True
    silence: str = ""
    silence_until: datetime | None = None
    already: bool = False
    recent: Sequence[datetime] = field(default_factory=tuple)
    waiting: int = 0
    urgency: str = "high"
    quiet_until: datetime | None = None
    settles: bool = True
    #: It says that it is over.
    says_over: bool = False
    #: This is the first message of an incident to this target by this method: nothing of it went there yet.
    first: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a message goes out. ``stage`` "" is yes; with ``again`` it is looked at again then; ``more`` others wait behind it."""

    stage: str = ""
    reason: str = ""
    again: datetime | None = None
    more: int = 0


def weigh(look: Look, now: datetime) -> Verdict:
    """The stages in their order, each with one concern; the first that objects decides."""
    for stage in (_settle, _shadow, _demo, _person, _channel, _silence, _dedupe, _quiet, _bundle):
        verdict = stage(look, now)
        if verdict is not None:
            return verdict
    # The last one of a minute says how many more wait.
    recent = _lately(look, now)
    return Verdict(more=look.waiting if len(recent) == A_MINUTE - 1 else 0)


def _settle(look: Look, now: datetime) -> Verdict | None:
    if look.says_over and look.page_state != "ended":
        return Verdict("settle", "it is not over: its alerts fire again")
    if not look.settles:
        return None
    if look.page_state == "acknowledged":
        return Verdict("settle", f"{look.acknowledged_by or 'somebody'} acknowledged before it went out")
    return Verdict("settle", "it was over before it went out") if look.page_state == "ended" else None


def _shadow(look: Look, now: datetime) -> Verdict | None:
    return Verdict("shadow", "a shadow: it records whom it would have paged") if look.shadow else None


def _demo(look: Look, now: datetime) -> Verdict | None:
    return Verdict("demo", "this is a demo workspace: nothing leaves it") if look.demo else None


def _person(look: Look, now: datetime) -> Verdict | None:
    return Verdict("person", "this person is not here any more") if look.person_here is False else None


def _channel(look: Look, now: datetime) -> Verdict | None:
    return None if look.channel_here else Verdict("channel", "the channel was removed")


def _silence(look: Look, now: datetime) -> Verdict | None:
    return Verdict("silence", look.silence, again=look.silence_until) if look.silence else None


def _dedupe(look: Look, now: datetime) -> Verdict | None:
    return Verdict("dedupe", "the same message went there already") if look.already else None


def _quiet(look: Look, now: datetime) -> Verdict | None:
    if look.urgency == "low" and look.quiet_until is not None and look.quiet_until > now:
        return Verdict("quiet", "their quiet hours", again=look.quiet_until)
    return None


def _lately(look: Look, now: datetime) -> list[datetime]:
    """When messages went there in the last minute. What lies ahead was sent before the clock was set back: it holds up nothing."""
    return sorted(at for at in look.recent if now - MINUTE < at < now + MINUTE)


def _bundle(look: Look, now: datetime) -> Verdict | None:
    recent = _lately(look, now)
    # Five messages about one incident say nothing of another one.
    if len(recent) < A_MINUTE or (look.first and look.urgency == "high"):
        return None
    return Verdict("bundle", f"{A_MINUTE} messages went there in the last minute", again=recent[-A_MINUTE] + MINUTE)


#: How long the first retry waits when the provider names no time.
FIRST_WAIT = 5.0
#: How long a page waits for a provider that asks for a pause. Longer, and the next method takes over.
PATIENCE = timedelta(seconds=60)
#: No retry is planned further ahead than this, whatever a provider asks for.
LONGEST_PAUSE = timedelta(days=1)
_PAUSE = re.compile(
    r"\b(?:in|after|within|for|wait)\s+(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b", re.I
)
_UNITS = {"s": 1, "m": 60, "h": 3600}


def retry_after(attempts: int) -> timedelta:
    """How long a message waits after so many failed attempts: 5, 10, 20, 40 … seconds, at most five minutes, with jitter."""
    return timedelta(
        seconds=min(300.0, FIRST_WAIT * 2 ** (attempts - 1)) * (0.75 + random.random() / 2)  # noqa: S311 - jitter
    )


def read_retry_after(value: str, at: datetime, date: str = "") -> float | None:
    """A ``Retry-After`` header (RFC 9110, 10.2.3) in seconds: a number or an HTTP date. None where there is none, or it cannot be read.

    A date counts from the answer's own ``Date``, so that two clocks that differ do no harm; without one, from ``at``.
    """
    value = value.strip()
    if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", value, re.ASCII):
        return min(float(value), LONGEST_PAUSE.total_seconds())
    until, since = _http_date(value), _http_date(date) or at
    if until is None:
        return None
    return min(max((until - since).total_seconds(), 0.0), LONGEST_PAUSE.total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def read_pause(words: str) -> float | None:
    """The pause that a server asks for in words, in seconds: “450 4.2.0 Greylisted, try again in 5 minutes”. None where it names none."""
    found = _PAUSE.search(words)
    return min(float(found[1]) * _UNITS[found[2][0].lower()], LONGEST_PAUSE.total_seconds()) if found else None


@dataclass(frozen=True, slots=True)
class Retry:
    """When a message that was refused for now is tried again. ``out``: too late for this page, so the next method goes at once."""

    at: datetime
    out: bool


def plan_retry(attempts: int, pause: float | None, now: datetime, next_step: datetime | None) -> Retry:
    """What follows a temporary refusal after so many attempts; ``pause`` is what the provider asked for, in seconds.

    The pause is kept, never shortened. One of more than a minute, or beyond the next step, takes the method out for this page.
    """
    wait = retry_after(attempts)
    if pause is not None:
        asked = min(timedelta(seconds=pause), LONGEST_PAUSE)
        wait = asked if pause >= FIRST_WAIT else max(asked, wait)
    at = now + wait
    out = pause is not None and (wait > PATIENCE or (next_step is not None and at > next_step))
    return Retry(at, out)
