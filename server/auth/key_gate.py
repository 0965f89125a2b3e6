"""The gates before all other authentication: for API keys of applications, and for operators, who watch the service and do
nothing else, with what the REST API takes from them.
"""

from __future__ import annotations

import hmac

from engine.identity.principal import Principal
from server.auth.api_keys import READER, ApiKey, KeyRing, looks_like_key
from server.auth.authenticator import Authenticator
from server.auth.identity import WATCH, HandshakeRequest
from server.auth.refusal import AuthenticationError

__all__ = ["KeyGate", "OperatorGate"]


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


class OperatorGate:
    """Lets in whom REST would let read everything; ``within`` judges the rest.

    That is a secret API key that may read everything, or the server's ``rest_key``, in the place of a token; and, if there
    is no ``rest_key`` and ``local``, a request of this machine that asks to watch. Of a key in an address, which proxies
    log, nothing is believed.
    """

    def __init__(self, ring: KeyRing, within: Authenticator, rest_key: str | None, *, local: bool) -> None:
        self._ring = ring
        self._within = within
        self._rest_key = None if rest_key is None else rest_key.encode()
        self._local = local and rest_key is None

    def judge(self, text: str, address: str | None) -> float | None:
        """When the right to watch with this key from ``address`` ends, in seconds since the Unix epoch; None: never. Raises
        ``AuthenticationError`` with the reason if there is none.
        """
        if self._is_own(text):
            return None
        key = self._ring.check(text, address)
        _check_watches(key)
        return key.expires_at

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """See ``Authenticator``. A key that is refused is left to ``authenticate``, so that the client gets the reason."""
        try:
            found = self._operator(handshake)
        except AuthenticationError:
            return None
        return self._within.identify(handshake) if found is None else found

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """See ``Authenticator``."""
        found = self._operator(handshake)
        return await self._within.authenticate(handshake) if found is None else found

    async def renew(self, token: str) -> Principal:
        """See ``Authenticator``. A connection that watches has nothing to renew, and no other one begins to."""
        return await self._within.renew(token)

    def _operator(self, handshake: HandshakeRequest) -> Principal | None:
        token = handshake.token
        if token is None:
            asks = self._local and handshake.local and handshake.query.get(WATCH) == "on"
            return Principal(administrator=True, watches=True) if asks else None
        if not (looks_like_key(token) or self._is_own(token)):
            return None
        if handshake.token_in_address:
            raise AuthenticationError(
                "a key of the REST API is never for an address: revoke it, and send it in a header"
            )
        self.judge(token, handshake.ip)
        return Principal(administrator=True, watches=True)

    def _is_own(self, text: str) -> bool:
        return self._rest_key is not None and hmac.compare_digest(text.encode(), self._rest_key)


def _check_watches(key: ApiKey) -> None:
    if not key.secret:
        raise AuthenticationError("a publishable API key is no token: send it as apikey")
    if key.scopes is not None and READER not in key.scopes:
        raise AuthenticationError(
            f"the API key {key.prefix} lacks the scope {READER}, without which it opens no connection"
        )
