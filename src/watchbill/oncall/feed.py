"""Shifts as an iCalendar (RFC 5545): pure, but for the library that writes it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from icalendar import Calendar, Event, Timezone, TimezoneStandard

from watchbill.oncall.queries import Watch


def calendar(watches: Iterable[Watch], names: Mapping[str, str], at: datetime, *, only: str = "") -> bytes:
    """A calendar of whole shifts; with ``only``, those of one person. Gaps are events, too, where the whole schedule is shown."""
    made = Calendar()
    made.add("prodid", "-//Watchbill//on-call//EN")
    made.add("version", "2.0")
    made.add("x-wr-calname", "On call")
    # Outlook and Google read only the older of the two.
    made.add("refresh-interval;value=duration", "PT1H")
    made.add("x-published-ttl", "PT1H")
    for watch in watches:
        for one in watch.shifts:
            if only and one.who != only:
                continue
            event = Event()
            # The same shift keeps its number whenever it is asked for, since it begins where it began: calendar programs move nothing about.
            event.add("uid", f"{watch.schedule.id}-{one.start:%Y%m%dT%H%M%SZ}@watchbill")
            event.add("dtstamp", at)
            event.add("dtstart", one.start)
            event.add("dtend", one.end)
            who = names.get(one.who, "somebody who left") if one.who else "Nobody"
            event.add("summary", f"{watch.schedule.name}: {who}" if not only else f"On call: {watch.schedule.name}")
            event.add("transp", "TRANSPARENT")
            made.add_component(event)
    if not made.subcomponents:
        made.add_component(_utc())
    return bytes(made.to_ical())


def _utc() -> Timezone:
    """A time zone for a calendar without events: RFC 5545 (3.6) wants one component at least, and strict readers refuse less."""
    zone, standard = Timezone(), TimezoneStandard()
    zone.add("tzid", "UTC")
    standard.add("dtstart", datetime(1970, 1, 1))  # noqa: DTZ001 - local time, as the RFC has it here
    standard.add("tzoffsetfrom", timedelta(0))
    standard.add("tzoffsetto", timedelta(0))
    standard.add("tzname", "UTC")
    zone.add_component(standard)
    return zone
