"""Whether there is a connection, and if not, why: in words for a user, where a phase is about what the client does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError

__all__ = ["ConnectionState", "ConnectionStatus", "Phase", "hindrance"]

Phase = Literal["closed", "connecting", "connected", "reconnecting", "failed"]
"""Of the connection manager."""

ConnectionState = Literal["closed", "connecting", "open", "offline", "needs-auth", "failed"]
"""See ``ConnectionStatus``."""


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """See ``Realtime.status``.

    Attributes:
        state: ``closed``: not connected, and no attempt is made; ``connecting``: the first attempt; ``open``: connected;
            ``offline``: there is no connection, and it is tried again; ``needs-auth``: the server has refused the client's
            token or key; ``failed``: given up for another reason. After the last two, ``connect()`` tries again.
        reason: why there is no connection, if that is known.
    """

    state: ConnectionState = "closed"
    reason: str | None = None

    @classmethod
    def of(cls, phase: Phase, problem: RealtimeError | None) -> ConnectionStatus:
        """From what the client does, and the last ``problem``."""
        if phase == "connected":
            return cls("open")
        reason = None if problem is None else problem.message
        if phase == "reconnecting" or (phase == "connecting" and problem is not None):
            return cls("offline", reason)
        if phase == "failed" and problem is not None and problem.code == ErrorCode.AUTHENTICATION_FAILED:
            return cls("needs-auth", reason)
        return cls(phase, reason)


def hindrance(status: ConnectionStatus) -> str:
    """What the message about something that took too long has behind it: why there is no connection."""
    if status.state == "open":
        return ""
    return f": the client is {status.state}" + ("" if status.reason is None else f" ({status.reason})")
