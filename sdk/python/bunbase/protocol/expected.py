"""What a wrong argument raises, where it is written."""

from __future__ import annotations

import re

__all__ = ["expect_function", "expect_text", "expect_timeout", "expect_trace"]

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def expect_trace(traceparent: object, tracestate: object) -> None:
    """A server ignores a context that is none, as W3C demands. Raises ``TypeError`` or ``ValueError``."""
    for name, value in (("traceparent", traceparent), ("tracestate", tracestate)):
        if not isinstance(value, str | None):
            raise TypeError(f"{name}: a string is expected, not {type(value).__name__}")
    if isinstance(traceparent, str) and not _PARENT.fullmatch(traceparent):
        raise ValueError(f"traceparent: a W3C traceparent is expected, not {traceparent!r}")


def expect_text(name: str, value: object) -> None:
    """The name of a channel, a collection, an event … Raises ``TypeError`` or, if it is empty, ``ValueError``."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a non-empty string is expected, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name}: a non-empty string is expected, not {value!r}")


def expect_function(name: str, value: object) -> None:
    """Raises ``TypeError`` if it cannot be called."""
    if not callable(value):
        raise TypeError(f"{name}: a function is expected, not {type(value).__name__}")


def expect_timeout(value: object) -> None:
    """Seconds. Raises ``TypeError`` or ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"timeout: a number above 0 is expected, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"timeout: a number above 0 is expected, not {value!r}")
