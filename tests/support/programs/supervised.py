"""A supervisor whose workers have no node: ``python -m tests.support.programs.supervised SCENARIO``.

Each worker writes what it is ordered to a line of standard output, with its number. The exit code is the supervisor's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from server.logs.configure import configure_logs
from server.workers import silence, supervisor
from server.workers import worker as worker_module
from server.workers.supervisor import Supervisor, WorkersFailedError
from server.workers.worker import RELAY, Worker


class Entrance:
    def __init__(self, number: int) -> None:
        self._number = number

    async def open(self) -> None:
        write(f"{self._number} open")

    async def shut(self) -> None:
        write(f"{self._number} shut")


def write(line: str) -> None:
    os.write(1, f"{line}\n".encode())


class Settings:
    """What a rolling restart has changed: ``wrong`` ones cannot be used by a worker."""

    def __init__(self) -> None:
        self.wrong = False

    def reload(self) -> None:
        self.wrong = True

    def conclude(self, restarted: bool) -> None:
        self.wrong = False
        write("restarted" if restarted else "given up")


SETTINGS = Settings()
FIRST_READY, IS_READY = socket.socketpair()
HANGING = {number: socket.socketpair() for number in (RELAY, 1, 2)}
"""One with a byte in it has that for the first process of its number, which hangs."""


def hang_once(number: int) -> None:
    try:
        HANGING[number][0].recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)


async def serve(worker: Worker, scenario: str) -> int:
    """What a server does with a worker, without a server."""
    entrance, stop, force = Entrance(worker.number), asyncio.Event(), asyncio.Event()
    obeying = asyncio.create_task(worker.obey(entrance, stop.set, force.set))
    write(f"{worker.number} begins {os.getpid()}")
    if worker.number == RELAY:
        await worker.ready(entrance)
        hang_once(RELAY)
        await stop.wait()
        write("0 stops")
        obeying.cancel()
        return 0
    if scenario == "cannot start":
        return 3
    if scenario == "restarts" and SETTINGS.wrong:
        return 7
    if scenario == "one fails again and again" and worker.number == 2:
        FIRST_READY.recv(1, socket.MSG_PEEK)
        return 7
    if scenario == "hangs" and worker.number == 2:
        FIRST_READY.recv(1, socket.MSG_PEEK)
        hang_once(2)  # while it starts
    if scenario == "one waits" and worker.number == 2:
        await stop.wait()
    else:
        await worker.ready(entrance)
        IS_READY.send(b".")
    hang_once(worker.number)
    if scenario == "fails again and again":
        return 7
    await stop.wait()
    write(f"{worker.number} stops")
    if scenario == "waits for clients":
        await force.wait()
        write(f"{worker.number} is forced")
    if scenario == "does not end":
        await asyncio.Event().wait()
    obeying.cancel()
    return 0


def main() -> None:
    scenario = sys.argv[1]
    configure_logs("error", "json")
    if scenario == "does not end":
        supervisor._MARGIN = 0.1  # type: ignore[misc]
    if scenario == "hangs":
        silence._LONGEST, worker_module._BEAT = 2.0, 0.05  # type: ignore[misc]
        for number in HANGING:
            HANGING[number][1].send(b".")
    try:
        Supervisor(
            2,
            lambda worker: asyncio.run(serve(worker, scenario)),
            socket.socket,
            Path(),
            ready=lambda: write("serving"),
            reload=SETTINGS.reload,
            conclude=SETTINGS.conclude,
            pause=lambda failures: 0.0,
        ).run()
    except WorkersFailedError as failed:
        write(str(failed))
        sys.exit(failed.exit_code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup(1), which has it ignored
    main()
