"""A migrated database on each server in turn, connections with timeouts, and a look at what is in the stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from engine.postgres.statements.named_queries import query
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on

Connection = psycopg.Connection[DictRow]
Connect = Callable[[], Connection]


@pytest.fixture
def dsn(pg: LocalPostgres) -> Iterator[str]:
    with database_on(pg) as dsn:
        yield dsn


@pytest.fixture
def connect(dsn: str) -> Iterator[Connect]:
    """Opens connections that commit each statement and wait for no lock longer than ten seconds."""
    with ExitStack() as stack:

        def open_one() -> Connection:
            options = "-c statement_timeout=10s -c lock_timeout=10s -c timezone=America/New_York -c jit=off"
            return stack.enter_context(psycopg.connect(dsn, autocommit=True, row_factory=dict_row, options=options))

        yield open_one


@pytest.fixture
def db(connect: Connect) -> Connection:
    return connect()


def run(connection: Connection, text: str, *values: object) -> list[dict[str, Any]]:
    """The rows of a statement."""
    cursor = connection.execute(text.encode(), values or None)
    return cursor.fetchall() if cursor.description else []


def value(connection: Connection, text: str, *values: object) -> Any:
    """The only value of a statement."""
    [row] = run(connection, text, *values)
    return next(iter(row.values()))


def named(connection: Connection, name: str, /, **values: object) -> list[dict[str, Any]]:
    """The rows of a named query."""
    cursor = connection.execute(query(name).encode(), values or None)
    return cursor.fetchall() if cursor.description else []


def record(connection: Connection) -> None:
    """Write down commits as a node does, for what it would have seen in order of transaction id."""
    run(
        connection,
        "insert into realtime.commits select m.channel, m.xid, '0/1000000'::pg_lsn + m.xid::text::numeric * 256,"
        " min(m.inserted_at), max(m.inserted_at) from realtime.messages m group by 1, 2 on conflict do nothing",
    )


class Stream:
    """What a node would read: the logical messages, by prefix, since the last look."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        run(connection, "select pg_create_logical_replication_slot('look', 'pgoutput')")

    def messages(self, prefix: str) -> list[dict[str, Any]]:
        found = run(
            self._connection,
            "select data from pg_logical_slot_get_binary_changes('look', null, null, 'proto_version', '1',"
            " 'publication_names', 'bunbase_realtime', 'messages', 'true')",
        )
        contents = []
        for row in found:
            data = bytes(row["data"])
            if data[:1] == b"M":
                name, _, rest = data[10:].partition(b"\0")
                if name.decode() == prefix:
                    contents.append(json.loads(rest[4:]))
        return contents


@pytest.fixture
def stream(dsn: str) -> Iterator[Stream]:
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        yield Stream(connection)
        run(connection, "select pg_drop_replication_slot('look')")
