from watchbill.runtime.principals import Table

_WRITE = "select, insert, update"
TABLES = [
    Table("oncall_schedule", app=_WRITE, others={"worker": _WRITE}),
    Table("oncall_override", app=_WRITE, others={"worker": _WRITE}),
    # A calendar program brings nothing but the key in the address: the sign-in principal finds whose it is.
    Table(
        "oncall_feed",
        app="select (id, workspace_id, person_id, schedule_id, prefix, made_at, revoked_at), insert, update (revoked_at)",
        others={"worker": _WRITE, "signin": "select"},
    ),
]
