"""Owners of tables expose them after another role has migrated, and nobody else does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from server.cli.migrate import migrate
from tests.conftest import database_on
from tests.integration.cli.test_cli import realtime

REFUSED = psycopg.errors.InsufficientPrivilege


@dataclass
class Roles:
    """A migrated database, an owner of tables in a schema of its own, and a stranger."""

    dsn: str
    owner: str
    stranger: str

    def run(self, role: str | None, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            if role is not None:
                connection.execute(sql.SQL("set session authorization {}").format(sql.Identifier(role)))
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def roles(pg: LocalPostgres) -> Iterator[Roles]:
    with database_on(pg) as dsn:
        tag = uuid.uuid4().hex[:8]
        roles = Roles(dsn, f"Owner {tag}", f"stranger_{tag}")
        roles.run(
            None,
            f'create role "{roles.owner}"; create role {roles.stranger}',
            f'create schema shop authorization "{roles.owner}"; grant usage, create on schema shop to {roles.stranger}',
        )
        roles.run(
            roles.owner,
            "create table shop.items (id int primary key, title text, secret text)",
            "insert into shop.items values (1, 'a', 's')",
            "create table shop.parts (id int primary key) partition by range (id)",
            "create table shop.parts_1 partition of shop.parts for values from (0) to (10)",
        )
        try:
            yield roles
        finally:
            roles.run(
                None,
                f'drop owned by "{roles.owner}", {roles.stranger} cascade',
                f'drop role "{roles.owner}"; drop role {roles.stranger}',
            )


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


def partition_state(roles: Roles, name: str) -> tuple[Any, ...]:
    [found] = roles.run(
        None,
        "select relreplident, exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'realtime_truncate')"
        f" from pg_class c where c.oid = '{name}'::regclass",
    )
    return found


def test_exposing_a_partitioned_table_changes_no_partition_that_belongs_to_another_role(roles: Roles) -> None:
    for call in (
        "select realtime.expose('shop.parts')",
        "select realtime.expose('shop.parts', replica_identity => 'full')",
    ):
        roles.run(None, f"alter table shop.parts_1 owner to {roles.stranger}")
        with pytest.raises(REFUSED, match=r"must be owner of partition shop.parts_1") as refused:
            roles.run(roles.owner, call)
        assert f"It belongs to {roles.stranger}" in str(refused.value.diag.message_hint)
        assert partition_state(roles, "shop.parts_1") == ("d", False)
        assert roles.run(None, "select name from realtime.collections") == []
    roles.run(None, "select realtime.expose('shop.parts')")  # a superuser may
    assert partition_state(roles, "shop.parts_1") == ("d", True)
    # Nothing of the partition is changed now, so its owner need not agree.
    roles.run(roles.owner, "select realtime.expose('shop.parts', camel_case => true)")
    with pytest.raises(REFUSED, match=r"must be owner of partition shop.parts_1"):
        roles.run(roles.owner, "select realtime.expose('shop.parts', replica_identity => 'full')")
    roles.run(None, f'grant {roles.stranger} to "{roles.owner}"')
    roles.run(roles.owner, "select realtime.expose('shop.parts', replica_identity => 'full')")
    assert partition_state(roles, "shop.parts_1") == ("f", True)


def test_a_partition_of_another_owner_announces_truncate_once_it_was_attached(roles: Roles) -> None:
    roles.run(roles.owner, "select realtime.expose('shop.parts')")
    roles.run(roles.stranger, "create table shop.parts_2 (id int primary key)")
    roles.run(None, "alter table shop.parts attach partition shop.parts_2 for values from (10) to (20)")
    assert partition_state(roles, "shop.parts_2") == ("d", True)


def test_an_attached_partition_that_may_not_be_watched_is_announced_all_the_same(roles: Roles) -> None:
    """The owner of the schema realtime need not have the rights of the partition's owner."""
    roles.run(roles.owner, "select realtime.expose('shop.parts')")
    roles.run(roles.stranger, "create table shop.parts_2 (id int primary key)")
    schema_owner = f"schema_{roles.stranger}"
    slot = f"ddl_{roles.stranger}"
    roles.run(
        None,
        f"create role {schema_owner}; grant all on schema realtime to {schema_owner}",
        f"grant all on all tables in schema realtime to {schema_owner}",
        f"grant execute on all functions in schema realtime to {schema_owner}",
        f"alter function realtime.note_ddl() owner to {schema_owner}",
        f"select pg_create_logical_replication_slot('{slot}', 'test_decoding')",
    )
    said: list[str] = []
    try:
        with psycopg.connect(roles.dsn, autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: said.append(f"{notice.message_primary} {notice.message_hint}"))
            connection.execute("alter table shop.parts attach partition shop.parts_2 for values from (10) to (20)")
        [warning] = said
        assert "TRUNCATE of single partitions of shop.parts is not announced" in warning
        assert "select realtime.watch_partitions('shop.parts');" in warning
        sent = roles.run(None, f"select data from pg_logical_slot_get_changes('{slot}', null, null)")
        assert any("realtime.ddl" in data and '"ALTER TABLE"' in data for (data,) in sent), sent
        found = [str(finding) for finding in diagnose(roles.dsn, Settings())]
        assert any("trigger realtime_truncate on shop.parts_2 is missing" in line for line in found)
        roles.run(None, "select realtime.watch_partitions('shop.parts')")
        assert partition_state(roles, "shop.parts_2") == ("d", True)
    finally:
        roles.run(
            None,
            "alter function realtime.note_ddl() owner to postgres",
            f"drop owned by {schema_owner}; drop role {schema_owner}",
            f"select pg_drop_replication_slot('{slot}')",
        )


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


