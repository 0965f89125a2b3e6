"""Servers and commands of tests as forks of a process that has the server's modules loaded.

Starting an interpreter and loading the modules takes most of the processor time of a short test. A fork of a process that
has done so is as new as any other: its own memory, descriptors, environment and signal handlers.

Run as ``python -m tests.support.servers.preloaded`` this module is that process. It reads requests from the socket on its
standard input and ends, with every server it has forked, when that is closed. See :func:`fork` and :func:`run`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[3]
LOADED = (
    "server.cli.main",
    "server.app.server",
    "server.cli.migration.migrate",
    "server.cli.serving.workers",
    "server.demo",
    "typer._adapters",
    "typer._click.decorators",
    "uvicorn.lifespan.off",
    "uvloop",
)
"""What is loaded before there is anything to do, with all that these import."""

NAMESPACE = "TEST_NETWORK_NAMESPACE"
"""Environment variable of a fork: the file of the network that it enters."""

_NEW_NETWORK = 0x40000000
_LENGTH = struct.Struct("!I")


class Forked:
    """A process that runs ``python -m server``; the part of :class:`asyncio.subprocess.Process` that tests use."""

    def __init__(self, pid: int, stderr: asyncio.StreamReader, status: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stderr = stderr
        self.returncode: int | None = None
        self._waiting = asyncio.create_task(self._wait(status))

    async def _wait(self, status: asyncio.StreamReader) -> int:
        self.returncode = int(await status.read())
        return self.returncode

    async def wait(self) -> int:
        """Wait for the end; the exit code, or the number of the signal that ended it, negative."""
        return await asyncio.shield(self._waiting)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # the status has not arrived yet
                os.kill(self.pid, number)


async def fork(arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
    """``python -m server ARGUMENTS`` in the root of the checkout, without standard input and output."""
    read_error, write_error = os.pipe()
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        pid, read_status = _request(arguments, environment, nothing, write_error)
    finally:
        os.close(nothing)
        os.close(write_error)
    return Forked(pid, await _reader(read_error), await _reader(read_status))


def run(arguments: Sequence[str], environment: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """``python -m server ARGUMENTS`` in the root of the checkout, without standard input, to its end.

    Raises ``subprocess.TimeoutExpired`` if that does not come within ``timeout`` seconds.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        pid, read_status = _request(arguments, environment, output.fileno(), error.fileno())
        with os.fdopen(read_status, "rb") as status:
            if not select.select([status], [], [], timeout)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            code = int(status.read())
        output.seek(0)
        error.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, output.read().decode(), error.read().decode())


_one_at_a_time = threading.Lock()  # several threads of a test start commands at once


def _request(arguments: Sequence[str], environment: Mapping[str, str], output: int, error: int) -> tuple[int, int]:
    """Have a process forked that writes to two descriptors; its id, and a pipe from which its exit code can be read."""
    read_status, write_status = os.pipe()
    request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
    try:
        with _one_at_a_time:
            control = _control()
            socket.send_fds(control, [_LENGTH.pack(len(request))], [output, error, write_status])
            control.sendall(request)
            [pid] = _LENGTH.unpack(control.recv(_LENGTH.size, socket.MSG_WAITALL))
    finally:
        os.close(write_status)
    return pid, read_status


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    return reader


@cache
def _control() -> socket.socket:
    """The socket to this process' own preloaded process, which is started here."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno(), cwd=ROOT)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main() -> None:
    """Fork a server for each request, and report how it ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background inherits that it is ignored,
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # one of nohup(1) that this is; the server looks when it is loaded
    for name in LOADED:
        __import__(name)
    _make_commands()
    gc.freeze()  # a fork's interpreter would look through all that is loaded once more when it ends, for 0.25 s
    control = socket.socket(fileno=os.dup(0))
    waking, wake = socket.socketpair()
    for each in (waking, wake):
        each.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's is for pytest, which then closes the socket
    running: dict[int, int] = {}
    while True:
        readable, _, _ = select.select([control, waking], [], [])
        if waking in readable:
            waking.recv(4096)
            _reap(running)
        if control in readable and not _fork_one(control, waking, wake, running):
            break
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _make_commands() -> None:
    """Make the commands of ``realtime`` once: Typer would do so in each fork, for a quarter of what a start takes."""
    import typer.main  # only this process needs them

    from server.cli.main import app

    anew, commands = typer.main.get_command, typer.main.get_command(app)
    _make_parameters(commands)
    # The options for the completion of commands depend on the shell.
    typer.main.get_command = lambda typer_instance: (
        anew(typer_instance) if "--show-completion" in sys.argv else commands
    )


def _make_parameters(command: Any) -> None:
    """What Typer makes of each parameter's type, when the first value of it is read."""
    for parameter in command.params:
        if hasattr(parameter, "get_runtime_param"):
            parameter.get_runtime_param()
    for each in getattr(command, "commands", {}).values():
        _make_parameters(each)


def _reap(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        descriptor = running.pop(pid)
        os.write(descriptor, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(descriptor)


def _fork_one(control: socket.socket, waking: socket.socket, wake: socket.socket, running: dict[int, int]) -> bool:
    """Serve one request; False if there will be no more."""
    head, descriptors, _, _ = socket.recv_fds(control, _LENGTH.size, 3)
    if not head:
        return False
    request = json.loads(control.recv(_LENGTH.unpack(head)[0], socket.MSG_WAITALL))
    output, error, status = descriptors
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for each in (control, waking, wake):
            each.close()
        for descriptor in [status, *running.values()]:
            os.close(descriptor)
        _become_server(output, error, request["arguments"], request["environment"])
    os.close(output)
    os.close(error)
    running[pid] = status
    control.sendall(_LENGTH.pack(pid))
    return True


def _become_server(output: int, error: int, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, source in ((0, nothing), (1, output), (2, error)):
        os.dup2(source, descriptor)
    for each in (nothing, output, error):
        os.close(each)
    # How the former ones are buffered depends on what they wrote to.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1, errors="backslashreplace")
    if (namespace := environment.pop(NAMESPACE, None)) is not None:
        with open(namespace, "rb") as network:
            assert ctypes.CDLL(None).setns(network.fileno(), _NEW_NETWORK) == 0, f"cannot enter {namespace}"
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = arguments
    try:
        runpy.run_module("server", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _end(end.code or 0)
        raise
    _end(0)


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but leave to the system what it would free piece by piece: everything that was loaded
    before the fork, of which it would first make a copy.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        each.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
