from watchbill.runtime.principals import Table

_WRITE = "select, insert, update"
TABLES = [
    Table("paging_policy", app="select, insert, delete", others={"worker": "select, insert, delete"}),
    Table("paging_channel", app=_WRITE, others={"worker": _WRITE}),
    Table("paging_page", app=_WRITE, others={"worker": _WRITE}),
    Table("paging_delivery", app=_WRITE, others={"worker": _WRITE}),
    # Whoever taps a link in a message brings nothing but its key: the sign-in principal finds whose it is.
    Table(
        "paging_reply", app="", others={"worker": _WRITE, "signin": "select", "sweeper": "select (expires_at), delete"}
    ),
    # Erasing a person takes their name out of what was said.
    Table("paging_event", app="select, insert", others={"worker": "select, insert, update (what, why)"}),
    Table("paging_press", app="", others={"worker": _WRITE, "sweeper": "select (at), delete"}),
    Table("paging_verification", app=f"{_WRITE}, delete", others={"worker": "select"}),
    Table("paging_texts_stopped", app="select", others={"worker": "select, insert, delete"}),
    Table("paging_notices_off", app="select, insert, delete", others={"worker": "select, delete"}),
    Table("paging_habit", app=f"{_WRITE}, delete", others={"worker": f"{_WRITE}, delete"}),
    Table(
        "paging_announcement",
        app="select, insert, update (undone_at, undone_by)",
        others={"worker": "select, insert, update", "sweeper": "select (at), delete"},
    ),
    Table("paging_ability", app="select", others={"worker": _WRITE}),
]
#: The metrics are read where no person is: slugs and counts, for the operator alone.
FUNCTIONS = {"wb_can_page()": ("app", "worker")}
