"""Text for a terminal: what clients have chosen (channels, events, ids) must not steer it, nor begin a line of the log."""

from __future__ import annotations

import json
from typing import Final

from structlog.typing import EventDict, WrappedLogger

__all__ = ["printable", "printable_event"]

_OF_LINES: Final = frozenset(("exception", "stack"))


def printable(text: str) -> str:
    """``text`` with its control characters as JSON writes them: what clients have sent must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def printable_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog's processor: the name and the texts of an event in one line each; tracebacks keep their lines.

    Values that are no text need nothing: the console shows their ``repr``, which has no such characters.
    """
    for field, value in event.items():
        if isinstance(value, str):
            event[field] = "\n".join(map(printable, value.split("\n"))) if field in _OF_LINES else printable(value)
    return event
