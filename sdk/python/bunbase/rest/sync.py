"""The REST API for synchronous code: Flask, Django, scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import Retrying

from bunbase.crypto import Encryption
from bunbase.model import Presence
from bunbase.rest import calls
from bunbase.rest.model import Connection, History, Room

__all__ = ["RealtimeServer", "ServerChannel"]

T = TypeVar("T")


class RealtimeServer:
    """A server's client, which threads may share. ``with RealtimeServer(…) as server:`` closes it.

    Requests that cannot do harm twice are repeated, after waits at random, when the network or the server fails.

    Args:
        url: the server, such as ``https://realtime.example.com``.
        api_key: the key that the server was given as ``rest_key``.
        timeout: seconds for one attempt.
        attempts: how often a request is tried at most.

    Every method raises ``RealtimeError``: refused, or ``RT_001`` if the server could not be reached.
    """

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = 10.0, attempts: int = 4) -> None:
        self._http = httpx.Client(**calls.client_options(url, api_key, timeout))
        self._attempts = attempts

    def channel(self, name: str, *, encryption: Encryption | None = None) -> ServerChannel:
        """A channel to publish to and look into."""
        return ServerChannel(self, name, encryption)

    def broadcast(
        self,
        event: str,
        data: object = None,
        *,
        users: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        sender: str | None = None,
        audience: Mapping[str, Any] | None = None,
    ) -> None:
        """Send to everybody who is connected, to ``users`` wherever they are, or to several ``channels``.

        Not repeated by itself once the server may have got it.
        """
        self._call(calls.broadcast_widely(event, data, users, channels, sender, audience))

    def get_connections(self, *, user_id: str | None = None) -> list[Connection]:
        """Who is connected, on all servers; only this user's connections if one is named."""
        found: list[Connection] = []
        after: str | None = None
        while True:
            page, after = self._call(calls.connections(user_id, after))
            found += page
            if after is None:
                return found

    def disconnect(self, connection_id: str) -> None:
        """End a connection; its client does not come back by itself."""
        self._call(calls.disconnect(connection_id))

    def disconnect_user(self, user_id: str) -> int:
        """End all connections of a user; returns how many."""
        return self._call(calls.disconnect_user(user_id))

    def create_room(self, name: str, **settings: Any) -> Room:
        """Make a room. Settings: ``metadata``, ``capacity``, ``history``, ``ttl``, ``max_messages`` … as in ``Room``."""
        return self._call(calls.create_room(name, settings))

    def get_room(self, name: str) -> Room:
        """A room's settings."""
        return self._call(calls.get_room(name))

    def update_room(self, name: str, **settings: Any) -> Room:
        """Change settings; what is left out stays, None takes a limit away."""
        return self._call(calls.update_room(name, settings))

    def close_room(self, name: str) -> None:
        """Nobody can subscribe or publish to it any more."""
        self._call(calls.close_room(name))

    def close(self) -> None:
        """Close the connections to the server."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, call: calls.Call[T]) -> T:
        retrying = Retrying(**calls.retry_options(call, self._attempts))
        with calls.plain_errors():
            answer: T = retrying(self._once, call)
            return answer

    def _once(self, call: calls.Call[T]) -> T:
        return calls.read(call, self._http.request(call.method, call.path, params=call.params, **calls.body(call)))


class ServerChannel:
    """A channel, made by ``RealtimeServer.channel``."""

    def __init__(self, server: RealtimeServer, name: str, encryption: Encryption | None) -> None:
        self.name = name
        self._server = server
        self._encryption = encryption

    def broadcast(
        self,
        event: str,
        data: object = None,
        *,
        id: str | None = None,
        sender: str | None = None,
        audience: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> str:
        """Publish; returns the message's id when it is committed.

        Args:
            event: the event's name.
            data: any JSON value.
            id: of your own choice: the same id in the same channel is stored once. Made up if left out.
            sender: the user it is from.
            audience: which of the subscribers get it: ``users``, ``connections``, ``where``, ``exclude``.
            priority: higher is not queued behind lower under load.
        """
        call = calls.broadcast(self.name, event, data, id, sender, audience, priority, self._encryption)
        return self._server._call(call)

    def get_presence(self) -> Presence:
        """Who is there."""
        return self._server._call(calls.presence(self.name))

    def kick(self, user_id: str, reason: str | None = None) -> int:
        """Remove a user, on whichever server it is; returns how many of its connections were present."""
        return self._server._call(calls.kick(self.name, user_id, reason))

    def history(self, *, before: str | None = None, limit: int = 50) -> History:
        """The latest messages, or those before a position. ``limit`` is at most 1000."""
        return self._server._call(calls.history(self.name, before, limit))
