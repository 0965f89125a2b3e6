"""What a change reports about its row, the same through every decoder."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from engine.transaction import UNCHANGED, Message
from tests.integration.feed.conftest import FeedSource, changes_of, following, reading, row, rows_of


async def test_inserts_updates_and_deletes_carry_their_rows(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key, s text, n int)",
        "select realtime.expose('t')",
    ) as (sql, reader):
        first, second = await changes_of(sql, reader, "insert into t values (1, 'a', null), (2, '', 5)")
        assert row(first) == ("INSERT", None, {"id": b"1", "s": b"a", "n": None})
        assert row(second) == ("INSERT", None, {"id": b"2", "s": b"", "n": b"5"})
        assert first.relation is second.relation
        assert (first.relation.schema, first.relation.name, first.relation.replica_identity) == ("public", "t", "d")
        assert [column.is_key for column in first.relation.columns] == [True, False, False]
        assert await rows_of(sql, reader, "update t set n = 6 where id = 2") == [
            ("UPDATE", None, {"id": b"2", "s": b"", "n": b"6"})
        ]
        assert await rows_of(sql, reader, "delete from t where id = 2") == [
            ("DELETE", {"id": b"2", "s": None, "n": None}, None)
        ]


async def test_a_key_update_carries_the_old_key(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (a int, b text, c text, primary key (a, b))",
        "select realtime.expose('t')",
    ) as (sql, reader):
        await changes_of(sql, reader, "insert into t values (1, 'x', 'y')")
        (change,) = await changes_of(sql, reader, "update t set b = 'z'")
        assert row(change) == (
            "UPDATE",
            {"a": b"1", "b": b"x", "c": None},
            {"a": b"1", "b": b"z", "c": b"y"},
        )
        (change,) = await changes_of(sql, reader, "update t set c = 'w'")
        assert change.old() is None


async def test_an_unchanged_toasted_value_is_marked(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key, big text, n int)",
        "alter table t alter big set storage external",
        "select realtime.expose('t')",
    ) as (sql, reader):
        (change,) = await changes_of(sql, reader, "insert into t values (1, repeat('x', 10000), 1)")
        assert row(change)[2]["big"] == b"x" * 10000
        (change,) = await changes_of(sql, reader, "update t set n = 2")
        new = change.new()
        assert new is not None
        assert new[1] is UNCHANGED
        assert (new[0], new[2], change.old()) == (b"1", b"2", None)
        (change,) = await changes_of(sql, reader, "update t set id = 3")
        assert row(change)[1] == {"id": b"1", "big": None, "n": None}
        assert row(change)[2]["big"] is UNCHANGED
        (change,) = await changes_of(sql, reader, "update t set big = 'short'")
        assert row(change)[2]["big"] == b"short"


async def test_an_empty_text_is_not_taken_for_an_unchanged_one(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key, s text)",
        "alter table t replica identity full",
        "select realtime.expose('t')",
    ) as (sql, reader):
        await changes_of(sql, reader, "insert into t values (1, 'before')")
        (change,) = await changes_of(sql, reader, "update t set s = ''")
        assert row(change)[2] == {"id": b"1", "s": b""}


async def test_full_identity_sends_the_whole_old_row_and_with_it_unchanged_values(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int, big text, n int)",
        "alter table t alter big set storage external",
        "select realtime.expose('t', replica_identity => 'full')",
    ) as (sql, reader):
        (change,) = await changes_of(sql, reader, "insert into t values (1, repeat('x', 10000), null)")
        assert change.relation.replica_identity == "f"
        assert all(column.is_key for column in change.relation.columns)
        (change,) = await changes_of(sql, reader, "update t set n = 2")
        assert row(change)[1] == {"id": b"1", "big": b"x" * 10000, "n": None}
        assert row(change)[2] == {"id": b"1", "big": b"x" * 10000, "n": b"2"}
        (change,) = await changes_of(sql, reader, "delete from t")
        assert row(change) == ("DELETE", {"id": b"1", "big": b"x" * 10000, "n": b"2"}, None)


@pytest.mark.parametrize("with_key", [False, True])
async def test_an_index_identity_sends_the_index_columns(source: FeedSource, with_key: bool) -> None:
    async with following(
        source,
        f"create table t (id int {'primary key' if with_key else ''}, u text not null, n int)",
        "create unique index t_u on t (u)",
        "alter table t replica identity using index t_u",
        "select realtime.expose('t')",
    ) as (sql, reader):
        (change,) = await changes_of(sql, reader, "insert into t values (1, 'a', 1)")
        assert change.relation.replica_identity == "i"
        assert [column.is_key for column in change.relation.columns] == [False, True, False]
        (change,) = await changes_of(sql, reader, "update t set id = 2")
        assert row(change) == ("UPDATE", None, {"id": b"2", "u": b"a", "n": b"1"})
        (change,) = await changes_of(sql, reader, "update t set u = 'b'")
        assert row(change)[1] == {"id": None, "u": b"a", "n": None}
        (change,) = await changes_of(sql, reader, "delete from t")
        assert row(change)[1] == {"id": None, "u": b"b", "n": None}


async def test_postgres_refuses_changes_it_could_not_publish(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key, n int)",
        "select realtime.expose('t')",
    ) as (sql, reader):
        await changes_of(sql, reader, "insert into t values (1, 1)")
        sql.execute("alter table t replica identity nothing")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="replica identity"):
            sql.execute("update t set n = 2")
        (change,) = await changes_of(sql, reader, "insert into t values (2, 2)")
        assert (change.relation.replica_identity, row(change)[2]) == ("n", {"id": b"2", "n": b"2"})


async def test_names_that_need_quoting_come_as_they_are(source: FeedSource) -> None:
    schema, table, column = 'Sch"ema\\', 'Tä ble,"columns":[', 'co"l\\u0041 {"name":"x"}'
    quoted = [psycopg.sql.Identifier(name) for name in (schema, table, column)]
    with source.connect() as sql:
        sql.execute(psycopg.sql.SQL("create schema {}").format(quoted[0]))
        name = psycopg.sql.SQL("{}.{}").format(*quoted[:2])
        sql.execute(psycopg.sql.SQL("create table {} (id int primary key, {} text)").format(name, quoted[2]))
        sql.execute("select realtime.expose(%s::regclass, 'odd')", [name.as_string(sql)])
        async with reading(source.dsn, source.settings()) as reader:
            sql.execute(psycopg.sql.SQL("insert into {} values (1, %s)").format(name), ['v],"identity":[{"name":"id"'])
            (change,) = await reader.changes()
            assert (change.relation.schema, change.relation.name) == (schema, table)
            assert row(change)[2] == {"id": b"1", column: b'v],"identity":[{"name":"id"'}
            sql.execute(psycopg.sql.SQL("update {} set id = 2").format(name))
            (change,) = await reader.changes()
            assert row(change)[1] == {"id": b"1", column: None}


async def test_generated_columns_come_only_as_the_server_stores_them(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key, n int, g int generated always as (n * 2) stored)")
        if source.version >= 18:
            sql.execute("alter table t add v int generated always as (n * 3) virtual")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            (change,) = await changes_of(sql, reader, "insert into t (id, n) values (1, 5)")
            # Before PostgreSQL 18 pgoutput cannot publish them.
            expected = {"id": b"1", "n": b"5"} | (
                {} if source.decoder == "pgoutput" and source.version < 18 else {"g": b"10"}
            )
            assert row(change)[2] == expected
            (change,) = await changes_of(sql, reader, "update t set n = 6")
            assert row(change)[1] is None
            assert row(change)[2]["n"] == b"6"


async def test_only_exposed_tables_come(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key)",
        "create table hidden (id int primary key)",
        "select realtime.expose('t')",
    ) as (sql, reader):
        sql.execute("insert into hidden values (1)")
        with sql.transaction():
            sql.execute("insert into hidden values (2)")
            sql.execute("insert into t values (2)")
            sql.execute("update hidden set id = 3 where id = 2")
        transaction = await reader.transaction()
        assert [row(c) for c in transaction.changes if not isinstance(c, Message)] == [("INSERT", None, {"id": b"2"})]
        assert len(list(transaction.changes)) == 1


async def test_a_table_exposed_later_comes_from_then_on(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key)",
    ) as (sql, reader):
        sql.execute("insert into t values (1)")
        sql.execute("select realtime.expose('t')")
        sql.execute("insert into t values (2)")
        async with asyncio.timeout(30):
            while row((await reader.changes())[-1])[2] != {"id": b"2"}:
                pass
