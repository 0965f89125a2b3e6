"""One statement over the extended protocol, which takes exactly one: to be described, or run with its values as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

__all__ = ["describe", "run"]


async def describe(connection: psycopg.AsyncConnection[Any], sql: str) -> PGresult:
    """PostgreSQL's analysis of a statement that is not run. Raises ``psycopg.Error``."""
    async with connection.lock:
        return await connection.wait(_describe(connection.pgconn, sql.encode()))


async def run(connection: psycopg.AsyncConnection[Any], sql: str, params: Sequence[str | None]) -> PGresult:
    """The result of a statement, values in and out as text. Raises ``psycopg.Error``."""
    values = [None if value is None else value.encode() for value in params]
    async with connection.lock:
        return await connection.wait(_execute(connection.pgconn, sql.encode(), values))


def _describe(pgconn: PGconn, sql: bytes) -> Any:
    pgconn.send_prepare(b"", sql)
    yield from _single(pgconn)
    pgconn.send_describe_prepared(b"")
    return (yield from _single(pgconn))


def _execute(pgconn: PGconn, sql: bytes, params: Sequence[bytes | None]) -> Any:
    pgconn.send_query_params(sql, params)
    return (yield from _single(pgconn))


def _single(pgconn: PGconn) -> Any:
    """The result of one command; raises what Postgres answered instead."""
    [result] = yield from generators.execute(pgconn)
    if result.status in (ExecStatus.FATAL_ERROR, ExecStatus.EMPTY_QUERY):
        raise psycopg.errors.error_from_result(result)
    return result
