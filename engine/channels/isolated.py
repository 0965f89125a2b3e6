"""Where one thing that goes wrong must not stop the stream: it is logged with its position, counted, and left out."""

from __future__ import annotations

from types import TracebackType

import structlog

from engine.lsn import Lsn, format_lsn

__all__ = ["Isolated"]

log = structlog.get_logger(__name__)


class Isolated:
    """``with isolated.at(position, what):`` ends quietly when something inside goes wrong.

    What is inside must be one small step about one row, message or subscriber. ``count``: how often it went wrong.
    """

    __slots__ = ("_position", "_what", "count")

    def __init__(self) -> None:
        self.count = 0
        self._position: Lsn = 0
        self._what = ""

    def at(self, position: Lsn, what: str) -> Isolated:
        """Say what comes, and where in the stream."""
        self._position, self._what = position, what
        return self

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Swallows failures; cancellation and the end of the process are none."""
        if not isinstance(error, Exception):
            return False
        self.count += 1
        log.error("left out", what=self._what, position=format_lsn(self._position), exc_info=error)
        return True
