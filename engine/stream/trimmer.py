"""Removes transactions that a snapshot shows from the tail, so that it stays short and the slot can be confirmed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from engine.postgres.errors import UNREADABLE
from engine.postgres.snapshot_reader import Reader
from engine.stream.tail import TransactionTail

__all__ = ["Trimmer"]

_log = structlog.get_logger(__name__)

_LONG = 1_000  # transactions


class Trimmer:
    """Takes a plain snapshot every ``interval`` seconds, sooner while the tail is long, then calls ``confirm``."""

    def __init__(self, tail: TransactionTail, reader: Reader, interval: float, confirm: Callable[[], None]) -> None:
        self._tail = tail
        self._reader = reader
        self._interval = interval
        self._confirm = confirm
        self._now = asyncio.Event()

    def look(self) -> None:
        """A transaction was added: trim at once if the tail has become long."""
        if len(self._tail) > _LONG:
            self._now.set()

    async def run(self) -> None:
        """Trim, forever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._now.wait()
            self._now.clear()
            if len(self._tail):
                await self._trim()
                self._confirm()

    async def _trim(self) -> None:
        ticket = self._tail.begin_read()
        snapshot = None
        try:
            snapshot = await self._reader.snapshot()
        except UNREADABLE as error:
            _log.warning("tail_snapshot_failed", error=str(error))
            await asyncio.sleep(self._interval)
        finally:
            self._tail.end_read(ticket, snapshot)
