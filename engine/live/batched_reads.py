"""Reads of queries that differ in values or claims alone, in one statement.

A thousand clients that arrive with a window each (the messages of one room) ask for the same statement with other values.

Under row-level security PostgreSQL decides what each set of claims sees, so a commit makes as many queries read again as
there are sets. Reads that differ in nothing but the claims and are asked for at about the same time go to PostgreSQL
together: one round trip and one snapshot (``realtime.read_for_each()`` in ``sql/schema/4_access/16_batched_reads.sql``).
While batches run the next requests gather, so batches grow with the load; a request that is alone is read as it is.

No set pays for another one: a set whose read fails, or a batch that takes too long, is read alone by the caller.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import psycopg

from engine.background import Background
from engine.live.batched_windows import for_sets, of_sets
from engine.live.settings import LiveSettings
from engine.metrics.live import LiveMetrics
from engine.postgres.errors import UNREADABLE, is_statements
from engine.postgres.reading import ReadBounds
from engine.postgres.snapshot import ReadResult
from engine.postgres.snapshot_reader import Reader
from engine.postgres.statements.statement import Statement

__all__ = ["BatchPart", "BatchedReads", "Own", "can_be_batched", "without_own"]

_AT_ONCE = 2
"""Batches of one statement that run at the same time. With more of them each would be smaller."""


def can_be_batched(statement: Statement) -> bool:
    """Whether ``statement`` runs as a served role and needs nothing of its own in the transaction."""
    return statement.role is not None and not (statement.origin is not None and statement.origin.view)


def without_own(statement: Statement) -> Statement:
    """The same for all statements that differ in values and claims alone, by which they find one another."""
    role = statement.role
    return replace(statement, params=(), role=None if role is None else replace(role, claims=""))


class Own(NamedTuple):
    """What a request has of its own: the values and claims of its statement; without a role, the statement as it is read
    alone.
    """

    params: tuple[str | None, ...]
    claims: str = ""
    alone: Statement | None = None


class BatchPart(NamedTuple):
    """What a batch reads for one query: ``shape``, a statement :func:`without_own`, for ``own``. ``rows``: of one set
    without a role, at most.
    """

    shape: Statement
    own: Own
    rows: int = 1


_Request = tuple[Own, asyncio.Future[ReadResult | None], Collection[Hashable]]  # with the answer, and for whom


@dataclass(slots=True)
class _Requests:
    """Those for one statement. ``tables``: the oids of what it reads; ``most``: in one batch."""

    tables: frozenset[int]
    waiting: deque[_Request]
    most: int
    running: int = 0


class BatchedReads:
    """See the module."""

    def __init__(self, settings: LiveSettings, reader: Reader, background: Background, metrics: LiveMetrics) -> None:
        self._metrics = metrics
        self._reader = reader
        self._background = background
        self._max_rows = settings.max_rows
        self._size = settings.batch_claims
        self._bounds = ReadBounds(settings.max_rows, settings.max_bytes, settings.batch_timeout_ms)
        self._requests: dict[Statement, _Requests] = {}

    async def read(self, part: BatchPart, holders: Collection[Hashable] = ()) -> ReadResult | None:
        """The rows of ``part``. None if they have to be read alone. ``holders``: for whom.

        Raises what keeps the database from being read.
        """
        shape, own, rows = part
        requests = self._requests.get(shape)
        if requests is None:
            most = min(self._size, max(1, self._max_rows // rows))
            requests = self._requests[shape] = _Requests(frozenset(shape.tables), deque(), most)
        answer: asyncio.Future[ReadResult | None] = asyncio.get_running_loop().create_future()
        requests.waiting.append((own, answer, holders))
        if requests.running < _AT_ONCE:
            requests.running += 1
            self._background.spawn(self._run(shape, requests))
        return await answer

    async def _run(self, shape: Statement, requests: _Requests) -> None:
        """Read for those who wait, batch after batch."""
        batch: list[_Request] = []
        try:
            while requests.waiting:
                batch = []
                try:
                    async with self._reader.lane(requests.tables, slow=False, holders=_holders(requests)):
                        batch = self._next(requests)
                        results = await self._read(shape, batch)
                except UNREADABLE as error:
                    _refuse(batch or self._next(requests), error)
                else:
                    requests.waiting.extendleft(reversed(batch[len(results) :]))
                    _answer(batch, results)
        finally:
            for _, answer, _ in batch:
                answer.cancel()  # those without one: this task is cancelled, or has failed
            requests.running -= 1
            if not requests.running and not requests.waiting:
                self._requests.pop(shape, None)

    def _next(self, requests: _Requests) -> list[_Request]:
        batch: list[_Request] = []
        while requests.waiting and len(batch) < requests.most:
            request = requests.waiting.popleft()
            if not request[1].done():  # its query was ended meanwhile
                batch.append(request)
        return batch

    async def _read(self, shape: Statement, batch: list[_Request]) -> Sequence[ReadResult | None]:
        """The results for the first requests of ``batch``, for one at least. Raises what makes the database unreadable."""
        if not batch:
            return ()
        alone = [None] * len(batch)
        began = time.monotonic()
        try:
            sets = [own for own, *_ in batch]
            results = await (self._read_values(shape, sets) if shape.role is None else self._read_claims(shape, sets))
            if shape.role is not None or len(batch) > 1:
                self._metrics.batch(len(results), time.monotonic() - began)
            return results or alone
        except psycopg.errors.QueryCanceled:
            return alone
        except UNREADABLE as error:
            if not is_statements(error):
                raise
            return alone
        except psycopg.Error:
            return alone  # which raises it for those whom it concerns

    async def _read_claims(self, shape: Statement, sets: Sequence[Own]) -> Sequence[ReadResult | None]:
        assert shape.role is not None
        statement = replace(shape, role=replace(shape.role, claims=sets[0].claims))  # it is planned with claims
        claims, params = [own.claims for own in sets], [own.params for own in sets]
        return await self._reader.read_for_each(statement, claims, params, self._max_rows, self._bounds)

    async def _read_values(self, shape: Statement, sets: Sequence[Own]) -> Sequence[ReadResult | None]:
        if len(sets) == 1 and sets[0].alone is not None:  # PostgreSQL makes a better plan where it knows the values
            return [await self._reader.read(sets[0].alone)]
        statement = for_sets(shape, [own.params for own in sets])
        return of_sets(await self._reader.read(statement, limit_ms=self._bounds.timeout_ms), len(sets))


def _holders(requests: _Requests) -> Collection[Hashable]:
    """For whom the next batch is read; empty if one of the requests is for the service itself."""
    holders = [each for *_, each in requests.waiting]
    return dict.fromkeys(chain.from_iterable(holders)) if all(holders) else ()


def _answer(batch: Sequence[_Request], results: Sequence[ReadResult | None]) -> None:
    for (_, answer, _), result in zip(batch, results, strict=False):
        if not answer.done():
            answer.set_result(result)


def _refuse(batch: Sequence[_Request], error: Exception) -> None:
    for _, answer, _ in batch:
        if not answer.done():
            answer.set_exception(error)
