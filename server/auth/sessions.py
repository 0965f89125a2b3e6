"""Sessions of users: a token that names one is accepted as long as the session lasts (setting ``session_validation``).

The sessions are rows of ``realtime.sessions``, known as of the stream. A session that began, or was prolonged, a moment ago
may not have come yet: before a client is refused for that, the stream is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from engine.channels.core.watched_rows import WatchedRows
from engine.identity.principal import Principal
from server.auth.authenticator import Authenticator
from server.auth.identity import HandshakeRequest
from server.auth.refusal import AuthenticationError

__all__ = ["SessionGate"]


class _NotYetKnownError(AuthenticationError):
    """The session has ended by itself or is unknown, as of the stream; a change may be on its way."""


class SessionGate:
    """Refuses authenticated clients whose session has ended, and, if ``required``, those without one.

    Args:
        rows: of ``realtime.sessions``.
        caught_up: waits until the rows are those that are committed now.
        within: finds the principals.
        required: refuse proofs of identity that name no session.
    """

    def __init__(
        self,
        rows: WatchedRows,
        caught_up: Callable[[], Awaitable[None]],
        within: Authenticator,
        *,
        required: bool = False,
    ) -> None:
        self._rows = rows
        self._caught_up = caught_up
        self._within = within
        self._required = required

    def judge(self, session_id: str, user_id: str | None) -> float | None:
        """When a session of this user ends, in seconds since the Unix epoch; None: not by itself. Raises
        ``AuthenticationError`` with the reason if it has ended.
        """
        row = self._rows.get(session_id)
        if row is None:
            raise _NotYetKnownError("unknown session")
        if row["user_id"] != user_id:
            raise AuthenticationError("the session is another user's", "claims")
        if row["revoked_at"] is not None:
            raise AuthenticationError("session revoked", "revoked")
        expires_at = row["expires_at"]
        end = None if expires_at is None else datetime.fromisoformat(expires_at).timestamp()
        if end is not None and end <= time.time():
            raise _NotYetKnownError("session expired")
        return end

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """See ``Authenticator``. A refused session is left to ``authenticate``, so that the client gets the reason."""
        principal = self._within.identify(handshake)
        try:
            if principal is not None:
                self._check(principal)
        except AuthenticationError:
            return None
        return principal

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """See ``Authenticator``."""
        return await self._checked(await self._within.authenticate(handshake))

    async def renew(self, token: str) -> Principal:
        """See ``Authenticator``."""
        return await self._checked(await self._within.renew(token))

    async def _checked(self, principal: Principal) -> Principal:
        try:
            self._check(principal)
        except _NotYetKnownError:
            await self._caught_up()
            self._check(principal)
        return principal

    def _check(self, principal: Principal) -> None:
        if principal.session_id is not None:
            self.judge(principal.session_id, principal.user_id)
        elif self._required and principal.authenticated:
            raise AuthenticationError(
                "the token names no session, and this server requires one (session_validation)", "claims"
            )
