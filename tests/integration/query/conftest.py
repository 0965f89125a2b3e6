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
from engine.query.literals import canonicalise
from engine.transaction import Value
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on

Row = tuple[Value, ...]

# Few values per column, so that predicates hit and ties are common; every type's edges among them.
POOLS: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "small": ["-32768", "0", "7", "32767"],
    "int": ["-1", "0", "1", "2", "2147483647"],
    "big": ["-9223372036854775808", "0", "5", "9223372036854775807"],
    "real": ["NaN", "-0", "0", "0.1", "1e20", "-Infinity"],
    "float": ["NaN", "-0", "0", "0.1", "1.5", "Infinity", "1e-300"],
    "num": ["NaN", "Infinity", "1", "1.0", "1.00", "-2.5", "123456789012345678901234567890.5"],
    "priced": ["0", "1.5", "1.500", "99"],
    "text_c": ["", "a", "A", "ab", "a%b", "a_b", "b\\", "é", "😀", "NULL", "a b "],
    "text_d": ["", "a", "B", "ab", "Ab", "zz"],
    "vc": ["a", "ab", "abcde"],
    "padded": ["a", "ab", "b "],
    "tagname": ["x", "Y", ""],
    "uid": ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "day": ["2024-02-29", "0001-01-01 BC", "10000-01-01", "infinity", "-infinity"],
    "at": ["2024-01-01 00:00:00+00", "2024-01-01 00:00:00.5+00", "4000-01-01 00:00:00+00 BC", "infinity"],
    "span": ["1 mon", "30 days", "720:00:00", "-1 day", "00:00:00"],
    "clock": ["12:00:00+02", "10:00:00+00", "11:00:00+00"],
    "mood": ["sad", "ok", "happy"],
    "raw": ["\\x", "\\x00", "\\x00ff"],
    "ints": ["{}", "{1}", "{1,2}", "{NULL,2}", "{{1,2},{3,4}}", "[0:1]={1,2}"],
    "texts": ["{}", "{a}", '{a,"b c"}', '{NULL,"NULL"}', '{"",a}'],
    "moods": ["{}", "{sad,ok}", "{happy}"],
}
TYPES = {
    "bool": "bool", "small": "int2", "int": "int4", "big": "int8", "real": "float4", "float": "float8", "num": "numeric",
    "priced": "price", "text_c": 'text collate "C"', "text_d": "text", "vc": "varchar(5)", "padded": "char(4)",
    "tagname": "name", "uid": "uuid", "day": "date", "at": "timestamptz", "span": "interval", "clock": "timetz",
    "mood": "mood", "raw": "bytea", "ints": "int[]", "texts": "text[]", "moods": "mood[]",
}  # fmt: skip
SORTABLE = [name for name in POOLS if name not in ("ints", "texts", "moods")]
NOT_NULL = ("int", "at", "text_c")


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
        return self.runner.run(canonicalise(query, table or self.table, self.connection))

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
