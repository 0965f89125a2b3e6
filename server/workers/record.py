"""What the supervisor knows of one worker: its process, or when the next one is started."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from dataclasses import dataclass
from typing import Final

from server.workers.worker import RELAY, Order

__all__ = ["WorkerRecord", "how_it_ended"]

_HEALTHY_AFTER: Final = 30.0  # seconds since its start


@dataclass(slots=True, eq=False)
class WorkerRecord:
    """``number``: the worker's, from 1, or ``RELAY``.

    Attributes:
        pid: of the process; 0: there is none.
        control: the socket to it.
        ready: it follows the database and accepts connections.
        retiring: it was asked to end for a successor.
        began: when it was started.
        due: when a process is to be started; None: one runs, or none is wanted any more.
        overdue: when it is killed, as it was asked to end long ago; None: it was not asked.
        failures: how many processes in a row have ended without being asked.
        unserved: how many of them while no other worker could be relied on.
        silent: seconds since the process has sent something (:mod:`server.workers.silence`). Times are those of a monotonic
            clock.
    """

    number: int
    pid: int = 0
    control: socket.socket | None = None
    ready: bool = False
    retiring: bool = False
    began: float = 0.0
    due: float | None = 0.0
    overdue: float | None = None
    failures: int = 0
    unserved: int = 0
    silent: float = 0.0

    @property
    def name(self) -> str:
        """In words."""
        return "the relay" if self.number == RELAY else f"worker {self.number}"

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.pid != 0

    @property
    def lasted(self) -> bool:
        """Whether the process is ready and began long ago: its end is not counted with earlier ones."""
        return self.ready and time.monotonic() - self.began >= _HEALTHY_AFTER

    @property
    def reliable(self) -> bool:
        """Whether it serves, and has not just come in the place of one that failed."""
        return self.ready and (self.failures == 0 or self.lasted)

    def ask(self, order: Order) -> None:
        """Give the process an order. One that has just ended does not get it."""
        if self.control is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                self.control.send(order.value)

    def vacate(self) -> None:
        """The process has ended."""
        if self.control is not None:
            self.control.close()
        self.pid, self.control = 0, None
        self.ready = self.retiring = False
        self.overdue = None
        self.silent = 0.0


def how_it_ended(code: int) -> str:
    """``code`` in words: an exit code, or a negative number of a signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:  # a real-time signal
        return f"signal {-code}"
