"""The exception of the SDK; it carries the protocol's error code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bunbase.protocol.codes import CloseCode, ErrorCode

__all__ = ["BunbaseError", "ConnectionEndedError", "NoTokenError", "RealtimeError"]


class BunbaseError(Exception):
    """The root of the exceptions of this package. Applications handle :class:`RealtimeError`, and :class:`DecryptionError`
    where messages are encrypted.
    """


class RealtimeError(BunbaseError):
    """A request failed, or a subscription or the connection ended.

    Attributes:
        code: an ``ErrorCode``, also where it was given as a string, which it equals.
        message: a description of the error.
        channel: the channel it concerns, if any.
        ref: the request it answers, if it answers one.
        retry_after: seconds after which it may be repeated, with ``RT_006``; None: waiting does not help, or the time is
            not known.
    """

    def __init__(
        self,
        code: ErrorCode | str,
        message: str,
        channel: str | None = None,
        ref: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}" if channel is None else f"{code}: {message} ({channel})")
        self.code = ErrorCode(code)
        self.message = message
        self.channel = channel
        self.ref = ref
        self.retry_after = retry_after

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> RealtimeError:
        """The error of an ``error`` message of the server."""
        code = str(message.get("code", ErrorCode.CONNECTION_FAILED))
        text = str(message.get("message", "the server reported an error"))
        return cls(code, text, message.get("channel"), message.get("ref"), message.get("retryAfter"))


class ConnectionEndedError(BunbaseError):
    """A connection could not be opened, or has ended. Only the reconnecting loop sees it.

    ``code`` is the WebSocket close code, also for the other transports; ``ABNORMAL``: it ended without one.
    ``retry_after``: seconds that the server asks to wait before the next attempt.
    """

    def __init__(self, reason: str, code: int = CloseCode.ABNORMAL, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.code = code


class NoTokenError(ConnectionEndedError):
    """The application's ``get_token`` gave none, so no connection could be opened."""
