"""Names that need quotes in SQL, as they are typed in a shell: tables, columns, collections and roles."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from server.cli.terminal.names import NameRefusedError, Table, find_collection, find_columns, find_role, find_table
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime

TABLES = """
create schema shop; create schema "Web Shop";
create table "My Table" (id int primary key, "My Col" text, "a,b" int, "q""t" int, "createdAt" int, createdat int);
create table orders (id int primary key); create table "Orders" (id int primary key);
create table "größe" (id int primary key); create table "Ünder" (id int primary key);
create table "a.b" (id int primary key); create table "q""t" (id int primary key);
create table "Invoices" (id int primary key); create table shop.items (id int primary key);
create table "Web Shop"."Cart Items" (id int primary key);
create table shop.orders (id int primary key); create table "shop.orders" (id int primary key);
"""


@pytest.fixture
def named(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


def test_a_table_is_found_by_its_spelling_in_sql_and_by_its_bare_name(named: psycopg.Connection) -> None:
    for text, spelling in {
        "My Table": 'public."My Table"',
        '"My Table"': 'public."My Table"',
        "public.My Table": 'public."My Table"',
        'public."My Table"': 'public."My Table"',
        'PUBLIC . "My Table"': 'public."My Table"',
        "orders": "public.orders",
        '"Orders"': 'public."Orders"',
        "Invoices": 'public."Invoices"',
        "größe": 'public."größe"',
        "GRößE": 'public."größe"',
        '"größe"': 'public."größe"',
        "Ünder": 'public."Ünder"',
        "a.b": 'public."a.b"',
        '"a.b"': 'public."a.b"',
        'q"t': 'public."q""t"',
        '"q""t"': 'public."q""t"',
        "shop.items": "shop.items",
        "Web Shop.Cart Items": '"Web Shop"."Cart Items"',
        '"Web Shop"."Cart Items"': '"Web Shop"."Cart Items"',
    }.items():
        assert find_table(named, text).spelling == spelling, text
    with psycopg.connect(named.info.dsn, autocommit=True, options="-c search_path=shop,public") as elsewhere:
        assert find_table(elsewhere, "orders").spelling == "shop.orders"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("Orders", """Orders fits several tables: write '"public"."Orders"' or '"public"."orders"'"""),
        ("shop.orders", """shop.orders fits several tables: write '"public"."shop.orders"' or '"shop"."orders"'"""),
        ("invoices", "there is no table invoices in the search_path (public); did you mean 'public.\"Invoices\"'?"),
        ("items", "there is no table items in the search_path (public); did you mean shop.items?"),
        ("my_table", "there is no table my_table in the search_path (public); did you mean 'public.\"My Table\"'?"),
        ("shop.itms", "there is no table shop.itms; did you mean shop.items?"),
        ("select 1", "there is no table select 1 in the search_path (public)"),
    ],
)
def test_a_name_that_fits_several_tables_or_none_is_refused_with_the_spelling_to_use(
    named: psycopg.Connection, text: str, reported: str
) -> None:
    with pytest.raises(NameRefusedError) as refused:
        find_table(named, text)
    assert str(refused.value) == reported
    for spelling in shlex.split(reported.split("write ")[-1].replace(" or ", " ")) if "write" in reported else ():
        find_table(named, spelling)


def test_columns_are_listed_by_bare_name_or_quoted_where_they_have_a_comma(named: psycopg.Connection) -> None:
    table = find_table(named, "My Table")
    assert find_columns(named, table, 'id, My Col ,"a,b"') == ["id", "My Col", "a,b"]
    assert find_columns(named, table, '"q""t","createdAt",ID') == ['q"t', "createdAt", "id"]
    for text, reported in {
        "createdAt": 'createdAt fits several columns in public."My Table": write \'"createdAt"\' or createdat',
        "my col": 'there is no column my col in public."My Table"; did you mean \'"My Col"\'?',
        "": "--columns '' lists no column, or an empty one",
        "id,,x": "--columns id,,x lists no column, or an empty one",
        '"id': 'there is no column "id in public."My Table"; did you mean id?',
    }.items():
        with pytest.raises(NameRefusedError) as refused:
            find_columns(named, table, text)
        assert str(refused.value) == reported


def test_a_collection_is_found_by_its_name_and_by_its_tables(named: psycopg.Connection) -> None:
    named.execute("""select realtime.expose('"My Table"', name => 'mine'), realtime.expose('"Orders"')""")
    named.execute("select realtime.expose('orders', name => 'other')")
    for text, name in {
        "mine": "mine", "My Table": "mine", 'public."My Table"': "mine", "Orders": "Orders", "orders": "other",
    }.items():  # fmt: skip
        assert find_collection(named, text) == name
    with pytest.raises(NameRefusedError, match=r"no collection, and no exposed table, is named 'Invoices'$"):
        find_collection(named, "Invoices")
    with pytest.raises(NameRefusedError, match=r"is named 'orderz'; did you mean Orders\?"):
        find_collection(named, "orderz")


def test_an_owner_without_the_list_of_collections_unexposes_one_by_its_name(named: psycopg.Connection) -> None:
    role = f"owner_{uuid.uuid4().hex[:8]}"
    named.execute(f"create role {role} login; alter table orders owner to {role}".encode())
    try:
        dsn = f"postgresql://{role}@127.0.0.1:{named.info.port}/{named.info.dbname}"
        run_sql(dsn, "select realtime.expose('orders')")
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert find_collection(connection, "orders") == "orders"
    finally:
        named.execute(f"drop owned by {role} cascade; drop role {role}".encode())


def test_a_role_is_found_as_sql_spells_it_too(named: psycopg.Connection) -> None:
    role = f'Ser"ver {uuid.uuid4().hex[:8]}'
    spelled = '"{}"'.format(role.replace('"', '""'))
    named.execute(f"create role {spelled}".encode())
    try:
        assert {find_role(named, role), find_role(named, spelled)} == {role}
        with pytest.raises(NameRefusedError, match="there is no role nobody_at_all"):
            find_role(named, "nobody_at_all")
    finally:
        named.execute(f"drop role {spelled}".encode())


def test_the_commands_take_such_names_and_their_advice_can_be_pasted(database: str) -> None:
    run_sql(database, TABLES)
    refused = realtime("expose", "My Table", "--dsn", database)
    assert refused.stderr.rstrip().endswith("or on the command line --name my-table.")
    done = realtime("expose", "My Table", "--name", "my-table", "--columns", "id,My Col", "--dsn", database)
    assert (done.returncode, done.stdout) == (0, "clients can subscribe to db:collection:my-table\n"), done.stderr
    run_sql(database, 'alter table "My Table" rename to "Your Table"')
    found = realtime("doctor", "--dsn", database).stdout
    advice = "realtime expose 'public.\"Your Table\"' --name my-table"
    assert f"-> If that is meant: {advice}. If not: realtime unexpose my-table" in found
    done = realtime(*shlex.split(advice)[1:], "--dsn", database)
    assert done.returncode == 0, done.stderr
    done = realtime("unexpose", "Your Table", "--dsn", database)
    assert (done.returncode, done.stdout) == (0, "my-table is closed\n"), done.stderr


def test_a_table_is_found_in_no_schema_of_ours_or_of_postgresql_by_mistake(named: psycopg.Connection) -> None:
    assert find_table(named, "pg_class") == Table(1259, "pg_catalog", "pg_class", "pg_catalog.pg_class")
    with pytest.raises(NameRefusedError, match=r"there is no table messages in the search_path \(public\)$"):
        find_table(named, "messages")
