"""The limit of an integration, and the place in the queue: refused as the sender understands it, with when to come again."""

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

import pytest

from watchbill.intake.edge import MOST_WAITING, REFUSALS, Door
from watchbill.intake.protocols import Answer
from watchbill.runtime.ratelimit import Buckets

EVENT = b'{"routing_key": "wbi_k", "event_action": "acknowledge", "dedup_key": "d"}'


def door_that_knows(protocol: str, slug: str = "") -> Door:
    door = Door()
    source = uuid4()
    door.known[door._mark("wbi_k")] = (time.monotonic(), (source, uuid4(), protocol))
    if slug:
        door.slugs[source, slug] = time.monotonic()
    return door


def asked(door: Door, path: str, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """The long way, until it is answered."""

    async def main() -> list[MutableMapping[str, Any]]:
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        door.loop = asyncio.get_running_loop()
        scope = {"path": path, "method": "POST", "headers": [], "query_string": b""}
        await asyncio.wait_for(door.serve(scope, receive, send), 5)
        return sent

    start, end = asyncio.run(main())
    return start["status"], dict(start["headers"]), end["body"]


@pytest.mark.parametrize(
    ("protocol", "path", "body", "words"),
    [
        ("alertmanager", "/intake/wbi_k/alertmanager", b'{"alerts": []}', b"sends faster than the hub takes"),
        ("prometheus", "/intake/wbi_k/api/v2/alerts", b"[]", b"sends faster than the hub takes"),
        ("pagerduty", "/v2/enqueue", EVENT, b'"throttled"'),
        ("healthchecks", "/ping/wbi_k/nightly", b"", b"rate limited"),
    ],
)
def test_beyond_its_limit_a_sender_hears_when_to_come_again(
    protocol: str, path: str, body: bytes, words: bytes
) -> None:
    door = door_that_knows(protocol, "nightly")
    door.buckets = Buckets(60, 2)
    told: list[Answer] = []
    for _ in range(2):
        assert door.at_once(path, "", "POST", [], body, told.append)
    assert not door.at_once(path, "", "POST", [], body, told.append), "the long way says why"
    status, headers, said = asked(door, path, body)
    assert (status, words in said) == (429, True)
    assert int(headers[b"retry-after"]) >= 1
    assert (told, door.queue.qsize()) == ([], 2), "what was taken waits for its commit, unanswered"


def test_where_too_many_wait_a_sender_is_told_to_come_again() -> None:
    door = door_that_knows("alertmanager")
    told: list[Answer] = []
    for _ in range(MOST_WAITING):
        assert door.at_once("/intake/wbi_k/alertmanager", "", "POST", [], b'{"alerts": []}', told.append)
    assert not door.at_once("/intake/wbi_k/alertmanager", "", "POST", [], b'{"alerts": []}', told.append)
    status, headers, _ = asked(door, "/intake/wbi_k/alertmanager", b'{"alerts": []}')
    assert (status, headers[b"retry-after"]) == (503, b"2")


def test_a_hub_that_stops_answers_those_who_wait() -> None:
    door = door_that_knows("alertmanager")
    told: list[Answer] = []
    assert door.at_once("/intake/wbi_k/alertmanager", "", "POST", [], b'{"alerts": []}', told.append)
    asyncio.run(door.stop())
    assert [one.status for one in told] == [503]


def test_what_is_refused_is_kept_to_be_shown_but_not_without_end() -> None:
    door = door_that_knows("alertmanager")
    assert not door.at_once("/intake/wbi_k/alertmanager", "", "POST", [], b"{}", lambda answer: None)
    source = uuid4()
    assert [door._keeps_refusal(source) for _ in range(REFUSALS + 5)] == [True] * REFUSALS + [False] * 5
    door.refusals = Buckets(60, 0)
    status, _, said = asked(door, "/intake/wbi_k/alertmanager", b"{}")
    assert (status, b"no webhook of Alertmanager" in said) == (400, True)
    assert door.queue.qsize() == 0


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/intake/wbi_other/alertmanager", "POST"),
        ("/intake/wbi_k/prometheus", "POST"),
        ("/intake/wbi_k/alertmanager", "GET"),
        ("/intake/wbi_k/api/v2/alerts", "POST"),
        ("/intake/", "POST"),
        ("/ping/wbi_k/nightly", "POST"),
    ],
)
def test_what_needs_a_look_goes_the_long_way(path: str, method: str) -> None:
    door = door_that_knows("alertmanager")
    assert not door.at_once(path, "", method, [], b'{"alerts": []}', lambda answer: None)
    assert door.queue.qsize() == 0
