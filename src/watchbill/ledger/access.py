from watchbill.base.ids import HUB
from watchbill.runtime.principals import MINE, Table

# The payload's update grant is for erasing; the trigger refuses any other change.
_ERASE = "update (salt, body, erased_at)"
TABLES = [
    Table(
        "ledger_entry",
        app="select, insert (body)",
        others={
            "worker": "select, insert (body)",
            "sealer": "select, insert (body)",
            "signin": "insert (body)",
        },
        conditions={
            "signin": f"(workspace_id = '{HUB}' AND action LIKE 'signin.%') OR (action = 'role.sync' AND (body::jsonb)->>'actor_kind' = 'system')"
        },
    ),
    Table(
        "ledger_payload",
        app=f"select, insert, {_ERASE}",
        others={"worker": f"select, insert, {_ERASE}", "sealer": "select, insert", "signin": "insert"},
    ),
    *(
        Table(
            name,
            scope="custom",
            app="select",
            read=f"workspace_id = ANY ({MINE})",
            write="false",
            others={"worker": "select", "sealer": "select, insert, update"},
        )
        for name in ("ledger_log", "ledger_place", "ledger_tile", "ledger_checkpoint")
    ),
]
