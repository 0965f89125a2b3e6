"""The proxy. Faults concern the connections that are open, or all that come, until another order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from asyncio import StreamReader, StreamWriter
from typing import Self

__all__ = ["FaultProxy"]

_CHUNK = 64 * 1024
_RETRANSMISSION = 0.2  # seconds, twice as long each time: the shortest timeout of Linux (TCP_RTO_MIN)
_LINGER_READ = 0.05
_GIVES_UP = 5.0  # seconds of a timeout; there are no longer ones
_READY_FOR_QUERY = b"Z\x00\x00\x00\x05"  # of PostgreSQL's protocol


class _Way:
    """Both directions of one connection."""

    def __init__(self, proxy: FaultProxy, client: StreamWriter, server: StreamWriter, first: bytes) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.first = first
        self.swallow = False  # half-open: what arrives goes nowhere
        self.truncate = False  # the next chunk is cut in half, then the connection ends
        self.answered = 0  # how often the server was ready for a query: after the login, and after each statement
        self.lingering = False  # the client's side is gone, and the server does not know

    def cut(self, *, reset: bool = True) -> None:
        for side in (self.client, self.server):
            if reset:
                side.transport.abort()
            else:
                side.close()

    async def pump(self, reader: StreamReader, writer: StreamWriter, *, down: bool) -> None:
        proxy = self.proxy
        while data := await reader.read(_CHUNK):
            if late := proxy.late():
                await asyncio.sleep(late)
            await proxy.passable(down=down)
            if self.swallow or (down and (self.lingering or proxy.deaf)):
                continue
            if down and proxy.answers is not None:
                self.answered += data.count(_READY_FOR_QUERY)
                self.swallow = self.answered >= proxy.answers
            rest = self._rest(data, down=down)
            if rest is not None:
                writer.write(rest)
                await asyncio.sleep(0)
                self.cut(reset=False)
                return
            if proxy.bytes_per_second:
                await self._trickle(data, writer)
            else:
                writer.write(data)
                await writer.drain()

    def _rest(self, data: bytes, *, down: bool) -> bytes | None:
        """The part of ``data`` that is forwarded before the connection ends; None: it goes on."""
        if self.truncate:
            return data[: len(data) // 2]
        words = self.proxy.cut_before
        if down and words is not None and words in data:
            return data[: data.index(words)]
        return None

    async def _trickle(self, data: bytes, writer: StreamWriter) -> None:
        step = max(1, int(self.proxy.bytes_per_second * 0.01))
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            await writer.drain()
            await asyncio.sleep(0.01)


class FaultProxy:
    """``async with FaultProxy(host, port) as proxy:`` listens on ``proxy.port`` and forwards to ``host:port``.

    Attributes:
        delay: seconds that every chunk may be late, at random, in order.
        loss: the part of chunks that is lost, so that TCP brings them late.
        bytes_per_second: 0: as fast as it goes.
        deaf: what the server sends does not arrive.
        cut_before: a connection ends just before the server's first bytes that are these; None: never.
        answers: a connection to PostgreSQL goes silent after so many answers, the login being the first; None: never.
        refuse: connections that come are cut at once.
        target: host and port of the server, for connections that come.
        blocked: connections whose first bytes contain one of these are cut: ``b"websocket"``, ``b"/realtime/sse"``.

    ``greets``: the server speaks first, so it is connected to before the client has sent anything.
    """

    def __init__(self, host: str, port: int, seed: int = 0, listen: int = 0, *, greets: bool = False) -> None:
        self.port = listen
        self.delay = 0.0
        self.loss = 0.0
        self.bytes_per_second = 0
        self.deaf = False
        self.cut_before: bytes | None = None
        self.answers: int | None = None
        self.refuse = False
        self.blocked: tuple[bytes, ...] = ()
        self.chance = random.Random(seed)
        self.accepted = 0
        self.target = host, port
        self._ways: set[_Way] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._greets = greets
        self._passable = {down: asyncio.Event() for down in (False, True)}
        self.release()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._ways)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Faults.

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Let nothing pass to the server (``up``), or to the client (``down``), neither bytes nor the ends of connections,
        as a network that drops packets. What was sent comes after :meth:`release`.
        """
        for direction, held in ((False, up), (True, down)):
            if held:
                self._passable[direction].clear()

    def release(self) -> None:
        """Let pass what :meth:`hold` has held."""
        for event in self._passable.values():
            event.set()

    def late(self) -> float:
        """Seconds that a chunk takes."""
        late = self.chance.uniform(0, self.delay) if self.delay else 0.0
        again = _RETRANSMISSION
        while again < _GIVES_UP and self.chance.random() < self.loss:
            late, again = late + again, 2 * again
        return late

    async def passable(self, *, down: bool) -> None:
        """Wait until something may pass."""
        await self._passable[down].wait()

    def cut(self) -> None:
        """Reset all connections."""
        for way in tuple(self._ways):
            way.cut()

    def end(self) -> None:
        """Close all connections in the orderly way of TCP."""
        for way in tuple(self._ways):
            way.cut(reset=False)

    def half_open(self, *but: bytes) -> None:
        """Forward nothing more on the open connections, without a word; ``but`` those whose first bytes contain one
        of these. New ones work.
        """
        for way in self._ways:
            way.swallow = way.swallow or not any(word in way.first for word in but)

    def truncate(self) -> None:
        """Forward only half of what comes next on each connection, then end it."""
        for way in self._ways:
            way.truncate = True

    def linger(self, seconds: float) -> None:
        """Cut the clients' side; towards the server the old connections live on for ``seconds``."""
        for way in tuple(self._ways):
            way.lingering = True
            way.client.transport.abort()
            task = asyncio.create_task(self._let_go(way, seconds))
            self._keep(task)

    def heal(self) -> None:
        """No more faults for what comes; half-open connections are cut at last."""
        self.delay, self.bytes_per_second, self.deaf, self.refuse, self.blocked = 0.0, 0, False, False, ()
        self.loss = 0.0
        self.release()
        for way in tuple(self._ways):
            if way.swallow or way.truncate:
                way.cut()

    # Forwarding.

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted += 1
        self._keep(asyncio.create_task(self._serve(reader, writer)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            first = b"" if self.refuse or self._greets else await reader.read(_CHUNK)
            if self.refuse or not (first or self._greets) or any(word in first for word in self.blocked):
                writer.transport.abort()
                return
            await self.passable(down=False)
            try:
                server_reader, server_writer = await asyncio.open_connection(*self.target)
            except OSError:
                writer.transport.abort()
                return
            way = _Way(self, writer, server_writer, first)
            self._ways.add(way)
            try:
                server_writer.write(first)
                up = asyncio.create_task(self._one_way(way, reader, server_writer, down=False))
                down = asyncio.create_task(self._one_way(way, server_reader, writer, down=True))
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                if way.lingering:
                    await asyncio.wait({down})
                for task in (up, down):
                    task.cancel()
            finally:
                way.cut(reset=False)
                self._ways.discard(way)

    async def _one_way(self, way: _Way, reader: StreamReader, writer: StreamWriter, *, down: bool) -> None:
        with contextlib.suppress(OSError):
            await way.pump(reader, writer, down=down)
        await self.passable(down=down)

    async def _let_go(self, way: _Way, seconds: float) -> None:
        await asyncio.sleep(seconds)
        way.cut()
