"""Whose large messages are read in a turn of the event loop.

A socket with much to read is ready in each turn. If each of a hundred such connections were read in each turn, a turn would
take as long as reading a hundred large messages, and everything else would wait for it. So they take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["TURN", "ReadTurns"]

TURN: Final = 64 * 1024
"""Bytes of a turn: after so many the next connection waits for the next one."""


class ReadTurns:
    """Connections of which much was read, in their order. Each is expected to have as much again."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def wait(self, size: int, read_on: Callable[[], None]) -> None:
        """Call ``read_on`` in one of the next turns. ``size``: bytes that were read of the connection in this one."""
        self._waiting.append((size, read_on))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        size = 0
        ready: list[Callable[[], None]] = []
        while self._waiting and size < TURN:
            each, read_on = self._waiting.popleft()
            size += each
            ready.append(read_on)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        for read_on in ready:
            read_on()
