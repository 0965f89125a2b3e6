"""Reads the rows of a plan, within bounds, and checks the result."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace

import psycopg

from engine.background import Background
from engine.errors import (
    BunbaseError,
)
from engine.live.batched_reads import BatchedReads, BatchPart, Own, can_be_batched, without_own
from engine.live.batched_windows import as_lines, from_lines
from engine.live.core.document_changes import (
    BATCH,
    DocChange,
    WindowEvent,
    changes_in_batches,
    changes_json,
    list_changes,
)
from engine.live.core.result_set import ResultSet, check_nesting
from engine.live.core.shared_query import LiveQuery
from engine.live.core.window import read_size
from engine.live.plan_cache import Plan
from engine.live.query_accounts import UserAccount, spared
from engine.live.read_state import FollowedTables, ReadState
from engine.live.settings import LiveSettings
from engine.lsn import Lsn
from engine.metrics.live import LiveMetrics
from engine.postgres.apart import written_apart
from engine.postgres.errors import is_raised
from engine.postgres.fair_lane import ReadPlace
from engine.postgres.snapshot import ReadResult
from engine.postgres.snapshot_reader import Reader, ResultTooLargeError
from engine.postgres.statements.statement import Statement
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan, unique_ids
from engine.query.sql.safety.refusals import writes

__all__ = [
    "REFUSED",
    "QueryReads",
    "ReadList",
    "TooSlowError",
    "cost_class",
    "fits",
    "prepare_opening",
    "read_plan",
    "why_reread",
]

_UNTRANSLATABLE = (psycopg.errors.CharacterNotInRepertoire, psycopg.errors.UntranslatableCharacter)

REFUSED = (psycopg.DataError, psycopg.ProgrammingError, psycopg.InternalError, psycopg.NotSupportedError)
"""What a statement raises whatever the state of server and connection: also a value that cannot be sent as UTF-8."""


class TooSlowError(BunbaseError):
    """A read was cut off by ``statement_timeout``; ``reason`` is Postgres' error."""

    def __init__(self, reason: psycopg.errors.QueryCanceled) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReadList:
    """A re-read list, and what is to be delivered of it: the changes since ``before``, of the first one all of it."""

    rows: ResultSet
    before: ResultSet
    changes: list[DocChange]
    json: bytes


class QueryReads:
    """Reads live queries: by themselves in a lane, or for many sets of values or claims together."""

    def __init__(
        self,
        reader: Reader,
        settings: LiveSettings,
        background: Background,
        metrics: LiveMetrics,
        tables: FollowedTables,
    ) -> None:
        self.tables = tables
        self._reader = reader
        self._settings = settings
        self._metrics = metrics
        self._batches = BatchedReads(settings, reader, background, metrics)

    async def read(self, query: LiveQuery, state: ReadState, plan: Plan) -> ReadResult:
        """Read the rows of ``plan``, in the lane of ``state``. Raises ``TooSlowError`` for a read that is cut off."""
        await self.tables.follow(query, plan.dependencies)
        read, began = None, time.monotonic()
        if not (state.slow or state.alone):
            part = _part(plan, state, self._settings)
            if part is not None:
                read = await _read_in_batch(self._batches, plan, part, query)
                state.alone = read is None
        if read is None:
            async with self._reader.lane(query.tables, slow=state.slow, holders=query.holders) as place:
                began = time.monotonic()
                user = spared(query.holders)
                read = await read_plan(self._reader, plan, self._settings, slow=state.slow, user=user, place=place)
            took = (time.monotonic() - began) * 1000
            state.slow = state.slow and took > self._settings.quick_timeout_ms / 2
            state.alone = state.alone and took > self._settings.batch_timeout_ms / 2
        self._count(query, time.monotonic() - began)
        state.timeouts, state.refusals, state.failing = 0, 0, None
        return read

    async def compared(self, query: LiveQuery, state: ReadState, read: ReadResult) -> ReadList:
        """The list that ``read`` has of a re-read query, beside the one that its subscribers have.

        In batches: it may have 10,000 documents, each of which takes some microseconds. Nothing else changes the list of a
        re-read query meanwhile, but a query may become one by this read. ``state.computed`` gets the time. Raises
        ``DocumentTooDeepError`` for a first list that may not be delivered.
        """
        before = ResultSet(()) if not state.ready.done() or query.window is not None else query.delivered()
        comparing = _compared(before, read, first=not state.ready.done())
        list_, state.computed = await self._reader.turns.do(comparing, spared(query.holders))
        return list_

    @staticmethod
    def news(
        query: LiveQuery,
        state: ReadState,
        before: ResultSet,
        listed: ReadList | None,
        position: Lsn,
        committed_at: int | None,
    ) -> WindowEvent | None:
        """What is to be delivered after a hand-over; None: nothing. After the first one the list is ready to be opened.

        Raises ``DocumentTooDeepError`` for a first list that may not be delivered.
        """
        if not state.ready.done():
            if listed is None:
                query.current().check_nesting()
            else:
                query.opening = WindowEvent(position, True, listed.changes, json=listed.json)
            state.ready.set_result(None)
            return None
        if listed is not None and listed.before is before:
            changes, json = listed.changes, listed.json
        else:
            changes, json = list_changes(before.documents, query.delivered().documents), None
        return WindowEvent(position, False, changes, None, committed_at, json=json) if changes else None

    def _count(self, query: LiveQuery, seconds: float) -> None:
        query.reads += 1
        query.read_seconds += seconds
        self._metrics.read(query.collection, cost_class(query), seconds)


