"""How every connection of ours is opened: the feed's, the walsender's, those of pools, and those of the command line.

Each starts with :data:`engine.postgres.connections.session_settings.SESSION_SETTINGS`, gives up on a server that accepts it
and stays silent, and notices a server whose machine is down. What the DSN sets (``connect_timeout``, ``keepalives_idle``,
its own ``options``) is kept.

TCP notices a machine that is down, but not a proxy or an address translation on the way that has forgotten the connection.
So a connection may have an ``answer_timeout``, after which it is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

import psycopg
import structlog
from psycopg.abc import RV, PQGen
from psycopg.waiting import Ready

from engine.errors import BunbaseError
from engine.postgres.connections.conninfo import CONNECT_TIMEOUT, address, answer_timeout, connect_timeout, parameters
from engine.postgres.connections.refused_logins import ReplicaRoleError, explained
from engine.postgres.connections.session_settings import AS_WRITTEN, ORIGIN, OWN_NAMES, SESSION_SETTINGS

__all__ = ["CommandConnection", "Connection", "PooledConnection", "UnansweredError", "connect", "connect_now"]

Row = TypeVar("Row")

_WORD_AFTER: Final = 2.0  # seconds without an answer after which the log has what is waited for
_TRANSACTION_TIMEOUT_SINCE: Final = 170000
# RESET ROLE behind the session's user: it brings back a role that ALTER ROLE … SET role gives to each session.
_UNDO: Final = b"reset session authorization; reset role; reset all; unlisten *; close all; discard temp"
_UNLOCK: Final = b"select pg_catalog.pg_advisory_unlock_all()"
_LOOK_EVERY: Final = 0.1  # seconds; psycopg's own default
_log = structlog.get_logger("realtime.database")


class UnansweredError(BunbaseError, psycopg.OperationalError):
    """What was asked over a connection was not answered in time. The connection is closed."""


def _unanswered(name: str, reason: str) -> str:
    return f"the database did not answer ({reason}); the connection ({name}) is closed"


class PooledConnection(psycopg.AsyncConnection[Row]):
    """A connection to a pooler such as PgBouncer: nothing is set in its session, which other clients get next.

    Attributes:
        answer_timeout: seconds to wait for the server while nothing arrives; then the connection is closed and
            ``UnansweredError`` raised. None: no limit.
        asked: since when an answer, or more of it, is awaited, by the event loop's clock; None if none is.
        answered: when the last answer came, by the same clock; ``opened``: when it was opened.
    """

    answer_timeout: float | None = None
    asked: float | None = None
    answered: float = 0.0
    opened: float = 0.0
    _ending: asyncio.TimerHandle | None = None
    _silent: str | None = None  # why it was ended

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Open it, with ``answer_timeout`` if that is among ``kwargs``, the rest of which goes to psycopg.

        Raises ``psycopg.OperationalError``, and ``ConnectionTimeout`` if nothing answers in time.
        """
        answer_timeout: float | None = kwargs.pop("answer_timeout", None)
        loop = asyncio.get_running_loop()
        word = loop.call_later(_WORD_AFTER, _log_wait, conninfo, kwargs)
        try:
            connection = await super().connect(conninfo, **kwargs)
        except psycopg.OperationalError as error:
            raise explained(error, conninfo, kwargs) from error
        finally:
            word.cancel()
        connection.answer_timeout = answer_timeout
        connection.opened = connection.answered = loop.time()
        return connection

    async def wait(self, gen: PQGen[RV], interval: float = _LOOK_EVERY, timeout: float | None = None) -> RV:
        """Do what psycopg asks of the server: everything that waits for an answer comes through here.

        Raises ``UnansweredError`` after ``answer_timeout`` seconds. Cancelling the statement would not help: psycopg then
        waits for the server's answer to that.
        """
        loop = asyncio.get_running_loop()
        self.asked = loop.time()
        if self.answer_timeout is not None:
            self._ending = loop.call_later(self.answer_timeout, self._look, self.answer_timeout)
        try:
            return await super().wait(self._noting_arrivals(gen, loop.time), interval, timeout)
        except psycopg.OperationalError as error:
            if self._silent is None:
                raise
            raise UnansweredError(self._silent) from error
        finally:
            if self._ending is not None:
                self._ending.cancel()
            self.asked = None
            self.answered = loop.time()

    def _noting_arrivals(self, gen: PQGen[RV], clock: Callable[[], float]) -> PQGen[RV]:
        """``gen``, noting when something arrives: a large answer may take long on a slow way."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready and ready & Ready.R:
                    self.asked = clock()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result

    def _look(self, answer_timeout: float) -> None:
        loop = asyncio.get_running_loop()
        left = answer_timeout if self.asked is None else self.asked + answer_timeout - loop.time()
        if left > 0:
            self._ending = loop.call_later(left, self._look, answer_timeout)
        else:
            self.hang_up(f"not within {answer_timeout:g} s")

    def hang_up(self, reason: str) -> None:
        """The answer that is awaited will not come: what waits for it gets ``UnansweredError``, and the connection is
        closed.
        """
        if not self.closed:
            name = self.info.get_parameters().get("application_name", "unnamed")
            self._silent = _unanswered(name, reason)
            _log.warning("connection_unanswered", error=self._silent)
            with socket.socket(fileno=os.dup(self.pgconn.socket)) as own, suppress(OSError):
                own.shutdown(socket.SHUT_RDWR)


class Connection(PooledConnection[Row]):
    """An asynchronous connection that is opened as the module describes, also by a pool."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Open it. Raises as :meth:`PooledConnection.connect`."""
        answer_timeout: float | None = kwargs.pop("answer_timeout", None)
        connection = await super().connect(conninfo, answer_timeout=CONNECT_TIMEOUT, **kwargs)
        try:
            await _begin(connection)
        except BaseException:
            await connection.close()
            raise
        connection.answer_timeout = answer_timeout
        return connection

    async def restore(self, more: str = "") -> None:
        """Undo what functions of others, such as triggers, have left in the session: settings, role, locks, temporary
        tables, what it listens to. ``more``: a statement that is run behind it, in the same round trip.

        What ``DISCARD ALL`` does, without letting go of plans, and with a role and settings as they were at the beginning
        (docs: "DISCARD"). Only between transactions. Raises as psycopg.
        """
        first = _first_statements(self.info.server_version)
        await self.execute(b"; ".join((_UNDO, first, _UNLOCK, more.encode())), prepare=False)


