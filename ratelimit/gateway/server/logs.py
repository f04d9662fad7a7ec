"""The gateway's own log: one line with time, level and the id of the request, if there is one."""

import logging
from datetime import UTC, datetime
from typing import Any

from uvicorn.config import LOGGING_CONFIG

from ..http.request import CURRENT

LEVELS = ("debug", "info", "warning", "error", "critical")


class LogFormatter(logging.Formatter):
    """Formats a line as `2026-01-31T12:00:00.000Z WARNING 1f3c-1 message`, with `-` outside of requests."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__("%(asctime)s %(levelname)s %(request)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the moment in UTC."""
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        request = CURRENT.get(None)
        record.request = "-" if request is None else request.id
        return super().format(record)


def logging_of(level: str) -> dict[str, Any]:
    """Return the configuration of logging: uvicorn's own, with our format, and our logger beside its own."""
    loggers = {name: {**one, "level": level.upper()} for name, one in LOGGING_CONFIG["loggers"].items()}
    return {
        **LOGGING_CONFIG,
        "formatters": {**LOGGING_CONFIG["formatters"], "default": {"()": LogFormatter}},
        "loggers": {
            **loggers,
            "ratelimit.gateway": {"handlers": ["default"], "level": level.upper(), "propagate": False},
            "ratelimit.gateway.websockets": {"level": "WARNING"},  # what clients do is in the access log
        },
    }
