"""A worker as it sees itself: its number, and the orders of its supervisor.

Supervisor and worker are joined by a socket. The worker writes ``READY`` once it follows the database, and its event loop
writes a sign of life every few seconds; the supervisor writes orders, a byte each. The end of the socket is that of the
supervisor: the worker then stops as if it had been asked to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

import structlog

from engine.tasks import end

__all__ = ["ALIVE", "READY", "RELAY", "Entrance", "Order", "Worker"]

READY: Final = b"+"
ALIVE: Final = b"."
RELAY: Final = 0

_BEAT: Final = 5.0  # seconds between two signs of life

_log = structlog.get_logger("realtime.workers")


class Order(bytes, Enum):
    """What the supervisor asks a worker to do."""

    OPEN = b"o"
    """Accept connections, although it is not ready: no other worker is."""

    SHUT = b"s"
    """Accept none until it is ready: another worker is."""

    STOP = b"t"
    """End, as all workers do."""

    RETIRE = b"r"
    """End for a successor: accept no more connections, so that they come to the other workers."""

    FORCE = b"f"
    """Do not wait for clients any more."""


class Entrance(Protocol):
    """Where clients come in; both do nothing if it is so already."""

    async def open(self) -> None:
        """Accept connections."""
        ...

    async def shut(self) -> None:
        """Accept none; those that were made go on."""
        ...


class Worker:
    """See the module. ``number``: from 1 to ``count``. ``listener``: makes the socket on which it accepts connections.
    ``directory``: of the sockets by which workers reach each other. ``left_alone``: the supervisor has died.

    The relay of the workers (:mod:`engine.relay`) is such a process, too, with the number ``RELAY``.
    """

    def __init__(
        self, number: int, count: int, control: socket.socket, listener: Callable[[], socket.socket], directory: Path
    ) -> None:
        self.number, self.count = number, count
        self.directory = directory
        self.listener = listener
        self._control = control
        self._control.setblocking(False)
        self._ready = False
        self._ending = False
        self.left_alone = False

    async def ready(self, entrance: Entrance) -> None:
        """The node serves: let clients in, and report it."""
        self._ready = True
        if not self._ending:
            await entrance.open()
        try:
            await asyncio.get_running_loop().sock_sendall(self._control, READY)
        except OSError:
            _log.debug("supervisor_not_reached", worker=self.number)  # it has ended: ``obey`` sees that

    async def obey(self, entrance: Entrance, stop: Callable[[], None], force: Callable[[], None]) -> None:
        """Follow the supervisor's orders until it ends."""
        beating = asyncio.create_task(self._beat())
        try:
            await self._follow_orders(entrance, stop, force)
        finally:
            await end([beating])
        _log.warning("supervisor_ended")
        self.left_alone = True
        stop()

    async def _follow_orders(self, entrance: Entrance, stop: Callable[[], None], force: Callable[[], None]) -> None:
        """Until the supervisor ends."""
        loop = asyncio.get_running_loop()
        while orders := await self._next(loop):
            for code in orders:
                order = Order(bytes([code]))
                if order is Order.OPEN:
                    await entrance.open()
                elif order is Order.SHUT and not self._ready:
                    await entrance.shut()
                elif order in (Order.STOP, Order.RETIRE):
                    self._ending = True
                    if order is Order.RETIRE:
                        await entrance.shut()
                    stop()
                elif order is Order.FORCE:
                    stop()
                    force()

    async def _beat(self) -> None:
        """Write signs of life, forever."""
        while True:
            await asyncio.sleep(_BEAT)
            with suppress(OSError):  # it has ended, which ``_next`` sees, or reads nothing at present
                self._control.send(ALIVE)

    async def _next(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._control, 64)
        except ConnectionError:
            return b""
