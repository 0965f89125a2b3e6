"""The interface of ``sql/schema`` and ``migrations``: recorded, kept, and every break of it found."""

from __future__ import annotations

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from engine.postgres.statements.named_queries import query
from engine.postgres.statements.sql_interface import (
    Interface,
    incompatibilities,
    interface_of,
    present_interface,
    schema_version,
    served_versions,
)
from server.cli.migration.migrate import migrate

MESSAGES_OF_BEFORE = "realtime.history(channel text, before text default, limit integer default)"
DROP_SEND = "drop function realtime.send(text, text, jsonb, text, text, jsonb, integer, text, text, text);"
BREAKS = {
    "drop function realtime.adopt_cluster()": "realtime.adopt_cluster() is missing",
    "drop function realtime.history(text, text, integer); create function realtime.history(channel text, before text,"
    "\"limit\" integer) returns text language sql as $$ select '' $$": (
        f"{MESSAGES_OF_BEFORE} was changed: there is realtime.history(channel text, before text, limit integer)"
    ),
    f"{DROP_SEND} create function realtime.send(channel text, event text) returns text language sql as $$ select '' $$": (
        "was changed: there is realtime.send(channel text, event text)"
    ),
    "drop function realtime.kick(text, text, text); create function realtime.kick(channel text, user_id text, "
    "reason text default null, for_good boolean default false) returns integer language sql as $$ select 1 $$": (
        "was changed: there is realtime.kick(channel text, user_id text, reason text default, for_good boolean default)"
    ),
    "alter function realtime.epoch() volatile": "realtime.epoch() was changed",
    "alter table realtime.messages drop column sender": "column realtime.messages.sender is missing",
    "alter table realtime.routes alter id type integer": "column realtime.routes.id is integer not null default, it was big",
    "alter table realtime.connections alter metadata drop default": "column realtime.connections.metadata is jsonb not",
    "alter table realtime.connections alter user_id set not null": "column realtime.connections.user_id is text not null",
    "alter table realtime.presence alter user_id drop not null": "column realtime.presence.user_id is text, it was text not",
    "alter table realtime.presence add device text not null": "column realtime.presence.device is new and must be given",
    "alter table realtime.commits drop constraint commits_pkey, add primary key (channel, position)": "the key of realtime",
    "drop table realtime.last_seen cascade": "table realtime.last_seen is missing",
    "drop view realtime.presence_now; create table realtime.presence_now (channel text)": "presence_now is a table, it was",
}
EXTENSIONS = (
    "alter table realtime.messages add labels text[]",
    "alter table realtime.presence add device text not null default 'unknown'",
    "alter table realtime.connections alter user_id set default 'nobody'",
    "create table realtime.webhooks (id integer primary key)",
    "create function realtime.fresh() returns integer language sql as $$ select 1 $$",
    "create function realtime.kick(channel text, user_id text, reason text, for_good boolean) returns integer"
    " language sql as $$ select 1 $$",
    "create or replace view realtime.connection_list as select c.id, c.user_id, c.node_id, c.transport, c.ip,"
    " c.connected_at, c.attributes, c.metadata, '{}'::text[] as present_in, c.dropped_at from realtime.connections c",
    "drop function realtime.emit(text, jsonb)",  # only other functions call it
)


def present(sql: psycopg.Connection, *, recorded: bool = False) -> Interface:
    """The interface of a database; ``recorded``: as ``.ci/interface`` writes it down."""
    with sql.cursor(row_factory=dict_row) as cursor:
        relations = cursor.execute(query("interface_relations")).fetchall()
        functions = cursor.execute(query("interface_functions")).fetchall()
        offered = frozenset(row["name"] for row in cursor.execute(query("interface_offered")).fetchall())
    return present_interface(relations, functions, offered if recorded else None)


