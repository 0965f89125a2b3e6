"""uvicorn's server with a entrance: it accepts connections, or does not, while those that it has go on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

import uvicorn

__all__ = ["Server"]


class Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would close every connection at the first one. TLS has limits of time.

    Args:
        config: uvicorn's.
        tls: of the listeners, as ``loop.create_server`` takes it; empty without TLS.
        listener: makes the socket that ``open`` listens on.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        tls: Mapping[str, Any],
        listener: Callable[[], socket.socket] | None = None,
    ) -> None:
        super().__init__(config)
        self.servers = []
        self._listener = listener
        self._listening: list[socket.socket] = []
        self._late: set[asyncio.Task[None]] = set()
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's for given sockets, which leaves a client that ends neither a handshake nor a connection a minute."""
        for each in sockets or ():
            await self._listen(each)
        self.started = True

    async def open(self) -> None:
        """Accept connections, unless it does already, or ends. Raises ``ServeError``."""
        if self._listener is not None and not self.servers and not self.should_exit:
            await self._listen(self._listener())

    async def shut(self) -> None:
        """Accept no more connections. Those that were made go on, also those that wait to be accepted: the kernel would
        reset them with the socket.
        """
        servers, listening = self.servers, self._listening
        self.servers, self._listening = [], []
        for listener in listening:
            for connection in _waiting(listener):
                task = asyncio.create_task(self._take(connection))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
        for server in servers:
            server.close()

    async def _listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        server = await asyncio.get_running_loop().create_server(
            self._protocols(), sock=listener, backlog=self.config.backlog, **self._tls
        )
        self.servers.append(server)
        self._listening.append(listener)

    async def _take(self, connection: socket.socket) -> None:
        with suppress(OSError):  # its client has gone, or does not end its TLS handshake
            await asyncio.get_running_loop().connect_accepted_socket(self._protocols(), connection, **self._tls)

    def _protocols(self) -> Callable[[], asyncio.Protocol]:
        """Makes the protocol of each connection; none of ours writes into the state of the application."""
        make = cast("Any", self.config.http_protocol_class)
        return partial(make, config=self.config, server_state=self.server_state, app_state={})

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See the class."""
        yield


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait to be accepted."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # BlockingIOError: there are no more; others concern one connection, as accept(2) has it
            return
        connection.setblocking(False)
        yield connection
