"""The port through which a connection gets its principal, and the authenticator of a server without tokens."""

from __future__ import annotations

from typing import Protocol

from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.identity import HandshakeRequest, principal_of
from server.protocol.error_codes import ErrorCode

__all__ = ["AddressAuthenticator", "AuthenticationError", "Authenticator"]


class AuthenticationError(RealtimeError):
    """The client did not prove its identity. It is not to try again with the same credentials."""

    code = ErrorCode.AUTHENTICATION_FAILED


class Authenticator(Protocol):
    """Authenticates handshakes: ``identify`` before a connection is accepted, ``authenticate`` where that is not enough."""

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """The principal, if it can be found without waiting; None: ``authenticate`` finds it, or rejects the client.

        Raises ``HandshakeRejectedError`` for a request that no credentials could make valid.
        """
        ...

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """The principal, after the connection was accepted. May take time; is cancelled if the client disconnects.

        Raises ``AuthenticationError`` if the client is refused, another ``RealtimeError`` if it cannot be judged now.
        """
        ...


class AddressAuthenticator:
    """Accepts every client: anonymous, or, if ``trust_user_parameter``, as the user whom its address names."""

    def __init__(self, *, trust_user_parameter: bool = False) -> None:
        self._trusted = trust_user_parameter

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """See ``Authenticator``."""
        return principal_of(handshake, trust_user_parameter=self._trusted)

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """See ``Authenticator``; the same, at once."""
        return principal_of(handshake, trust_user_parameter=self._trusted)
