"""The codes with which a connection is closed, and whether the client reconnects.

1000 to 1015 are those of RFC 6455, 7.4.1; 4000 to 4999 are the application's. SSE and long polling carry the same
numbers in a last message. The lists of the SDKs are generated from these (``sdk/generate_codes.py``).
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum
from typing import Final, Self

from engine.errors import ErrorCode

__all__ = ["CloseCode", "Reconnect", "may_be_sent", "reason_of"]

_LONGEST_REASON: Final = 123  # bytes: a control frame has 125, two of which are the code
_NO_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Reconnect(Enum):
    """The client's reaction to the close of its connection."""

    NEVER = "stay closed until the application reconnects"
    AT_ONCE = "reconnect at once"
    BACK_OFF = "reconnect after a random pause that grows with each failed attempt"
    SLOW_DOWN = "reconnect after a pause as after several failures"


class CloseCode(IntEnum):
    """The reason for a close. ``when`` describes it, ``reconnect`` is the client's reaction, ``error`` the code of a
    request that was refused for that reason; None: the close is no error.
    """

    when: str
    reconnect: Reconnect
    error: ErrorCode | None

    def __new__(
        cls, value: int, when: str = "", reconnect: Reconnect = Reconnect.BACK_OFF, error: ErrorCode | None = None
    ) -> Self:
        """All but ``value`` are optional for ``CloseCode(1001)`` alone: every member has its own."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.when = when
        member.reconnect = reconnect
        member.error = error
        return member

    NORMAL = 1000, "the client ended the session", Reconnect.BACK_OFF, None
    GOING_AWAY = 1001, "the server shuts down", Reconnect.BACK_OFF, ErrorCode.CONNECTION_FAILED
    PROTOCOL_ERROR = 1002, "the peer broke the WebSocket protocol", Reconnect.BACK_OFF, ErrorCode.INVALID_MESSAGE
    ABNORMAL = (
        1006,
        "the connection ended without a close code; never sent",
        Reconnect.BACK_OFF,
        ErrorCode.CONNECTION_FAILED,
    )
    INVALID_TEXT = (
        1007,
        "a text frame, or the reason of a close, is not UTF-8",
        Reconnect.BACK_OFF,
        ErrorCode.INVALID_MESSAGE,
    )
    POLICY_VIOLATION = (
        1008,
        "the client sends too fast, or has too many connections",
        Reconnect.SLOW_DOWN,
        ErrorCode.RATE_LIMITED,
    )
    MESSAGE_TOO_BIG = 1009, "a message above 1 MiB", Reconnect.BACK_OFF, ErrorCode.MESSAGE_TOO_LARGE
    INTERNAL_ERROR = 1011, "the server failed and ends", Reconnect.BACK_OFF, ErrorCode.CONNECTION_FAILED
    TRY_AGAIN_LATER = (
        1013,
        "the client could not be authenticated now",
        Reconnect.BACK_OFF,
        ErrorCode.CONNECTION_FAILED,
    )
    DISCONNECTED = (
        4001,
        "the connection was ended on purpose, by the REST API or by SQL",
        Reconnect.NEVER,
        ErrorCode.CONNECTION_FAILED,
    )
    RESUME = (
        4008,
        "too slow for its channels, or on a server that the others took for dead",
        Reconnect.AT_ONCE,
        ErrorCode.CONNECTION_FAILED,
    )
    AUTHENTICATION_FAILED = (
        4401,
        "the client was refused by authentication",
        Reconnect.NEVER,
        ErrorCode.AUTHENTICATION_FAILED,
    )
    TOKEN_EXPIRED = (
        4402,
        "the token has expired; a new one is needed",
        Reconnect.AT_ONCE,
        ErrorCode.AUTHENTICATION_FAILED,
    )


def may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a frame (RFC 6455, 7.4, and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def reason_of(text: str) -> str:
    """``text`` as it may stand in a close frame: at most 123 bytes of UTF-8, whole characters (RFC 6455, 5.5 and 5.5.1), on
    one line. Control characters and halves of surrogate pairs become ``?``.
    """
    line = _NO_TEXT.sub("?", text[:_LONGEST_REASON])
    return line.encode()[:_LONGEST_REASON].decode(errors="ignore")
