"""Admission of new connections, the same for every transport.

Admission has two steps. The acceptor checks the handshake itself and accepts the connection or rejects it with an
HTTP status. Then the authenticator, which may need a round trip, finds the principal; until then there is no ``Client``.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from msgspec import Struct

from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from server.auth.identity import HandshakeRequest
from server.auth.refusal import REFUSALS
from server.client.failures import client_error
from server.client.shared import SharedServices
from server.limits.connection_limiter import CountedConnection
from server.limits.connection_limits import ConnectionLimits
from server.limits.reading_shares import ReadingShare
from server.ports.channels import Member
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State
from server.session.session import Session

__all__ = ["Admission", "Connection", "ConnectionAcceptor", "authenticated"]


class Connection(Protocol):
    """A connection as its server sees it."""

    @property
    def state(self) -> State:
        """Where in its life it is."""

    def send(self, payload: bytes) -> None:
        """Send a message."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Send the queued frames, then end the connection."""


async def authenticated(
    services: SharedServices, handshake: HandshakeRequest, seconds: float, transport: str
) -> Principal:
    """The principal that a handshake proves. Raises ``RealtimeError``: ``RT_002`` or ``RT_003`` if the client is refused,
    ``RT_001`` if it cannot be judged now, or not within these seconds.
    """
    try:
        async with asyncio.timeout(seconds):
            return await services.authenticator.authenticate(handshake)
    except TimeoutError as late:
        raise UnavailableError(f"the client was not authenticated within {seconds:g} s; try again") from late
    except Exception as error:
        shown = client_error(error, "authentication_failed", transport=transport)
        if services.log.authentication and shown.code in REFUSALS:
            services.log.unauthenticated(handshake.ip, transport, shown)
        raise shown from error


class Admission(Struct, frozen=True):
    """The parameters of an accepted connection.

    ``transport``: ``websocket``, ``sse`` or ``poll``. ``principal``: None if it has to be authenticated first.
    ``counted``: what it counts for; None: it is not counted. ``share``: what reading it may cost; None: anything.
    """

    session: Session
    handshake: HandshakeRequest
    transport: str
    services: SharedServices
    limits: ConnectionLimits
    principal: Principal | None = None
    counted: CountedConnection | None = None
    share: ReadingShare | None = None

    async def authenticate(self) -> Principal:
        """The client's principal. Raises ``RealtimeError``: ``RT_002`` or ``RT_003`` if the client is refused, ``RT_006``
        if its user has too many connections, ``RT_001`` if it cannot be judged now, or not within
        ``authentication_timeout``.
        """
        seconds = self.limits.authentication_timeout
        principal = await authenticated(self.services, self.handshake, seconds, self.transport)
        if self.counted is not None:
            self.counted.identify(principal.user_id)
        return principal

    def member(self, principal: Principal) -> Member:
        """The connection as the channels see it."""
        id, ip = self.session.connection_id, self.handshake.ip
        return Member(id, principal.user_id, principal.attributes, ip, self.transport, principal.proven_user_id)


class ConnectionAcceptor(Protocol):
    """Accepts connections and keeps those that are open."""

    def admit(self, handshake: HandshakeRequest, transport: str, secret: str | None = None) -> Admission:
        """Accept a connection. Raises ``HandshakeRejectedError``."""
        ...

    def accepted(self, connection: Connection) -> None:
        """The connection was accepted."""

    def closed(self, connection: Connection) -> None:
        """The connection is closed. May be called again."""
