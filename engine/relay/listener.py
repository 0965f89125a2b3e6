"""The relay's Unix socket: workers connect, introduce themselves, and are served until their connection ends.

The socket may be used by the relay's own user alone: what goes through it is every row of every exposed table.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from engine.errors import FeedError
from engine.relay.link import Link
from engine.relay.messages import (
    PROTOCOL,
    FromWorker,
    Hello,
    RelayProtocolError,
    Splitter,
    Status,
    encode,
    from_worker,
)
from engine.relay.relay import Relay
from engine.tasks import end

__all__ = ["Listener"]

_log = structlog.get_logger(__name__)

_INTRODUCTION: Final = 60.0  # seconds in which a worker has to introduce itself
_READ: Final = 64 << 10  # bytes
_OWNER_ONLY: Final = 0o177  # of the permissions, those that are taken away


class Listener:
    """Brings workers to ``relay``. ``version``: of the package, which a worker must have too."""

    def __init__(self, relay: Relay, path: Path, version: str) -> None:
        self._relay = relay
        self._path = path
        self._version = version
        self._served: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen at the path, where a socket that a former relay left is replaced. Raises ``FeedError``."""
        server = await asyncio.start_unix_server(self._accept, sock=_listening(self._path))
        try:
            yield
        finally:
            server.close()
            await end(self._served)
            self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._introduced(reader, writer)
        except (OSError, RelayProtocolError, TimeoutError) as error:
            _log.warning("worker_connection_failed", error=str(error) or type(error).__name__)
        finally:
            writer.transport.abort()

    async def _introduced(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inbox = _Inbox(reader)
        async with asyncio.timeout(_INTRODUCTION):
            hello = await inbox.next()
        if hello is None:
            return
        if not isinstance(hello, Hello):
            raise RelayProtocolError(f"a worker began with {type(hello).__name__}")
        if (hello.protocol, hello.version) != (PROTOCOL, self._version):
            reason = f"the relay is of version {self._version}, this worker of {hello.version}: start both anew"
            writer.write(encode(Status("stopped", reason, 0)))
            await writer.drain()
            return
        link = Link(hello.node, writer)
        with self._relay.connected(link):
            await self._relay.ready.wait()
            self._relay.welcome(hello, link)
            tasks = [asyncio.create_task(part) for part in (self._receive(inbox, link), link.send(self._relay.took))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await end(tasks)

    async def _receive(self, inbox: _Inbox, link: Link) -> None:
        while (message := await inbox.next()) is not None:
            self._relay.take(link, message)


class _Inbox:
    """What a worker sends, message by message."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._splitter = Splitter()
        self._messages: deque[bytes] = deque()

    async def next(self) -> FromWorker | None:
        """The next message; None at the end. Raises ``OSError`` or ``RelayProtocolError``."""
        while not self._messages:
            data = await self._reader.read(_READ)
            if not data:
                return None
            self._messages.extend(self._splitter.feed(data))
        return from_worker(self._messages.popleft())


def _listening(path: Path) -> socket.socket:
    """A socket at ``path`` for the own user alone."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(_OWNER_ONLY)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise FeedError(
            f"the relay cannot listen at {path}: {error}; give it a short path in a folder of its own"
        ) from error
    finally:
        os.umask(former)
    return listening
