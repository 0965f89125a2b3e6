"""The live-query service: drives the router from the feed, and the database reads it asks for.

One task consumes the feed. Everything else (subscribing, refreshing a query, reloading the catalog, letting go of what the
tail no longer needs) are small tasks that do their I/O outside and hand over between two transactions, under ``_turn``.

Refreshing is one path for all cases: the first read of a query, a window whose slack ran out, a re-read query whose table
changed, a changed definition, a lost slot. Plan, read with a snapshot, hand over, and tell subscribers the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Protocol

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from engine.catalog import load_catalog
from engine.errors import CatalogError, InvalidQuery, QueryRejected
from engine.live.changes import DocChange, list_changes
from engine.live.plans import PlanCache
from engine.live.queries import Deliver, Listing, LiveQuery, Subscription
from engine.live.reader import Reader, ReadResult, ResultTooLarge
from engine.live.router import DdlNote, Outcome, Router
from engine.live.window import read_size
from engine.lsn import Lsn
from engine.query.incremental import IncrementalPlan
from engine.query.reread import ReReadPlan, unique_ids
from engine.types import Discontinuity, FeedEvent, Progress, Transaction

__all__ = ["FeedLike", "LiveQueries", "LiveSettings"]

log = structlog.get_logger(__name__)

_BREATH = 0.005  # seconds of work between two chances for other tasks
_PATIENCE = 10.0  # seconds a new subscription waits for a database that cannot be reached
_CATCH_UP = 5.0  # seconds to wait for the stream before a query is refused
_UNREACHABLE = (psycopg.OperationalError, PoolTimeout, CatalogError, ConnectionError)


class FeedLike(Protocol):
    """What the service needs of :class:`engine.feed.feed.Feed`."""

    def __aiter__(self) -> AsyncIterator[FeedEvent]:
        """The events, in order."""
        ...

    @property
    def received(self) -> Lsn:
        """How far the stream has come."""
        ...

    def confirm(self, position: Lsn) -> None:
        """Everything before ``position`` is done with."""
        ...


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Tuning.

    ``linger``: seconds a query stays warm after its last subscriber left. ``reread_interval``: a re-read query runs at most
    once per this many seconds. ``clock_interval``: seconds between re-runs of a query that depends on the time.
    ``trim_interval``: seconds between two looks at what the transaction tail may let go. ``max_rows``: rows a query may
    have. ``readers``: database connections for reads. ``stream_generated``: whether the decoder sends generated columns.
    """

    linger: float = 5.0
    reread_interval: float = 0.05
    clock_interval: float = 1.0
    trim_interval: float = 1.0
    max_rows: int = 10_000
    readers: int = 8
    read_timeout_ms: int = 30_000
    stream_generated: bool = True


class _State:
    """The service's own notes on a query."""

    __slots__ = ("again", "last_read", "linger", "patience", "ready", "replan", "task")

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.again = False
        self.replan = False
        self.last_read = 0.0
        self.patience = time.monotonic() + _PATIENCE
        self.linger: asyncio.TimerHandle | None = None


class _Wait:
    """Growing pauses between attempts."""

    def __init__(self) -> None:
        self.rounds = 0

    async def longer(self) -> None:
        await asyncio.sleep(min(0.01 * 2**self.rounds, 1.0))
        self.rounds += 1


