"""The REST API for asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import AsyncRetrying

from bunbase.protocol.crypto import Encryption, expect_encryption
from bunbase.protocol.expected import expect_text
from bunbase.protocol.model import HistoryPage, Presence
from bunbase.rest import calls
from bunbase.rest.resources import ConnectionInfo, Room

__all__ = ["AsyncRealtimeServer", "AsyncServerChannel"]

T = TypeVar("T")


class AsyncRealtimeServer:
    """A server's client for asyncio. ``async with AsyncRealtimeServer(…) as server:`` closes it.

    Requests that cannot do harm twice are repeated, after waits at random, when the network or the server fails. If the
    server asks for a longer wait it is that; one that is longer than ``timeout`` is raised at once, as ``retry_after``.

    Args:
        url: the server, such as ``https://realtime.example.com``. Default: ``BUNBASE_REALTIME_URL``, or that of
            ``realtime dev``, ``http://localhost:8000``.
        api_key: the key that the server was given as ``rest_key``; by default ``BUNBASE_REALTIME_KEY``.
        timeout: seconds for one attempt.
        attempts: how often a request is tried at most.

    Every method raises ``RealtimeError``: refused, or ``RT_001`` if the server could not be reached.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, timeout: float = 10.0, attempts: int = 4
    ) -> None:
        self._http = httpx.AsyncClient(**calls.client_options(url, api_key, timeout, attempts))
        self._attempts = attempts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {calls.shown(self._http.base_url)}>"

    def channel(self, name: str, *, encryption: Encryption | None = None) -> AsyncServerChannel:
        """A channel to publish to and look into."""
        expect_text("channel", name)
        expect_encryption(encryption)
        return AsyncServerChannel(self, name, encryption)

    async def broadcast(  # noqa: PLR0913
        self,
        event: str,
        data: object = None,
        *,
        users: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        sender: str | None = None,
        audience: Mapping[str, Any] | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> None:
        """Send to all connections, to all connections of ``users``, or to several ``channels``.

        Not repeated by itself once the server may have received it. ``traceparent`` and ``tracestate`` as in
        ``broadcast`` of a channel.
        """
        await self._call(
            calls.broadcast_widely(event, data, users, channels, sender, audience, traceparent, tracestate)
        )

    async def get_connections(self, *, user_id: str | None = None) -> list[ConnectionInfo]:
        """The connected clients of all servers; only this user's connections if one is named."""
        found: list[ConnectionInfo] = []
        after: str | None = None
        while True:
            page, after = await self._call(calls.connections(user_id, after))
            found += page
            if after is None:
                return found

    async def disconnect(self, connection_id: str) -> None:
        """End a connection; its client does not reconnect by itself."""
        await self._call(calls.disconnect(connection_id))

    async def disconnect_user(self, user_id: str) -> int:
        """End all connections of a user; returns how many."""
        return await self._call(calls.disconnect_user(user_id))

    async def create_room(self, name: str, **settings: Any) -> Room:
        """Make a room. Settings: ``metadata``, ``capacity``, ``history``, ``ttl``, ``max_messages`` … as in ``Room``."""
        return await self._call(calls.create_room(name, settings))

    async def get_room(self, name: str) -> Room:
        """A room's settings."""
        return await self._call(calls.get_room(name))

    async def update_room(self, name: str, **settings: Any) -> Room:
        """Change settings; omitted ones stay, None removes a limit."""
        return await self._call(calls.update_room(name, settings))

    async def close_room(self, name: str) -> None:
        """Close the room: later subscriptions and messages are rejected."""
        await self._call(calls.close_room(name))

    async def aclose(self) -> None:
        """Close the connections to the server; what is called afterwards raises ``RealtimeError`` (RT_001)."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _call(self, call: calls.Call[T]) -> T:
        retrying = AsyncRetrying(**calls.retry_options(call, self._attempts, self._http.timeout.read))
        with calls.plain_errors(self._http.base_url):
            answer: T = await retrying(self._once, call)
            return answer

    async def _once(self, call: calls.Call[T]) -> T:
        calls.expect_open(self._http)
        return calls.read(call, await self._http.request(call.method, call.path, **calls.options(call)))


class AsyncServerChannel:
    """A channel, made by ``AsyncRealtimeServer.channel``."""

    def __init__(self, server: AsyncRealtimeServer, name: str, encryption: Encryption | None) -> None:
        self.name = name
        self._server = server
        self._encryption = encryption

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def broadcast(  # noqa: PLR0913
        self,
        event: str,
        data: object = None,
        *,
        id: str | None = None,
        sender: str | None = None,
        audience: Mapping[str, Any] | None = None,
        priority: int = 0,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> str:
        """Publish; returns the message's id when it is committed.

        Args:
            event: the event's name.
            data: any JSON value.
            id: an id of the application: the same id in the same channel is stored once. Generated by default.
            sender: the user it is from.
            audience: the subscribers that get it: ``users``, ``connections``, ``where``, ``exclude``.
            priority: higher is not queued behind lower under load.
            traceparent: the W3C trace context that the message continues; subscribers with ``meta`` get it.
            tracestate: of that context.

        Raises:
            RealtimeError: refused, or the server could not be reached.
            TypeError, ValueError: ``data`` is no JSON, or the context has characters that no header can carry.
        """
        call = calls.broadcast(
            self.name, event, data, id, sender, audience, priority, self._encryption, traceparent, tracestate
        )
        return await self._server._call(call)

    async def get_presence(self) -> Presence:
        """The present users."""
        return await self._server._call(calls.presence(self.name))

    async def kick(self, user_id: str, reason: str | None = None) -> int:
        """Remove a user, on whichever server it is; returns how many of its connections were present."""
        return await self._server._call(calls.kick(self.name, user_id, reason))

    async def history(self, *, before: str | None = None, limit: int = 50) -> HistoryPage:
        """The latest messages, or those before a position. ``limit`` is at most 1000."""
        return await self._server._call(calls.history(self.name, before, limit))
