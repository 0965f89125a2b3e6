"""Writes where transactions with messages committed, and lets go of what is written.

Replay needs it, so the slot is not confirmed past a transaction before its row is there: after a crash the stream
brings it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import structlog

from engine.channels.ledger import Entry, Ledger
from engine.channels.model import Unavailable
from engine.channels.store import Store
from engine.lsn import format_lsn

__all__ = ["Recorder"]

log = structlog.get_logger(__name__)

_MOST = 2_000  # transactions per statement


class Recorder:
    """Two loops over one ledger; :meth:`wake` after each transaction with messages."""

    def __init__(self, store: Store, ledger: Ledger, confirm: Callable[[], None], interval: float, trim: float) -> None:
        self._store = store
        self._ledger = ledger
        self._confirm = confirm
        self._interval = interval
        self._trim_interval = trim
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """There is something to record."""
        self._wanted.set()

    async def record(self) -> None:
        """Record whatever comes, at most once per interval."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            entries = self._ledger.unrecorded[:_MOST]
            if not entries:
                continue
            try:
                await self._write(entries)
            except (psycopg.Error, Unavailable) as error:
                log.warning("commit positions are not recorded yet", error=str(error))
                self._wanted.set()
                await asyncio.sleep(1)
                continue
            self._ledger.record(entries)
            self._confirm()
            if self._ledger.unrecorded:
                self._wanted.set()
            await asyncio.sleep(self._interval)

    async def _write(self, entries: list[Entry]) -> None:
        rows: list[tuple[str, str, str, str, str]] = []
        for entry in entries:
            times: dict[str, list[str]] = {}
            for message in entry.messages:
                times.setdefault(message.channel, []).append(message.inserted_at)
            # PostgreSQL's text in one time zone sorts as the times do.
            rows += [
                (channel, str(entry.full_xid), format_lsn(entry.lsn), min(at), max(at)) for channel, at in times.items()
            ]
        names = ("channels", "xids", "positions", "first", "last")
        columns = [list(column) for column in zip(*rows, strict=True)]
        await self._store.rows("engine_record_commits", **dict(zip(names, columns, strict=True)))

    async def trim(self) -> None:
        """Let the ledger go of what a snapshot shows."""
        while True:
            await asyncio.sleep(self._trim_interval)
            if not len(self._ledger):
                continue
            ticket = self._ledger.begin_read()
            snapshot = None
            try:
                snapshot = await self._store.snapshot()
            except Unavailable as error:
                log.warning("no snapshot to trim the ledger by", error=str(error))
            finally:
                self._ledger.end_read(ticket, snapshot)
