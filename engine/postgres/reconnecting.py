"""The feed's ordinary SQL connection: named queries in, rows out; it comes back by itself after an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg.rows import DictRow, dict_row

from engine.postgres.connections.opening import UnansweredError, connect
from engine.postgres.connections.session_settings import READS_ANYWAY
from engine.postgres.errors import TableLockedError
from engine.postgres.lock_holders import BLOCKS_INSERTS, holder_in_words, holders_of
from engine.postgres.statements.named_queries import query

__all__ = ["Database"]

_LOCK_TIMEOUT: Final = 1.0  # seconds


class Database:
    """One lazily opened autocommit connection, for statements that take no time: a server that does not answer one within
    ``answer_timeout`` seconds is given up, and the connection replaced. A lock is waited for half as long, a second at most.
    """

    def __init__(
        self,
        dsn: str,
        application_name: str,
        answer_timeout: float = 10.0,
        silent: Callable[[], None] = lambda: None,
    ) -> None:
        """``silent``: called when the connection has died without a word."""
        self.dsn = dsn
        self._application_name = application_name
        self._answer_timeout = answer_timeout
        self._lock_timeout = min(_LOCK_TIMEOUT, answer_timeout / 2)
        self._silent = silent
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._opening = asyncio.Lock()  # tasks that find the connection broken at the same time open one, not two

    async def connection(self) -> psycopg.AsyncConnection[DictRow]:
        """The connection, opened if there is none or the last one broke. Raises ``psycopg.OperationalError``."""
        async with self._opening:
            if self._connection is None or self._connection.broken or self._connection.closed:
                self._connection = await connect(
                    self.dsn,
                    self._application_name,
                    # A lease must not wait for a synchronous standby: while that is away the stream goes on, and so do we.
                    READS_ANYWAY | {"synchronous_commit": "local", "lock_timeout": f"{self._lock_timeout * 1000:.0f}"},
                    answer_timeout=self._answer_timeout,
                    autocommit=True,
                    row_factory=dict_row,
                )
            return self._connection

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """Run the named query; returns its rows. Raises ``psycopg.Error``, and ``TableLockedError``, which names who holds
        the lock, for ``LockNotAvailable``.

        A connection that was terminated while it was idle is replaced, and the query run again: it must be one that may.
        """
        try:
            return await self.once(name, **parameters)
        except psycopg.OperationalError:
            if self._connection is None or not self._connection.closed:
                raise
        return await self.once(name, **parameters)

    async def once(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """As :meth:`rows`, for what must not be run twice."""
        connection = await self.connection()
        try:
            cursor = await connection.execute(query(name).encode(), parameters or None)
        except UnansweredError:
            self._silent()
            raise
        except psycopg.errors.LockNotAvailable as error:
            held = await holders_of(connection, None, BLOCKS_INSERTS)
            raise TableLockedError("; ".join(map(holder_in_words, held)) or str(error).strip()) from error
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Close the connection, if there is one, also one that another task is opening."""
        async with self._opening:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
