"""TCP ports that no other test of this machine gets, whichever process or run it belongs to.

The usual way, letting the kernel choose a port and closing it again, is a race: until the server under test listens,
any other process may be given the same one. Here a port is ours until this process ends, by a lock on the byte of that
number in one common file, and the ports lie below those that the kernel hands out by itself.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from itertools import chain
from pathlib import Path
from typing import BinaryIO

_PORTS = range(20_000, 32_000)  # Linux gives out ports from 32768 on
_taken: set[int] = set()
_file: BinaryIO | None = None


def free_port() -> int:
    """A port of 127.0.0.1 that no process listens on, not given again as long as this process lives.

    Raises ``LookupError`` if there is none.
    """
    first = random.SystemRandom().randrange(len(_PORTS))  # to shuffle them all would take 25 ms of a processor
    for port in chain(_PORTS[first:], _PORTS[:first]):
        if port not in _taken and _lock(port) and _is_free(port):
            _taken.add(port)
            return port
    raise LookupError(f"no free TCP port from {_PORTS.start} to {_PORTS.stop - 1}")


def _lock(port: int) -> bool:
    """Take the lock of ``port``. Locks are the process', so ``_taken`` reports what is ours already."""
    global _file
    if _file is None:  # never closed: that would give up every lock
        _file = (Path(tempfile.gettempdir()) / f"realtime-test-ports-{os.geteuid()}").open("ab")
    try:
        fcntl.lockf(_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port, os.SEEK_SET)
    except (BlockingIOError, PermissionError):  # POSIX allows either where another process has it
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
