"""The live-query service: joins the stream, the dispatcher and the reads.

It is a consumer of the stream: the driver's task gives it each transaction. Everything else happens in small tasks that do
their I/O outside and hand over between two transactions: reads (:mod:`engine.live.refresher`) and the catalog
(:mod:`engine.catalog.watcher`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from time import monotonic

import psycopg
import structlog

from engine.background import BackgroundService
from engine.catalog.rights import ADMINISTRATORS
from engine.catalog.watcher import CatalogWatcher
from engine.errors import PrivilegeLostError, QueryRejectedError
from engine.identity.principal import Principal, viewer_of
from engine.identity.visibility import Viewer
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.document_changes import WindowEvent
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import Deliver, LiveQuery, Subscription
from engine.live.definitions import Definitions
from engine.live.failed_reads import rejection_of
from engine.live.plan_cache import Planner
from engine.live.query_accounts import ASKING, ConnectionAccount
from engine.live.query_registry import QueryRegistry
from engine.live.read_state import as_rights_are, until_shown
from engine.live.reads import cost_class, prepare_opening
from engine.live.refresher import Refresher
from engine.live.settings import LiveSettings
from engine.live.subscription_planner import SubscriptionPlanner
from engine.lsn import Lsn
from engine.metrics.live import STRATEGIES, LiveMetrics
from engine.metrics.registry import Registry
from engine.postgres.snapshot_reader import Reader
from engine.postgres.statements.named_queries import query as named_query
from engine.query.explaining import Explanation, explain_plan
from engine.query.ir.reread_plan import ReReadPlan
from engine.stream.change_feed import ChangeFeed
from engine.stream.driver import StreamDriver
from engine.transaction import Discontinuity, Transaction

__all__ = ["LiveQueries", "LiveSettings", "make_reader"]

_log = structlog.get_logger(__name__)


def make_reader(dsn: str, feed: ChangeFeed, settings: LiveSettings, *, pooled: bool = False) -> Reader:
    """The reader of the live queries over ``dsn`` (of a pooler if ``pooled``), which reports its snapshots to ``feed``."""
    return Reader(
        dsn,
        size=settings.readers,
        timeout_ms=settings.read_timeout_ms,
        quick_timeout_ms=settings.quick_timeout_ms,
        lock_timeout_ms=settings.lock_timeout_ms,
        memory=settings.read_memory,
        temporary=settings.read_temporary,
        each=settings.reads_per_user,
        saw=feed.saw,
        silent=feed.doubt,
        pooled=pooled,
        work_share=settings.work_share,
    )


class LiveQueries(BackgroundService):
    """Exact live queries over the exposed tables of one database. One per process, all calls in its event loop.

    Make and start it before ``stream.start()``. ``reader`` (see :func:`make_reader`) is opened and closed by its owner.
    """

    def __init__(
        self,
        stream: StreamDriver,
        reader: Reader,
        settings: LiveSettings | None = None,
        metrics: LiveMetrics | None = None,
    ) -> None:
        self.settings = settings or LiveSettings()
        self.metrics = metrics or LiveMetrics(Registry())
        self.metrics.registry.before_reading(self._measure)
        super().__init__("live queries")
        self._stream = stream
        self._reader = reader
        self._dispatcher = Dispatcher(stream.tail, monotonic, self.settings.max_rows, self.settings.spare_rows)
        self._planner = Planner(self._reader, self.settings.plan_bytes)
        self._catalog = CatalogWatcher(reader, self.settings.stream_generated, self.settings.claims_setting)
        self._planning = SubscriptionPlanner(self._planner, self._catalog, reader, stream)
        self._refresher = Refresher(
            settings=self.settings,
            dispatcher=self._dispatcher,
            reader=self._reader,
            planning=self._planning,
            catalog=self._catalog,
            stream=stream,
            background=self._background,
            rights_changed=self._rights_changed,
            metrics=self.metrics,
        )
        self._definitions = Definitions(
            settings=self.settings,
            catalog=self._catalog,
            dispatcher=self._dispatcher,
            planner=self._planner,
            refresher=self._refresher,
            reader=self._reader,
            apply_lock=stream.apply_lock,
            background=self._background,
        )
        self._queries = QueryRegistry(self.settings.idle_ttl, self._refresher.forget, self.settings.idle_bytes)
        self._moves = 0  # subscriptions that wait for the rows that they may see now
        stream.add_consumer(self)

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the catalog and begin to keep it current.

        Raises ``CatalogError`` if the database is not migrated, ``psycopg.OperationalError`` if it cannot be reached.
        """
        await self._definitions.load()
        async with self._reader.connection() as connection:
            cursor = await connection.execute(named_query("stream_key").encode())
            self._dispatcher.stream_key = (await cursor.fetchone() or (None,))[0]
        self._background.spawn(self._definitions.keep_current())
        self._definitions.reconcile()
        self._background.spawn(self._definitions.watch())
        self._background.spawn(self._tick())

    async def stop(self) -> None:
        """Stop all tasks, without an event to subscribers. The stream must be stopped before."""
        await self._background.stop()
        self._queries.close()

    @property
    def position(self) -> Lsn:
        """The commit LSN of the last transaction applied; before the first one, where the stream stood."""
        return self._refresher.position

    @property
    def problem(self) -> str | None:
        """Why some lists may not be right now, in plain words: tables that cannot be followed although they are exposed,
        definitions or rows that cannot be read. None if nothing is known.
        """
        return self._catalog.problem or self._definitions.problem or self._reader.problem or self._refresher.problem

    def status(self) -> dict[str, int]:
        """Figures for ``/health``."""
        return {
            "queries": len(self._queries),
            "subscriptions": sum(len(query.subscriptions) for query in self._queries),
            "refreshing": self._refresher.busy,
            "tail": len(self._stream.tail),
            "reads": self._refresher.reads,
            "plan_bytes": self._planner.weight,
            "idle_bytes": self._queries.idle_weight,
        }

    @property
    def queries(self) -> Iterable[LiveQuery]:
        """The live queries that are kept. To be looked through at once: they change with the next turn of the event loop."""
        return self._queries

    async def explain(self, query: LiveQuery) -> Explanation:
        """How PostgreSQL reads a live query. Raises ``TableLockedError``, or ``psycopg.Error`` if the database is away."""
        assert query.plan is not None
        async with self._reader.planning(query.tables) as connection:
            return await explain_plan(query.plan, connection)

    def _measure(self) -> None:
        queries, subscriptions = Counter(dict.fromkeys(STRATEGIES, 0)), Counter(dict.fromkeys(STRATEGIES, 0))
        for query in self._queries:
            strategy = cost_class(query)
            queries[strategy] += 1
            subscriptions[strategy] += len(query.subscriptions)
        for strategy in STRATEGIES:
            self.metrics.queries.of(strategy).value = queries[strategy]
            self.metrics.subscriptions.of(strategy).value = subscriptions[strategy]

    async def caught_up(self, position: Lsn) -> None:
        """Wait until every commit before ``position`` has been applied and no query waits for a read.

        Raises ``failure`` if the service has failed.
        """
        while self._stream.passed < position or self._refresher.busy or self._moves or not self._catalog.is_current:
            if self._stream.passed < position:
                await self._stream.changed()
            else:
                await self._background.wait_changed()

    async def shown(self, subscriptions: Iterable[Subscription]) -> None:
        """Wait until each of ``subscriptions`` was delivered what the stream has brought by now."""
        await until_shown(subscriptions, self._refresher.states, self._catalog, self._background)

    # -- subscribing -----------------------------------------------------------------------------------------------

    async def subscribe(
        self,
        principal: Principal,
        collection: str,
        spec: Mapping[str, object],
        deliver: Deliver,
        resume: Resume | None = None,
        account: ConnectionAccount | None = None,
    ) -> Subscription:
        """Open a live query; call ``begin()`` on the result to receive its rows and every later change.

        Args:
            principal: for whom. Its visibility counts as it is at this call.
            collection: an exposed collection's name.
            spec: the query: builder JSON (``where``, ``orderBy``, ``limit``, cursors) or ``{"sql": …, "params": […]}``.
            deliver: called in the event loop with each event.
            resume: the subscriber's last state; it gets the changes since then if they are still known (``recovered``).
            account: whose limits count; None: no limits.

        Raises ``QueryRejectedError`` (with the protocol's code) if the query cannot be accepted.
        """
        viewer = viewer_of(principal, self.settings.anonymous_role)
        opening = as_rights_are(partial(self._subscribe, viewer, collection, spec, deliver, resume, account))
        return await self._reader.turns.in_turn(opening, None if account is None else account.user)

    async def _subscribe(
        self,
        viewer: Viewer,
        collection: str,
        spec: Mapping[str, object],
        deliver: Deliver,
        resume: Resume | None = None,
        account: ConnectionAccount | None = None,
    ) -> Subscription:
        try:
            plan = await self._planning.plan(viewer, collection, spec, with_cost=account is not None)
        except PrivilegeLostError as lost:
            if lost.outdated:
                self._catalog.invalidate()
            raise
        if account is not None:
            account.check(plan, self._queries.find(plan))
        query, is_new = self._queries.obtain(plan, collection, spec, viewer)
        subscription = Subscription(query, deliver, self._refresher, self._queries.release, resume)
        subscription.viewer = viewer
        self._queries.add(subscription, account)
        if is_new:
            if isinstance(plan, ReReadPlan) and plan.visibility != ADMINISTRATORS:
                _log.info("query_reread", collection=collection, reason=plan.detail or plan.reason)
            self._refresher.keep(query)
        try:
            await self._refresher.ready(query)
            await self._reader.turns.do(prepare_opening(query), ASKING.get())
        except BaseException:
            self._queries.release(subscription)
            raise
        return subscription

    async def reopen(self, principal: Principal, subscription: Subscription) -> None:
        """The principal of a subscription has another role or other claims: it gets the difference to what it may see now.
        If no policy reads what differs, that is nothing, and costs nothing: tokens are renewed all the time.

        Else nothing is delivered from this call on until the new rows have been read. Where they cannot be, the subscription
        ends with the error. Does not raise ``QueryRejectedError``.
        """
        query, viewer = subscription.query, viewer_of(principal, self.settings.anonymous_role)
        if self._planning.is_same(subscription.viewer, viewer, query) and not subscription.detached:
            subscription.viewer = viewer
        else:
            await self._reopen(subscription, viewer)

    async def _reopen(self, subscription: Subscription, viewer: Viewer) -> None:
        subscription.viewer = viewer
        subscription.detach()
        self._moves += 1
        try:
            await self._move(subscription, viewer)
        finally:
            self._moves -= 1
            self._background.changed()

    async def _move(self, subscription: Subscription, viewer: Viewer) -> None:
        former = subscription.query
        subscribe = partial(self._subscribe, viewer, former.collection, former.spec, lambda *_: None)
        try:
            hold = await as_rights_are(subscribe)
        except (QueryRejectedError, psycopg.Error, OSError) as error:
            if subscription.viewer is viewer:
                subscription.fail(WindowEvent(self.position, False, (), rejection_of(error)))
            return
        if subscription.viewer is viewer and subscription in subscription.query.subscriptions:
            self._queries.move(subscription, hold.query)
        hold.cancel()

    def _rights_changed(self, query: LiveQuery) -> None:
        for subscription in list(query.subscriptions):
            self._moves += 1  # now: nothing else shows that its list is out of date until the task begins
            self._background.spawn(self._replan(subscription))

    async def _replan(self, subscription: Subscription) -> None:
        """As its viewer is when this begins: a token may be renewed meanwhile."""
        try:
            await self._reopen(subscription, subscription.viewer)
        finally:
            self._moves -= 1
            self._background.changed()

    # -- the stream (see engine.stream.consumer) -------------------------------------------------------------------

    def process(self, *transactions: Transaction) -> Iterator[None]:
        """Apply transactions to the lists and deliver what has changed in them: several as one change, unless some list is
        ahead of the stream.
        """
        at_once = len(transactions) == 1 or self._dispatcher.gathers
        for together in (transactions,) if at_once else zip(transactions, strict=True):
            outcome = yield from self._dispatcher.process(*together)
            yield from outcome.deliver(self._dispatcher.position)
            for query in outcome.ended:
                self._refresher.forget(query)
            for note, transaction in product(outcome.ddl, together):
                self._definitions.note(note, transaction.xid)
            for query in outcome.refresh:
                self._refresher.refresh(query)
            if not at_once:
                yield

    def discontinuity(self, event: Discontinuity, position: Lsn) -> None:
        """Every list is read again."""
        self._dispatcher.interrupt(other_history=event.other_history)
        self._definitions.interrupt(missing=event.missing, other_history=event.other_history)

    @property
    def confirmable(self) -> Lsn | None:
        """None: the transactions that a list may need are in the tail."""
        return None

    # -- in the background -----------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Run queries that depend on the time again."""
        while True:
            await asyncio.sleep(self.settings.clock_interval)
            for query in self._refresher:
                if isinstance(query.plan, ReReadPlan) and query.plan.time_dependent and query.subscriptions:
                    self._refresher.refresh(query)
