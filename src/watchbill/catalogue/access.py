from watchbill.runtime.principals import Table

_ALL = "select, insert, update, delete"
TABLES = [
    Table(name, app=_ALL, others={"worker": _ALL})
    for name in (
        "catalogue_environment",
        "catalogue_service",
        "catalogue_service_environment",
        "catalogue_service_link",
    )
]
