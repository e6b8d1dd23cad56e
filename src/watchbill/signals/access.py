from watchbill.runtime.principals import Table

_WRITE = "select, insert, update"
TABLES = [
    # Intake finds a source by its key, notes that something came, and puts it into the inbox; it reads nothing of what came.
    Table(
        "signals_source",
        app=_WRITE,
        others={"worker": _WRITE, "intake": "select (id, workspace_id, protocol, key_digest, revoked_at)"},
    ),
    # A ping's address holds a check's UUID, or the integration's key and a slug.
    Table(
        "signals_check", app=_WRITE, others={"worker": _WRITE, "intake": "select (source_id, slug, digest, removed_at)"}
    ),
    Table("signals_ping", app="select", others={"worker": "select, insert", "sweeper": "select (at), delete"}),
    Table(
        "signals_arrival",
        # Replaying takes an arrival out of quarantine.
        app="select, update (problem, error, problem_at)",
        others={
            "worker": "select, insert, update, delete",
            "intake": "insert (source_id, workspace_id, received_at, body)",
            "sweeper": "select (received_at, problem), delete",
        },
        conditions={"sweeper": "problem IS NOT NULL"},
    ),
    # Applying a handbook replaces the routes; pages and the worker read them.
    Table("signals_route", app="select, insert, delete", others={"worker": "select, insert, delete"}),
    Table("signals_unrouted", app=f"{_WRITE}, delete", others={"worker": f"{_WRITE}, delete"}),
    Table("signals_silence", app=_WRITE, others={"worker": _WRITE}),
    Table("signals_alert", app="select", others={"worker": _WRITE}),
    Table("signals_label", app="select", others={"worker": "select, insert, delete"}),
    Table("signals_group", app="select", others={"worker": _WRITE}),
    Table("signals_group_event", app="select", others={"worker": "select, insert"}),
]
