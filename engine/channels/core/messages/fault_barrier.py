"""A step that fails and must not stop the stream: it is logged with its position, counted and skipped."""

from __future__ import annotations

from types import TracebackType

import structlog

from engine.lsn import Lsn, format_lsn

__all__ = ["FaultBarrier"]

_log = structlog.get_logger(__name__)


class FaultBarrier:
    """``with faults.at(position, what):`` logs an exception of its body and suppresses it.

    The body must be one small step about one row, message or connection. ``count``: how many steps failed.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def at(self, position: Lsn, what: str) -> _Step:
        """The step ``what``, at ``position`` of the stream."""
        return _Step(self, position, what)

    def note(self, position: Lsn, what: str, problem: Exception) -> None:
        """Log and count a failure. For steps that are so frequent that they have a ``try`` of their own."""
        self.count += 1
        _log.error("step_skipped", what=what, position=format_lsn(position), exc_info=problem)


class _Step:
    __slots__ = ("_faults", "_position", "_what")

    def __init__(self, faults: FaultBarrier, position: Lsn, what: str) -> None:
        self._faults = faults
        self._position = position
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(problem, Exception):  # cancellation is no failure
            return False
        self._faults.note(self._position, self._what, problem)
        return True
