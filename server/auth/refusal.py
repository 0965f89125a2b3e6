"""The refusal of a client that did not prove its identity."""

from __future__ import annotations

from typing import Final

from engine.errors import RealtimeError
from server.protocol.error_codes import ErrorCode

__all__ = ["REFUSALS", "AuthenticationError"]

REFUSALS: Final = (ErrorCode.AUTHENTICATION_FAILED, ErrorCode.PERMISSION_DENIED)
"""The codes with which a client is refused that proves no identity, or one that may not connect."""


class AuthenticationError(RealtimeError):
    """The client did not prove its identity. It is not to try again with the same credentials.

    The text names the reason, for the developer of the client, and never a token or a key.
    """

    code = ErrorCode.AUTHENTICATION_FAILED
