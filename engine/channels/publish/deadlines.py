"""Messages whose answer is late: what the stream does not bring is looked for, what nothing answers gets an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.refusals import WAITS, in_time
from engine.channels.db.store import Store
from engine.channels.publish.queue import PublishQueue
from engine.channels.publish.resolver import Resolver
from engine.lsn import Lsn

__all__ = ["Deadlines"]

_log = structlog.get_logger(__name__)

_OVERDUE: Final = 1.0  # seconds after its commit: from then on a message that the stream has not brought is looked for
_BEING_WRITTEN: Final = 2.0  # seconds beyond its timeout in which a message that was sent may still get its outcome


class Deadlines:
    """See the module. Arguments as of :class:`engine.channels.publish.publisher.Publisher`."""

    def __init__(
        self,
        queue: PublishQueue,
        resolver: Resolver,
        store: Store,
        reached: Callable[[Lsn], Awaitable[None]],
        timeout: float,
    ) -> None:
        self._queue = queue
        self._resolver = resolver
        self._store = store
        self._reached = reached
        self._timeout = timeout

    async def watch(self) -> None:
        """Look for messages that were committed and that the stream does not bring."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_OVERDUE)
            overdue = [w for w in self._queue.open() if w.written is not None and w.written <= clock() - _OVERDUE]
            if not overdue:
                continue
            try:
                async with in_time(WAITS):
                    await self._reached(await self._store.committed())
                await self._resolver.resolve(overdue, self._store.rows)
            except (UnavailableError, psycopg.Error) as error:
                _log.warning("publishes_unanswered", messages=len(overdue), error=str(error).strip())

    async def expire(self) -> None:
        """Answer what has waited for more than ``timeout`` seconds."""
        while True:
            await asyncio.sleep(min(1.0, self._timeout / 4))
            now = asyncio.get_running_loop().time()
            late = [
                waiting
                for waiting in self._queue
                # What becomes of one that has been sent may be known in a moment.
                if waiting.since < now - self._timeout - (_BEING_WRITTEN if waiting.sent else 0.0)
            ]
            if late:
                _log.warning("publishes_given_up", messages=len(late), after=self._timeout)
            for waiting in late:
                outcome = (
                    "whether the message was stored is not known; send it again with its id"
                    if waiting.sent
                    else "the database takes no messages now; try again later"
                )
                self._queue.fail(waiting, UnavailableError(outcome))
