"""A server that drips: it begins an answer, and goes on with it one byte at a time; and people whose browsers are such endpoints."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from watchbill.base.ids import uuid7


class Drips:
    """The server, and how many connections it holds open; one that was cut is noticed with its next byte."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.stop, self.open = threading.Event(), 0
        self.lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(taken,), daemon=True).start()

    def _drip(self, taken: socket.socket) -> None:
        with self.lock:
            self.open += 1
        try:
            taken.sendall(b"HTTP/1.1 201 Created\r\nX: ")
            while not self.stop.wait(0.3):
                taken.sendall(b"a")
        except OSError:
            pass
        finally:
            taken.close()
            with self.lock:
                self.open -= 1


@contextmanager
def drips() -> Iterator[Drips]:
    made = Drips()
    try:
        yield made
    finally:
        made.stop.set()
        made.listener.close()


def attack(connection: Any, port: int, subscription: str, kind: str) -> list[UUID]:
    """Ten workspaces with five people each; the browser of each is an endpoint that drips, and three pages are under way to each of them."""
    workspaces = []
    for number in range(10):
        workspace = uuid7()
        workspaces.append(workspace)
        connection.execute(
            "INSERT INTO people_workspace (id, slug, name, time_zone, require_mfa, created_at) VALUES (%s, %s, 'Drips', 'UTC', false, now())",
            [workspace, f"drips-{kind}-{number}"],
        )
        connection.execute(
            "INSERT INTO paging_channel (id, workspace_id, kind, name, config, secret, created_at, last_problem) VALUES (%s, %s, 'push', 'Push', %s, '', now(), '')",
            [uuid7(), workspace, json.dumps({"contact": "a@example.org"})],
        )
        for one in range(5):
            person = uuid7()
            told = json.loads(subscription) | {"endpoint": f"http://127.0.0.1:{port}/{number}/{one}"}
            for query, values in (
                ("INSERT INTO people_person (id, name, outsider, active, created_in_id, created_at) VALUES (%s, %s, false, true, %s, now())", [person, f"P{number}-{one}", workspace]),
                ("INSERT INTO people_contact_method (id, person_id, kind, value, position, verified_at) VALUES (%s, %s, 'push', %s, 0, now())", [uuid7(), person, json.dumps(told)]),
                ("INSERT INTO people_membership (id, workspace_id, person_id, since) VALUES (%s, %s, %s, now())", [uuid7(), workspace, person]),
            ):  # fmt: skip
                connection.execute(query, values)
            target = {"kind": "person", "id": str(person), "name": "", "why": "drips"}
            for _ in range(3):
                policy = {"name": "Drips", "steps": [{"after": 0, "targets": [target]}], "repeat": 0, "once": True}
                connection.execute(
                    "INSERT INTO paging_page (id, workspace_id, subject_kind, subject_id, title, text, url, why, labels, urgency, shadow, policy, state, round, step, started_at, next_at, ended_why, acknowledged_via) "
                    "VALUES (%s, %s, %s, %s, 'Drips', '', '', '', '{}', 'high', false, %s, 'running', 0, 0, now(), now(), '', '')",
                    [uuid7(), workspace, kind, str(uuid7()), json.dumps(policy)],
                )
    return workspaces
