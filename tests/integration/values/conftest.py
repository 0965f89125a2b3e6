"""A table with a column of every type, on both servers, and PostgreSQL's own verdict on lists of values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Table
from engine.postgres.connections.session_settings import connection_options
from engine.values import Codec
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on

TYPES = """
create type mood as enum ('zebra', 'apple', 'Mango "x"');
create domain price as numeric(12,3);
create domain price2 as price;
create type pair as (n int, "Some Text" text, at timestamptz, tags text[]);
create type nothing as ();
create type shouted as enum ('a', 'b');
create function shout(shouted) returns json language sql immutable as $$ select to_json(upper($1::text)) $$;
create cast (shouted as json) with function shout(shouted);
create table v (
  id int primary key, bool bool, int2 int2, int4 int4, int8 int8, oid oid, float4 float4, float8 float8,
  numeric numeric, text text, varchar varchar, name name, "char" "char", bpchar bpchar, bytea bytea, uuid uuid,
  date date, timestamp timestamp, timestamptz timestamptz, time time, timetz timetz, interval interval, mood mood,
  price price, price2 price2, macaddr macaddr, macaddr8 macaddr8, bit bit varying, pg_lsn pg_lsn, xid8 xid8,
  inet inet, cidr cidr, xid xid, json json, jsonb jsonb, ints int[], texts text[], floats float8[],
  numerics numeric[], moments timestamptz[], moods mood[], pair pair, pairs pair[], int4range int4range,
  tstzrange tstzrange, point point, boxes box[], xml xml, money money, prices price[], shouted shouted,
  shouteds shouted[], nothing nothing, tsvector tsvector, bools bool[], jsons jsonb[], int2vector int2vector
);
select realtime.expose('v');
"""


@dataclass
class Verdict:
    """What PostgreSQL reports of a value: its text, JSON, and rank (equal values share one; None: no order)."""

    text: bytes
    rank: int | None
    row_json: bytes
    jsonb: bytes


class Typed:
    """One server's view of values."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True, options=connection_options())
        self.version = self.connection.info.server_version
        self.table: Table = asyncio.run(_load(dsn))

    def codec(self, column: str) -> Codec:
        return self.table.codecs[self.table.index[column]]

    def ask(self, column: str, values: Sequence[str], *, ordered: bool = True) -> list[Verdict]:
        type_name = self.table.columns[self.table.index[column]].type.name
        rank = "dense_rank() over (order by v)" if ordered else "null::int"
        with psycopg.RawCursor(self.connection) as cursor:
            cursor.execute(
                f"select v, {rank}, row_to_json(r), to_jsonb(v) "
                f"from unnest($1::text[]) with ordinality as u (x, n) cross join lateral (select x::{type_name} as v) r "
                "order by n".encode(),
                [list(values)],
            )
            result = cursor.pgresult
            assert result is not None
            rows = [[result.get_value(row, column) for column in range(4)] for row in range(result.ntuples)]
        return [
            Verdict(text or b"", int(rank) if rank else None, (row_json or b"")[5:-1], jsonb or b"")
            for text, rank, row_json, jsonb in rows
        ]

    def equal(self, column: str, values: Sequence[str]) -> list[list[bool]]:
        type_name = self.table.columns[self.table.index[column]].type.name
        with psycopg.RawCursor(self.connection) as cursor:
            cursor.execute(
                f"with u as (select x::{type_name} as v, n from unnest($1::text[]) with ordinality as u (x, n)) "
                "select array_agg(a.v = b.v order by b.n) from u a cross join u b group by a.n order by a.n".encode(),
                [list(values)],
            )
            return [row[0] for row in cursor.fetchall()]


async def _load(dsn: str) -> Table:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        return (await load_catalog(connection)).by_collection["v"]


@pytest.fixture(scope="module", params=["pg18", "pg15"])
def typed(request: pytest.FixtureRequest) -> Iterator[Typed]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server, TYPES) as dsn:
        found = Typed(dsn)
        yield found
        found.connection.close()
