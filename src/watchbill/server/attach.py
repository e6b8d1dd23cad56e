"""Finding the database from the command line: DATABASE_URL, or the embedded PostgreSQL of a hub that runs here."""

import os

from watchbill.base.config import read_config
from watchbill.base.errors import NotFound
from watchbill.server.postgres import Postgres, superuser_password
from watchbill.server.supervisor import read_holder


def find_database() -> None:
    """Sets DATABASE_URL (without a password) when the embedded server of this data folder runs. Raises NotFound."""
    config = read_config()
    holder = read_holder(config.data / "lock")
    if holder and not config.get("WATCHBILL_URL"):
        # Links lead to the hub that runs here, whatever port it was started on.
        os.environ["WATCHBILL_URL"] = holder["url"]
    if config.database is not None:
        return
    if not (config.data / "postgres" / "postmaster.pid").exists():
        raise NotFound(
            f"DATABASE_URL is not set, and no hub runs on the data folder {config.data}.",
            hint="Start it with watchbill serve, set WATCHBILL_DATA to its folder, or set DATABASE_URL.",
        )
    database = Postgres(config, auth_password=superuser_password(config)).database
    os.environ["DATABASE_URL"] = f"postgresql://localhost/{database.name}?host={database.host}"
    os.environ["WATCHBILL_DATA"] = str(config.data)


def set_up(process: str) -> None:
    """Sets Django up as one of the hub's processes."""
    os.environ.setdefault("WATCHBILL_PROCESS", process)
    os.environ["DJANGO_SETTINGS_MODULE"] = "watchbill.server.settings"
    import django

    django.setup()


def attach() -> None:
    """Both, for a command on the hub's own machine."""
    find_database()
    set_up("cli")
