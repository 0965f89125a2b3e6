"""The sink of a client without a socket of its own: what an event stream and long polling have in common.

The same limits as on a WebSocket: when more than ``buffer_size`` bytes wait, live queries are paused and what the client
sends has to wait; below a quarter both go on; past ``backlog`` bytes messages of channels end the session.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from engine.principal import Principal
from server.client.admission import Admission
from server.ports.channels import ChannelEvent, EventBatch
from server.ports.live_queries import LiveEvent
from server.protocol import server_messages
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State
from server.transports.connection import Admitted
from server.transports.http.inbox import Inbox

__all__ = ["HttpConnection", "SessionStore"]


class SessionStore(Protocol):
    """Keeps the sessions."""

    def left(self, connection: Any) -> None:
        """The client was released; what waits for it may still be fetched. May be called again."""

    def ended(self, connection: Any) -> None:
        """The session can be forgotten."""


class HttpConnection(Admitted):
    """A base; a transport says where the bytes go. ``HttpSessions`` accepts it and has it authenticated."""

    def __init__(self, secret: str, admission: Admission, keeper: SessionStore) -> None:
        super().__init__(admission)
        self.secret = secret
        self.congested = False
        self.held = False
        self._keeper = keeper
        self._clean_close = False
        self._room: asyncio.Future[None] | None = None
        self.inbox = Inbox(self)

    @property
    def closing(self) -> bool:
        """True once the last message was made."""
        return self.state.ending

    def authenticate(self) -> asyncio.Task[Principal] | None:
        """Open the session, if its principal is known; else the task that finds it, to be followed by ``open``."""
        return self._authenticate(self)

    def open(self, principal: Principal) -> None:
        """The client is authenticated."""
        self._open(principal, self)

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
        if self.state is State.OPEN:
            self._own(payload)
            self._added()

    def send_event(self, head: bytes, event: LiveEvent) -> None:
        """Send a message that others share."""
        if self.state is State.OPEN:
            self._live(head, event)
            self._added()

    def send_shared(self, event: ChannelEvent) -> None:
        """Send a channel's message, which others share."""
        if self.state is State.OPEN:
            self._shared(event)
            self._added()

    def send_block(self, block: EventBatch) -> None:
        """Send several of a channel's messages."""
        for event in block.events:
            self.send_shared(event)

    @property
    def overflowing(self) -> bool:
        """True while more than ``backlog`` bytes wait."""
        return self.congested and not self.closing and self._waiting() > self._limits.backlog

    def hold(self, held: bool) -> None:
        """Take nothing more from the client while ``held``."""
        self.held = held
        self._let_in()

    def close(self, code: CloseCode, reason: str) -> None:
        """Tell the client that this is the end, after what waits."""
        if self.closing:
            return
        opened = self.state is State.OPEN
        if opened:
            self._own(server_messages.close(code, reason))
        self._enter(State.DRAINING)
        self._let_in()
        if opened:  # else the request that opens the session answers with an HTTP status
            self._close()

    def _close(self) -> None:
        """The last message waits; see to it that the client is given it, and end."""
        raise NotImplementedError

    def say_goodbye(self) -> None:
        """The client ends the session itself: others see it leave at once."""
        self._clean_close = True
        self.close(CloseCode.NORMAL, "the client has ended the session")

    def release(self) -> None:
        """Give back what the client has subscribed to."""
        self._release(left=self._clean_close)
        self._keeper.left(self)

    def end(self) -> None:
        """No request will come any more: forget the session."""
        if self.state is State.CLOSED:
            return
        self._enter(State.CLOSED)
        self._let_in()
        self.release()
        self._keeper.ended(self)

    # What the client sends.

    async def room(self) -> bool:
        """Wait until the client may say more; False: the session is at its end, and nothing more is done."""
        while (self.congested or self.held) and not self.closing:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)
        return not self.closing

    def receive(self, message: bytes) -> None:
        """The client sent a message."""
        self.client.carry_out(self.session.receive(message, self._loop.time()))

    def _let_in(self) -> None:
        if self._room is not None and (self.closing or not (self.congested or self.held)):
            self._room.set_result(None)
            self._room = None

    # How much waits.

    def _added(self) -> None:
        if not self.congested and self._waiting() > self._limits.buffer_size:
            self.congested = True
            self.client.congest()

    def _taken(self) -> None:
        """The client has taken something."""
        if self.congested and not self.closing and self._waiting() <= self._limits.buffer_size // 4:
            self.congested = False
            self._let_in()
            self.client.relieve()
