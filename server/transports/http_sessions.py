"""The sessions of clients without a socket, by the secret that their requests name them with."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

from starlette.responses import Response

from engine.identity.principal import Principal
from server.auth.identity import HandshakeRequest
from server.client.admission import ConnectionAcceptor
from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.session.lifecycle import State
from server.transports.base.http_connection import HttpConnection
from server.transports.polling.poll_connection import PollConnection
from server.transports.sse.sse_connection import SseConnection

__all__ = ["HttpSessions", "OtherWorkers", "ended"]

_SECRET_BYTES = 24


def ended() -> ProblemError:
    """The answer to a request whose session does not exist, or has ended."""
    return ProblemError(
        ErrorCode.CONNECTION_FAILED, "there is no such session, or it has ended; open a new one", HTTPStatus.NOT_FOUND
    )


class OtherWorkers(Protocol):
    """The other workers of this machine: a request may come to any of them, and is handed on to that of its session."""

    def have(self, secret: str) -> bool:
        """Whether the secret is that of another worker's session, if it is one at all."""
        ...

    async def ask(self, secret: str, method: str, path: str, content: bytes) -> Response:
        """What that worker answers. Raises ``ProblemError``, also if the worker has ended, and the session with it."""
        ...


class HttpSessions:
    """Accepts and finds sessions. ``timeout``: seconds that a polling client may stay away.

    ``prefix``: of their secrets, names the worker that has them.
    """

    prefix = ""

    def __init__(self, acceptor: ConnectionAcceptor, timeout: float) -> None:
        self._acceptor = acceptor
        self._timeout = timeout
        self._sessions: dict[str, HttpConnection] = {}

    def accept_stream(self, handshake: HandshakeRequest) -> SseConnection:
        """A session that will be a stream, not yet authenticated. Raises ``HandshakeRejectedError``."""
        secret = self._new_secret()
        admission = self._acceptor.admit(handshake, "sse", secret)
        connection = SseConnection(secret, admission, self, admission.session.epoch)
        self._acceptor.accepted(connection)
        return connection

    def accept_poll(self, handshake: HandshakeRequest) -> PollConnection:
        """A session that will be polled, not yet authenticated. Raises ``HandshakeRejectedError``."""
        secret = self._new_secret()
        connection = PollConnection(secret, self._acceptor.admit(handshake, "poll", secret), self, self._timeout)
        self._acceptor.accepted(connection)
        return connection

    def _new_secret(self) -> str:
        return self.prefix + secrets.token_urlsafe(_SECRET_BYTES)

    async def authenticate(
        self, connection: HttpConnection, wait: Callable[[asyncio.Task[Principal]], Awaitable[Principal]]
    ) -> None:
        """Open a session that was accepted, or end it. ``wait`` awaits the task, and may give up: it then raises.

        Raises ``RealtimeError`` if the client is refused.
        """
        try:
            authentication = connection.authenticate()
            if authentication is not None:
                connection.open(await wait(authentication))
            self._sessions[connection.secret] = connection
        finally:
            if connection.state is not State.OPEN:
                connection.end()

    def find(self, secret: str) -> HttpConnection:
        """The session. Raises ``ProblemError`` if there is none, or it has ended."""
        found = self._sessions.get(secret)
        if found is None or found.closing:
            raise ended()
        return found

    def find_poll(self, secret: str) -> PollConnection:
        """The polled session, also if it has ended but has messages that were not fetched. Raises ``ProblemError``."""
        found = self._sessions.get(secret)
        if found is None:
            raise ended()
        if not isinstance(found, PollConnection):
            raise ProblemError(ErrorCode.INVALID_MESSAGE, "this session has a stream; it cannot be polled")
        return found

    def released(self, connection: HttpConnection) -> None:
        """The client was released."""
        self._acceptor.closed(connection)

    def ended(self, connection: HttpConnection) -> None:
        """Remove the session."""
        self._sessions.pop(connection.secret, None)
