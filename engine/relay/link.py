"""One worker, as the relay sees it: what it is sent, and what it has confirmed."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from engine.lsn import Lsn
from engine.relay.backlog import Backlog, Cursor
from engine.relay.messages import ToWorker, encode

__all__ = ["Link"]

_BATCH: Final = 256 << 10  # bytes that are written at once


class Link:
    """A worker's connection; :meth:`begin` gives it a place in the stream.

    Attributes:
        node: the worker's name.
        cursor: its place in the backlog.
        generation: that its confirmations are of.
        confirmed: it needs nothing before this position any more.
        confirmed_at: when it confirmed last, on the monotonic clock.
        held: for how many seconds the others have waited for it since it had taken everything last.
    """

    cursor: Cursor
    generation: int
    confirmed: Lsn
    confirmed_at: float

    def __init__(self, node: str, writer: asyncio.StreamWriter) -> None:
        self.node = node
        self.held = 0.0
        self._ended = False
        self._writer = writer
        self._more = asyncio.Event()

    def begin(self, backlog: Backlog, cursor: Cursor, confirmed: Lsn) -> None:
        """Its events are those at ``cursor`` and behind, and it needs nothing before ``confirmed``."""
        self._backlog, self.cursor = backlog, cursor
        self.confirm(backlog.generation, confirmed)

    def confirm(self, generation: int, position: Lsn) -> None:
        """The worker has confirmed ``position``."""
        self.generation, self.confirmed, self.confirmed_at = generation, position, time.monotonic()

    def wake(self) -> None:
        """There is more in the backlog."""
        self._more.set()

    def post(self, message: ToWorker) -> None:
        """Send ``message`` before the events that wait."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    def cut(self) -> None:
        """End the connection. Its cursor is not used any more."""
        self._ended = True
        self._writer.transport.abort()

    async def send(self, took: asyncio.Event) -> None:
        """Send what the backlog has until the link is cut; set ``took`` after each batch. Raises ``OSError``."""
        while not self._ended:
            batch = self._backlog.take(self.cursor, _BATCH)
            if batch:
                took.set()
                self._writer.write(b"".join(batch))
                await self._writer.drain()
                continue
            self.held = 0.0
            self._more.clear()
            await self._more.wait()
