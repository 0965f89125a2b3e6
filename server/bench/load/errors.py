"""Why a load could not be made."""

from __future__ import annotations

from engine.errors import RealtimeError

__all__ = ["BenchError", "BenchUsageError"]


class BenchError(RealtimeError):
    """The server cannot be loaded: the message has the reason, and what to do."""


class BenchUsageError(BenchError):
    """What was asked for is not possible as it was asked for."""