async def read_plan(
    reader: Reader,
    plan: Plan,
    settings: LiveSettings,
    *,
    slow: bool,
    user: UserAccount | None = None,
    place: ReadPlace | None = None,
) -> ReadResult:
    """The rows of ``plan`` with the snapshot they were read under. ``slow``: in the slow lane, within the longer time.

    ``user``, ``place``: see :meth:`Reader.read`.

    Raises ``TooSlowError`` for a read that is cut off, ``ResultTooLargeError``, what ``writes`` makes of a statement that
    writes, and ``psycopg.Error``.
    """
    statement, most = _bounded(plan, settings)
    try:
        read = await reader.read(statement, most, slow=slow, user=user, place=place)
    except psycopg.errors.QueryCanceled as error:
        if is_raised(error):
            raise
        raise TooSlowError(error) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:  # it is our transaction that may only read
        raise writes(error) from error
    return _sized(read, settings.max_bytes) if statement.as_reader else read


def _bounded(plan: Plan, settings: LiveSettings) -> tuple[Statement, int | None]:
    """The statement that reads ``plan``, and how many rows it may have; None: it has no more than it may."""
    most: int | None = settings.max_rows
    if isinstance(plan, ReReadPlan):
        statement = _at_most(plan.statement, settings.max_rows + 1, settings.max_bytes)
    elif plan.limit is None or plan.limit > settings.max_rows:  # of SQL: the builder allows no such limit
        statement = plan.read(settings.max_rows + 1)
    else:
        statement, most = plan.read(read_size(plan.limit, settings.spare_rows)), None
    return replace(statement, tables=_tables(plan)), most


def _part(plan: Plan, state: ReadState, settings: LiveSettings) -> BatchPart | None:
    """What a batch reads of ``plan``; None: it cannot be read in one."""
    if state.part is None or state.part[0] is not plan:
        state.part = plan, _part_of(plan, settings)
    return state.part[1]


def _part_of(plan: Plan, settings: LiveSettings) -> BatchPart | None:
    alone, most = _bounded(plan, settings)
    if can_be_batched(alone):
        shape = without_own(alone if isinstance(plan, ReReadPlan) else as_lines(alone))
        return BatchPart(shape, Own(alone.params, plan.visibility.claims.decode()))
    if isinstance(plan, ReReadPlan) or plan.limit is None or most is not None:
        return None
    rows = read_size(plan.limit, settings.spare_rows)
    part = plan.read_in_set(rows)
    if part is None:
        return None
    return BatchPart(without_own(replace(part, tables=alone.tables)), Own(alone.params, alone=alone), rows)


async def _read_in_batch(batches: BatchedReads, plan: Plan, part: BatchPart, query: LiveQuery) -> ReadResult | None:
    """The rows of ``plan``, read in one statement with those of others; None if they have to be read alone."""
    shape = part.shape
    read = await batches.read(part, query.holders)
    if shape.role is None or read is None or not read.as_meant:
        return read
    if isinstance(plan, IncrementalPlan):
        return from_lines(read, plan)
    return None if shape.as_reader and any(row[1] is None for row in read.rows) else read


def _tables(plan: Plan) -> tuple[int, ...]:
    return tuple(sorted(plan.dependencies))


