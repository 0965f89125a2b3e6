"""The port through which a connection gets its principal, and the authenticators behind it."""

from __future__ import annotations

from typing import Protocol

from engine.identity.principal import Principal
from server.auth.identity import HandshakeRequest, principal_of
from server.auth.refusal import AuthenticationError

__all__ = ["AddressAuthenticator", "AuthenticationError", "Authenticator", "TokenAuthenticator", "TokenJudge"]


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

    async def renew(self, token: str) -> Principal:
        """The principal that a token names which an open connection sends. Raises as ``authenticate`` does."""
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

    async def renew(self, token: str) -> Principal:
        """See ``Authenticator``."""
        raise AuthenticationError("this server accepts no tokens", "unknown")


class TokenJudge(Protocol):
    """Makes principals of tokens."""

    def verify_now(self, token: str) -> Principal | None:
        """The principal, if that takes no round trip; None: ``verify`` finds it. Raises ``AuthenticationError``."""
        ...

    async def verify(self, token: str) -> Principal:
        """The principal. Raises ``AuthenticationError``, another ``RealtimeError`` if the token cannot be judged now."""
        ...


class TokenAuthenticator:
    """Accepts clients with a token that ``verifier`` accepts, and, if ``allow_anonymous``, those without any token.

    ``without``: who a client without token is.
    """

    def __init__(self, verifier: TokenJudge, without: AddressAuthenticator, *, allow_anonymous: bool = True) -> None:
        self._verifier = verifier
        self._without = without
        self._allow_anonymous = allow_anonymous

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """See ``Authenticator``. A token that is refused is left to ``authenticate``, so that the client gets the reason."""
        nameless = None
        if handshake.token is None or handshake.query:  # which may be in a wrong form
            nameless = self._without.identify(handshake)
        if handshake.token is None:
            return nameless if self._allow_anonymous or (nameless and nameless.authenticated) else None
        try:
            return self._verifier.verify_now(handshake.token)
        except AuthenticationError:
            return None

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """See ``Authenticator``."""
        if handshake.token is None:
            raise AuthenticationError(
                "a token is needed: this server accepts no anonymous clients (allow_anonymous)", "missing"
            )
        return await self._verifier.verify(handshake.token)

    async def renew(self, token: str) -> Principal:
        """See ``Authenticator``."""
        return await self._verifier.verify(token)