def _first_statements(version: int) -> bytes:
    """What is set as soon as a connection is open, because it cannot be among the options: see ``OWN_NAMES`` and
    ``AS_WRITTEN``; and older servers do not know a role's ``transaction_timeout``.
    """
    settings = "".join(f"set {name} = '{SESSION_SETTINGS[name]}'; " for name in AS_WRITTEN)
    unlimited = "; set transaction_timeout = 0" if version >= _TRANSACTION_TIMEOUT_SINCE else ""
    return f"{settings}set search_path = {OWN_NAMES}{unlimited}; select {ORIGIN.format(local=False)}".encode()


async def _begin(connection: psycopg.AsyncConnection[Any]) -> None:
    autocommit = connection.autocommit
    await connection.set_autocommit(True)
    try:
        await connection.execute(_first_statements(connection.info.server_version))
    except psycopg.errors.InsufficientPrivilege as error:  # of all that is set there, by session_replication_role alone
        raise ReplicaRoleError(connection.info.user) from error
    await connection.set_autocommit(autocommit)


async def connect(dsn: str, name: str, settings: Mapping[str, str] | None = None, **more: Any) -> Connection[Any]:
    """An asynchronous connection. ``more``, such as ``answer_timeout``, goes to :meth:`Connection.connect`, which documents
    the errors.
    """
    return await Connection.connect(dsn, **parameters(dsn, name, settings), **more)


class CommandConnection(psycopg.Connection[Row]):
    """A blocking connection, whose ``answer_timeout`` is that of :class:`PooledConnection`."""

    answer_timeout: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_EVERY, timeout: float | None = None) -> RV:
        """As :meth:`PooledConnection.wait`."""
        try:
            return super().wait(gen, interval, self.answer_timeout if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            if timeout is not None:
                raise
            name = self.info.get_parameters().get("application_name", "unnamed")
            self.pgconn.finish()
            raise UnansweredError(_unanswered(name, f"not within {self.answer_timeout:g} s")) from error


def connect_now(dsn: str, name: str, settings: Mapping[str, str] | None = None, **more: Any) -> CommandConnection[Any]:
    """A blocking connection, for commands; ``more`` goes to psycopg. Its ``answer_timeout`` is :func:`answer_timeout`.

    Raises as :meth:`Connection.connect`.
    """
    given = parameters(dsn, name, settings)
    word = threading.Timer(_WORD_AFTER, _log_wait, [dsn, given])
    word.daemon = True
    word.start()
    try:
        connection: CommandConnection[Any] = CommandConnection.connect(dsn, **given, **more)
    except psycopg.OperationalError as error:
        raise explained(error, dsn, given) from error
    finally:
        word.cancel()
    connection.answer_timeout = answer_timeout(dsn)
    try:
        autocommit, connection.autocommit = connection.autocommit, True
        connection.execute(_first_statements(connection.info.server_version))
        connection.autocommit = autocommit
    except psycopg.errors.InsufficientPrivilege as error:
        role = connection.info.user
        connection.close()
        raise ReplicaRoleError(role) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _log_wait(dsn: str, given: Mapping[str, Any]) -> None:
    _log.warning("waiting_for_database", address=address(dsn), gives_up_after=connect_timeout(dsn, given))
