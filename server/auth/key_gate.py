"""The gate for API keys, before all other authentication."""

from __future__ import annotations

from engine.identity.principal import Principal
from server.auth.api_keys import KeyRing
from server.auth.authenticator import Authenticator
from server.auth.identity import HandshakeRequest
from server.auth.refusal import AuthenticationError

__all__ = ["KeyGate"]


class KeyGate:
    """Refuses clients whose API key is not valid, and, if ``required``, those without one. ``within`` judges the rest.

    A key adds no rights: a valid one is a publishable one, which is no secret.
    """

    def __init__(self, ring: KeyRing, within: Authenticator, *, required: bool = False) -> None:
        self._ring = ring
        self._within = within
        self._required = required

    def judge(self, text: str, address: str | None) -> float | None:
        """When the right to connect with this key from ``address`` ends, in seconds since the Unix epoch; None: never.
        Raises ``AuthenticationError`` with the reason if there is none.
        """
        key = self._ring.check(text, address)
        if key.secret:
            raise AuthenticationError(
                "a secret API key is for the REST API, and never for a browser or an address: revoke it if it was in "
                "one, and connect with a publishable one"
            )
        return key.expires_at

    def _check(self, handshake: HandshakeRequest) -> None:
        if handshake.api_key is not None:
            self.judge(handshake.api_key, handshake.ip)
        elif self._required:
            raise AuthenticationError("an API key is needed: this server requires one (require_api_key)", "missing")

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """See ``Authenticator``. A key that is refused is left to ``authenticate``, so that the client gets the reason."""
        try:
            self._check(handshake)
        except AuthenticationError:
            return None
        return self._within.identify(handshake)

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """See ``Authenticator``."""
        self._check(handshake)
        return await self._within.authenticate(handshake)

    async def renew(self, token: str) -> Principal:
        """See ``Authenticator``. The key stays that of the connection."""
        return await self._within.renew(token)
