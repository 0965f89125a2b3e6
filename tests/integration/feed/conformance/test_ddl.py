"""Definitions that change while the stream flows: columns, tables, partitions, TRUNCATE."""

from __future__ import annotations

import json

import pytest

from engine.transaction import Change, Kind, Message
from tests.integration.feed.conftest import FeedSource, Reader, changes_of, following, reading, row, rows_of


async def ddl(reader: Reader) -> list[dict[str, object]]:
    """The DDL messages of the next transaction that has any."""
    return [json.loads(m.content) for m in await reader.messages() if m.prefix == "realtime.ddl"]


def oid(source: FeedSource, table: str) -> int:
    with source.connect() as sql:
        return int(sql.execute("select %s::regclass::oid", [table]).fetchone()[0])  # type: ignore[index]


async def test_a_column_is_added_dropped_and_renamed(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key, a text)",
        "select realtime.expose('t')",
    ) as (sql, reader):
        (before,) = await changes_of(sql, reader, "insert into t values (1, 'x')")
        sql.execute("alter table t add b int default 7")
        assert [m["oids"] for m in await ddl(reader)] == [[oid(source, "t")]]
        (change,) = await changes_of(sql, reader, "insert into t values (2, 'y')")
        assert row(change)[2] == {"id": b"2", "a": b"y", "b": b"7"}
        assert change.relation is not before.relation
        assert change.relation.oid == before.relation.oid
        sql.execute("alter table t rename a to c")
        (change,) = await changes_of(sql, reader, "update t set b = 8 where id = 2")
        assert row(change) == ("UPDATE", None, {"id": b"2", "c": b"y", "b": b"8"})
        sql.execute("alter table t drop c")
        (change,) = await changes_of(sql, reader, "insert into t values (3, 9)")
        assert row(change)[2] == {"id": b"3", "b": b"9"}
        sql.execute("alter table t alter b type text using 'n' || b")
        (change,) = await changes_of(sql, reader, "insert into t values (4, 'z')")
        assert row(change)[2] == {"id": b"4", "b": b"z"}
        assert change.relation.columns[1].type_oid == 25


async def test_old_rows_keep_their_values_when_the_catalog_is_ahead_of_the_stream(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key, a int, b bytea)",
        "select realtime.expose('t')",
    ) as (sql, reader):
        with sql.transaction():
            sql.execute("insert into t values (1, 10, '\\xdead')")
            sql.execute("alter table t rename a to aa")
            sql.execute("insert into t values (2, 20, '\\xbeef')")
            sql.execute("alter table t add c text default 'd'")
            sql.execute("alter table t alter b type text using encode(b, 'hex')")
            sql.execute("insert into t values (3, 30, 'x', 'y')")
            sql.execute("alter table t drop aa")
            sql.execute("insert into t values (4, 'xx', 'yy')")
        transaction = await reader.transaction()
        rows = [row(c)[2] for c in transaction.changes if not isinstance(c, Message)]
        sent = [{k: v for k, v in r.items() if v is None or isinstance(v, bytes)} for r in rows]
        assert sent == [
            {"id": b"1", "a": b"10", "b": b"\\xdead"},
            {"id": b"2", "aa": b"20", "b": b"\\xbeef"},
            {"id": b"3", "aa": b"30", "b": b"x", "c": b"y"},
            {"id": b"4", "b": b"xx", "c": b"yy"},
        ]
        types = [
            {column.name: column.type_oid for column in c.relation.columns}["b"]
            for c in transaction.changes
            if not isinstance(c, Message)
        ]
        assert types == [17, 17, 25, 25]


