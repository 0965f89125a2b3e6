"""Where a client's messages go: the seam between a client and its transport."""

from __future__ import annotations

from typing import Protocol

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
        """True from the moment too much is waiting to be sent until enough of it has gone."""

    @property
    def over_limit(self) -> bool:
        """True while so much is waiting that what cannot be conflated must not be added."""

    def write(self, frame: Frame) -> None:
        """Write a frame, behind what waits. Nothing is written once the connection is being closed."""

    def hold(self, held: bool) -> None:
        """Take nothing more from the client while ``held``: what it has sent is still being worked on."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Write what is waiting, then end the connection."""
