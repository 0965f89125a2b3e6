"""Detects an error that recurs at the same position of the stream. Plain state, no I/O.

A row that PostgreSQL cannot decode (larger than 1 GB as text, or not valid in its encoding) ends each session at the same
commit. After some attempts the feed skips that stretch of WAL: a new slot begins beyond it.
"""

from __future__ import annotations

from typing import Final

from engine.feed.decoders.base import UndecodableError
from engine.lsn import Lsn, format_lsn

__all__ = ["Obstacle"]

_ATTEMPTS: Final = 5
_ATTEMPTS_OF_A_POOR_SERVER: Final = 10
_POOR: Final = ("53", "58")  # insufficient resources, system error (docs: "PostgreSQL Error Codes"): these may pass


class Obstacle:
    """The position at which sessions break off. ``reason`` describes it in words; None while there is no obstacle.

    Invariant: an obstacle exists until a transaction beyond it has been delivered, the server has sent everything up to
    ``clear_at`` (its WAL position after the failure), or a new slot was made.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.clear_at: Lsn = 0
        self._attempts = 0

    def hit(self, error: UndecodableError, received: Lsn) -> bool:
        """The stream broke off with ``error`` after position ``received``. Returns True if a retry is useless."""
        self._attempts += 1
        most = _ATTEMPTS_OF_A_POOR_SERVER if (error.sqlstate or "")[:2] in _POOR else _ATTEMPTS
        self.reason = f"the WAL after {format_lsn(received)} cannot be decoded: {error}"
        if self._attempts < most:
            self.reason += f" (attempt {self._attempts} of {most})"
        return self._attempts >= most

    def reached(self, position: Lsn) -> None:
        """The server has sent everything before ``position``."""
        if position >= self.clear_at:
            self.passed()

    def passed(self) -> None:
        """Clear the obstacle."""
        self.reason = None
        self._attempts = 0
