"""One log format for structlog's own events and the standard library's (uvicorn, psycopg)."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

from server.logs.masking import mask
from server.logs.pool_lines import PoolLines
from server.logs.printable import printable_event
from server.logs.seldom import Seldom, SeldomEvents

__all__ = ["configure_logs", "is_for_people"]


def is_for_people(format: str) -> bool:
    """Whether the log is aligned text: with the format ``console``, and with ``auto`` on a terminal."""
    return format == "console" or (format == "auto" and sys.stderr.isatty())


def configure_logs(level: str, format: str) -> None:
    """Log to standard error. ``format``: ``console``, ``json``, or ``auto`` (console on a terminal)."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text first (without the local variables of each frame, which a console would show), so that they are
    # masked as all other text is.
    last: list[Processor] = [structlog.processors.format_exc_info, mask]
    if is_for_people(format):
        last += [printable_event, structlog.dev.ConsoleRenderer(pad_event_to=0, colors=sys.stderr.isatty())]
    else:
        last.append(structlog.processors.JSONRenderer())  # in ASCII
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for quieter in ("uvicorn", "realtime.ws"):  # a line per connection or start-up step is for debugging
        logging.getLogger(quieter).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("uvicorn.error").filters[:] = [Seldom("Invalid HTTP request received.")]
    logging.getLogger("psycopg.pool").filters[:] = [PoolLines()]
    for silent in ("httpx", "httpcore"):  # they log addresses, whose query may have a key
        logging.getLogger(silent).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            SeldomEvents("database_refuses"),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
