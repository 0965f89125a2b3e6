"""The refusal of a client that did not prove its identity."""

from __future__ import annotations

from typing import Final, Literal, get_args

from engine.errors import RealtimeError
from server.protocol.error_codes import ErrorCode

__all__ = ["REASONS", "REFUSALS", "AuthenticationError", "Reason"]

REFUSALS: Final = (ErrorCode.AUTHENTICATION_FAILED, ErrorCode.PERMISSION_DENIED)
"""The codes with which a client is refused that proves no identity, or one that may not connect."""

Reason = Literal[
    "missing", "malformed", "unknown", "expired", "revoked", "issuer", "signature", "claims", "address", "handler"
]
"""What was wrong with a credential: none was given; it has not the form of one; this server knows none such; its time is
over; it was taken back; it is another issuer's; its signature or algorithm; its claims; where it was used; the operator's
function or webhook refused it.
"""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class AuthenticationError(RealtimeError):
    """The client did not prove its identity. It is not to try again with the same credentials.

    The text names the reason, for the developer of the client, and never a token or a key. ``reason`` is its kind, which is
    counted.
    """

    code = ErrorCode.AUTHENTICATION_FAILED

    def __init__(self, text: str, reason: Reason = "malformed") -> None:
        super().__init__(text)
        self.reason: Reason = reason
