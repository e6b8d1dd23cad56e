"""Fifty schedules: their page, and a year of all of them computed."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from tests.server.hub import wait_for

from bench.alerts import median
from bench.house import connect, line, running_hub
from watchbill.base.ids import uuid7
from watchbill.oncall.rules import Layer, Window, shifts

SCHEDULES = 50


def layers(people: list[str]) -> list[Layer]:
    """A weekly rota, and over it somebody else in the office hours of weekdays."""
    hours = Window(frozenset(range(5)), time_of_day(9), time_of_day(17))
    days = Layer(tuple(people[:2]), unit="day", zone="Europe/Helsinki", windows=(hours,), name="Days")
    return [days, Layer(tuple(people), zone="Europe/Helsinki", name="Nights")]


def as_json(layer: Layer) -> dict[str, Any]:
    """As `oncall/queries.py` keeps it."""
    windows = [
        {"days": sorted(one.days), "start": f"{one.start:%H:%M}", "end": f"{one.end:%H:%M}"} for one in layer.windows
    ]
    return {
        "participants": list(layer.participants), "count": layer.count, "unit": layer.unit, "handover": f"{layer.handover:%H:%M}", "zone": layer.zone,
        "start": layer.start.isoformat(), "name": layer.name, "begins": layer.begins, "windows": windows,
    }  # fmt: skip


def measure() -> Iterator[dict[str, Any]]:
    with running_hub(WATCHBILL_RATE="100000") as hub:
        wait_for(hub.ready, 30)
        browser = hub.signed_in()
        for number in range(6):
            hub.post(
                browser, "/w/main/people", name=f"Person {number}", email=f"p{number}@example.org", role="responder"
            )
        with connect(hub) as owner:
            (workspace,) = owner.execute("SELECT id FROM people_workspace WHERE slug = 'main'").fetchone()
            people = [
                str(row[0])
                for row in owner.execute("SELECT person_id FROM people_membership WHERE workspace_id = %s", [workspace])
            ]
            made = layers(people)
            told = json.dumps([as_json(one) for one in made])
            for number in range(SCHEDULES):
                owner.execute(
                    "INSERT INTO oncall_schedule (id, workspace_id, key, name, level, layers, problems, path, line) VALUES (%s, %s, %s, %s, 'primary', %s, '[]', 'runbook.md', 1)",
                    [uuid7(), workspace, f"rota/{number}", f"Rota {number:02}", told],
                )
        month = "/api/v1/workspaces/main/oncall?days=31"
        yield line(
            "oncall", f"a month of {SCHEDULES} schedules, API, median", median(browser, month), 200, "less", "ms"
        )
        yield line(
            "oncall",
            f"a month of {SCHEDULES} schedules, page, median",
            median(browser, "/w/main/oncall"),
            200,
            "less",
            "ms",
        )
        begun = time.perf_counter()
        start = datetime.now(UTC)
        for _ in range(SCHEDULES):
            shifts(made, [], start, start + timedelta(days=365))
        yield line(
            "oncall",
            f"a year of {SCHEDULES} schedules, computed",
            (time.perf_counter() - begun) * 1000,
            300,
            "less",
            "ms",
        )
