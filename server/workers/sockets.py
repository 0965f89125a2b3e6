"""The directory of the sockets by which the processes of a machine reach each other."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

__all__ = ["leave"]


def leave(directory: Path) -> None:
    """Remove the directory, unless a process listens in it: the supervisor, which has made it, has died.

    Sockets on which no process listens are those of killed ones, and are removed.
    """
    with suppress(OSError):  # removed by another process, or still in use
        for path in directory.iterdir():
            if not _listened(path):
                path.unlink(missing_ok=True)
        directory.rmdir()


def _listened(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
        trying.setblocking(False)  # a full backlog is one of a process that listens
        try:
            trying.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
    return True
