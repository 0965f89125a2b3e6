"""A network between two machines, for one TCP port: bytes arrive some time after they were sent, in order, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

__all__ = ["Link"]

_CHUNK = 64 * 1024


class Link:
    """``async with Link(host, port) as link:`` listens on ``link.port`` and forwards to ``host:port``.

    Attributes:
        delay: seconds from one end to the other. Nothing waits for what was sent before it, as with ``tc netem``.
        refuse: connections that come are ended at once.
        up, down: bytes to and from ``host:port``.
    """

    def __init__(self, host: str, port: int, delay: float = 0.0) -> None:
        self.port = 0
        self.delay = delay
        self.refuse = False
        self.up = self.down = 0
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End all connections, and what is on the way."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        ways = [asyncio.create_task(self._carry(*way)) for way in ((reader, back, True), (there, writer, False))]
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, back):
            each.close()
            self._writers.discard(each)
        self._tasks.difference_update(ways)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                self.up, self.down = (self.up + len(data), self.down) if up else (self.up, self.down + len(data))
                if self.delay:
                    loop.call_later(self.delay, _write, writer, data)
                else:
                    writer.write(data)
                    await writer.drain()
            await asyncio.sleep(self.delay)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
