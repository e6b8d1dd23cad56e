"""One web process: uvicorn on the socket that the parent opened, or on its own."""

import os
import signal
import socket

import uvicorn

from watchbill.base.config import Config
from watchbill.server.supervisor import open_port


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT."""
    from watchbill.server.asgi import Hub
    from watchbill.server.wire import Wire

    handle = config.get("WATCHBILL_LISTEN_FD")
    listener = socket.socket(fileno=int(handle)) if handle else open_port(config)
    os.environ.pop("WATCHBILL_LISTEN_FD", None)
    hub = Hub()
    Wire.door = hub.door
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
            backlog=2048,
            h11_max_incomplete_event_size=65536,
        )
    )
    # uvicorn raises the signal again when it has stopped; a stop that was asked for is a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    return 0
