"""One statement over the extended protocol, which takes exactly one, to be described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

__all__ = ["Setting", "describe"]

Setting = tuple[bytes, Sequence[str]]
"""A statement that sets something, and the values of its ``$1``, ``$2`` and so on."""


async def describe(connection: psycopg.AsyncConnection[Any], sql: str, settings: Sequence[Setting] = ()) -> PGresult:
    """PostgreSQL's analysis of a statement that is not run, after ``settings``; in one round trip.

    Raises ``psycopg.Error``.
    """
    async with connection.lock:
        return await connection.wait(_describe(connection.pgconn, sql.encode(), settings))


def _describe(pgconn: PGconn, sql: bytes, settings: Sequence[Setting]) -> Any:
    pgconn.enter_pipeline_mode()
    for text, values in settings:
        pgconn.send_query_params(text, [value.encode() for value in values])
    pgconn.send_prepare(b"", sql)
    pgconn.send_describe_prepared(b"")
    pgconn.pipeline_sync()
    yield from generators.send(pgconn)
    results = []
    for _ in range(len(settings) + 2):
        results += yield from generators.fetch_many(pgconn)
    yield from generators.fetch_many(pgconn)  # that of the sync
    pgconn.exit_pipeline_mode()
    for result in results:  # the first that failed has the reason; what came after it was not looked at
        if result.status in (ExecStatus.FATAL_ERROR, ExecStatus.EMPTY_QUERY):
            raise psycopg.errors.error_from_result(result)
    return results[-1]
