"""Owners of tables expose them after another role has migrated, and no other role does."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import database_on
from tests.integration.schema.conftest import REFUSED, Roles


def test_the_owner_of_a_table_exposes_and_closes_it(roles: Roles) -> None:
    exposed = roles.run(
        roles.owner, "select realtime.expose('shop.items', columns => '{id,title}', camel_case => true)"
    )
    assert exposed == [("items",)]
    assert roles.run(roles.owner, "select realtime.expose('shop.parts', replica_identity => 'full')") == [("parts",)]
    assert roles.run(None, "set role realtime_reader", "select id, title from shop.items") == [(1, "a")]
    with pytest.raises(REFUSED):
        roles.run(None, "set role realtime_reader", "select secret from shop.items")
    assert roles.run(None, "select prrelid::regclass::text from pg_publication_rel where prrelid >= 16384 order by 1")[
        -2:
    ] == [("shop.items",), ("shop.parts",)]
    roles.run(roles.owner, "select realtime.unexpose('items')", "select realtime.unexpose('parts')")
    assert roles.run(None, "select name from realtime.collections") == []
    with pytest.raises(REFUSED):
        roles.run(None, "set role realtime_reader", "select id from shop.items")


def test_a_stranger_neither_exposes_nor_closes_nor_locks_a_table_of_others(roles: Roles) -> None:
    with pytest.raises(REFUSED, match=r"must be owner of table shop.items"):
        roles.run(roles.stranger, "select realtime.expose('shop.items')")
    roles.run(roles.owner, "select realtime.expose('shop.items')")
    with pytest.raises(REFUSED, match=r"must be owner of table shop.items"):
        roles.run(roles.stranger, "select realtime.unexpose('items')")
    with pytest.raises(REFUSED):
        roles.run(
            roles.stranger,
            "insert into realtime.collection_calls (caller, call, collection)"
            f" values ('{roles.owner}', 'unexpose', 'items')",
        )
    with pytest.raises(REFUSED):
        roles.run(roles.stranger, "select realtime.unexpose_table('items')")
    assert roles.run(None, "select name from realtime.collections") == [("items",)]


def test_code_of_a_stranger_that_runs_in_the_session_of_an_owner_exposes_nothing(roles: Roles) -> None:
    roles.run(
        roles.stranger,
        "create function shop.trap(int) returns int language plpgsql immutable as $$ begin return $1; end $$",
        "create table shop.bait (x int); insert into shop.bait values (1)",
        "create index on shop.bait (shop.trap(x))",
        "create function shop.definer() returns text language sql security definer as"
        " $$ select realtime.expose('shop.items') $$",
    )
    # PostgreSQL reindexes and analyses as the table's owner, in the session of a superuser (or autovacuum).
    with pytest.raises(REFUSED, match="must be owner"):
        roles.run(
            None,
            "create or replace function shop.trap(int) returns int language plpgsql immutable as"
            " $$ begin perform realtime.expose('shop.items'); return $1; end $$",
            "reindex table shop.bait",
        )
    with pytest.raises(REFUSED, match="must be owner"):
        roles.run(roles.owner, "select shop.definer()")
    assert roles.run(None, "select name from realtime.collections") == []


def test_members_of_the_owner_count_and_the_current_role_decides(roles: Roles) -> None:
    with pytest.raises(REFUSED, match="must be owner"):  # although the session is a superuser's
        roles.run(None, f"set role {roles.stranger}", "select realtime.expose('shop.items')")
    roles.run(None, f'grant "{roles.owner}" to {roles.stranger}')
    assert roles.run(roles.stranger, "select realtime.expose('shop.items')") == [("items",)]


def test_a_dba_can_revoke_exposing_from_public(roles: Roles) -> None:
    roles.run(None, "revoke execute on function realtime.expose from public")
    assert migrate(roles.dsn) == []
    with pytest.raises(REFUSED, match="permission denied for function expose"):
        roles.run(roles.owner, "select realtime.expose('shop.items')")
    with pytest.raises(REFUSED, match=r"may not execute realtime.expose"):
        roles.run(
            roles.owner,
            "insert into realtime.collection_calls (call, relation) values ('expose', 'shop.items')",
        )


def test_missing_privileges_of_the_schemas_owner_are_named_with_the_grant(pg: LocalPostgres) -> None:
    tag = uuid.uuid4().hex[:8]
    dba, owner = f"dba_{tag}", f"owner_{tag}"
    with database_on(pg, migrated=False) as dsn:
        roles = Roles(dsn, owner, dba)
        name = dsn.rsplit("/", 1)[1]
        roles.run(
            None, f"create role {dba} login createrole; create role {owner}; grant create on database {name} to {dba}"
        )
        roles.run(None, "grant realtime_reader to " + dba) if _reader_exists(roles) else None
        roles.run(None, f"create schema shop authorization {owner}")
        roles.run(owner, "create table shop.items (id int primary key)")
        try:
            migrate(dsn.replace("postgres@", f"{dba}@"))
            with pytest.raises(REFUSED, match=f"may not publish tables of {owner}") as refused:
                roles.run(owner, "select realtime.expose('shop.items')")
            assert refused.value.diag.message_hint == f"GRANT {owner} TO {dba};"
            roles.run(None, f"grant {owner} to {dba}")
            assert roles.run(owner, "select realtime.expose('shop.items')") == [("items",)]
        finally:
            roles.run(None, f"drop owned by {dba}, {owner} cascade; drop role {dba}; drop role {owner}")


def _reader_exists(roles: Roles) -> bool:
    return roles.run(None, "select from pg_roles where rolname = 'realtime_reader'") != []


def test_a_schema_that_clients_sql_may_not_enter_is_named_with_the_grant(roles: Roles) -> None:
    roles.run(roles.stranger, "create table shop.own (id int primary key)")
    with pytest.raises(REFUSED, match="may not use schema shop") as refused:
        roles.run(roles.stranger, "select realtime.expose('shop.own')")
    assert refused.value.diag.message_hint == f'As "{roles.owner}": GRANT USAGE ON SCHEMA shop TO realtime_reader;'
    roles.run(roles.owner, "grant usage on schema shop to realtime_reader")
    assert roles.run(roles.stranger, "select realtime.expose('shop.own')") == [("own",)]


def test_exposing_again_takes_no_lock_when_nothing_changes(roles: Roles) -> None:
    again = ["select realtime.expose('shop.items', columns => '{id,title}')", "select realtime.expose('shop.parts')"]
    roles.run(roles.owner, *again)
    with psycopg.connect(roles.dsn) as writer:
        writer.execute("insert into shop.items values (2); insert into shop.parts values (2)")
        roles.run(roles.owner, "set lock_timeout = '50ms'", *again)
        roles.run(roles.owner, "set lock_timeout = '50ms'", "select realtime.expose('shop.items', columns => '{id}')")
        writer.rollback()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("realtime.expose('shop.parts', columns => '{}')", "an empty list, or one of them is null"),
        ("realtime.expose('shop.parts', columns => array[null])", "an empty list, or one of them is null"),
        ("realtime.expose('shop.parts', columns => array['id', null])", "an empty list, or one of them is null"),
        ("realtime.expose(null)", "no table is given"),
    ],
)
def test_an_empty_list_of_columns_and_no_table_at_all_are_refused_in_words(roles: Roles, call: str, words: str) -> None:
    with pytest.raises(psycopg.Error, match=words):
        roles.run(roles.owner, f"select {call}")


@pytest.mark.parametrize(
    ("table", "call"),
    [
        ("My Table", "realtime.expose('public.\"My Table\"', name => 'my-table')"),
        ("größe", "realtime.expose('public.\"größe\"', name => 'gr-e')"),
        ("1st", "realtime.expose('public.\"1st\"', name => '_1st')"),
    ],
)
def test_a_table_whose_name_cannot_be_a_collections_is_refused_with_the_call_to_make(
    database: str, table: str, call: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f'create table "{table}" (id int primary key)'.encode())
        with pytest.raises(psycopg.errors.InvalidName, match="cannot be the name of a collection") as refused:
            connection.execute(f"select realtime.expose('\"{table}\"')".encode())
        assert refused.value.diag.message_hint is not None
        assert call in refused.value.diag.message_hint
        connection.execute(f"select {call}".encode())
