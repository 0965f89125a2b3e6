"""Our pools of connections: the readers', the channels', REST's. They are back within seconds after an outage of any length.

A connection can die without a word: a proxy or firewall on the way has forgotten it, and what is sent arrives nowhere. The
server ends a statement after ``limit`` seconds, so whatever is not answered some seconds later never will be: the connection
is closed, and the caller gets an ``OperationalError`` as in any outage, and tries again. Mostly it is found dead sooner (see
:mod:`engine.postgres.connections.lifeline`). One dead connection is not alone: the idle ones are replaced, too. One that
has been idle is looked at before it is lent out.

A pool may lead through a pooler that gives each *transaction* another session (PgBouncer's ``pool_mode = transaction``).
Then nothing may rest on the session: our settings are set anew in each transaction, and no statement stays prepared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.pq import PipelineStatus
from psycopg_pool import AsyncConnectionPool

from engine.metrics.pools import PoolUsage
from engine.postgres.connections.conninfo import parameters
from engine.postgres.connections.lifeline import Lifeline
from engine.postgres.connections.opening import Connection, PooledConnection, UnansweredError
from engine.postgres.connections.refused_logins import ReplicaRoleError
from engine.postgres.connections.session_settings import ORIGIN, OWN_NAMES, SESSION_SETTINGS
from engine.tasks import end

__all__ = ["LOCK_TIMEOUT", "Pool"]

LOCK_TIMEOUT: Final = 2.0
"""Seconds for which a statement waits for a lock, unless the pool's settings have another time: a connection that waits for
longer is missed by statements that need other tables, and a client that waits can be answered.
"""

_MAX_ATTEMPT: Final = (
    3.0  # seconds for which a pool goes on with one attempt, and so between two of its attempts at most
)
_READ_ONLY: Final = "default_transaction_read_only"
_MARGIN: Final = 5.0  # seconds beyond its own limit in which the server has to answer
_SUSPECT: Final = 2.0  # seconds beyond it after which a missing answer is a problem
_FRESH: Final = 1.0  # seconds for which a connection that has answered is trusted
_Connection = psycopg.AsyncConnection[Any]
_Own = PooledConnection[Any]


class Pool:
    """Connections in autocommit mode.

    psycopg's own pool doubles the pause between two attempts to connect without a limit. So each attempt is given up after
    some seconds, and a new one begun.

    Args:
        dsn: the database, or the pooler before it.
        name: the ``application_name``.
        settings: session settings beside ``SESSION_SETTINGS`` and a ``lock_timeout`` of :data:`LOCK_TIMEOUT`, or half of
            ``limit`` if that is less.
        size: connections at most; ``idle``: those that are kept.
        timeout: seconds to wait for a connection; ``limit``: for which the server lets a statement run.
        pooled: ``dsn`` is a pooler's.
        configure: called with each new connection.
        silent: called when a connection has died without a word.
        restored: statements run over it that may fire triggers of others: what these leave in a session is undone after each
            use. Through a pooler that is the pooler's affair.
        fresh: seconds after its last answer from which on a connection is looked at before it is lent out.
        more: for psycopg, of each connection.
    """

    def __init__(  # noqa: PLR0913
        self,
        dsn: str,
        name: str,
        settings: Mapping[str, str] | None = None,
        *,
        size: int,
        timeout: float,
        limit: float = 30.0,
        idle: int = 1,
        pooled: bool = False,
        configure: Callable[[_Connection], Awaitable[None]] | None = None,
        silent: Callable[[], None] = lambda: None,
        restored: bool = False,
        fresh: float = _FRESH,
        **more: Any,
    ) -> None:
        locks = {"lock_timeout": f"{min(LOCK_TIMEOUT, limit / 2) * 1000:.0f}"}
        settings = locks | {**(settings or {}), "statement_timeout": f"{limit * 1000:.0f}"}
        self._pooled = pooled
        self._settings = SESSION_SETTINGS | settings
        self._limit = limit
        self._quick = min(_MARGIN, timeout / 2)  # for a look at one connection, which leaves time for another one
        self._fresh = fresh
        self._silent = silent
        self._configure = configure
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_use: set[_Own] = set()
        self._lifeline = Lifeline(partial(self._lent, 0.0))
        self._replaced = float("-inf")  # when the idle connections were replaced last
        self._no_more: str | None = None
        more = {**parameters(dsn, name, settings, pooled=pooled), "autocommit": True, **more}
        more["answer_timeout"] = limit + _MARGIN
        if pooled:
            more["prepare_threshold"] = None
        self._pool: AsyncConnectionPool[_Own] = AsyncConnectionPool(
            dsn,
            connection_class=PooledConnection if pooled else Connection,
            kwargs=more,
            min_size=idle,
            max_size=size,
            timeout=timeout,
            reconnect_timeout=_MAX_ATTEMPT,
            reconnect_failed=self._again,
            configure=self._prepare,
            check=self._look,
            reset=self._restore if restored and not pooled else None,
            name=name,
            open=False,
        )

    async def open(self) -> None:
        """Begin to connect."""
        await self._pool.open()
        self._spawn(self._lifeline.run())

    async def close(self) -> None:
        """Close all connections."""
        await end(self._tasks)
        await self._pool.close()

    def renew(self) -> None:
        """The way to the database is another one, or was broken: let go of every connection there is.

        Those that are in use are closed when they are given back.
        """
        self._spawn(self.replace())

    def watch(self, connection: _Own) -> None:
        """See to it, over connections of this pool, that ``connection`` is ended when it dies without a word."""
        self._lifeline.watch(connection)

    @property
    def usage(self) -> PoolUsage:
        """How much of it is in use."""
        now = self._pool.get_stats()
        idle = now.get("pool_available", 0)
        return PoolUsage(now.get("pool_size", 0) - idle, idle, now.get("requests_waiting", 0))

    @property
    def problem(self) -> str | None:
        """What keeps this pool from being used, in words; None if nothing is known."""
        now = asyncio.get_running_loop().time()
        waits = [
            now - used.asked
            for used in self._in_use
            if used.asked is not None
            and used.answer_timeout is not None
            and now - used.asked > max(used.answer_timeout - _MARGIN + _SUSPECT, 1.0)
        ]
        if waits:
            return f"the database has not answered for {max(waits):.0f} s over a connection ({self._pool.name})"
        return self._no_more

    @asynccontextmanager
    async def _lent(self, limit: float | None) -> AsyncIterator[_Own]:
        """A connection of the pool. One that is not as it was when it was lent is closed.

        A use that is cancelled can leave it in pipeline mode (psycopg has entered it and gives other tasks a turn at that
        moment), in which the next statement has no result when it returns; or with a request to cancel under way that hits
        the next statement.

        A cancellation at the moment at which the pool hands a connection over gets lost there: it waits by
        ``asyncio.wait_for``, which before Python 3.12 returns its result then (https://github.com/python/cpython/issues/86296).
        """
        asked = _cancellations()
        async with self._pool.connection() as connection:
            if _cancellations() > asked:
                raise asyncio.CancelledError
            self._no_more = None
            # A pooler may have us wait.
            connection.answer_timeout = (self._limit if limit is None or self._pooled else limit) + _MARGIN
            self._in_use.add(connection)
            if not self._pooled:
                self._lifeline.watch(connection)
            try:
                yield connection
            except asyncio.CancelledError:
                await connection.close()
                raise
            except psycopg.OperationalError as error:
                if connection.closed:
                    await self._distrust(connection, error)
                raise
            finally:
                self._in_use.discard(connection)
                self._lifeline.forget(connection)
                if not connection.closed and connection.pgconn.pipeline_status != PipelineStatus.OFF:
                    await connection.close()

    @asynccontextmanager
    async def session(self, limit: float | None = None) -> AsyncIterator[_Connection]:
        """A connection as it is. Through a pooler our settings are not set, and each transaction may be another session's:
        a caller that needs them begins a transaction and calls :meth:`apply_settings`.

        ``limit``: seconds for which the server lets a statement run, if that is another one than the pool's.
        Raises ``PoolTimeout`` or what ``psycopg`` raises.
        """
        async with self._lent(limit) as connection:
            yield connection

    @asynccontextmanager
    async def connection(self, limit: float | None = None) -> AsyncIterator[_Connection]:
        """A connection with our settings; through a pooler in a transaction, which is committed at the end.

        ``limit`` as in :meth:`session`.
        """
        async with self._lent(limit) as connection:
            if not self._pooled:
                yield connection
                return
            async with connection.transaction():
                await self.apply_settings(connection)
                yield connection

    async def _look(self, connection: _Own) -> None:
        """Raise unless ``connection``, which is about to be lent out, works."""
        if asyncio.get_running_loop().time() - connection.answered < self._fresh:
            return
        connection.answer_timeout = self._limit + _MARGIN if self._pooled else self._quick
        self._in_use.add(connection)
        try:
            await connection.execute("")
        except asyncio.CancelledError:
            await connection.close()
            raise
        except psycopg.Error as error:
            await connection.close()
            await self._distrust(connection, error)
            raise
        finally:
            self._in_use.discard(connection)

    async def _distrust(self, dead: _Own, error: psycopg.Error) -> None:
        """``dead`` was found closed: unless they are newer than such a find, the idle connections are replaced."""
        if isinstance(error, UnansweredError):
            self._silent()
        if dead.opened > self._replaced:
            await self.replace()

    async def replace(self) -> None:
        """As :meth:`renew`; when it returns no idle connection is left that was there before."""
        if not self._pool.closed:
            self._replaced = asyncio.get_running_loop().time()
            await self._pool.drain()

    async def apply_settings(self, connection: _Connection) -> None:
        """Within a transaction through a pooler: set our settings until its end."""
        if not self._pooled:
            return
        settings = {name: value for name, value in self._settings.items() if not name.startswith("default_transaction")}
        if connection.info.server_version >= 170000:
            settings["transaction_timeout"] = "0"
        settings["search_path"] = OWN_NAMES
        calls = ", ".join("pg_catalog.set_config(%s, %s, true)" for _ in settings)
        values = [text for setting in settings.items() for text in setting]
        try:
            await connection.execute(f"select {calls}, {ORIGIN.format(local=True)}".encode(), values, prepare=False)
        except psycopg.errors.InsufficientPrivilege as error:
            raise ReplicaRoleError(connection.info.user) from error

    async def _prepare(self, connection: _Connection) -> None:
        if connection.info.parameter_status("in_hot_standby") == "on":
            await connection.close()
            raise psycopg.OperationalError(
                "a standby answers there; dsn must lead to the primary (of several hosts, "
                "target_session_attrs=read-write chooses it)"
            )
        self._no_more = None
        if self._pooled:  # as default_transaction_… does without a pooler
            await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
            await connection.set_deferrable(False)
            if _READ_ONLY in self._settings:
                await connection.set_read_only(False)
        if self._configure is not None:
            await self._configure(connection)

    async def _restore(self, connection: _Connection) -> None:
        """Raise, and so have ``connection`` closed, if its session cannot be made what it was."""
        if connection.closed:  # by a use that was cancelled
            return
        assert isinstance(connection, Connection), connection
        connection.answer_timeout = self._quick
        await connection.restore()
        if self._configure is not None:
            await self._configure(connection)

    async def _again(self, pool: AsyncConnectionPool[Any]) -> None:
        self._no_more = f"no connection to the database can be made ({pool.name}); see the log"
        self._spawn(pool.check())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cancellations() -> int:
    """How often the running task has been asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
