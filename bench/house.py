"""A hub of its own for the benchmarks: durable PostgreSQL (fsync on), everything as in production."""

from contextlib import AbstractContextManager
from typing import Any

from tests.server.hub import Hub, running, wait_for

__all__ = ["connect", "line", "running_hub", "wait_for"]


def line(
    part: str,
    what: str,
    figure: float,
    target: float,
    better: str,
    unit: str,
    peer: str = "",
    peer_figure: float | None = None,
) -> dict[str, Any]:
    """One result."""
    found = {"part": part, "what": what, "figure": round(figure, 4), "unit": unit, "target": target, "better": better}
    return found | ({"peer": peer, "peer_figure": round(peer_figure, 2)} if peer_figure is not None else {})


def running_hub(**env: str) -> AbstractContextManager[Hub]:
    """A started hub, removed afterwards; TMPDIR says where."""
    # Its senders and viewers all come from one address.
    return running("bench", **({"WATCHBILL_CONNECTIONS_PER_ADDRESS": "2000"} | env))


def connect(hub: Hub, role: str | None = None) -> Any:
    """A psycopg connection as the owner or as a principal."""
    import psycopg

    from watchbill.base.config import read_config
    from watchbill.server.postgres import Postgres, superuser_password

    config = read_config(hub.env)
    postgres = Postgres(config, auth_password=superuser_password(config))
    if role is None:
        return psycopg.connect(
            host=str(postgres.socket), user="postgres", password=postgres.password, dbname="watchbill", autocommit=True
        )
    return psycopg.connect(
        host=str(postgres.socket),
        user=f"watchbill_{role}",
        password=config.keys().text(f"database-role/{role}"),
        dbname="watchbill",
        autocommit=True,
    )
