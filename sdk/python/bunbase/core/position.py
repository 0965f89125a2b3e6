"""Positions: a PostgreSQL LSN such as ``0/16B3748``, or a message's place in it, ``0/16B3790/42``.

The parts before the last slash of an LSN are hexadecimal, a message's number is decimal. They are compared part by part as
numbers, never as strings, and only within one epoch.
"""

from __future__ import annotations

__all__ = ["is_later", "parse"]


def parse(position: str) -> tuple[int, ...]:
    """The parts as numbers, comparable. Raises ``ValueError`` if it is not a position."""
    high, low, *number = position.split("/")
    if len(number) > 1:
        raise ValueError(f"{position!r} is not a position")
    return int(high, 16), int(low, 16), *(int(part) for part in number)


def is_later(position: str, than: str | None) -> bool:
    """Whether ``position`` is after ``than``; every position is after None."""
    return than is None or parse(position) > parse(than)
