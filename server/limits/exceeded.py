"""The error of a limit that was exceeded, with the time to wait."""

from __future__ import annotations

from engine.errors import ErrorCode, RealtimeError

__all__ = ["LimitExceededError"]


class LimitExceededError(RealtimeError):
    """A client asked for more than it may have. ``retry_after``: in how many seconds it may ask again."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, text: str, retry_after: float | None = None, limit: str = "") -> None:
        super().__init__(text)
        self.limit = limit
        self.retry_after = retry_after
