"""The connection of a client without a socket of its own: the common part of event streams and long polling.

The client's messages arrive by POST, and wait while reading from it is paused.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from engine.identity.principal import Principal
from server.client.admission import Admission
from server.protocol import server_messages
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State
from server.transports.base.client_connection import ClientConnection
from server.transports.base.inbox import Inbox
from server.wire.encoder import Wire

__all__ = ["HttpConnection", "SessionStore"]


class SessionStore(Protocol):
    """Keeps the sessions."""

    def released(self, connection: Any) -> None:
        """The client was released; its queued messages may still be fetched. May be called again."""

    def ended(self, connection: Any) -> None:
        """The session can be removed."""


class HttpConnection(ClientConnection):
    """A base; a transport writes the bytes. ``HttpSessions`` accepts it and has it authenticated."""

    def __init__(self, secret: str, admission: Admission, wire: Wire, store: SessionStore) -> None:
        super().__init__(admission, wire)
        self.secret = secret
        self._store = store
        self._room: asyncio.Future[None] | None = None
        self.inbox = Inbox()

    def authenticate(self) -> asyncio.Task[Principal] | None:
        """Open the session, if its principal is known; else return the task that finds it, to be followed by ``open``.

        Raises as ``open`` does.
        """
        return self._authenticate()

    def open(self, principal: Principal) -> None:
        """The client is authenticated. Raises ``AuthenticationError`` if what let it in has ended meanwhile."""
        self._open(principal)

    def close(self, code: CloseCode, reason: str) -> None:
        """Send the close code as the last message, behind the queued ones."""
        if self.closing:
            return
        opened = self.state is State.OPEN
        if opened:
            self.send(server_messages.close(code, reason))
        self._close_code = code
        self._enter(State.DRAINING)
        self._pause_or_resume_reading()
        if opened:  # else the request that opens the session answers with an HTTP status
            self._close()

    def _close(self) -> None:
        """The last message waits: have it delivered, then end the session."""
        raise NotImplementedError

    def close_cleanly(self) -> None:
        """The client ends the session: its presence does not come back."""
        self.close(CloseCode.NORMAL, "the client has ended the session")
        self._close_code = CloseCode.NORMAL  # also if the server was closing it already

    def release(self) -> None:
        """Release the client's subscriptions."""
        self._release()
        self._store.released(self)

    def end(self) -> None:
        """No request will follow: remove the session."""
        if self.state is State.CLOSED:
            return
        self._enter(State.CLOSED)
        self._pause_or_resume_reading()
        self.release()
        self._store.ended(self)

    # Messages of the client.

    async def room(self) -> bool:
        """Wait until the client's next message can be taken; False: the session ends, and none is taken any more."""
        while self.pauses:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)
        return not self.closing

    def receive(self, message: bytes) -> None:
        """The client sent a message."""
        if self._meter is not None:
            self._meter.received(len(message))
        self.client.carry_out(self.session.receive(message, self._loop.time()))

    def _pause_or_resume_reading(self) -> None:
        if self._room is not None and not self.pauses:
            self._room.set_result(None)
            self._room = None

    def _taken(self) -> None:
        """The client has read some bytes."""
        if self.congested and self.queue.size + self._unconfirmed <= self._limits.buffer_size // 4:
            self._resume_queries()
