"""Jobs of a killed worker are taken up again, with a cap; old jobs go; logs are masked."""

import asyncio
import io
import json
import logging
from typing import Any

import pytest
from django.conf import settings

from tests.cast import Cast, ensure_alias


@pytest.fixture
def app(db: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from django.db import connections

    from watchbill.server.worker import build_app

    ensure_alias("worker")
    monkeypatch.setitem(settings.DATABASES, "default", connections.settings["worker"])
    return build_app()


def run(app: Any, name: str) -> None:
    async def once() -> None:
        async with app.open_async():
            await app.tasks[name].func(0)

    asyncio.run(once())


@pytest.mark.parametrize(("attempts", "status"), [(1, "todo"), (8, "failed")])
def test_a_job_whose_worker_died_is_tried_again_but_not_for_ever(app: Any, db: Any, attempts: int, status: str) -> None:
    worker = db.run(
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '5 minutes') RETURNING id"
    )[0][0]
    db.run(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts, worker_id) VALUES ('default', 'blobs.scan', 'doing', %s, %s)",
        attempts,
        worker,
    )
    run(app, "hub.retry_stalled")
    assert db.run("SELECT status::text FROM procrastinate_jobs") == [(status,)]


def test_a_job_whose_worker_lives_is_left_alone(app: Any, db: Any) -> None:
    worker = db.run("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now()) RETURNING id")[0][0]
    db.run(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id) VALUES ('default', 'blobs.scan', 'doing', %s)",
        worker,
    )
    run(app, "hub.retry_stalled")
    assert db.run("SELECT status::text FROM procrastinate_jobs") == [("doing",)]


def test_old_jobs_go(app: Any, db: Any) -> None:
    for age in (1, 100):
        job = db.run(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'blobs.scan', 'succeeded') RETURNING id"
        )[0][0]
        db.run(
            "INSERT INTO procrastinate_events (job_id, type, at) VALUES (%s, 'succeeded', now() - %s * interval '1 hour')",
            job,
            age,
        )
    run(app, "hub.delete_old_jobs")
    assert db.run("SELECT count(*) FROM procrastinate_jobs") == [(1,)]


def test_every_job_is_known_to_the_worker(app: Any) -> None:
    from watchbill.runtime.jobs import JOBS

    assert set(JOBS) <= set(app.tasks)


def test_logs_are_json_with_request_and_actor_and_without_personal_data(cast: Cast) -> None:
    import structlog

    root = logging.getLogger()
    stream = io.StringIO()
    handler = next(
        handler
        for handler in root.handlers
        if isinstance(handler, logging.StreamHandler) and hasattr(handler.formatter, "processors")
    )
    before, handler.stream = handler.stream, stream  # type: ignore[attr-defined]
    try:
        with structlog.contextvars.bound_contextvars(request_id="r1", actor="a1"):
            structlog.get_logger("watchbill.test").warning(
                "mail to ada@example.org", password="hunter2", note="call +44 20 7946 0000", token="wbt_secretsecret"
            )
        logging.getLogger("library").warning("failed for %s", "ada@example.org")
    finally:
        handler.stream = before  # type: ignore[attr-defined]
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["request_id"], ours["actor"]) == ("r1", "a1")
    text = stream.getvalue()
    for secret in ("ada@example.org", "hunter2", "7946", "secretsecret"):
        assert secret not in text
    assert theirs["event"] == "failed for a•••@e•••.org"
