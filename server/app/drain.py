"""Draining: the clients are asked to reconnect one after the other, so the next server gets no burst; the remaining ones
are closed.
"""

from __future__ import annotations

import asyncio
import random

import structlog

from server.client.admission import Connection
from server.protocol import server_messages
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State

__all__ = ["Connections", "drain"]

_SHARE = 0.8  # of the time, so that the last ones still have some to move
_log = structlog.get_logger("realtime.drain")


class Connections:
    """The open connections of a server."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """One was opened."""
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        self._changed.set()

    def shuffled(self) -> list[Connection]:
        """All of them, in no order."""
        found = list(self._open)
        random.shuffle(found)
        return found

    def close(self, code: CloseCode, reason: str) -> None:
        """End them all."""
        for connection in list(self._open):
            connection.close(code, reason)

    def close_unopened(self, code: CloseCode, reason: str) -> None:
        """Close the connections whose client was not authenticated."""
        for connection in list(self._open):
            if connection.state is State.CONNECTING or connection.state is State.AUTHENTICATING:
                connection.close(code, reason)

    async def emptied(self) -> None:
        """Wait until every connection is closed."""
        while self._open:
            self._changed.clear()
            await self._changed.wait()


async def drain(connections: Connections, seconds: float) -> None:
    """Ask every client to reconnect elsewhere, spread over ``seconds``; return when all are closed or the time is up."""
    clients = connections.shuffled()
    if not clients or seconds <= 0:
        return
    _log.info("draining", connections=len(clients), seconds=seconds)
    for place, client in enumerate(clients):
        client.send(server_messages.reconnect(seconds * _SHARE * place / len(clients)))
    try:
        async with asyncio.timeout(seconds):
            await connections.emptied()
    except TimeoutError:
        _log.info("drained", remaining=len(connections))
