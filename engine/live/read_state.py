"""The refresher's state of one query: its current read, and its last errors."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set

from engine.background import Background
from engine.catalog.watcher import CatalogWatcher
from engine.errors import BunbaseError
from engine.live.batched_reads import BatchPart
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.postgres.retry import growing_pause
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.stream.driver import StreamDriver

__all__ = ["READ_TIMEOUT", "FollowedTables", "ReadState", "RightsChangedError", "Wait", "as_rights_are", "until_shown"]

READ_TIMEOUT = 10.0
"""Seconds a new subscription waits for a database that cannot be reached."""


class RightsChangedError(BunbaseError):
    """Policies or privileges changed before the first read of a query, or a read for its next subscriber ended it: it has to
    be planned for its subscriber again.
    """


class ReadState:
    """The state of one query's reads; see :mod:`engine.live.refresher`."""

    __slots__ = (
        "again",
        "alone",
        "computed",
        "deadline",
        "failing",
        "instead",
        "last_read",
        "parked",
        "part",
        "put_off",
        "ready",
        "refusals",
        "replan",
        "shown_from",
        "slow",
        "task",
        "timeouts",
        "unlike",
    )

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.again = False
        self.replan = False
        self.last_read = 0.0
        self.shown_from = 0.0  # when the last read began whose rows subscribers have
        self.computed = 0.0  # seconds that the processor worked at the last list that was read
        self.deadline = time.monotonic() + READ_TIMEOUT
        self.slow = False  # it was cut off in the quick lane
        self.alone = False  # it failed or was cut off in a batch, and is not known to be quick since
        # What is read in batches (None: nothing), and the plan that it was made of.
        self.part: tuple[IncrementalPlan | ReReadPlan, BatchPart | None] | None = None
        self.unlike = 0  # reads in a row whose rows are not as the catalog describes the table
        # Why it is re-read although it could be incremental: as the reason and the detail of its plan.
        self.instead: tuple[str, str | None] | None = None
        self.refusals = 0  # reads in a row that PostgreSQL refused although no privilege was lost
        self.parked = (
            False  # its subscribers are to be moved: under present rights it would show what another query does
        )
        # A re-read list has changed while it had no subscribers: done when it was read for the next one.
        self.put_off: asyncio.Future[None] | None = None
        self.timeouts = 0  # reads in a row that did not end in the slow lane either
        self.failing: tuple[float, str] | None = None  # since when the database cannot be reached for it, and why

    def may_wait(self) -> bool:
        """Whether its next read may be put off: subscribers have a list, and may see what it has."""
        return self.ready.done() and not self.replan

    def put_off_for(self, query: LiveQuery) -> bool:
        """Whether the next read of ``query``, whose state this is, is put off until it has a subscriber: see ``put_off``."""
        if query.strategy != "re-read" or query.subscriptions or not self.may_wait():
            return False
        self.put_off = self.put_off or asyncio.get_running_loop().create_future()
        return True

    def was_read(self) -> None:
        """A read has its hand-over behind it."""
        self.shown_from = self.last_read
        if self.put_off is not None:
            self.put_off.set_result(None)
            self.put_off = None

    def rests(self, query: LiveQuery) -> bool:
        """Whether nothing is to be read now, after the hand-over of a read of ``query``."""
        return not (self.again or query.due is not None) or self.put_off_for(query)

    async def until_ready(self, query: LiveQuery, read: Callable[[], asyncio.Task[None]]) -> None:
        """Wait for the first list, and for what was put off, unless that takes too long. ``read`` begins to read.

        Raises ``RightsChangedError`` where that ends ``query``.
        """
        await asyncio.shield(self.ready)
        if self.put_off is not None:
            self.task = self.task or read()
            await asyncio.wait({self.put_off, self.task}, timeout=READ_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if query.ended:
                raise RightsChangedError


class FollowedTables:
    """Has the stream bring the transactions of the tables on which queries depend, from before their reads on."""

    def __init__(self, stream: StreamDriver, dispatcher: Dispatcher) -> None:
        self._stream = stream
        self._dispatcher = dispatcher

    async def follow(self, query: LiveQuery, tables: Set[int]) -> None:
        """Wait until a snapshot that is taken from now on can be joined to the stream for ``tables``, which ``query`` holds
        until :meth:`forget`. Raises ``TimeoutError`` where the stream does not go on.

        Where transactions of other tables alone pass, windows learn here that the stream has passed their snapshots.
        """
        relations = self._dispatcher.catalog.relations(tables)
        self._stream.interest.hold(query, relations)
        async with asyncio.timeout(READ_TIMEOUT):
            await self._stream.follow(relations.keys())
        if not self._stream.apply_lock.locked():  # no transaction is being applied
            self._dispatcher.advance(self._stream.passed)

    def forget(self, query: LiveQuery) -> None:
        """``query`` is not read any more."""
        self._stream.interest.release(query)


class Wait:
    """Growing pauses between attempts."""

    def __init__(self) -> None:
        self.rounds = 0

    async def longer(self) -> None:
        """Wait, about twice as long as the time before, up to a second."""
        await asyncio.sleep(growing_pause(self.rounds, 0.01, 1.0))
        self.rounds += 1


async def until_shown(
    subscriptions: Iterable[Subscription],
    states: Mapping[LiveQuery, ReadState],
    catalog: CatalogWatcher,
    background: Background,
) -> None:
    """Wait until each of ``subscriptions`` was delivered what the stream had brought at this call.

    An incremental query is, at the end of the transaction. Another one waits for its read: for the last one, or, where
    changes never end, for one that began after this call. Raises ``failure`` of the background.
    """
    began, late = time.monotonic(), list(subscriptions)
    while True:
        late = [each for each in late if each.detached or _is_late(each.query, states.get(each.query), began)]
        if not late and catalog.is_current:
            return
        await background.wait_changed()


def _is_late(query: LiveQuery, state: ReadState | None, began: float) -> bool:
    if state is None or query.ended:
        return False
    window = query.window
    invalid = window is not None and bool(window.needs_refill or window.invalidated)
    return (state.task is not None or query.due is not None or invalid) and state.shown_from <= began


async def as_rights_are(subscribe: Callable[[], Awaitable[Subscription]]) -> Subscription:
    """What ``subscribe`` makes, again while rights change as it does."""
    while True:
        with contextlib.suppress(RightsChangedError):
            return await subscribe()
