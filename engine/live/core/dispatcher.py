"""Transactions in, events out: the synchronous heart of live queries. No I/O, no event loop.

The dispatcher owns the tables with their windows and the re-read queries' dependencies. It processes each transaction once,
in commit order, and returns an :class:`Outcome`: events to deliver, windows to read again, queries to re-run, definitions to
reload. Results of reads are applied between transactions, never inside one, joined to the stream by the transaction tail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Set
from dataclasses import dataclass

import msgspec
import structlog

from engine.annotations import ANNOTATION_PREFIX
from engine.catalog.model import Catalog, Table
from engine.live.core.index.watchers import WatchedTables, Watchers
from engine.live.core.loaded_window import loaded_window
from engine.live.core.outcome import AT_ONCE, READ_AGAIN, DdlNote, Outcome, work_of
from engine.live.core.shared_query import LiveQuery
from engine.live.core.table_windows import RowUnknownError, TableWindows
from engine.live.core.window import Window
from engine.live.core.window_owners import WindowOwners
from engine.lsn import Lsn
from engine.postgres.snapshot import ReadResult
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.latest import latest
from engine.query.ir.reread_plan import ReReadPlan
from engine.stream.tail import TransactionTail
from engine.transaction import Message, Relation, Transaction

__all__ = ["Dispatcher"]

_log = structlog.get_logger(__name__)

_BATCH = 1_000  # changes between two yields to other tasks
_NO_WINDOWS: frozenset[Window] = frozenset()
_MAX_ROUTES = 10_000  # relations that are remembered; temporary tables come and go
_YIELD_INTERVAL = 0.01  # seconds between two yields: few changes of large rows may concern many windows


@dataclass(slots=True)
class _Route:
    """Where changes of one relation go."""

    oid: int
    live: TableWindows | None
    rereads: set[LiveQuery]  # those that no transaction has made due since they were read
    watchers: Watchers[LiveQuery]  # whose condition is another one after a change


class Dispatcher:
    """See the module.

    ``position`` is the commit LSN of the last transaction that has been applied. It never goes back: where another history
    begins below what the last one had reached, it stands still until that is passed. ``clock``: seconds that only grow.
    """

    def __init__(
        self, tail: TransactionTail, clock: Callable[[], float], max_rows: int = 10_000, spare_rows: int = 10
    ) -> None:
        self._clock = clock
        self.catalog = Catalog({}, {})
        self.stream_key: str | None = None  # see Annotations
        self._spare_rows = spare_rows
        self.max_rows = max_rows
        self._tail = tail
        self.position: Lsn = 0
        self._passed: Lsn = 0  # the same in this history, which may have begun below what another had reached
        self._tables: dict[int, TableWindows] = {}
        self._rereads: dict[int, set[LiveQuery]] = {}
        self._owners = WindowOwners()
        self._watched = WatchedTables[LiveQuery]()
        self._dirty: dict[Window, None] = {}  # the windows that the transaction has changed, in order
        self._catching_up: dict[Window, ReadResult] = {}
        self._routes: dict[Relation, _Route] = {}

    # -- the stream ------------------------------------------------------------------------------------------------

    @property
    def gathers(self) -> bool:
        """Whether several transactions may be given at once: no window is ahead of the stream."""
        return not self._catching_up

    def process(self, *transactions: Transaction) -> Generator[None, None, Outcome]:
        """Apply ``transactions``, several as one; returns the outcome. Yields between batches, so that other tasks can run.

        Until the iterator ends no read may be applied, and no event is delivered: a query's list is the one before them.
        """
        outcome = Outcome(transactions[0].commit_time, self.stream_key)
        for transaction in transactions:
            yield from self._apply(transaction, outcome)
            yield
        dirty, self._dirty, work = self._dirty, {}, 0
        for window in dirty:
            if work >= AT_ONCE:
                yield
                work = 0
            work += self._commit(window, outcome)
        self.position = max(self.position, transactions[-1].position)
        return outcome

    def _apply(self, transaction: Transaction, outcome: Outcome) -> Iterator[None]:
        skip = self._already_shown(transaction)
        touched: set[int] = set()
        rereads: set[LiveQuery] = set()
        clock = self._clock
        until = clock() + _YIELD_INTERVAL
        for number, change in enumerate(transaction.changes, 1):
            if isinstance(change, Message):
                self._note(change, outcome)
                continue
            route = self._routes.get(change.relation) or self._route(change.relation)
            touched.add(route.oid)
            live = route.live
            if live is not None and live.windows:
                try:
                    live.apply(change, self._dirty, skip)
                except Exception as problem:  # noqa: BLE001 - one table's windows are read again, whatever it is
                    self._unapplied(live, skip, outcome, problem)
            if route.rereads or route.watchers:
                rereads |= route.rereads
                route.rereads.clear()  # until they have been read; so each of them costs once a read, not once a commit
                self._decide_anew(route.watchers.concerned(change), skip, outcome)
            if number % _BATCH == 0 or clock() > until:
                yield
                until = clock() + _YIELD_INTERVAL
        latest.forget()
        transaction.tables = frozenset(touched)
        self._passed = transaction.position
        for query in rereads:
            query.due = transaction.xid if query.due is None else query.due
            query.stale_since = query.stale_since or transaction.commit_time
        outcome.refresh |= rereads

    def interrupt(self, *, other_history: bool) -> None:
        """Invalidate all windows: transactions are missing from the stream, or rows that were read were lost in a crash.

        With ``other_history`` the database may also lack transactions that the stream delivered.
        """
        if other_history:
            self._passed = 0
        for window in self._owners:
            window.invalidate("the stream was interrupted")
            self._retire(window)

    def distrust(self, oids: set[int] | None) -> None:
        """Invalidate the windows over the tables ``oids`` (None: all), whose definitions have changed."""
        for window in self._owners:
            if oids is None or window.plan.table.oid in oids:
                window.invalidate("the table's definition changed")
                self._retire(window)

    def _unapplied(self, live: TableWindows, skip: Set[Window], outcome: Outcome, problem: Exception) -> None:
        """A change could not be applied to the windows of a table, so they are read again."""
        if isinstance(problem, RowUnknownError):
            _log.warning(READ_AGAIN, collection=live.table.collection, error=str(problem))
        else:
            outcome.disagree(live.table, problem)
        for window in live.windows:
            if window not in skip and not window.invalidated:
                window.invalidate(str(problem))
                self._dirty[window] = None

    def _decide_anew(self, queries: list[LiveQuery], skip: Set[Window], outcome: Outcome) -> None:
        """What the policies of ``queries`` look at has changed: their condition is another one, or not known."""
        for query in queries:
            if query.window not in skip and self._owners.get(query.window) is not None:
                self._leave(query)  # others may go on with the window
                query.stale_since = query.stale_since or outcome.committed_at
                outcome.refresh.add(query)

    def _commit(self, window: Window, outcome: Outcome) -> int:
        """Compute the changes of ``window``; returns the cost in documents of a KiB."""
        owner = self._owners.get(window)
        if owner is None:
            return 0
        queries, limit = list(owner.queries), window.plan.limit
        if (limit is None or limit > self.max_rows) and len(window) > self.max_rows:
            window.invalidate(f"more than {self.max_rows} rows")
        before = queries[0].current()
        try:
            changes = window.commit()
        except Exception as problem:  # noqa: BLE001 - one query is read again, whatever it is
            outcome.disagree(window.plan.table, problem)
            window.invalidate(str(problem))
        if window.invalidated:
            self._retire(window)
            for query in queries:
                query.stale_since = query.stale_since or outcome.committed_at
            outcome.refresh.update(queries)
            return 0
        if window.needs_refill:
            outcome.refresh.add(queries[0])  # the others show what it has read
        if not changes:
            return 1
        for query in queries:
            query.stage(before)
            outcome.changed.append((query, changes))
        return 1 + work_of(changes)

    def _already_shown(self, transaction: Transaction) -> Set[Window]:
        """Windows whose snapshot shows ``transaction``; those it can no longer concern are done catching up."""
        if not self._catching_up:
            return _NO_WINDOWS
        self._catch_up(transaction.position)
        return {window for window, read in self._catching_up.items() if read.snapshot.shows(transaction.xid)}

    def advance(self, position: Lsn) -> None:
        """Every commit before ``position`` was applied. Not while a transaction is being processed."""
        self._passed = max(self._passed, position)
        self._catch_up(position)

    def _catch_up(self, position: Lsn) -> None:
        for window in [each for each, read in self._catching_up.items() if position >= read.snapshot.position]:
            del self._catching_up[window]
            self._share(window)

    def _note(self, message: Message, outcome: Outcome) -> None:
        if message.prefix == ANNOTATION_PREFIX:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # of others; the channels count them
                outcome.annotate(message)
        elif message.prefix == "realtime.ddl" and (note := outcome.add_note(message)) is not None:
            concerned = self.concerned(note)
            for window in self._owners:  # later changes of this transaction have the new definition
                rule = window.plan.rule
                called = note.routines and rule is not None and rule.calls
                if concerned is None or window.plan.table.oid in concerned or called:
                    window.invalidate("the table's definition changed")
                    self._dirty[window] = None

    def concerned(self, note: DdlNote) -> set[int] | None:
        """The oids of the exposed tables whose definition, or whose rows' meaning, ``note`` changes; None: all."""
        return None if note.all else self.catalog.concerned(note.oids, note.types, policies=note.of_types)

    def _route(self, relation: Relation) -> _Route:
        table = self.catalog.by_oid.get(relation.oid)
        oid = table.oid if table else relation.oid
        if len(self._routes) > _MAX_ROUTES:
            self._routes.clear()
            self._rereads = {oid: watchers for oid, watchers in self._rereads.items() if watchers}
        rereads, watchers = self._rereads.setdefault(oid, set()), self._watched.watchers(oid)
        route = self._routes[relation] = _Route(oid, self._tables.get(oid), rereads, watchers)
        return route

    # -- queries ---------------------------------------------------------------------------------------------------

    def use(self, catalog: Catalog) -> set[int]:
        """Take a newly loaded catalog; returns the oids of the tables that are not the same any more."""
        kept = catalog.with_tables(self._same)
        changed = {table.oid for oid, table in self.catalog.by_oid.items() if kept.by_oid.get(oid) is not table}
        self.catalog = kept
        self._routes.clear()
        return changed

    def _same(self, table: Table) -> Table:
        """The table object in use already, if nothing about it changed: its plans and windows go on."""
        old = (self.catalog.built_in if table.built_in else self.catalog.by_collection).get(table.collection)
        if old is None or _facts(old) != _facts(table):
            return table
        return old

    def hand_over_window(self, query: LiveQuery, plan: IncrementalPlan, read: ReadResult) -> bool:
        """Give ``query`` a window made from ``read`` and caught up with the stream's position.

        False if a transaction that the snapshot does not show could not be applied: then read again.
        """
        watched = plan.rule.watched if plan.rule is not None else frozenset[int]()
        if watched and any(self._tail.unseen_by(read.snapshot, watched)):
            return False
        ahead = read.snapshot.position > self._passed
        shown = None if ahead else self._owners.alike(plan)
        if shown is not None and not shown.needs_refill:
            self._show(query, shown)
            self._watched.add(query, plan)
            return True
        live = self._live_table(plan.table.base or plan.table)
        unseen = self._tail.unseen_by(read.snapshot, {plan.table.oid})
        window = loaded_window(plan, read, live, unseen, self._spare_rows)
        if window.invalidated:
            return False
        live.add(window)  # before the old window is removed: a table without windows is released
        self._owners.add(window, live)
        self._show(query, window)
        self._watched.add(query, plan)
        if ahead:
            self._catching_up[window] = read
        else:
            self._share(window)
        return True

    def _show(self, query: LiveQuery, window: Window) -> None:
        if query.window is not window:
            self._leave(query)
            self._owners.show(query, window)
        query.due = None

    def _share(self, window: Window) -> None:
        """``window`` is at the position of the stream: all queries with its rows show it, or the one that they have."""
        other = self._owners.alike(window.plan)
        if other is not None and other is not window:
            kept, dropped = (window, other) if other.needs_refill else (other, window)
            owner = self._owners.get(dropped)
            for query in [] if owner is None else list(owner.queries):
                self._show(query, kept)
            window = kept
        self._owners.share(window)

    def hand_over_rows(self, query: LiveQuery, plan: ReReadPlan, read: ReadResult) -> None:
        """Let changes of the tables that ``plan`` reads re-run ``query``, also those ``read`` does not show yet."""
        self.forget(query)
        for oid in plan.dependencies:
            self._rereads.setdefault(oid, set()).add(query)
        query.due = self._tail.first_unseen_by(read.snapshot, plan.dependencies)

    def forget(self, query: LiveQuery) -> None:
        """Free what ``query`` holds here."""
        self._leave(query)
        self._watched.discard(query)

    def _leave(self, query: LiveQuery) -> None:
        if (window := self._owners.leave(query)) is not None:
            self._retire(window)
        for watchers in self._rereads.values():
            watchers.discard(query)

    def _retire(self, window: Window) -> None:
        if (owner := self._owners.remove(window)) is None:
            return
        live = owner.live
        self._catching_up.pop(window, None)
        live.remove(window)
        self._dirty.pop(window, None)
        if not live.windows and self._tables.get(live.table.oid) is live:
            del self._tables[live.table.oid]
            self._routes.clear()

    def _live_table(self, table: Table) -> TableWindows:
        live = self._tables.get(table.oid)
        if live is None or live.table is not table:
            live = self._tables[table.oid] = TableWindows(table)
            self._routes.clear()
        return live


def _facts(table: Table) -> tuple[object, ...]:
    rights = table.access, table.policies
    return table.signature, table.members, table.problem, table.remediable, table.withheld, rights
