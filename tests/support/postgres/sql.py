"""Statements that tests run beside what they test, under the session settings of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    with connect(dsn) as connection:
        return connection.execute(statement.encode(), parameters or None).fetchall()


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

    It is asked less often the longer it takes: most conditions open a connection, which is five milliseconds of a processor.
    """
    pause = 0.01
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not (found := condition()):
            await asyncio.sleep(pause)
            pause = min(1.25 * pause, 0.1)
    return found
