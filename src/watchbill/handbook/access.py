from watchbill.runtime.principals import Table

_ALL = "select, insert, update, delete"
TABLES = [
    # Revisions are kept as they were applied: nobody changes or deletes one.
    *(
        Table(name, app="select, insert", others={"worker": "select, insert"})
        for name in ("handbook_revision", "handbook_document", "handbook_item")
    ),
    *(
        Table(name, app=_ALL, others={"worker": _ALL})
        for name in ("handbook_draft", "handbook_draft_item", "handbook_binding")
    ),
]
