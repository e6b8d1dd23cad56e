from watchbill.runtime.principals import Table

_WRITE = "select, insert, update"
_REPLACED = "select, insert, delete"
TABLES = [
    # Applying a handbook replaces these two.
    Table("incidents_severity", app=_REPLACED, others={"worker": _REPLACED}),
    Table("incidents_guide", app=_REPLACED, others={"worker": _REPLACED}),
    Table("incidents_incident", app=_WRITE, others={"worker": _WRITE}),
    # A timeline is only added to; the name of somebody who is erased goes.
    Table("incidents_event", app="select, insert", others={"worker": "select, insert, update (about)"}),
]
