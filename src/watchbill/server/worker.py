"""The worker: jobs (Procrastinate), the sealer, facts, and the hub's own periodic duties. Any number may run."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import procrastinate
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections, transaction
from procrastinate.exceptions import ConnectorException

import watchbill
from watchbill.clocks.commands import sweep as sweep_clocks
from watchbill.facts.publish import deliver_one
from watchbill.handbook.apply import bring_all
from watchbill.handbook.jobs import Watcher
from watchbill.handbook.jobs import folder as handbook_folder
from watchbill.incidents.timing import sweep as sweep_incidents
from watchbill.intake.adapters import ADAPTERS
from watchbill.intake.edge import ARRIVED
from watchbill.ledger.sealer import Sealer
from watchbill.oncall.commands import look as look_for_handovers
from watchbill.paging.alarm import sweep as look_whether_we_can_page
from watchbill.paging.announcements import sweep as sweep_announcements
from watchbill.paging.commands import sweep as sweep_pages
from watchbill.paging.unrouted import sweep as sweep_unrouted
from watchbill.runtime.isolation import describe
from watchbill.runtime.jobs import JOBS, job
from watchbill.server.deadman import Deadman
from watchbill.server.loops import Listener, Unit, build
from watchbill.server.processes import raise_open_files
from watchbill.server.senders import Senders
from watchbill.signals.commands import sweep as sweep_signals
from watchbill.signals.commands import take_in
from watchbill.signals.reroute import look_again
from watchbill.signals.silences import sweep as sweep_silences

log = structlog.get_logger("watchbill.worker")
MAX_ATTEMPTS = 8
GRACE = 4.5
#: How often clocks are looked at: a warning or breach is late by no more.
SWEEP = 0.5
#: How often those look by themselves who are woken when there is something: what another worker left, or a notice that was lost.
IDLE = 1.0
#: How often a sender looks that nobody called.
SENDER_IDLE = 10.0
#: How often the handbooks' folder is looked at; a change is brought after two looks.
WATCH = 2.0


def heartbeat() -> bool:
    """Says that this process lives."""
    name = f"worker@{socket.gethostname()}/{os.getpid()}"
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO runtime_heartbeat (process, kind, version, at) VALUES (%s, 'worker', %s, wb_now()) "
            "ON CONFLICT (process) DO UPDATE SET at = excluded.at, version = excluded.version",
            [name, watchbill.__version__],
        )
    return False


@job("hub.sweep")
def sweep() -> None:
    """Deletes what has expired, as the sweeper: observations and authentication state, so no ledger entries."""
    with connections["sweeper"].cursor() as cursor:
        for table, column, keep in (
            ("signin_session", "expires_at", timedelta(0)),
            ("signin_one_time_link", "expires_at", timedelta(days=7)),
            ("runtime_idempotency_key", "at", timedelta(hours=24)),
            ("runtime_heartbeat", "at", timedelta(days=1)),
            ("runtime_failure", "last_at", timedelta(days=1)),
            # What could not be understood: the sweeper sees no other of them.
            ("signals_arrival", "received_at", timedelta(days=30)),
            ("signals_ping", "at", timedelta(days=90)),
            ("paging_press", "at", timedelta(days=30)),
            ("paging_announcement", "at", timedelta(days=365)),
            ("paging_reply", "expires_at", timedelta(days=1)),
        ):
            query = f"DELETE FROM {table} WHERE {column} < wb_now() - %s * interval '1 second'"  # noqa: S608 - fixed names
            try:
                cursor.execute(query, [keep.total_seconds()])
            except DatabaseError as error:
                # One table that cannot be cleared keeps no other one from it.
                log.error("sweep.failed", table=table, error=describe(error))


def sealing(sealer: Sealer) -> Callable[[], int]:
    """The sealer's step, with a look at the epoch every 150 idle steps. New entries mean that commands have run: it wakes those who go on."""
    idle = 0

    def step() -> int:
        nonlocal idle
        if idle % 150 == 0:
            for reason in sealer.check_epoch(settings.ANCHOR):
                log.warning("ledger.epoch", reason=reason)
        count = sealer.step()
        idle = 1 if count else idle + 1
        if sealer.holding and (idle == 2 or idle % 50 == 0):
            anchor(sealer)
        return count

    return step


def anchor(sealer: Sealer) -> None:
    """Checkpoints to the outside; a full or unwritable place is said, and tried again."""
    try:
        sealer.anchor(settings.ANCHOR)
    except OSError as error:
        log.error("ledger.anchor_failed", path=str(settings.ANCHOR), error=error.strerror)