def why_reread(plan: Plan, error: psycopg.Error) -> tuple[str, str | None] | None:
    """Why a query is re-read, whose incremental plan cannot be read because of ``error``, with the detail for operators;
    None: that would not help.
    """
    if not isinstance(plan, IncrementalPlan):
        return None
    if isinstance(error, _UNTRANSLATABLE):
        # A window has all exposed columns of its rows, whether the query shows them or not.
        return "a value of the table is not valid in the encoding of the database", None
    if plan.rule is None:
        return None
    return "PostgreSQL cannot evaluate its policies apart from rows", error.diag.message_primary or str(error)


def _at_most(statement: Statement, rows: int, size: int) -> Statement:
    """``statement`` cut off after ``rows`` rows, so that no client's SQL can make us hold a table of any size.

    Of clients' own SQL, which can make values of any size, rows beyond ``size`` bytes come as nulls: see :func:`_sized`.
    """
    if statement.role is not None and statement.role.settings:
        assert statement.source, "a re-read statement names the rows that it makes texts of"
        made = written_apart(statement.sql, statement.source, statement.role.settings, rows)
        statement = replace(statement, sql=made)
    sql = f"select * from (\n{statement.sql}\n) as r limit {rows}"  # columns keep their origin
    if statement.as_reader:
        total = "sum(octet_length(r.id) + octet_length(r.doc)) over (rows between unbounded preceding and current row)"
        fits = f"case when size <= {size} then"
        sql = (
            f"select {fits} id end as id, {fits} doc end as doc "
            f"from (select r.id, r.doc, {total} as size from (\n{statement.sql}\n) as r limit {rows}) as r"
        )
    return replace(statement, sql=sql)


def _sized(read: ReadResult, size: int) -> ReadResult:
    """``read``, of a statement that was cut off by size. Raises ``ResultTooLargeError`` if it was."""
    if any(row[1] is None for row in read.rows):
        raise ResultTooLargeError(
            f"the rows of the query have more than {size} bytes together; select less or add a limit"
        )
    return read


def fits(plan: Plan, read: ReadResult) -> bool:
    """Whether the table still is what the plan was made for: no other column has got the name of one, clients may see what
    they see, and the types are the same (Postgres reports a domain's base type).
    """
    if isinstance(plan, ReReadPlan):
        return read.as_meant
    return read.as_meant and read.types == tuple(column.type.underlying.oid for column in plan.table.columns)


def _documents(read: ReadResult) -> Generator[None, None, list[tuple[str, bytes]]]:
    """The rows of a re-read as (id, document), ids made unique."""
    ids: list[str] = []
    for start in range(0, len(read.rows), BATCH):
        ids += [(row[0] or b"").decode() for row in read.rows[start : start + BATCH]]
        yield
    ids = unique_ids(ids)
    found: list[tuple[str, bytes]] = []
    for start in range(0, len(ids), BATCH):
        found += [
            (identifier, row[1] or b"null")
            for identifier, row in zip(ids[start : start + BATCH], read.rows[start : start + BATCH], strict=True)
        ]
        yield
    return found


def _compared(before: ResultSet, read: ReadResult, *, first: bool) -> Generator[None, None, ReadList]:
    after = yield from _documents(read)
    if first:
        for start in range(0, len(after), BATCH):
            check_nesting(after[start : start + BATCH])
            yield
    changes = yield from changes_in_batches(before.documents, after)
    json = yield from changes_json(changes)
    return ReadList(ResultSet(after), before, changes, json)


def prepare_opening(query: LiveQuery) -> Generator[None, None, None]:
    """Make what the next subscriber of ``query`` begins with, in batches: a list of 10,000 documents takes 20 ms.

    Not if it is made already, or the list is short. One that changes meanwhile is made when the subscriber begins.
    """
    if query.opening is not None or query.delivered().count <= BATCH:
        return
    number, documents = query.emissions, query.delivered().documents
    changes = yield from changes_in_batches((), documents)
    json = yield from changes_json(changes)
    if query.emissions == number and query.opening is None and not query.ended:
        query.opening = WindowEvent(0, True, changes, json=json)


def cost_class(query: LiveQuery) -> str:
    """The strategy as metrics have it: ``sql`` where it is a client's own SQL that is read again."""
    return "sql" if isinstance(query.plan, ReReadPlan) and query.plan.statement.as_reader else query.strategy
