from watchbill.runtime.principals import Table

TABLES = [
    # Values are sealed; the app role may store, replace and use them on behalf of a person.
    Table("secrets_secret", app="select, insert, update, delete", others={"worker": "select, insert, update, delete"}),
    # Uses go with their secret.
    Table("secrets_use", app="select, insert, delete", others={"worker": "select, insert, delete"}),
]
