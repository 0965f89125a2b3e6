"""The catalog against real tables: layouts, identities, partitions, collations, problems."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from engine.catalog.build import camel_case
from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog, Table, layout
from engine.errors import CatalogError
from engine.transaction import Relation, RelationColumn
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on


@pytest.fixture
def dsn(pg: LocalPostgres) -> Iterator[str]:
    with database_on(pg) as dsn:
        yield dsn


def catalog_after(dsn: str, sql: str, stream_generated: bool = True) -> Catalog:
    async def load() -> Catalog:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute(sql.encode())
            return await load_catalog(connection, stream_generated=stream_generated)

    return asyncio.run(load())


def table_after(dsn: str, sql: str) -> Table:
    (table,) = catalog_after(dsn, sql).by_collection.values()
    return table


def relation(table: Table, columns: list[tuple[str, int]]) -> Relation:
    return Relation(
        table.oid, table.schema, table.name, "d", tuple(RelationColumn(name, oid, -1, False) for name, oid in columns)
    )


def test_a_database_without_migrations_is_a_catalog_error(pg: LocalPostgres) -> None:
    with pytest.raises(CatalogError, match="realtime"):
        catalog_after(pg.dsn, "select 1")


def test_the_layout_has_exposed_columns_keys_and_identity_in_table_order(dsn: str) -> None:
    table = table_after(
        dsn,
        """create table t (secret text, n int, "Mixed Case" text, code int not null unique, gone int, id int primary key);
        alter table t drop column gone; alter table t replica identity using index t_code_key;
        select realtime.expose('t', name => 'things', columns => '{Mixed Case,n}')""",
    )
    assert [(c.name, c.exposed) for c in table.columns] == [
        ("n", True),
        ("Mixed Case", True),
        ("code", False),
        ("id", False),
    ]
    assert (table.collection, table.primary_key, table.identity) == ("things", (3,), (2,))
    assert [name for name, _ in table.stream_columns] == ["secret", "n", "Mixed Case", "code", "id"]
    assert set(table.by_field) == {"n", "Mixed Case"}


@pytest.mark.parametrize(
    ("identity", "expected"),
    [("default", (0,)), ("full", (0,)), ("using index t_n_key", (1,))],
)
def test_identity_follows_the_replica_identity(dsn: str, identity: str, expected: tuple[int, ...]) -> None:
    table = table_after(
        dsn,
        f"create table t (id int primary key, n int not null unique, t text); alter table t replica identity {identity};"
        "select realtime.expose('t')",
    )
    assert (table.primary_key, table.identity, table.problem) == ((0,), expected, None)


def test_an_identity_index_counts_without_the_columns_it_includes(dsn: str) -> None:
    table = table_after(
        dsn,
        """create table t (id int primary key, n int not null, t text); create unique index i on t (n) include (t);
        alter table t replica identity using index i; select realtime.expose('t')""",
    )
    assert table.identity == (1,)


def test_partitions_lead_to_their_root_and_must_agree_on_the_identity(dsn: str) -> None:
    made = """create table p (id int, k int not null, primary key (id)) partition by range (id);
    create table p1 partition of p for values from (0) to (10);
    create table p2 partition of p for values from (10) to (20) partition by range (id);
    create table p21 partition of p2 for values from (10) to (15);
    select realtime.expose('p')"""
    catalog = catalog_after(dsn, made)
    table = catalog.by_collection["p"]
    assert len(table.members) == 4
    assert {catalog.by_oid[oid] for oid in table.members} == {table}
    assert (table.identity, table.problem) == ((0,), None)
    other = table_after(dsn, "create unique index k on p1 (k); alter table p1 replica identity using index k")
    assert (other.identity, other.problem) == ((), None)
    broken = table_after(dsn, "alter table p1 replica identity nothing")
    assert broken.problem is not None
    assert "p1 has REPLICA IDENTITY NOTHING" in broken.problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("alter table t enable row level security", "row-level security is enabled on public.t"),
        ("alter publication bunbase_realtime drop table t", "is not in the publication"),
        ("alter publication bunbase_realtime set table t where (id > 0)", "row filter"),
        ("alter table t replica identity nothing", "REPLICA IDENTITY NOTHING"),
        ("alter table t drop constraint t_pkey", "has no primary key"),
        ("create table child () inherits (t)", "inheritance"),
        ('alter table t add column created_at int, add column "createdAt" int', "both shown as 'createdAt'"),
    ],
)
def test_a_table_that_can_no_longer_be_followed_has_a_reason(dsn: str, change: str, problem: str) -> None:
    table = table_after(
        dsn, f"create table t (id int primary key); select realtime.expose('t', camel_case => true); {change}"
    )
    assert table.problem is not None
    assert problem in table.problem
    assert table.refusal is not None
    assert "public.t" not in table.refusal, "clients know the collection's name alone"


def test_generated_columns_are_streamed_only_where_the_plugin_sends_them(dsn: str) -> None:
    sql = "create table t (id int primary key, g int generated always as (id + 1) stored); select realtime.expose('t')"
    table = table_after(dsn, sql)
    with psycopg.connect(dsn) as connection:
        modern = connection.info.server_version >= 180000
    assert ("g" in table.index) is modern
    assert [column.name for column in table.unstreamed] == ([] if modern else ["g"])
    assert [column.name for column in table.exposed_columns] == ["id", "g"]
    other = catalog_after(dsn, "select 1", stream_generated=False).by_collection["t"]
    assert [column.name for column in other.unstreamed] == ["g"]


def test_virtual_generated_columns_are_never_streamed(database: str) -> None:
    table = table_after(
        database,
        "create table t (id int primary key, g int generated always as (id + 1) virtual); select realtime.expose('t')",
    )
    assert [column.name for column in table.unstreamed] == ["g"]


def test_a_not_null_constraint_that_was_never_validated_is_not_trusted(database: str) -> None:
    table = table_after(
        database,
        """create table t (id int primary key, n int, m int not null); alter table t add constraint c not null n not valid;
        select realtime.expose('t')""",
    )
    assert [column.not_null for column in table.columns] == [True, False, True]


def test_collations_show_whether_order_is_bytewise(dsn: str) -> None:
    table = table_after(
        dsn,
        """create table t (id int primary key, d text, c text collate "C", u text collate ucs_basic, n name, i int);
        select realtime.expose('t')""",
    )
    facts = {c.name: (c.collation.bytewise, c.collation.ascii_case) for c in table.columns if c.collation}
    assert facts["c"] == facts["u"] == facts["n"] == (True, True)
    assert facts["d"] == (True, False)  # the servers of these tests are C.UTF-8
    assert set(facts) == {"d", "c", "u", "n"}


def test_icu_collations_are_not_bytewise(database15: str) -> None:
    table = table_after(
        database15,
        """create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table t (id int primary key, a text collate "en-x-icu", b text collate loose);
        select realtime.expose('t')""",
    )
    facts = [(c.collation.bytewise, c.collation.deterministic) for c in table.columns if c.collation]
    assert facts == [(False, True), (False, False)]


def test_types_are_described_through_domains_arrays_and_composites(dsn: str) -> None:
    table = table_after(
        dsn,
        """create schema "Odd"; create type "Odd"."Mood" as enum ('b', 'a');
        alter type "Odd"."Mood" add value 'z' before 'b';
        create domain "Odd".d as "Odd"."Mood"[]; create type c as (x "Odd".d, y varchar(3));
        create table t (id int primary key, c c[], v varchar(5), b bit(3), k char(2)); select realtime.expose('t')""",
    )
    array, varchar, bit, char = (column.type for column in table.columns[1:])
    assert array.element is not None
    (x, domain), (y, text) = array.element.fields
    assert (x, y, text.name, varchar.name, bit.name, char.name) == (
        "x",
        "y",
        *["character varying"] * 2,
        '"bit"',
        "bpchar",
    )
    assert (domain.kind, domain.name, domain.underlying.kind) == ("domain", '"Odd".d', "array")
    assert domain.underlying.element is not None
    assert domain.underlying.element.labels == ("z", "b", "a")
    assert domain.underlying.element.name == '"Odd"."Mood"'


def test_layout_finds_columns_by_name_and_notices_changes(dsn: str) -> None:
    table = table_after(
        dsn,
        """create table t (a int, b text, c int, id int primary key, g int generated always as (1) stored);
        select realtime.expose('t', columns => '{b,c}')""",
    )
    columns = list(table.stream_columns)
    plain = [pair for pair in columns if pair[0] != "g"]
    assert layout(table, relation(table, plain)) == (1, 2, 3)
    assert layout(table, relation(table, [*plain, ("g", 23)])) == (1, 2, 3)
    assert layout(table, relation(table, plain[::-1])) is None, "names that were swapped"
    assert layout(table, relation(table, [*plain, ("new", 23)])) is None
    assert layout(table, relation(table, plain[1:])) is None
    assert layout(table, relation(table, [("a", 20), *plain[1:]])) is None


def test_the_signature_changes_with_the_definition_and_only_then(dsn: str) -> None:
    before = table_after(dsn, "create table t (id int primary key, n int); select realtime.expose('t')").signature
    assert table_after(dsn, "insert into t values (1, 2)").signature == before
    seen = {before}
    for change in (
        "alter table t alter n type bigint",
        "alter table t alter n set not null",
        "alter table t rename n to m",
        "alter table t replica identity full; alter table t drop constraint t_pkey",
        "select realtime.expose('t', columns => '{id}')",
    ):
        seen.add(table_after(dsn, change).signature)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("name", "field"),
    [("created_at", "createdAt"), ("_id", "_id"), ("a__b", "a__b"), ("x_1", "x1"), ("end_", "end_"), ("a_b_c", "aBC")],
)
def test_camel_case(name: str, field: str) -> None:
    assert camel_case(name) == field