def superuser(roles: Roles) -> bool:
    [(found,)] = roles.run(None, f"select rolsuper from pg_roles where rolname = '{roles.owner}'")
    return bool(found)


def attack(roles: Roles, function: str, arguments: str, result: str, answer: str) -> str:
    """A function of the table owner's that takes the place of one of PostgreSQL's, and makes its owner a superuser."""
    return (
        f"create function {function}({arguments}) returns {result} language plpgsql as $$ begin "
        f"if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then "
        f'alter role "{roles.owner}" superuser; end if; return {answer}; end $$'
    )


def test_temporary_views_in_the_place_of_catalogs_are_not_read_by_functions_of_ours(roles: Roles) -> None:
    catalogs = ("pg_class", "pg_index", "pg_trigger", "pg_namespace", "pg_inherits", "pg_publication")
    with psycopg.connect(roles.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("set session authorization {}").format(sql.Identifier(roles.owner)))
        connection.execute(attack(roles, "shop.evil", "", "boolean", "true").encode())
        for catalog in catalogs:
            connection.execute(
                f"create temp view {catalog} as select c.* from pg_catalog.{catalog} c where shop.evil()".encode()
            )
        connection.execute("select realtime.expose('shop.items')")
        connection.execute("select realtime.expose('shop.parts')")
        connection.execute("select realtime.unexpose('items')")
    assert not superuser(roles)


def test_every_function_of_ours_looks_into_temporary_schemas_last_or_names_every_schema(roles: Roles) -> None:
    loose = roles.run(
        None,
        "select proname from pg_proc where pronamespace = 'realtime'::regnamespace and not exists "
        "(select from unnest(proconfig) setting where setting like 'search_path=%pg_temp') order by 1",
    )
    # Without a search_path of their own, to be inlined; they name the schema of everything they use.
    inlined = {
        "name_matches",
        "is_too_deep",
        "broadcast",
        "broadcast_all",
        "broadcast_users",
        "broadcast_rooms",
        "payload_of",
    }
    # Only realtime_reader may call these: they use, or set, the caller's own path.
    assert {name for (name,) in loose} <= inlined | {"read_as_reader", "use_path_of_role"}


def test_commands_of_a_superuser_call_no_function_that_others_have_made(roles: Roles) -> None:
    roles.run(None, f'grant create on schema public to "{roles.owner}"')
    roles.run(
        roles.owner,
        attack(
            roles,
            "public.has_function_privilege",
            "text, oid, text",
            "boolean",
            "pg_catalog.has_function_privilege($1::name, $2, $3)",
        ),
        attack(roles, "public.format", "text, text", "text", "pg_catalog.format($1, $2)"),
        attack(roles, "public.format", "text, name", "text", "pg_catalog.format($1, $2)"),
        attack(roles, "public.quote_ident", "name", "text", "pg_catalog.quote_ident($1::text)"),
    )
    roles.run(None, f'grant usage on schema realtime to "{roles.owner}"; grant select on realtime.migrations to public')
    roles.run(roles.owner, attack(roles, "public.to_jsonb", "realtime.migrations", "jsonb", "pg_catalog.to_jsonb($1)"))
    migrate(roles.dsn)
    diagnose(roles.dsn, Settings())
    assert realtime("slots", "--dsn", roles.dsn).returncode == 0
    assert realtime("expose", "shop.items", "--dsn", roles.dsn).returncode == 0
    assert not superuser(roles)
