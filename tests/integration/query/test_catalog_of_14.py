"""PostgreSQL 14 reports less about publications and databases; the catalog comes out the same."""

from __future__ import annotations

import psycopg

from engine.catalog.build import build_catalog
from engine.postgres.statements.named_queries import query
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on


def test_without_column_lists_every_ordinary_column_is_streamed(pg15: LocalPostgres) -> None:
    table = "create table t (id int primary key, a text, twice int generated always as (id * 2) stored)"
    with (
        database_on(pg15, table, "select realtime.expose('t')") as dsn,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        row = connection.execute(query("catalog").encode()).fetchone()
    assert row is not None
    found = row[0]
    expected = build_catalog(found).by_collection["t"]
    found["version"] = 140000
    for described in found["tables"]:
        described["published_columns"] = described["row_filter"] = None
    built = build_catalog(found).by_collection["t"]
    assert built.problem is None
    assert [column.name for column in built.columns] == [column.name for column in expected.columns] == ["id", "a"]
    assert built.stream_columns == expected.stream_columns
