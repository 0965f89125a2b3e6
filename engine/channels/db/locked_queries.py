"""Named queries that have met a locked table: for a moment they are refused, then one of them tries it again.

A statement that waits for a lock keeps a connection of a small pool, and those behind it wait for that. So of the queries
that need a locked table one at a time finds out whether it still is; the others are answered at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from engine.channels.core.messages.model import UnavailableError
from engine.postgres.connections.pool import LOCK_TIMEOUT
from engine.postgres.errors import in_words, is_table_locked

__all__ = ["LockedQueries"]

_PAUSE: Final = 0.5  # seconds between a query that met the lock and the next one that tries
_TRY: Final = LOCK_TIMEOUT + 1.0  # seconds in which a try has come to an end, whatever becomes of it


class LockedQueries:
    """By name. Times are those of the event loop."""

    def __init__(self) -> None:
        self._refused: dict[str, tuple[float, psycopg.Error]] = {}  # until when, and why

    def check(self, name: str) -> None:
        """Raise ``UnavailableError`` if the query has just met a locked table."""
        refused = self._refused.get(name)
        if refused is not None and asyncio.get_running_loop().time() < refused[0]:
            raise UnavailableError(in_words(refused[1])) from refused[1]

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Run the query inside. Raises what is raised inside, or as :meth:`check`."""
        self.check(name)
        loop = asyncio.get_running_loop()
        if name in self._refused:
            self._refused[name] = loop.time() + _TRY, self._refused[name][1]
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            if is_table_locked(error):
                self._refused[name] = loop.time() + _PAUSE, error
            raise
        self.passed([name])

    def passed(self, names: Iterable[str]) -> None:
        """These queries were run: what they need is not locked."""
        for name in names:
            self._refused.pop(name, None)
