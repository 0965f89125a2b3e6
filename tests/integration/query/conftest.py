"""A wide table full of edge values on both servers, and what PostgreSQL reports about queries over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog, Table
from engine.postgres.connections.session_settings import connection_options
from engine.postgres.statements.statement import Statement
from engine.query.ir.model import Query
from engine.query.literals import canonicalise, is_canonical
from engine.transaction import Value
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.values.wide_table import NOT_NULL, POOLS, TYPES

Row = tuple[Value, ...]


@dataclass(repr=False)
class Oracle:
    """One server with the wide table filled."""

    dsn: str
    runner: asyncio.Runner
    connection: psycopg.AsyncConnection
    plain: psycopg.Connection
    catalog: Catalog
    rows: list[Row]

    @property
    def table(self) -> Table:
        return self.catalog.by_collection["wide"]

    def canonical(self, query: Query, table: Table | None = None) -> Query:
        table = table or self.table
        made = self.runner.run(canonicalise(query, table, self.connection))
        assert made == query or not is_canonical(query, table), query
        return made

    def run(self, statement: Statement) -> list[Row]:
        """The rows of a statement, over the connection that is quicker to wait for."""
        with psycopg.RawCursor(self.plain) as cursor:
            cursor.execute(statement.sql.encode(), statement.params)
            result = cursor.pgresult
            assert result is not None
            return [
                tuple(result.get_value(row, column) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]

    def execute(self, sql: str) -> None:
        self.runner.run(self.connection.execute(sql.encode()))

    def reload(self) -> Catalog:
        self.catalog = self.runner.run(load_catalog(self.connection))
        return self.catalog


def definition() -> str:
    columns = ", ".join(f'"{name}" {type_}{" not null" if name in NOT_NULL else ""}' for name, type_ in TYPES.items())
    return (
        "create type mood as enum ('sad', 'ok', 'happy'); create domain price as numeric(12,3);"
        f"create table wide (id int primary key, {columns}, doc jsonb, plain json, place point)"
    )


async def _fill(connection: psycopg.AsyncConnection) -> None:
    chance = random.Random(20)
    await connection.execute(definition().encode())
    await connection.execute("select realtime.expose('wide')")
    names = ", ".join(f'"{name}"' for name in POOLS)
    for number in range(250):
        values = [
            None if name not in NOT_NULL and chance.random() < 0.2 else chance.choice(pool)
            for name, pool in POOLS.items()
        ]
        casts = ", ".join(f"%s::{TYPES[name].split(' collate')[0]}" for name in POOLS)
        await connection.execute(f"insert into wide (id, {names}) values ({number}, {casts})".encode(), values)
    await connection.execute(
        """update wide set doc = '{"a": [1, {"b": 1.0}]}', plain = '{"b": 1, "a": 2}' where id % 3 = 0"""
    )


async def _connect(dsn: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=connection_options())


@contextmanager
def connected(dsn: str, runner: asyncio.Runner) -> Iterator[Oracle]:
    """Two connections to a database, its catalog loaded."""
    connection = runner.run(_connect(dsn))
    with psycopg.connect(dsn, autocommit=True, options=connection_options()) as plain:
        yield Oracle(dsn, runner, connection, plain, runner.run(load_catalog(connection)), [])
    runner.run(connection.close())


@pytest.fixture(scope="module", params=["pg18", "pg15"])
def oracle(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server) as dsn, asyncio.Runner() as runner, connected(dsn, runner) as found:
        runner.run(_fill(found.connection))
        found.reload()
        columns = ", ".join(f'"{column.name}"' for column in found.table.columns)
        found.rows = found.run(Statement(f"select {columns} from wide order by id"))
        yield found
