"""What a wrong argument raises, where it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NewType, get_origin

__all__ = [
    "expect_flag",
    "expect_function",
    "expect_header",
    "expect_mapping",
    "expect_optional_text",
    "expect_optional_timeout",
    "expect_text",
    "expect_timeout",
    "expect_trace",
    "expect_type",
    "expect_whole",
    "is_unicode",
]

_HEADER = re.compile(r"[\t -~]*")

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def expect_trace(traceparent: object, tracestate: object) -> None:
    """A server ignores a context that is none, as W3C demands. Raises ``TypeError`` or ``ValueError``."""
    for name, value in (("traceparent", traceparent), ("tracestate", tracestate)):
        if not isinstance(value, str | None):
            raise TypeError(f"{name}: a string is expected, not {type(value).__name__}")
    if isinstance(traceparent, str) and not _PARENT.fullmatch(traceparent):
        raise ValueError(f"traceparent: a W3C traceparent is expected, not {traceparent!r}")


def expect_optional_text(name: str, value: object) -> None:
    """As ``expect_text``, and None is one."""
    if value is not None:
        expect_text(name, value)


def expect_text(name: str, value: object) -> None:
    """The name of a channel, a collection, an event … Raises ``TypeError`` or, if it is empty, ``ValueError``."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a non-empty string is expected, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name}: a non-empty string is expected, not {value!r}")
    if not is_unicode(value):
        raise ValueError(f"{name}: text of Unicode is expected, not half a surrogate pair")


def is_unicode(text: str) -> bool:
    """Whether it has UTF-8: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def expect_header(name: str, value: object) -> None:
    """The value of a header, which may be a secret: not repeated. Raises ``TypeError``, or ``ValueError`` for characters
    that none can carry.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: a string is expected, not {type(value).__name__}")
    if not _HEADER.fullmatch(value):
        raise ValueError(
            f"{name}: it has a line break, or other characters that no header can carry; printable ASCII can"
        )


def expect_mapping(name: str, value: object) -> None:
    """Raises ``TypeError`` if it has no named fields."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: a mapping is expected, not {type(value).__name__}")


def expect_whole(name: str, value: object, least: int) -> None:
    """Raises ``TypeError`` or, if it is less than ``least``, ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: a whole number from {least} is expected, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name}: a whole number from {least} is expected, not {value!r}")


def expect_function(name: str, value: object) -> None:
    """Raises ``TypeError`` if it cannot be called."""
    if not callable(value):
        raise TypeError(f"{name}: a function is expected, not {type(value).__name__}")


def expect_type(name: str, value: object) -> None:
    """A type for type checkers, such as a ``TypedDict`` or ``dict[str, int]``, or None. Raises ``TypeError``."""
    # The name that a `type` statement makes has a `__value__`, from Python 3.12 on.
    named = isinstance(value, type | NewType | None) or hasattr(value, "__value__")
    if not named and get_origin(value) is None:
        raise TypeError(f"{name}: a type is expected, not {type(value).__name__}")


def expect_flag(name: str, value: object) -> None:
    """Raises ``TypeError`` if it is no ``bool``."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: True or False is expected, not {type(value).__name__}")


def expect_optional_timeout(value: object) -> None:
    """As ``expect_timeout``, and None is one."""
    if value is not None:
        expect_timeout(value)


def expect_timeout(value: object) -> None:
    """Seconds. Raises ``TypeError`` or ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"timeout: a number above 0 is expected, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"timeout: a number above 0 is expected, not {value!r}")
