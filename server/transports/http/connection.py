"""The sink of a client without a socket of its own: what an event stream and long polling have in common.

The same limits as on a WebSocket: when more than ``buffer_size`` bytes wait, live queries are paused and what the client
sends has to wait; below a quarter both go on; past ``backlog`` bytes messages of channels end the session.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from server.client.admission import Admission
from server.client.client import Client
from server.ports.channels import ChannelEvent, EventBatch
from server.ports.live_queries import LiveEvent
from server.protocol import server_messages
from server.protocol.close_codes import CloseCode
from server.transports.http.inbox import Inbox

__all__ = ["HttpConnection", "SessionStore"]


class SessionStore(Protocol):
    """Keeps the sessions."""

    def left(self, connection: Any) -> None:
        """The client is gone, or told to go; what waits for it may still be fetched."""

    def ended(self, connection: Any) -> None:
        """The session can be forgotten."""


class HttpConnection:
    """A base; a transport says where the bytes go. The keeper's methods are called once each."""

    def __init__(self, secret: str, admission: Admission, keeper: SessionStore) -> None:
        self.secret = secret
        self.client = Client(admission.session, admission.member, admission.services, self)
        self.congested = False
        self.held = False
        self._limits = admission.limits
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._left = False
        self._farewell = False
        self._ended = False
        self._room: asyncio.Future[None] | None = None
        self.inbox = Inbox(self)

    @property
    def closing(self) -> bool:
        """True once the last message was made."""
        return self._closing

    # What a transport is.

    def _waiting(self) -> int:
        """Bytes that have not been taken by the client."""
        raise NotImplementedError

    def _own(self, payload: bytes) -> None:
        """Put a message of this client's own behind what waits."""
        raise NotImplementedError

    def _live(self, head: bytes, event: LiveEvent) -> None:
        """Put an event of a live query behind what waits."""
        raise NotImplementedError

    def _shared(self, event: ChannelEvent) -> None:
        """Put an event of a channel behind what waits."""
        raise NotImplementedError

    # What the client calls.

    def send(self, payload: bytes) -> None:
        """Send a message of this client's own."""
        if not self._closing:
            self._own(payload)
            self._added()

    def send_event(self, head: bytes, event: LiveEvent) -> None:
        """Send a message that others share."""
        if not self._closing:
            self._live(head, event)
            self._added()

    def send_shared(self, event: ChannelEvent) -> None:
        """Send a channel's message, which others share."""
        if not self._closing:
            self._shared(event)
            self._added()

    def send_block(self, block: EventBatch) -> None:
        """Send several of a channel's messages."""
        for event in block.events:
            self.send_shared(event)

    @property
    def overflowing(self) -> bool:
        """True while more than ``backlog`` bytes wait."""
        return self.congested and not self._closing and self._waiting() > self._limits.backlog

    def hold(self, held: bool) -> None:
        """Take nothing more from the client while ``held``."""
        self.held = held
        self._let_in()

    def close(self, code: CloseCode, reason: str) -> None:
        """Tell the client that this is the end, after what waits."""
        if self._closing:
            return
        self._own(server_messages.close(code, reason))
        self._closing = True
        self._let_in()
        self._close()

    def _close(self) -> None:
        """The last message waits; see to it that the client is given it, and end."""
        raise NotImplementedError

    def say_goodbye(self) -> None:
        """The client ends the session itself: others see it leave at once."""
        self._farewell = True
        self.close(CloseCode.NORMAL, "the client has ended the session")

    def leave(self) -> None:
        """The client is gone, or told to go: give back what it has subscribed to."""
        if self._left:
            return
        self._closing = self._left = True
        self._let_in()
        self.client.gone(self._farewell)
        self._keeper.left(self)

    def end(self) -> None:
        """Nobody is there any more: forget the session."""
        if self._ended:
            return
        self._ended = True
        self.leave()
        self._keeper.ended(self)

    # What the client sends.

    async def room(self) -> bool:
        """Wait until the client may say more; False: the session is at its end, and nothing more is done."""
        while (self.congested or self.held) and not self._closing:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)
        return not self._closing

    def receive(self, message: bytes) -> None:
        """The client sent a message."""
        self.client.carry_out(self.client.session.receive(message, self._loop.time()))

    def _let_in(self) -> None:
        if self._room is not None and (self._closing or not (self.congested or self.held)):
            self._room.set_result(None)
            self._room = None

    # How much waits.

    def _added(self) -> None:
        if not self.congested and self._waiting() > self._limits.buffer_size:
            self.congested = True
            self.client.congest()

    def _taken(self) -> None:
        """The client has taken something."""
        if self.congested and not self._closing and self._waiting() <= self._limits.buffer_size // 4:
            self.congested = False
            self._let_in()
            self.client.relieve()
