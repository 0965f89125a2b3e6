"""Commits before the start of a new slot that no snapshot showed when the queries were read.

A slot starts after some commit record, but a transaction becomes visible later than its commit record is written (while it
waits for a synchronous standby, for an unlimited time). So a transaction that ran when the queries were read may have
committed before the slot's start: when such transactions end, every query has to be read once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Set

import structlog

from engine.postgres.errors import UNREADABLE
from engine.postgres.snapshot_reader import Reader

__all__ = ["ends_of"]

_log = structlog.get_logger(__name__)


async def ends_of(reader: Reader, running: Set[int]) -> AsyncIterator[None]:
    """Yield when some of the transactions ``running`` (64-bit ids of a snapshot) have ended, until all have."""
    delay = 0.05  # grows as a transaction that has run for long may go on; this waits for an end, and repeats no failed work
    while running:
        await asyncio.sleep(delay)
        delay = min(delay * 2, 1.0)
        try:
            snapshot = await reader.snapshot()
        except UNREADABLE as error:
            _log.warning("running_transactions_unreadable", error=str(error))
            continue
        still = running & snapshot.in_progress
        if still != running:
            running = still
            yield
