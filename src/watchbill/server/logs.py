"""structlog: one JSON object a line, with request id, workspace and actor; personal data and secrets masked."""

import logging
import sys
from typing import Any

import structlog

from watchbill.base.mask import mask_text

_HIDDEN = ("password", "secret", "token", "authorization", "cookie", "email", "phone", "address")


def _mask(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    for key, value in event.items():
        if any(word in key.lower() for word in _HIDDEN):
            event[key] = "•••"
        elif isinstance(value, str):
            event[key] = mask_text(value)
    return event


def configure_logs(level: str, process: str) -> None:
    """Sends structlog and the standard library's logging to stderr as JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        _mask,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level if process in {"web", "worker"} else max(logging.WARNING, logging.getLevelName(level)))
    for noisy in ("httpx", "httpcore", "uvicorn.access", "procrastinate", "django.request", "django.security.csrf"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
