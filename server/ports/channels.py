"""The channel service as connections use it: the interface between ``server`` and ``engine.channels``.

Everything is called in the event loop; ``deliver`` is called synchronously. An event is a whole message of the protocol,
encoded once: the same bytes go to every subscriber.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from engine.channels.core.messages.model import (
    Ack,
    Answer,
    ChannelEvent,
    ChannelOptions,
    Conflate,
    Deliver,
    EventBatch,
    Member,
    OlderMessages,
    Position,
    Publication,
    Receiver,
)
from engine.lsn import Lsn

__all__ = [
    "Ack",
    "Answer",
    "ChannelEvent",
    "ChannelOptions",
    "ChannelService",
    "ChannelSubscription",
    "Conflate",
    "Deliver",
    "EventBatch",
    "Member",
    "OlderMessages",
    "Position",
    "Publication",
    "Receiver",
]


class ChannelSubscription(Protocol):
    """One subscriber's hold on a channel."""

    @property
    def position(self) -> str:
        """The position after which no message can be missed."""

    @property
    def waiting(self) -> bool:
        """True while messages of the history, and later ones behind them, are still to be delivered."""

    @property
    def behind(self) -> bool:
        """The same, or messages are held to be conflated."""

    @property
    def recovered(self) -> bool | None:
        """Whether all messages after the requested ``since`` follow; None if it was not given."""

    @property
    def since(self) -> str | None:
        """The position after which every wanted message follows; None if nothing of the past was requested."""

    def presence_json(self) -> bytes | None:
        """``{"users":[…],"count":n}`` as of now; None if presence was not requested."""

    def begin(self) -> None:
        """Deliver the requested history, and every message after it in order."""

    def older(self, before: Position | None, limit: int) -> Awaitable[OlderMessages]:
        """The last ``limit`` messages before a position (None: up to the stream's) that the subscriber wants, fewer if
        they have more than a page may have.
        """
        ...

    def review(self) -> None:
        """Ask the receiver's ``access`` again; an error ends the subscription."""

    def cancel(self) -> None:
        """Stop delivering; a member with presence leaves. Not needed after ``disconnect``."""


class ChannelService(Protocol):
    """The channel service. Every method raises ``RealtimeError`` with the protocol's code if it is refused."""

    def connect(self, member: Member, deliver: Deliver) -> Awaitable[None]:
        """Register the connection. ``deliver`` gets its messages without a subscription, and the reason if it must end.

        Done when the connection's row is committed.
        """
        ...

    async def disconnect(self, connection_id: str, *, clean: bool = False) -> None:
        """The connection has ended, and with it its subscriptions.

        Its presence may return within the channel's timeout, unless the client closed the connection (``clean``).
        """

    async def subscribe(
        self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver
    ) -> ChannelSubscription:
        """Open a subscription; delivery starts with ``begin()``."""
        ...

    @property
    def epoch(self) -> str:
        """The epoch of its positions."""
        ...

    async def recorded(self) -> None:
        """Wait until everything that is committed now can be read by ``realtime.history()``."""

    async def passed(self, position: str | None) -> Lsn:
        """Wait until every event of what ``position`` names (``xid:763``, or a position; None: all that is committed by now)
        was delivered; returns the position of the stream.
        """
        ...

    async def publish(self, message: Publication) -> Ack:
        """Store a message; returns when it is committed. Those of one client are stored in the order of the calls."""
        ...

    def submit(self, messages: Sequence[tuple[Publication, Answer]]) -> int:
        """As ``publish``, where messages can be taken at once: each answer is called with the ack or the error, later.

        Returns how many were taken, from the first on; with the others nothing was done. Does not raise.
        """
        ...

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        """Change the visible state of a member that is present in ``channel``. Returns when it was delivered."""

    def status(self) -> Mapping[str, int]:
        """Figures for ``/health``."""
        ...
