"""What a new connection is given, whatever its transport; and how the transports ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from server.auth.identity import HandshakeRequest
from server.client.shared import SharedServices
from server.ports.channels import Member
from server.ports.limits import ConnectionLimits
from server.protocol.close_codes import CloseCode
from server.session.session import Session

__all__ = ["Admission", "Connection", "ConnectionAcceptor"]


class Connection(Protocol):
    """A connection as its server sees it."""

    def send(self, payload: bytes) -> None:
        """Send a message."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Send what is waiting, then end the connection."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who the client is, its session, and what it may use."""

    session: Session
    member: Member
    services: SharedServices
    limits: ConnectionLimits


class ConnectionAcceptor(Protocol):
    """Lets clients in, and knows those who are."""

    def admit(self, upgrade: HandshakeRequest, transport: str, secret: str | None = None) -> Admission:
        """A session for a new client. Raises ``HandshakeRejectedError``."""
        ...

    def entered(self, connection: Connection) -> None:
        """The connection is open."""

    def left(self, connection: Connection) -> None:
        """The connection is gone."""