async def test_a_table_is_renamed_and_dropped(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        number = oid(source, "t")
        async with reading(source.dsn, source.settings()) as reader:
            assert (await changes_of(sql, reader, "insert into t values (1)"))[0].relation.name == "t"
            sql.execute("alter table t rename to u")
            assert [m["oids"] for m in await ddl(reader)] == [[number]]
            (change,) = await changes_of(sql, reader, "insert into u values (2)")
            assert (change.relation.name, change.relation.oid) == ("u", number)
            sql.execute("alter table u set schema realtime")
            (change,) = await changes_of(sql, reader, "insert into realtime.u values (3)")
            assert (change.relation.schema, change.relation.oid) == ("realtime", number)
            sql.execute("drop table realtime.u")
            messages = [m for m in await ddl(reader) if m["tag"] == "DROP TABLE"] or await ddl(reader)
            assert any(number in m["oids"] for m in messages)  # type: ignore[operator]


async def test_an_unchanged_definition_keeps_its_relation_object(source: FeedSource) -> None:
    async with following(
        source,
        "create table t (id int primary key)",
        "create table u (id int primary key)",
        "select realtime.expose('t')",
    ) as (sql, reader):
        (first,) = await changes_of(sql, reader, "insert into t values (1)")
        sql.execute("alter table u add n int")
        sql.execute("analyze t")
        (second,) = await changes_of(sql, reader, "insert into t values (2)")
        assert first.relation is second.relation


async def test_truncate_of_several_tables(source: FeedSource) -> None:
    async with following(
        source,
        "create table a (id int primary key)",
        "create table b (id int primary key references a)",
        "create table hidden (id int primary key)",
        "select realtime.expose('a'), realtime.expose('b')",
    ) as (sql, reader):
        changes = await changes_of(sql, reader, "truncate hidden, a, b")
        assert sorted(c.relation.name for c in changes) == ["a", "b"]
        assert all((c.kind, c.new(), c.old()) == (Kind.TRUNCATE, None, None) for c in changes)


async def test_rows_of_partitions_are_rows_of_the_root(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table p (id int, k int, s text, primary key (id, k)) partition by list (k)")
        sql.execute("create table p1 partition of p for values in (1)")
        sql.execute("create table p2 (s text, dropped int, k int not null, id int not null)")  # another column order
        sql.execute("alter table p2 drop dropped")
        sql.execute("alter table p attach partition p2 for values in (2)")
        sql.execute("create table p3 partition of p for values in (3, 4) partition by list (k)")
        sql.execute("create table p4 partition of p3 for values in (4)")
        sql.execute("select realtime.expose('p')")
        root = oid(source, "p")
        async with reading(source.dsn, source.settings()) as reader:
            changes = await changes_of(sql, reader, "insert into p values (1, 1, 'a'), (2, 2, 'b'), (4, 4, 'd')")
            assert [row(c)[2] for c in changes] == [
                {"id": b"1", "k": b"1", "s": b"a"},
                {"id": b"2", "k": b"2", "s": b"b"},
                {"id": b"4", "k": b"4", "s": b"d"},
            ]
            assert {(c.relation.oid, c.relation.name) for c in changes} == {(root, "p")}
            assert [column.is_key for column in changes[0].relation.columns] == [True, True, False]
            assert await rows_of(sql, reader, "update p set k = 2 where id = 1") == [
                ("DELETE", {"id": b"1", "k": b"1", "s": None}, None),
                ("INSERT", None, {"id": b"1", "k": b"2", "s": b"a"}),
            ]
            assert await rows_of(sql, reader, "update p set s = 'c' where id = 1") == [
                ("UPDATE", None, {"id": b"1", "k": b"2", "s": b"c"})
            ]
            assert [row(c)[1] for c in await changes_of(sql, reader, "update p set id = 5 where id = 1")] == [
                {"id": b"1", "k": b"2", "s": None}
            ]


async def test_a_new_partition_is_followed_at_once(source: FeedSource) -> None:
    async with following(
        source,
        "create table p (id int primary key, s text) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
        "select realtime.expose('p')",
    ) as (sql, reader):
        await changes_of(sql, reader, "insert into p values (1, 'a')")
        with sql.transaction():
            sql.execute("create table p2 partition of p for values from (10) to (20)")
            sql.execute("insert into p values (11, 'b')")
        (change,) = await reader.changes()
        assert (change.relation.name, row(change)[2]) == ("p", {"id": b"11", "s": b"b"})


async def test_a_table_that_was_written_before_is_followed_once_it_is_a_partition(source: FeedSource) -> None:
    async with following(
        source,
        "create table p (id int primary key, s text) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
        "create table late (id int primary key, s text)",
        "select realtime.expose('p')",
    ) as (sql, reader):
        sql.execute("insert into late values (11, 'not yet')")
        await changes_of(sql, reader, "insert into p values (1, 'a')")
        for bounds in ("from (10) to (20)", "from (10) to (30)"):
            sql.execute(f"alter table p attach partition late for values {bounds}".encode())
            (change,) = await changes_of(sql, reader, "insert into p values (12, 'b')")
            assert (change.relation.name, row(change)[2]) == ("p", {"id": b"12", "s": b"b"})
            await changes_of(sql, reader, "delete from p where id = 12")
            sql.execute("alter table p detach partition late")
            sql.execute("insert into late values (13, 'no more'); delete from late where id = 13")
            await changes_of(sql, reader, "update p set s = s || '!' where id = 1")


@pytest.mark.since(15)  # on 14 pgoutput does not notice by itself that a table became a partition
async def test_definitions_are_followed_without_event_triggers_too(source: FeedSource) -> None:
    async with following(
        source,
        "drop event trigger realtime_ddl_end",
        "drop event trigger realtime_ddl_drop",
        "create table p (id int primary key, s text) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
        "create table late (id int primary key, s text)",
        "select realtime.expose('p')",
    ) as (sql, reader):
        sql.execute("insert into late values (11, 'not yet')")
        assert row((await changes_of(sql, reader, "insert into p values (1, 'a')"))[0])[2] == {"id": b"1", "s": b"a"}
        sql.execute("alter table p attach partition late for values from (10) to (20)")
        (change,) = await changes_of(sql, reader, "insert into p values (12, 'b')")
        assert (change.relation.name, row(change)[2]) == ("p", {"id": b"12", "s": b"b"})
        sql.execute("alter table p rename s to t")
        sql.execute("alter table p add n int default 5")
        (change,) = await changes_of(sql, reader, "update p set id = 13 where id = 12")
        assert row(change)[2] == {"id": b"13", "t": b"b", "n": b"5"}


async def test_truncate_of_a_root_is_one_change_and_of_a_partition_a_message(source: FeedSource) -> None:
    async with following(
        source,
        "create table p (id int primary key) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
        "create table p2 partition of p for values from (10) to (20)",
        "select realtime.expose('p')",
    ) as (sql, reader):
        sql.execute("truncate p2")
        transaction = await reader.transaction()
        (message,) = list(transaction.changes)
        assert isinstance(message, Message)
        assert json.loads(message.content) == {"tag": "TRUNCATE", "oids": [oid(source, "p2")], "all": False}
        sql.execute("truncate p")
        transaction = await reader.transaction()
        changes: list[Change] = [c for c in transaction.changes if not isinstance(c, Message)]
        assert [(c.kind, c.relation.name) for c in changes] == [(Kind.TRUNCATE, "p")]


async def test_full_identity_of_partitions_sends_whole_old_rows(source: FeedSource) -> None:
    async with following(
        source,
        "create table p (id int, s text) partition by range (id)",
        "create table p1 partition of p for values from (0) to (10)",
        "select realtime.expose('p', replica_identity => 'full')",
    ) as (sql, reader):
        await changes_of(sql, reader, "insert into p values (1, 'a')")
        assert [row(c)[1] for c in await changes_of(sql, reader, "update p set s = 'b'")] == [{"id": b"1", "s": b"a"}]
        assert [row(c)[1] for c in await changes_of(sql, reader, "delete from p")] == [{"id": b"1", "s": b"b"}]
