"""An error that returns at the same place of the stream. Counts, nothing else.

A row that PostgreSQL cannot decode (larger than 1 GB as text, or not valid in its encoding) ends each session at the same
commit. After some attempts the feed gives up on that stretch of WAL: a new slot begins beyond it.
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
    """What the stream breaks off at. ``reason`` says it in plain words, None while nothing is in the way.

    Invariant: it is in the way until a transaction beyond it has been delivered, the server has sent everything up to
    ``clear_at`` (where it wrote its WAL after the failure), or a new slot was made.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.clear_at: Lsn = 0
        self._attempts = 0

    def hit(self, error: UndecodableError, received: Lsn) -> bool:
        """The stream broke off with ``error`` after position ``received``; True: it is no use to try again."""
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
        """Nothing is in the way."""
        self.reason = None
        self._attempts = 0