@pytest.mark.parametrize("place", ["database", "database15"])
def test_this_version_serves_every_version_whose_interface_is_recorded(
    place: str, request: pytest.FixtureRequest
) -> None:
    with psycopg.connect(request.getfixturevalue(place)) as sql:
        here = present(sql)
    assert served_versions() == tuple(range(served_versions()[0], schema_version() + 1))
    for version in served_versions():
        assert incompatibilities(interface_of(version), here) == [], f"nodes of sql/schema version {version}"


def test_the_interface_of_this_version_is_recorded(database: str) -> None:
    """Otherwise: raise the number in ``sql/schema/VERSION`` if it was released, and run ``.ci/interface``."""
    with psycopg.connect(database) as sql:
        here = present(sql, recorded=True)
    recorded = interface_of(schema_version())
    assert msgspec.to_builtins(recorded) == msgspec.to_builtins(here) | {"release": recorded.release}


def test_parts_of_the_interface_that_an_older_node_would_miss_are_named(database: str) -> None:
    former = interface_of(schema_version())
    with psycopg.connect(database) as sql:
        for change, problem in BREAKS.items():
            sql.execute(change.encode())
            found = incompatibilities(former, present(sql))
            sql.rollback()
            assert any(problem in each for each in found), (change, found)


def test_additions_to_the_interface_are_compatible(database: str) -> None:
    former = interface_of(schema_version())
    with psycopg.connect(database) as sql:
        for change in EXTENSIONS:
            sql.execute(change.encode())
        assert incompatibilities(former, present(sql)) == []


def test_a_migrate_replaces_what_nodes_call_in_place(database: str) -> None:
    """A function that is dropped and made again is missing for a statement that is about to call it."""
    names = [function.name for function in interface_of(schema_version()).functions]
    functions = (
        "select oid from pg_proc where pronamespace = 'realtime'::regnamespace and proname = any (%s) order by oid"
    )
    with psycopg.connect(database, autocommit=True) as sql:
        before = sql.execute(functions, [names]).fetchall()
        sql.execute("update realtime.migrations set checksum = 'older' where name = 'sql/schema'")
        assert migrate(database) == [f"applied sql/schema version {schema_version()}"]
        assert sql.execute(functions, [names]).fetchall() == before


def test_every_function_and_view_of_the_schema_has_a_comment(database: str) -> None:
    """By COMMENT ON, which ``\\df+`` and ``\\d+`` of psql show."""
    silent = """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'realtime'::regnamespace and obj_description(p.oid, 'pg_proc') is null
        union all
        select c.oid::regclass::text from pg_class c
        where c.relnamespace = 'realtime'::regnamespace and c.relkind = 'v' and obj_description(c.oid, 'pg_class') is null"""
    with psycopg.connect(database) as sql:
        assert sql.execute(silent).fetchall() == []


def test_no_comment_of_the_schema_has_a_retired_word(database: str) -> None:
    """Migrations keep theirs; ``sql/schema`` sets such a comment again."""
    retired = r"""
        select description from pg_description
        where description ~* '\m(whoever|nobody|somebody|anybody|everybody|says?|told|tells?|hears?)\M' and objoid in (
          select oid from pg_class where relnamespace = 'realtime'::regnamespace
          union all select oid from pg_proc where pronamespace = 'realtime'::regnamespace
          union all select oid from pg_constraint where connamespace = 'realtime'::regnamespace)"""
    with psycopg.connect(database) as sql:
        assert sql.execute(retired).fetchall() == []


def test_a_function_whose_arguments_have_had_other_names_is_replaced(database: str) -> None:
    named = "select proargnames[11] from pg_proc where oid = to_regproc('realtime.read_for_each')"
    with psycopg.connect(database, autocommit=True) as sql:
        definition = sql.execute("select pg_get_functiondef('realtime.read_for_each'::regproc)").fetchone()
        assert definition is not None
        sql.execute("drop function realtime.read_for_each")
        sql.execute(definition[0].replace("max_rows", "row_limit"))
        sql.execute("update realtime.migrations set checksum = 'older' where name = 'sql/schema'")
        migrate(database)
        assert sql.execute(named).fetchone() == ("max_rows",)
