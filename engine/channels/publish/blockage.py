"""A lock on the table of messages, held by another session: stored messages wait for it, all others go on.

While it is held, what is to be stored stands aside and is tried now and then. After a moment the log and ``/health``
name the lock and its holder (:mod:`engine.channels.db.table_locks`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from engine.channels.db.table_locks import TableLocks
from engine.channels.publish.batch import Waiting

__all__ = ["Blockage"]

_log = structlog.get_logger(__name__)

_REPORT_AFTER: Final = 1.0  # seconds
_TABLES: Final = ("realtime.messages", "realtime.message_ids")
_LOOK_AGAIN: Final = 5.0  # seconds between two looks at who holds it


class Blockage:
    """The messages that stand aside, in order, and why.

    Args:
        locks: asked who holds the lock.
        batch: messages that are tried at once.
        retry: seconds between two tries.
    """

    def __init__(self, locks: TableLocks, batch: int, retry: float) -> None:
        self.problem: str | None = None
        """What is in the way, in words, once it lasts; None also for what ``locks`` names."""
        self._locks = locks
        self._batch = batch
        self._retry = retry
        self._waiting: deque[Waiting] = deque()
        self._noticed = asyncio.Event()
        self._since: float | None = None
        self._next = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def wait(self) -> float:
        """Seconds until :meth:`take` gives something, if anything stands aside."""
        return 0.0 if self._since is None else max(0.0, self._next - asyncio.get_running_loop().time())

    def take(self) -> list[Waiting]:
        """Those that are to be tried now."""
        if self.wait:
            return []
        return [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]

    def pass_by(self, batch: list[Waiting]) -> list[Waiting]:
        """Those of ``batch`` that need no row; while others stand aside, the rest joins them."""
        if not self._waiting:
            return batch
        for each in batch:
            if each.history:
                each.sent = False
                self._waiting.append(each)
        return [each for each in batch if not each.history]

    def found(self, tried: list[Waiting]) -> None:
        """These cannot be stored now: they come first when it is tried again."""
        now = asyncio.get_running_loop().time()
        for each in reversed(tried):
            each.sent = False
            self._waiting.appendleft(each)
        self._next = now + self._retry
        if self._since is None:
            self._since = now
            self._noticed.set()

    def over(self) -> None:
        """A message was stored."""
        if self._since is None:
            return
        lasted = asyncio.get_running_loop().time() - self._since
        if lasted > _REPORT_AFTER:
            _log.info("publishing_resumed", after=round(lasted, 1))
        self._since, self.problem = None, None
        self._noticed.clear()

    async def watch(self) -> None:
        """Report what is in the way, for as long as something is."""
        while True:
            await self._noticed.wait()
            await asyncio.sleep(_REPORT_AFTER)
            while self._since is not None:
                named = await self._locks.look(_TABLES)
                if self._since is not None:
                    _log.warning("publishing_blocked", messages=len(self._waiting))
                    self.problem = None if named else "messages cannot be stored: a table that they need is locked"
                await asyncio.sleep(_LOOK_AGAIN)
