"""Ordinary SQL works on tables whose hidden columns are named like the functions, types and keywords in it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.catalog.load import load_catalog
from engine.errors import QueryRejectedError
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.query_sql.conftest import Planner, connect

QUERIES = [
    line.rstrip(";")
    for line in (Path(__file__).parent / "ordinary.sql").read_text().splitlines()
    if not line.startswith("--")
]
SHOWN = {
    "weather": "city,temp_lo,temp_hi,prcp,date,id",
    "cities": "name,location",
    "docs": "id,body,tags,at,span",
    "tree": "id,parent,name",
    "emp": "empno,depname,salary,enroll_date",
}
SCHEMA = """
create schema app;
create table app.weather (max text, city varchar(80), temp_lo int, temp_hi int, prcp real, date date, id int primary key,
  count int, "value" int, "row" text);
create table app.cities (name varchar(80) primary key, location point, parent int, point text);
create table app.docs (id int primary key, body jsonb, jsonb_each text, tags text[], at timestamptz, span int4range,
  unnest int, lower int, jsonb int, text text, key int, interval int, array_agg int);
create table app.tree (id int primary key, parent int, name text, text text, value int, substring int, coalesce int,
  location text, md5 int, "case" int, "user" int, numeric int, generate_series int, n int);
create table app.emp (empno int primary key, depname text, salary numeric, enroll_date date, rank int, sum int,
  first_value text, over text, partition int, row_number int, avg int, pos int, within int, filter int);
create table app.rows (id int); create table app.json_agg (id int); create table app.t (id int); create table app.w (id int);
create type app.value as enum ('x'); create type app.key as (a int); create type app.cause as enum ('flood');
insert into app.weather (city, temp_lo, temp_hi, prcp, date, id) values
  ('SF', 46, 50, 0.25, '1994-11-27', 1), ('SF', 43, 57, 0, '1994-11-29', 2), ('Hayward', 37, 54, null, '1994-11-29', 3);
insert into app.cities values ('SF', '(-194,53)');
insert into app.docs (id, body, tags, at, span) values
  (1, '{"a": {"b": [1, 2]}, "k": "v"}', '{x,y}', '2024-01-01', '[1,5)'), (2, '{"k": "w"}', '{z}', '2024-02-01', null);
insert into app.tree (id, parent, name) values (1, null, 'r'), (2, 1, 'c'), (3, 1, 'd');
insert into app.emp (empno, depname, salary, enroll_date) values
  (1, 'sales', 5000, '2020-01-01'), (2, 'sales', 4000, '2020-02-01'), (3, 'dev', 6000, '2020-03-01');
""" + "".join(f"select realtime.expose('app.{table}', columns => '{{{columns}}}');" for table, columns in SHOWN.items())


@pytest.fixture
async def planner(pg18: LocalPostgres) -> AsyncIterator[Planner]:
    """A planner on the tables above."""
    with database_on(pg18, SCHEMA) as dsn:
        async with await connect(dsn) as connection:
            yield Planner(connection, await load_catalog(connection))


async def test_ordinary_sql_gives_what_tables_without_the_hidden_columns_would(planner: Planner) -> None:
    found: dict[str, object] = {}
    for sql in QUERIES:
        [collection] = re.findall(rf"\b({'|'.join(SHOWN)})\b", sql)[:1]
        try:
            rows = await planner.read(await planner.plan(sql, collection=collection))
            found[sql] = sorted(json.dumps(document, sort_keys=True) for _, document in rows)
        except QueryRejectedError as refused:
            found[sql] = f"{refused.code} {refused}"
    for table, columns in SHOWN.items():
        key = columns.split(",")[-1 if table == "weather" else 0]
        copy = f"create temp table {table} as select {columns} from app.{table}; alter table {table} add primary key ({key})"
        await planner.connection.execute(copy.encode())
    expected = {sql: await planner.documents(sql) for sql in QUERIES}
    for sql, documents in expected.items():
        assert found[sql] == sorted(json.dumps(document, sort_keys=True) for document in documents), sql
