"""Where a client's messages go: the seam between a client and its transport."""

from __future__ import annotations

from typing import Protocol

from engine.identity.principal import Principal
from server.protocol.close_codes import CloseCode
from server.wire.encoder import Wire
from server.wire.frame import Frame

__all__ = ["Transport"]


class Transport(Protocol):
    """Nothing here waits."""

    @property
    def wire(self) -> Wire:
        """The form of its messages."""

    @property
    def congested(self) -> bool:
        """True from the moment too many bytes are queued until enough of them are sent."""

    @property
    def over_limit(self) -> bool:
        """True while so many bytes are queued that messages that cannot be conflated must not be added."""

    def write(self, frame: Frame) -> None:
        """Write a frame behind the queued ones. A closing connection drops it."""

    def pause_reading(self, paused: bool) -> None:
        """Pause reading from the client while ``paused``: its messages are still being carried out."""

    def identity_renewed(self, principal: Principal) -> None:
        """The client has proved its identity again: the connection lasts until that proof ends."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Write the queued frames, then end the connection."""
