from watchbill.runtime.principals import Table

TABLES = [
    Table("facts_fact", app="select, insert", others={"worker": "select, insert"}),
    Table("facts_delivery", app="select, insert, update", others={"worker": "select, insert, update"}),
]
