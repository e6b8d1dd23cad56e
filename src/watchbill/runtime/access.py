from watchbill.runtime.principals import Table

_DJANGO = "Django's own bookkeeping, without data of any workspace; nobody but the migrator writes it"
_JOBS = "Procrastinate's queue: job arguments hold ids only (runtime/jobs.py refuses others)"

TABLES = [
    Table(
        "runtime_meta",
        scope="none",
        reason="facts about the database itself",
        others={"worker": "select", "sealer": "select, insert, update"},
    ),
    Table(
        "runtime_heartbeat",
        scope="none",
        reason="liveness of the hub's own parts",
        others={"worker": "select, insert, update", "sweeper": "select, delete"},
    ),
    Table(
        "runtime_failure",
        scope="none",
        reason="ids and types of errors of the worker's own steps",
        others={"worker": "select, insert, update, delete", "sweeper": "select (last_at), delete"},
    ),
    Table(
        "runtime_idempotency_key",
        scope="custom",
        app="select, insert, update",
        read="person_id = wb_person()",
        write="person_id = wb_person()",
        others={"sweeper": "select, delete"},
    ),
    Table("django_migrations", scope="none", reason=_DJANGO, others={"worker": "select"}),
    Table("django_content_type", scope="none", reason=_DJANGO, others={"signin": "select"}),
    Table(
        "procrastinate_jobs",
        scope="none",
        reason=_JOBS,
        others={"worker": "select, insert, update, delete", "sweeper": "select"},
    ),
    Table("procrastinate_events", scope="none", reason=_JOBS, others={"worker": "select, insert, update, delete"}),
    Table(
        "procrastinate_periodic_defers", scope="none", reason=_JOBS, others={"worker": "select, insert, update, delete"}
    ),
    Table("procrastinate_workers", scope="none", reason=_JOBS, others={"worker": "select, insert, update, delete"}),
]
FUNCTIONS = {"wb_defer(text, text, jsonb, timestamptz, text)": ("app", "worker")}
