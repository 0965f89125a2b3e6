"""Statements that tests run beside what they test, under the session settings of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg

from engine.postgres.connections.session_settings import connection_options

GIVE_UP_AFTER = 60
"""Seconds after which a test that waits for an event has failed."""


def connect(dsn: str, **options: Any) -> psycopg.Connection[Any]:
    """An autocommit connection."""
    return psycopg.connect(dsn, autocommit=True, options=connection_options(), **options)


def run(dsn: str, statement: str, *parameters: Any) -> None:
    with connect(dsn) as connection:
        connection.execute(statement.encode(), parameters or None)


def run_sql(dsn: str, text: str) -> None:
    """Run ``text``, of any number of statements, under the session settings of a plain client."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(text.encode())


def run_each(dsn: str, *statements: str) -> None:
    """Each statement in a transaction of its own."""
    with connect(dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def read(dsn: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query. What :func:`until` waits for reads over one connection."""
    if (kept := _kept.get()) is None:
        with connect(dsn) as connection:
            return _rows(connection, statement, parameters)
    if (last := kept.get(dsn)) is not None:
        try:
            return _rows(last, statement, parameters)
        except psycopg.OperationalError:
            if not last.broken:
                raise
            kept.pop(dsn).close()  # as by a restart of the server
    kept[dsn] = connect(dsn)
    return _rows(kept[dsn], statement, parameters)


def _rows(connection: psycopg.Connection[Any], statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode(), parameters or None).fetchall()


_kept: ContextVar[dict[str, psycopg.Connection[Any]] | None] = ContextVar("_kept", default=None)
"""Within :func:`until`, by DSN what its condition reads over: a connection is ten milliseconds of a processor."""


@contextmanager
def open_transaction(dsn: str, *statements: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that has run ``statements`` and is open; commit it yourself."""
    with psycopg.connect(dsn, options=connection_options()) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection
        connection.rollback()


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until ``condition`` is true, for what only shows when asked for; returns what it gave.

    It is asked less often the longer it takes.
    """
    pause = 0.01
    kept: dict[str, psycopg.Connection[Any]] = {}
    token = _kept.set(kept)
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not (found := condition()):
                await asyncio.sleep(pause)
                pause = min(1.25 * pause, 0.1)
    finally:
        _kept.reset(token)
        for each in kept.values():
            each.close()
    return found
