from watchbill.runtime.principals import Table

TABLES = [
    Table("gates_request", app="select, insert, update", others={"worker": "select, insert, update"}),
    # What somebody said, and what was decided for it, is kept as it was.
    Table("gates_approval", app="select, insert", others={"worker": "select, insert"}),
    Table("gates_decision", app="select, insert", others={"worker": "select, insert"}),
]