class LiveQueries:
    """Exact live queries over the exposed tables of one database. One per process, all calls in its event loop."""

    def __init__(self, dsn: str, feed: FeedLike, settings: LiveSettings | None = None) -> None:
        self.settings = settings or LiveSettings()
        self._feed = feed
        self._router = Router(self.settings.max_rows)
        self._reader = Reader(
            dsn,
            size=self.settings.readers,
            max_rows=self.settings.max_rows,
            timeout_ms=self.settings.read_timeout_ms,
        )
        self._plans = PlanCache()
        self._queries: dict[str, LiveQuery] = {}
        self._states: dict[LiveQuery, _State] = {}
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._catalog_ready = asyncio.Event()
        self._catalog_wanted = 0
        self._trim_now = asyncio.Event()
        self.failure: BaseException | None = None
        self._passed: Lsn = 0
        self._origin: Lsn = 0
        self._watchers: list[asyncio.Future[None]] = []
        self._reads = 0

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the connections, load the catalog and begin to consume the feed.

        Raises ``CatalogError`` if the database is not migrated, ``psycopg.OperationalError`` if it cannot be reached.
        """
        self._origin = self._feed.received
        await self._reader.open()
        await self._load_catalog()
        self._catalog_ready.set()
        self._spawn(self._consume())
        self._spawn(self._trim())
        self._spawn(self._tick())

    async def stop(self) -> None:
        """Stop everything; subscribers are told nothing."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.close()

    @property
    def position(self) -> Lsn:
        """The commit LSN of the last transaction applied; before the first one, where the stream stood."""
        return self._router.position or self._passed or self._origin

    @property
    def passed(self) -> Lsn:
        """Every transaction that committed before this LSN has been applied."""
        return self._passed

    @property
    def unsettled(self) -> int:
        """Queries that are being read now, or have yet to be."""
        return sum(1 for state in self._states.values() if state.task is not None)

    def status(self) -> dict[str, int]:
        """Figures for ``/health``."""
        return {
            "queries": len(self._queries),
            "subscriptions": sum(len(query.subscriptions) for query in self._queries.values()),
            "refreshing": self.unsettled,
            "tail": len(self._router.tail),
            "reads": self._reads,
        }

    async def settled(self, position: Lsn) -> None:
        """Wait until every commit before ``position`` has been applied and no query has yet to be read.

        Raises what ended the feed, if it has ended.
        """
        while self._passed < position or self.unsettled or not self._catalog_ready.is_set():
            if self.failure is not None:
                raise self.failure
            await self._next_move()

    async def _next_move(self) -> None:
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append(moved)
        await moved

    def _moved(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    # -- subscribing -----------------------------------------------------------------------------------------------

    async def subscribe(self, collection: str, spec: Mapping[str, object], deliver: Deliver) -> Subscription:
        """Open a live query; call ``begin()`` on the result to receive its rows and every later change.

        Args:
            collection: an exposed collection's name.
            spec: the query: builder JSON (``where``, ``orderBy``, ``limit``, cursors) or ``{"sql": …, "params": […]}``.
            deliver: called in the event loop with each event.

        Raises ``QueryRejected`` (with the protocol's code) if the query cannot be accepted.
        """
        plan = await self._current_plan(collection, spec)
        query = self._queries.get(plan.key)
        if query is None:
            query = self._queries[plan.key] = LiveQuery(plan.key, collection, spec)
            query.plan = plan
            self._states[query] = _State()
            self._refresh(query)
        state = self._states[query]
        if state.linger is not None:
            state.linger.cancel()
            state.linger = None
        subscription = Subscription(query, deliver, lambda: self.position, self._release)
        query.subscriptions[subscription] = None
        try:
            await asyncio.shield(state.ready)
        except BaseException:
            self._release(subscription)
            raise
        return subscription

    async def _current_plan(self, collection: str, spec: Mapping[str, object]) -> IncrementalPlan | ReReadPlan:
        """A plan under the catalog as it is now.

        A query that is refused may only be ahead of us: what it names was made a moment ago and the stream has yet to say so.
        """
        while True:
            await self._catalog_current()
            version = self._catalog_wanted
            try:
                plan = await self._plan(collection, spec)
            except QueryRejected:
                await self._caught_up()
                if version == self._catalog_wanted:
                    raise
                continue
            if version == self._catalog_wanted:
                return plan

    async def _caught_up(self) -> None:
        """Wait until the stream is where the database is now; not for long, it may be down."""
        with contextlib.suppress(TimeoutError, *_UNREACHABLE):
            async with asyncio.timeout(_CATCH_UP):
                position = await self._reader.flushed()
                while self._passed < position:
                    await self._next_move()

    async def _plan(self, collection: str, spec: Mapping[str, object]) -> IncrementalPlan | ReReadPlan:
        try:
            async with self._reader.connection() as connection:
                return await self._plans.plan(collection, spec, self._router.catalog, connection)
        except PoolTimeout as error:
            raise QueryRejected("the database cannot be reached; try again") from error

    def _release(self, subscription: Subscription) -> None:
        query = subscription.query
        query.subscriptions.pop(subscription, None)
        state = self._states.get(query)
        if state is not None and not query.subscriptions and state.linger is None:
            state.linger = asyncio.get_running_loop().call_later(self.settings.linger, self._drop, query)

    def _drop(self, query: LiveQuery) -> None:
        """Nobody has wanted ``query`` for a while (or it has ended)."""
        state = self._states.pop(query, None)
        if state is None:
            return
        if state.linger is not None:
            state.linger.cancel()
        if state.task is not None and state.task is not asyncio.current_task():
            state.task.cancel()
        if self._queries.get(query.key) is query:
            del self._queries[query.key]
        self._router.forget(query)

    # -- the stream ------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        began = time.monotonic()
        async for event in self._feed:
            if isinstance(event, Transaction):
                await self._apply(event)
            elif isinstance(event, Progress):
                self._pass(event.position)
            elif isinstance(event, Discontinuity):
                self._lost(event)
            if time.monotonic() - began > _BREATH:
                await asyncio.sleep(0)
                began = time.monotonic()

    async def _apply(self, transaction: Transaction) -> None:
        outcome = Outcome()
        steps = self._router.process(transaction, outcome)
        if next(steps, self) is not self:  # a large one: nothing is handed over until it ends
            async with self._turn:
                for _ in steps:
                    await asyncio.sleep(0)
                self._conclude(outcome)
        else:
            self._conclude(outcome)
        self._pass(transaction.end)

    def _conclude(self, outcome: Outcome) -> None:
        position = self._router.position
        for query, changes in outcome.changed:
            query.emit(position, changes)
        for note in outcome.ddl:
            self._definition_changed(note)
        for query in outcome.refresh:
            self._refresh(query)
        if len(self._router.tail) > 1_000:
            self._trim_now.set()

    def _pass(self, position: Lsn) -> None:
        self._passed = max(self._passed, position)
        self._router.advance(position)
        self._feed.confirm(self._router.tail.confirmable)
        if self._watchers:
            self._moved()

    def _lost(self, event: Discontinuity) -> None:
        log.warning("everything is read again", reason=event.reason)
        self._reload_catalog()
        self._replan(None)

    def _definition_changed(self, note: DdlNote) -> None:
        self._reload_catalog()
        self._replan(None if note.all else self._router.roots(note.oids))

    def _replan(self, oids: set[int] | None) -> None:
        """Plan and read again the queries over the tables ``oids``; None: all queries."""
        for query in list(self._states):
            if oids is None or not query.tables.isdisjoint(oids):
                self._refresh(query, replan=True)

    # -- the catalog -----------------------------------------------------------------------------------------------

    def _reload_catalog(self) -> None:
        self._catalog_wanted += 1
        self._plans.clear()
        if self._catalog_ready.is_set():
            self._catalog_ready.clear()
            self._spawn(self._reload())

    async def _reload(self) -> None:
        delay = 0.05
        while True:
            version = self._catalog_wanted
            try:
                await self._load_catalog()
            except _UNREACHABLE as error:
                log.warning("the catalog cannot be loaded; trying again", error=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
                continue
            if version == self._catalog_wanted:
                self._catalog_ready.set()
                self._moved()
                return

    async def _catalog_current(self) -> None:
        while not self._catalog_ready.is_set():  # it may be cleared again before a waiter gets to run
            await self._catalog_ready.wait()

    async def _load_catalog(self) -> None:
        async with self._reader.connection() as connection:
            catalog = await load_catalog(connection, stream_generated=self.settings.stream_generated)
        async with self._turn:
            self._plans.clear()
            self._replan(self._router.use(catalog))

    # -- refreshing a query ----------------------------------------------------------------------------------------

    def _refresh(self, query: LiveQuery, *, replan: bool = False) -> None:
        """Read ``query`` again, soon; asking many times is asking once."""
        state = self._states.get(query)
        if state is None:
            return
        state.replan = state.replan or replan
        if state.task is None:
            state.task = self._spawn(self._refreshing(query, state))
        else:
            state.again = True

    async def _refreshing(self, query: LiveQuery, state: _State) -> None:
        wait = _Wait()
        try:
            while True:
                if query.strategy == "re-read":
                    await asyncio.sleep(state.last_read + self.settings.reread_interval - time.monotonic())
                state.again = False
                state.last_read = time.monotonic()
                try:
                    done = await self._refresh_once(query, state)
                except _UNREACHABLE as error:
                    if not state.ready.done() and time.monotonic() > state.patience:
                        raise
                    log.warning("a live query cannot be read; trying again", key=query.key, error=str(error))
                    done = False
                except psycopg.ProgrammingError as error:
                    # Perhaps the table changed and the stream has yet to say so: look again before giving up.
                    if wait.rounds >= 3:
                        raise
                    log.info("a live query is planned again", key=query.key, error=str(error))
                    self._reload_catalog()
                    state.replan, done = True, False
                if done and not state.again and not query.pending:
                    return
                if done and state.again:
                    wait = _Wait()
                else:
                    await wait.longer()
        except (QueryRejected, ResultTooLarge, psycopg.Error, PoolTimeout) as error:
            self._fail(query, state, error)
        finally:
            state.task = None
            self._moved()

    async def _refresh_once(self, query: LiveQuery, state: _State) -> bool:
        """One read and its hand-over; False if it has to be repeated."""
        if state.replan or query.plan is None:
            await self._catalog_current()
            state.replan = False
            query.plan = await self._plan(query.collection, query.spec)
        plan = query.plan
        ticket = self._router.tail.begin_read()
        read: ReadResult | None = None
        try:
            self._reads += 1
            read = await self._read(plan)
            if isinstance(plan, IncrementalPlan) and read.types != _types(plan):
                self._reload_catalog()
                state.replan = True
                return False
            async with self._turn:
                return not state.replan and query in self._states and self._hand_over(query, state, plan, read)
        finally:
            self._router.tail.end_read(ticket, read.snapshot if read else None)

    async def _read(self, plan: IncrementalPlan | ReReadPlan) -> ReadResult:
        if isinstance(plan, IncrementalPlan):
            size = read_size(plan.limit)
            return await self._reader.read(plan.read(self.settings.max_rows + 1 if size is None else size))
        return await self._reader.read(plan.statement)

    def _hand_over(self, query: LiveQuery, state: _State, plan: IncrementalPlan | ReReadPlan, read: ReadResult) -> bool:
        before = query.listing()
        if isinstance(plan, IncrementalPlan):
            if not self._router.hand_over_window(query, plan, read):
                return False
        else:
            self._router.hand_over_rows(query, plan, read)
            query.window = None
            query.rows = Listing(_documents(read))
        self._announce(query, state, before)
        return True

    def _announce(self, query: LiveQuery, state: _State, before: Listing) -> None:
        if not state.ready.done():
            state.ready.set_result(None)
            return
        changes: list[DocChange] = list_changes(before.pairs, query.listing().pairs)
        if changes:
            query.emit(self.position, changes)

    def _fail(self, query: LiveQuery, state: _State, error: Exception) -> None:
        """``query`` cannot be answered any more (or never could)."""
        if not isinstance(error, QueryRejected):
            error = _rejection(error)
        if not state.ready.done():
            state.ready.set_exception(error)
            state.ready.exception()  # read here, so that a query nobody waits for any more is no warning
        else:
            log.warning("a live query has ended", key=query.key, error=str(error))
            query.end(self.position, error)
        self._drop(query)

    # -- in the background -----------------------------------------------------------------------------------------

    async def _trim(self) -> None:
        """Let the tail go of what a snapshot shows; more often while it is long."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._trim_now.wait(), self.settings.trim_interval)
            self._trim_now.clear()
            if not len(self._router.tail):
                continue
            ticket = self._router.tail.begin_read()
            snapshot = None
            try:
                snapshot = await self._reader.snapshot()
            except _UNREACHABLE as error:
                log.warning("no snapshot to trim the transaction tail by", error=str(error))
                await asyncio.sleep(self.settings.trim_interval)
            finally:
                self._router.tail.end_read(ticket, snapshot)
            self._feed.confirm(self._router.tail.confirmable)

    async def _tick(self) -> None:
        """Run queries that depend on the time again."""
        while True:
            await asyncio.sleep(self.settings.clock_interval)
            for query in list(self._states):
                if isinstance(query.plan, ReReadPlan) and query.plan.time_dependent and query.subscriptions:
                    self._refresh(query)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()
            log.error("a task of the live queries failed", exc_info=self.failure)
            self._moved()


def _types(plan: IncrementalPlan) -> tuple[int, ...]:
    """The types a result has if the table still is what the plan was made for; Postgres reports a domain's base type."""
    return tuple(column.type.underlying.oid for column in plan.table.columns)


def _documents(read: ReadResult) -> list[tuple[str, bytes]]:
    ids = unique_ids([(row[0] or b"").decode() for row in read.rows])
    return [(identifier, row[1] or b"null") for identifier, row in zip(ids, read.rows, strict=True)]


def _rejection(error: Exception) -> QueryRejected:
    if isinstance(error, ResultTooLarge):
        return InvalidQuery(str(error))
    if isinstance(error, psycopg.Error):
        return InvalidQuery(f"the query failed: {error.diag.message_primary or error}")
    return QueryRejected(str(error))
