"""One log format for structlog's own events and the standard library's (uvicorn, psycopg).

Both become lines by the same steps. An event of ours needs no record of the standard library in between, which would cost
ten times as much as the line. Where it is logged it is noted only (:class:`server.logs.output.Event`): the steps are for the
thread that writes, which makes many lines one after the other, in a third of the time that each would take in between.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from server.logs.json_lines import add_time, json_line
from server.logs.masking import mask
from server.logs.output import OUTPUT, Event
from server.logs.pool_lines import PoolLines
from server.logs.printable import printable_event
from server.logs.seldom import Seldom, SeldomEvents

__all__ = ["configure_logs", "is_for_people"]

_STEPS: Final[list[Processor]] = []
"""The same list each time: loggers keep the list that they were first used with."""


def is_for_people(format: str) -> bool:
    """Whether the log is aligned text: with the format ``console``, and with ``auto`` on a terminal."""
    return format == "console" or (format == "auto" and sys.stderr.isatty())


def configure_logs(level: str, format: str) -> None:
    """Log to standard error. ``format``: ``console``, ``json``, or ``auto`` (console on a terminal)."""
    # The values that are bound to the context are those of the process (its number as a worker), which the thread has, too.
    # Tracebacks become text first (without the local variables of each frame, which a console would show), so that they are
    # masked as all other text is.
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        mask,
    ]
    last: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_time,
    ]
    if is_for_people(format):
        last += [printable_event, structlog.dev.ConsoleRenderer(pad_event_to=0, colors=sys.stderr.isatty())]
    else:
        last.append(json_line)
    steps = [*first, *last]

    def render(event: Event) -> str:
        line: Any = event.fields
        for step in steps:
            line = step(event.logger, event.method, line)
        return str(line)

    OUTPUT.stream, OUTPUT.render = sys.stderr, render
    _STEPS[:] = [SeldomEvents("database_refuses"), _event]
    structlog.configure(
        processors=_STEPS,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_LineLogger,
        cache_logger_on_first_use=True,
    )
    _configure_libraries(
        level,
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[*first, *last[:-1], structlog.stdlib.ProcessorFormatter.remove_processors_meta, last[-1]],
        ),
    )


def _configure_libraries(level: str, formatter: logging.Formatter) -> None:
    """What the standard library's loggers write, and the levels of all loggers."""
    handler = logging.StreamHandler(OUTPUT)
    handler.terminator = ""
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for quieter in ("uvicorn", "realtime.ws"):  # a line per connection or start-up step is for debugging
        logging.getLogger(quieter).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("uvicorn.error").filters[:] = [Seldom("Invalid HTTP request received.")]
    logging.getLogger("psycopg.pool").filters[:] = [PoolLines()]
    logging.getLogger("asyncio").filters[:] = [_without_tls_ends]
    for silent in ("httpx", "httpcore"):  # they log addresses, whose query may have a key
        logging.getLogger(silent).setLevel(logging.WARNING)


def _without_tls_ends(record: logging.LogRecord) -> bool:
    """The client of NATS reads TLS by a protocol of streams without it: asyncio warns whenever a connection ends."""
    return not record.getMessage().startswith("returning true from eof_received()")


def _event(logger: WrappedLogger, method: str, fields: EventDict) -> tuple[tuple[Event], dict[str, Any]]:
    """structlog's last step before it calls the logger: with one argument."""
    fields["timestamp"] = time.time()
    return (Event(logger, method, fields),), {}


class _LineLogger:
    """What structlog gives an event to. ``name``: its step ``add_logger_name`` asks for it."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def info(self, event: Event) -> None:
        """Write it."""
        OUTPUT.write_event(event)

    debug = warning = error = critical = exception = log = info
