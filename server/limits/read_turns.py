"""Whose large messages are read in a turn of the event loop.

A socket with much to read is ready in each turn. If each of a hundred such connections were read in each turn, a turn would
take as long as reading a hundred large messages, and everything else would wait for it. So they take turns.

Bytes alone do not bound that: 64 KiB may be ten thousand frames of one byte. So the time is measured, and a connection whose
bytes take long is read fewer of at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["LEAST", "TURN", "ReadTurns", "next_read", "size_in_turn"]

TURN: Final = 64 * 1024
"""Bytes of a turn: after so many the next connection waits for the next one."""

LEAST: Final = 4096
"""Bytes that are read at once in any case, and of which a read shows how long the next one will take."""

_SECONDS: Final = 0.002  # of the processor, that a turn may take to read


def next_read(most: int, size: int, seconds: float) -> int:
    """How many bytes of a connection are to be read at once after a read of ``size`` bytes (``LEAST`` or more) that has
    taken ``seconds`` of the processor. ``most``: as many as might have been read; more again only step by step, so that few
    long turns are left to a client whose bytes take long now and then.
    """
    if seconds * TURN <= size * _SECONDS:
        return min(2 * most, TURN)
    return min(max(LEAST, int(size * _SECONDS / seconds)), 2 * most, TURN)


def size_in_turn(size: int, seconds: float) -> int:
    """What a read takes of a turn, in bytes: ``size``, or more where that has taken long."""
    return max(size, int(TURN * seconds / _SECONDS))


class ReadTurns:
    """Connections of which much was read, in their order. Each is expected to have as much again."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def wait(self, size: int, read_on: Callable[[], None]) -> None:
        """Call ``read_on`` in one of the next turns. ``size``: what reading the connection took of this one, in bytes."""
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
