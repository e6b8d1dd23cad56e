from watchbill.runtime.principals import Table

# Revisions are kept as they were applied: nobody changes or deletes one.
TABLES = [
    Table(name, app="select, insert", others={"worker": "select, insert"})
    for name in ("handbook_revision", "handbook_document", "handbook_item")
]
