"""Where a client's messages go: the seam between a client and its transport."""

from __future__ import annotations

from typing import Protocol

from server.ports.channels import ChannelEvent, EventBatch
from server.ports.live_queries import LiveEvent
from server.protocol.close_codes import CloseCode

__all__ = ["Transport"]


class Transport(Protocol):
    """Nothing here waits."""

    @property
    def congested(self) -> bool:
        """True from the moment too much is waiting to be sent until enough of it has gone."""

    @property
    def overflowing(self) -> bool:
        """True while so much is waiting that what cannot be conflated must not be added."""

    def send(self, payload: bytes) -> None:
        """Send a message that is this client's own."""

    def send_event(self, head: bytes, event: LiveEvent) -> None:
        """Send a live query's event, which others share."""

    def send_shared(self, event: ChannelEvent) -> None:
        """Send a channel's event, which others share."""

    def send_block(self, block: EventBatch) -> None:
        """Send several of a channel's events, which others share."""

    def hold(self, held: bool) -> None:
        """Take nothing more from the client while ``held``: what it has sent is still being worked on."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Send what is waiting, then end the connection."""
