"""Reads live queries, the first time and again on request.

Theory of operation
-------------------
Reasons for a read: a new query, a window that needs a refill or was invalidated, a re-read query whose table changed, a
changed definition, a lost slot. All take the same path. Each query has a :class:`ReadState` and at most one task:

* *idle*: no task. ``refresh`` starts one;
* *reading*: the task plans the query if necessary, reads rows together with a snapshot, and hands them over under
  ``apply_lock``, between two transactions, joined to the stream by the transaction tail. Subscribers get the difference;
* *waiting*: the holders of a re-read query have used up what the processor does for them (``reread_wait``); their list stays
  as of its snapshot;
* *requested again*: a ``refresh`` during the read sets ``again``, and the task repeats;
* *retrying*: the read failed and may succeed later. The task waits with growing pauses. A read that is cut off moves to the
  slow lane; an unreachable database or a lost privilege is retried, and the subscribers keep their list; an error that a
  changed definition explains invalidates the catalog and plans the query again;
* *parked*: the rights of its role have changed, so it would show what another query does. It is not read any more; its
  subscribers are moved to that query;
* *put off*: the list of a re-read query has changed while it had no subscribers. It is read for the next one;
* *failed*: any other error ends the query, and its subscribers get the error.

``ready`` is set by the first hand-over. Before it, errors that are retried later on reject the query: a read that the slow
lane cuts off, a lost privilege, a database that is unreachable for ``READ_TIMEOUT`` seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

import psycopg
import structlog

from engine.background import Background
from engine.catalog.watcher import CatalogWatcher
from engine.errors import PrivilegeLostError, QueryRejectedError, SubscriptionFailedError
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.result_set import ResultSet, too_deep_in
from engine.live.core.shared_query import LiveQuery
from engine.live.failed_reads import FailedReads, rejection_of
from engine.live.plan_cache import Plan
from engine.live.query_accounts import ASKING, spared, until_within_budget
from engine.live.read_state import READ_TIMEOUT, FollowedTables, ReadState, RightsChangedError, Wait
from engine.live.reads import REFUSED, QueryReads, ReadList, TooSlowError, fits, why_reread
from engine.live.settings import LiveSettings
from engine.live.subscription_planner import SubscriptionPlanner
from engine.lsn import Lsn
from engine.metrics.live import LiveMetrics
from engine.postgres.errors import UNREADABLE
from engine.postgres.snapshot import ReadResult
from engine.postgres.snapshot_reader import Reader, ResultTooLargeError
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import reread_instead
from engine.query.policies.facts import PoliciesChangedError
from engine.query.policies.table_rule import TOO_MUCH
from engine.stream.driver import StreamDriver

__all__ = ["Refresher"]

_log = structlog.get_logger(__name__)
_REPORTED_AFTER = 1.0  # seconds after which an unreachable database is reported as a problem


class Refresher:
    """The registered queries, each with at most one read under way.

    Args:
        catalog: invalidated when a read shows that it is out of date.
        stream: reads are joined to it by its tail, between two transactions.
        background: runs the read tasks; tasks that wait for it are woken when a query has been read.
        rights_changed: called with a query whose subscribers may see other rows than it has, since policies or privileges
            changed. It is not read any more.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        settings: LiveSettings,
        dispatcher: Dispatcher,
        reader: Reader,
        planning: SubscriptionPlanner,
        catalog: CatalogWatcher,
        stream: StreamDriver,
        background: Background,
        rights_changed: Callable[[LiveQuery], None] = lambda _: None,
        metrics: LiveMetrics,
    ) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._reader = reader
        self._planning = planning
        self._catalog = catalog
        self._stream = stream
        self._background = background
        self._query_reads = QueryReads(reader, settings, background, metrics, FollowedTables(stream, dispatcher))
        self._failed = FailedReads(settings, reader, catalog)
        self._states: dict[LiveQuery, ReadState] = {}
        self.states: Mapping[LiveQuery, ReadState] = self._states
        self._rights_changed = rights_changed
        self.reads = 0

    def __iter__(self) -> Iterator[LiveQuery]:
        return iter(list(self._states))

    @property
    def position(self) -> Lsn:
        """The commit LSN of the last transaction applied to the lists; before the first one, where the stream stood."""
        return self._dispatcher.position or self._stream.position

    @property
    def busy(self) -> int:
        """How many queries are being read or wait for a read."""
        return sum(1 for state in self._states.values() if state.task is not None)

    @property
    def problem(self) -> str | None:
        """Why result sets of subscribers are out of date, in words; None if they are current."""
        late = time.monotonic() - _REPORTED_AFTER
        failing = [s.failing[1] for s in self._states.values() if s.failing and s.failing[0] < late and s.ready.done()]
        return f"{len(failing)} live queries cannot be read again: {failing[0]}" if failing else None

    def keep(self, query: LiveQuery) -> None:
        """Read ``query`` and keep it readable."""
        self._states[query] = ReadState()
        self.refresh(query)

    def forget(self, query: LiveQuery) -> None:
        """Stop reading ``query``."""
        state = self._states.pop(query, None)
        if state is not None and state.task is not None and state.task is not asyncio.current_task():
            state.task.cancel()
        self._query_reads.tables.forget(query)
        self._dispatcher.forget(query)

    async def ready(self, query: LiveQuery) -> None:
        """Wait until ``query`` has been read once, and again if its list changed while it had no subscribers. Raises
        ``QueryRejectedError`` if it cannot be.
        """
        state = self._states[query]
        await state.until_ready(query, lambda: self._background.spawn(self._refreshing(query, state)))

    def refresh(self, query: LiveQuery, *, replan: bool = False) -> None:
        """Read ``query`` again, soon; a list without subscribers for the next one. Requests during a read are merged."""
        state = self._states.get(query)
        if state is None:
            return
        state.replan = state.replan or replan
        if replan:
            state.unlike, state.instead = 0, None
        if state.task is not None:
            state.again = True
        elif not state.put_off_for(query):
            state.task = self._background.spawn(self._refreshing(query, state))

    async def _refreshing(self, query: LiveQuery, state: ReadState) -> None:
        ASKING.set(None)  # a query is shared: planning it again is not charged to the user who subscribed first
        wait = Wait()
        try:
            while query in self._states:
                if query.strategy == "re-read":
                    await self._paced(query, state)
                user, turns = spared(query.holders), self._reader.turns
                await turns.turn_of(user if state.ready.done() else None)
                state.again = False
                state.last_read = time.monotonic()
                due = query.due
                if done := await turns.measured(self._attempt(query, state, wait.rounds), user):
                    state.was_read()
                    self._background.changed()
                if done and state.rests(query):
                    return
                if done and (state.again or query.due != due):
                    wait = Wait()
                else:
                    await wait.longer()
        except (QueryRejectedError, ResultTooLargeError, psycopg.Error, *UNREADABLE) as error:
            self._fail(query, state, error)
        except Exception as problem:  # noqa: BLE001 - logged
            _log.error("query_failed", key=query.key, exc_info=problem)
            self._fail(query, state, SubscriptionFailedError("the server failed to read this query; see its log"))
        finally:
            state.task = None
            self._background.changed()

    async def _paced(self, query: LiveQuery, state: ReadState) -> None:
        """Wait until a re-read query may be read again: within the interval, and within the budget of a holder.

        Changed rights end the wait for a budget, too. Raises ``TooManyQueriesError`` if it takes too long.
        """
        await asyncio.sleep(state.last_read + self._settings.reread_interval - time.monotonic())
        await until_within_budget(query.holders, state.computed, state.may_wait, self._settings.reread_wait)

    async def _attempt(self, query: LiveQuery, state: ReadState, rounds: int) -> bool:
        """One read and its hand-over; False if it has to be retried. Raises the error that ends the query."""
        try:
            return await self._refresh_once(query, state)
        except TooSlowError as error:
            if not state.slow:
                state.slow = True
            elif not state.ready.done():
                raise error.reason from None  # a new query that is too slow is rejected; an accepted one is retried
            else:
                await self._failed.rest(query, state)
        except PrivilegeLostError as error:
            self._failed.go_without(query, state, error)
        except UNREADABLE as error:
            self._failed.cannot_reach(query, state, error, rounds)
        except (psycopg.ProgrammingError, psycopg.InternalError) as error:
            await self._failed.look_again(query, state, error)
        return False

    async def _refresh_once(self, query: LiveQuery, state: ReadState) -> bool:
        """One read and its hand-over; False if it has to be repeated."""
        if state.replan or query.plan is None:
            await self._catalog.current(None if state.ready.done() else READ_TIMEOUT)
            state.replan, replanned = False, None
            try:
                replanned = await self._planning.plan_again(query.viewer, query.collection, query.spec)
            finally:
                state.replan = state.replan or replanned is None
            if replanned is None:
                return False
            if state.instead is not None and isinstance(replanned, IncrementalPlan):
                replanned = reread_instead(replanned, *state.instead)
            if replanned.visibility != query.visibility:
                self._park(query, state)
                return True
            query.plan, state.parked = replanned, False
        if state.parked:
            return True
        plan = query.plan
        ticket = self._stream.tail.begin_read()
        read: ReadResult | None = None
        try:
            self.reads += 1
            read = await self._read_or_replan(query, state, plan)
            known = None if read is None else self._given_facts(state, plan, read)
            if read is None or known is None:
                return False
            state.computed = 0.0
            listed = await self._query_reads.compared(query, state, read) if isinstance(known, ReReadPlan) else None
            async with self._stream.apply_lock:
                if state.replan or query not in self._states:
                    return False
                began = time.thread_time()
                done = self._hand_over(query, state, known, read, listed)
                state.computed += time.thread_time() - began
                return done
        finally:
            self._stream.tail.end_read(ticket, read.snapshot if read else None)

    async def _read_or_replan(self, query: LiveQuery, state: ReadState, plan: Plan) -> ReadResult | None:
        """The rows of ``plan``; None: it has to be planned again, as a re-read query."""
        try:
            return await self._query_reads.read(query, state, plan)
        except REFUSED as error:
            reason = why_reread(plan, error)
            if reason is None:
                raise
            _log.info("query_made_reread", key=query.key, error=str(error))
            state.instead, state.replan = reason, True
            return None

    def _given_facts(self, state: ReadState, plan: Plan, read: ReadResult) -> Plan | None:
        """The plan by which the rows in ``read`` are kept; None: the query has to be planned again."""
        try:
            if fits(plan, read):
                return plan.given(read.facts) if isinstance(plan, IncrementalPlan) else plan
            self._catalog.invalidate()
        except NotIncrementalError as reason:
            state.instead = TOO_MUCH, str(reason)
            if isinstance(reason, PoliciesChangedError):
                self._catalog.invalidate()
        state.replan = True
        return None

    def _park(self, query: LiveQuery, state: ReadState) -> None:
        state.parked = True
        self._dispatcher.forget(query)
        query.due = None
        if not state.ready.done():
            self.forget(query)
            query.ended = True
            state.ready.set_exception(RightsChangedError())
            state.ready.exception()  # retrieved, also without subscribers
        else:
            self._rights_changed(query)

    def _hand_over(
        self, query: LiveQuery, state: ReadState, plan: Plan, read: ReadResult, listed: ReadList | None
    ) -> bool:
        """Join ``read`` to the stream and deliver what it changes; False if it has to be repeated.

        Raises ``DocumentTooDeepError`` for a first list that may not be delivered. ``listed``: of a re-read plan.
        """
        before = query.delivered()
        if listed is None:
            assert isinstance(plan, IncrementalPlan)
            if not self._dispatcher.hand_over_window(query, plan, read):
                return False
            if not self._writable(query, state, plan, before):
                return False
        else:
            assert isinstance(plan, ReReadPlan)
            self._dispatcher.hand_over_rows(query, plan, read)
            query.window = None
            query.rows = listed.rows
        committed_at = query.stale_since
        if query.due is None:
            query.stale_since = None
        if (event := self._query_reads.news(query, state, before, listed, self.position, committed_at)) is not None:
            query.stage(before)
            query.deliver(event, too_deep_in(event))
            event.forget()
            if query.ended:
                self.forget(query)
        return True

    def _writable(self, query: LiveQuery, state: ReadState, plan: IncrementalPlan, before: ResultSet) -> bool:
        """Whether the documents of the new window can be encoded.

        If not, a type differs from the catalog. Nothing is delivered then: the catalog is loaded and the query planned
        again, and after some attempts the query becomes a re-read one.
        """
        if not any(part.kind in ("composite", "enum") for column in plan.table.columns for part in column.type.parts()):
            return True
        try:
            query.current().documents  # noqa: B018 - encodes them
        except Exception as problem:  # noqa: BLE001 - an encoder may raise anything for a value of another type
            self._dispatcher.forget(query)
            query.window, query.rows = None, before
            self._failed.cannot_encode(query, state, problem)
            return False
        state.unlike = 0
        return True

    def _fail(self, query: LiveQuery, state: ReadState, error: Exception) -> None:
        """End ``query`` with ``error``; before the first read this rejects it."""
        if not isinstance(error, QueryRejectedError):
            error = rejection_of(error, query.plan)
        self.forget(query)
        if not state.ready.done():
            state.ready.set_exception(error)
            state.ready.exception()  # retrieved, so that asyncio logs nothing for a query without subscribers
        else:
            _log.warning("query_ended", key=query.key, error=str(error))
        query.end(self.position, error)
