"""One web process: uvicorn on the socket that the parent opened, or on its own."""

import os
import signal
import socket

import uvicorn

from watchbill.base.config import Config
from watchbill.server.processes import raise_open_files
from watchbill.server.supervisor import open_port

#: Files that are no connections of callers: the database's, logs, what is being read.
OWN_FILES = 128


def accept_at_once(files: int) -> int:
    """How many connections are accepted before one of them is judged: they must not use up all files that may be open."""
    return max(64, min(2048, files // 8))


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT."""
    from django.conf import settings

    from watchbill.server.asgi import Hub
    from watchbill.server.connections import Connections, Limits
    from watchbill.server.wire import Wire

    files = raise_open_files()
    backlog = accept_at_once(files)
    most = min(config.connections, files - backlog - OWN_FILES)
    handle = config.get("WATCHBILL_LISTEN_FD")
    listener = socket.socket(fileno=int(handle)) if handle else open_port(config)
    os.environ.pop("WATCHBILL_LISTEN_FD", None)
    hub = Hub()
    Wire.door = hub.door
    limits = Limits(connections=max(16, most), per_address=config.connections_per_address)
    Wire.registry = Connections(limits, settings.TRUSTED_PROXIES)
    server = uvicorn.Server(
        uvicorn.Config(
            hub,
            http=Wire,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_graceful_shutdown=3,
            timeout_keep_alive=30,
            backlog=backlog,
            # Nothing is upgraded here, so no library of WebSockets is looked for.
            ws="none",
        )
    )
    # uvicorn raises the signal again when it has stopped; a stop that was asked for is a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    return 0
