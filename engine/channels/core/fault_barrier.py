"""Where one thing that goes wrong must not stop the stream: it is logged with its position, counted, and left out."""

from __future__ import annotations

from types import TracebackType

import structlog

from engine.lsn import Lsn, format_lsn

__all__ = ["FaultBarrier"]

log = structlog.get_logger(__name__)


class FaultBarrier:
    """``with isolated.at(position, what):`` ends quietly when something inside goes wrong.

    What is inside must be one small step about one row, message or connection. ``count``: how often it went wrong.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def at(self, position: Lsn, what: str) -> _Step:
        """Say what is about to be done, and where in the stream."""
        return _Step(self, position, what)

    def note(self, position: Lsn, what: str, problem: Exception) -> None:
        """The same for what is done so often that it has a ``try`` of its own."""
        self.count += 1
        log.error("left out", what=what, position=format_lsn(position), exc_info=problem)


class _Step:
    __slots__ = ("_isolated", "_position", "_what")

    def __init__(self, isolated: FaultBarrier, position: Lsn, what: str) -> None:
        self._isolated = isolated
        self._position = position
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(problem, Exception):  # cancellation is no failure
            return False
        self._isolated.note(self._position, self._what, problem)
        return True
