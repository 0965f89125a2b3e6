"""Our pools of connections: the readers', the channels', REST's. They are back within seconds after an outage of any length.

A pool may lead through a pooler that gives each *transaction* another session (PgBouncer's ``pool_mode = transaction``).
Then nothing may rest on the session: our settings are set anew in each transaction, and no statement stays prepared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

from engine.connecting import Connection, PooledConnection, address, connect, parameters
from engine.errors import FeedError
from engine.session_settings import SESSION_SETTINGS
from engine.sql import query

__all__ = ["Pool", "check_pooler"]

_AT_MOST: Final = 3.0  # seconds for which a pool goes on with one attempt, and so between two of its attempts at most
_READ_ONLY: Final = "default_transaction_read_only"
_Connection = psycopg.AsyncConnection[Any]


class Pool:
    """Connections in autocommit mode.

    psycopg's own pool doubles the pause between two attempts to connect without a limit. So each attempt is given up after
    some seconds, and a new one begun.

    Args:
        dsn: the database, or the pooler before it.
        name: the ``application_name``.
        settings: session settings beside :data:`engine.session_settings.SESSION_SETTINGS`.
        size: connections at most; ``idle``: those that are kept.
        timeout: seconds to wait for a connection.
        pooled: ``dsn`` is a pooler's.
        configure: called with each new connection; ``check``: before one is handed out.
        more: for psycopg, of each connection.
    """

    def __init__(
        self,
        dsn: str,
        name: str,
        settings: Mapping[str, str] | None = None,
        *,
        size: int,
        timeout: float,
        idle: int = 1,
        pooled: bool = False,
        configure: Callable[[_Connection], Awaitable[None]] | None = None,
        check: Callable[[_Connection], Awaitable[None]] | None = None,
        **more: Any,
    ) -> None:
        self._pooled = pooled
        self._settings = SESSION_SETTINGS | dict(settings or {})
        self._configure = configure
        self._checking: set[asyncio.Task[None]] = set()
        more = {**parameters(dsn, name, settings, pooled=pooled), "autocommit": True, **more}
        if pooled:
            more["prepare_threshold"] = None
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            dsn,
            connection_class=PooledConnection if pooled else Connection,
            kwargs=more,
            min_size=idle,
            max_size=size,
            timeout=timeout,
            reconnect_timeout=_AT_MOST,
            reconnect_failed=self._again,
            configure=self._prepare,
            check=check,
            name=name,
            open=False,
        )

    async def open(self) -> None:
        """Begin to connect."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[_Connection]:
        """A connection of the pool. One whose use was cancelled is closed: psycopg may leave it in pipeline mode, in which
        the next statement has no result when it returns.
        """
        async with self._pool.connection() as connection:
            try:
                yield connection
            except asyncio.CancelledError:
                await connection.close()
                raise

    @asynccontextmanager
    async def session(self) -> AsyncIterator[_Connection]:
        """A connection as it is. Through a pooler our settings are not set, and each transaction may be another session's:
        whoever needs them begins a transaction and calls :meth:`settle`.

        Raises ``PoolTimeout`` or what ``psycopg`` raises.
        """
        async with self._lent() as connection:
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[_Connection]:
        """A connection with our settings; through a pooler in a transaction, which is committed at the end."""
        async with self._lent() as connection:
            if not self._pooled:
                yield connection
                return
            async with connection.transaction():
                await self.settle(connection)
                yield connection

    async def settle(self, connection: _Connection) -> None:
        """Within a transaction through a pooler: set our settings until its end."""
        if not self._pooled:
            return
        settings = {name: value for name, value in self._settings.items() if not name.startswith("default_transaction")}
        if connection.info.server_version >= 170000:
            settings["transaction_timeout"] = "0"
        calls = ", ".join("set_config(%s, %s, true)" for _ in settings)
        await connection.execute(
            f"select {calls}".encode(), [text for setting in settings.items() for text in setting], prepare=False
        )

    async def _prepare(self, connection: _Connection) -> None:
        if self._pooled:  # as default_transaction_… does without a pooler
            await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
            await connection.set_deferrable(False)
            if _READ_ONLY in self._settings:
                await connection.set_read_only(False)
        if self._configure is not None:
            await self._configure(connection)

    async def _again(self, pool: AsyncConnectionPool[Any]) -> None:
        task = asyncio.create_task(pool.check())
        self._checking.add(task)
        task.add_done_callback(self._checking.discard)


async def check_pooler(dsn: str, pooled_dsn: str) -> None:
    """Raise ``FeedError`` unless ``pooled_dsn`` leads to the same server and database: rows and the stream must agree."""
    through = parameters(pooled_dsn, "realtime check", pooled=True)
    pooler: PooledConnection[Any] = await PooledConnection.connect(pooled_dsn, prepare_threshold=None, **through)
    async with pooler, await connect(dsn, "realtime check", autocommit=True) as direct:
        ours, theirs = await _identity(direct), await _identity(pooler)
    if ours != theirs:
        raise FeedError(
            f"pooled_dsn ({address(pooled_dsn)}) leads to another server or database than dsn ({address(dsn)}): "
            "both must lead to the same database of the primary"
        )


async def _identity(connection: _Connection) -> object:
    return await (await connection.execute(query("server_identity").encode())).fetchone()