def build_app() -> procrastinate.App:
    """Procrastinate's application with our jobs and periodic duties."""
    database = settings.DATABASES["default"]
    connector = procrastinate.PsycopgConnector(
        kwargs={
            "host": database["HOST"], "port": database["PORT"], "dbname": database["NAME"], "user": database["USER"],
            "password": database["PASSWORD"], "application_name": "watchbill-jobs", **settings.DATABASE_OPTIONS,
        },
        min_size=1, max_size=4,
    )  # fmt: skip
    app = procrastinate.App(connector=connector)
    retry = procrastinate.RetryStrategy(max_attempts=MAX_ATTEMPTS, exponential_wait=2)
    for name, function in JOBS.items():
        app.task(name=name, retry=retry)(_with_own_connections(function))

    @app.periodic(cron="*/10 * * * *")
    @app.task(name="hub.sweep_periodically", queueing_lock="hub.sweep", pass_context=False)
    def sweep_periodically(timestamp: int) -> None:
        _with_own_connections(sweep)()

    @app.periodic(cron="* * * * *")
    @app.task(name="hub.retry_stalled", queueing_lock="hub.retry_stalled", pass_context=False)
    async def retry_stalled(timestamp: int) -> None:
        """A killed worker leaves its job `doing`; nobody else tries it again. Its attempts are capped."""
        for stalled in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=30):
            try:
                if stalled.attempts >= MAX_ATTEMPTS:
                    await app.job_manager.finish_job(stalled, status=procrastinate.jobs.Status.FAILED, delete_job=False)
                else:
                    await app.job_manager.retry_job(stalled)
            except Exception:
                log.exception("jobs.not_retried", job=stalled.id)

    @app.periodic(cron="17 * * * *")
    @app.task(name="hub.delete_old_jobs", queueing_lock="hub.delete_old_jobs", pass_context=False)
    async def delete_old_jobs(timestamp: int) -> None:
        await app.job_manager.delete_old_jobs(nb_hours=72, include_failed=False, include_cancelled=True)

    return app


def _with_own_connections(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            with transaction.atomic():
                return function(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    return run


async def _work(stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            app = build_app()
            async with app.open_async():
                worker = asyncio.create_task(
                    app.run_worker_async(
                        concurrency=4,
                        fetch_job_polling_interval=0.5,
                        install_signal_handlers=False,
                        wait=True,
                        shutdown_graceful_timeout=3,
                    )
                )
                stopper = asyncio.create_task(stop.wait())
                await asyncio.wait({worker, stopper}, return_when=asyncio.FIRST_COMPLETED)
                if not worker.done():
                    worker.cancel()
                (ended,) = await asyncio.gather(worker, return_exceptions=True)
                stopper.cancel()
                if isinstance(ended, Exception):
                    raise ended
        except (ConnectorException, DatabaseError, OSError) as error:
            log.warning("jobs.database", error=type(error).__name__)
        except Exception:
            # Jobs begin again after a moment; nothing that happens here ends the worker's other loops.
            log.exception("jobs.failed")
        if not stop.is_set():
            await asyncio.sleep(1)


def units(senders: Senders | None = None) -> list[Unit]:
    """What this worker does, each in a loop of its own. A feature adds its own with one line."""
    sealer = Sealer(settings.KEYS)
    senders = senders or Senders()
    first = "deliveries"
    found = [
        Unit("heartbeat", heartbeat, pause=5.0),
        Unit("facts", deliver_one, "fact", IDLE, wakes=(first,)),
        # In a storm what senders wait for goes first: what has come is durable, and understood a moment later.
        Unit("intake", lambda: take_in(ADAPTERS), "arrival", IDLE, wakes=("facts",), nice=10, rest=1.0),
        Unit("checks", sweep_signals, "check", SWEEP, wakes=("facts",)),
        Unit("clocks", sweep_clocks, "clock", SWEEP, wakes=("facts",)),
        Unit("pages", sweep_pages, "page", SWEEP, wakes=("facts", first)),
        Unit("incidents", sweep_incidents, pause=1.0, wakes=(first,)),
        Unit("silences", sweep_silences, pause=1.0, wakes=("facts",)),
        Unit("looking again", look_again, pause=1.0, wakes=("facts",)),
        Unit("unrouted", sweep_unrouted, pause=1.0, wakes=(first,)),
        Unit("announcements", sweep_announcements, pause=1.0, wakes=(first,)),
        Unit("handovers", look_for_handovers, pause=5.0, wakes=("facts",)),
        Unit("ability", look_whether_we_can_page, pause=10.0, wakes=(first,)),
        # A server that does not answer holds up one sender, not all; one that has work calls the next.
        Unit(first, senders.call, "delivery", IDLE),
        *(Unit(name, senders.step(name), "delivery", SENDER_IDLE) for name in senders.names),
        # A batch that is not full means that the sealer has caught up: it rests and lets the next one fill, since many
        # small batches cost the writers more than one large one.
        Unit("sealer", sealing(sealer), "entry", wakes=("facts", first), full=sealer.batch),
    ]
    if settings.DEADMAN_URL:
        found.append(Unit("deadman", Deadman(settings.DEADMAN_URL, settings.DEADMAN_EVERY).step, pause=1.0))
    if top := handbook_folder():
        found.append(Unit("handbook", Watcher(top).step, pause=WATCH))
    return found


def bring_handbooks() -> None:
    """What a newer release makes of the live handbooks. A workspace where that fails stays as it was, and the hub pages on."""
    try:
        bring_all()
    except Exception:
        log.exception("handbook.not_brought")


def run() -> int:
    """Runs until SIGTERM or SIGINT."""
    raise_open_files()
    stop = threading.Event()
    senders = Senders()
    loops = build(units(senders), stop)
    senders.attach(loops)
    bring_handbooks()

    async def main() -> None:
        done, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            # With its database gone, Procrastinate waits for it to say goodbye; nothing here may outlive the hub for that.
            # A job cut off stays `doing` and is tried again by the next worker.
            watchdog = threading.Timer(GRACE, os._exit, args=(0,))
            watchdog.daemon = True
            watchdog.start()
            done.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        for each in (*loops.values(), Listener(ARRIVED, loops["intake"], stop)):
            each.start()
        log.info("worker.started")
        await _work(done)
        stop.set()

    asyncio.run(main())
    for each in loops.values():
        each.woken.set()
    for each in loops.values():
        each.join(3)
    return 0
