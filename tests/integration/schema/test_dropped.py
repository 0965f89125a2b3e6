"""Parts of the schema realtime that were dropped: each command names them, and what it advises works."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from engine.postgres.missing_tables import REMEDY
from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import MigrationError, check_served, migrate
from tests.conftest import database_on
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime

TABLES = """create table items (id int primary key, title text, secret text);
    create table parts (id int primary key) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (10);
    select realtime.expose('items', columns => '{id,title}'); select realtime.expose('parts')"""
SNAPSHOT = """
    select 'function', p.oid::regprocedure::text, p.prosecdef::text,
           (select string_agg(a::text, ',' order by a::text) from unnest(p.proacl) a)
    from pg_proc p where p.pronamespace = 'realtime'::regnamespace
    union all
    select 'relation', c.oid::regclass::text, c.relkind::text,
           (select string_agg(a::text, ',' order by a::text) from unnest(c.relacl) a)
    from pg_class c where c.relnamespace = 'realtime'::regnamespace
    union all
    select 'trigger', t.tgrelid::regclass::text, t.tgname, t.tgenabled::text from pg_trigger t where not t.tgisinternal
    union all
    select 'event trigger', e.evtname, e.evtenabled::text, null from pg_event_trigger e
    union all
    select 'published', r.prrelid::regclass::text, null, null from pg_publication_rel r"""


def rows(dsn: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(text.encode()).fetchall()


def problems(dsn: str) -> str:
    return "\n".join(str(finding) for finding in diagnose(dsn, Settings()) if finding.level == "problem")


def start_over(dsn: str) -> None:
    """What the remedy reports, word for word."""
    statements = REMEDY.split("`")[1]
    assert statements.startswith("drop schema realtime cascade")
    run_sql(dsn, statements)
    migrate(dsn)
    assert realtime("expose", "items", "--columns", "id,title", "--dsn", dsn).returncode == 0
    assert problems(dsn) == ""
    check_served(dsn)


def test_every_function_and_view_that_was_dropped_is_named_and_made_again_as_it_was(pg: LocalPostgres) -> None:
    with database_on(pg, TABLES) as dsn:
        before = set(rows(dsn, SNAPSHOT))
        functions = [name for kind, name, *_ in before if kind == "function"]
        views = [name for _, name, what, _ in before if what == "v"]
        for dropped in ([functions[0]], functions, views):
            kind = "view" if dropped is views else "function"
            run_sql(dsn, ";".join(f"drop {kind} if exists {name} cascade" for name in dropped))
            found = problems(dsn)
            for name in dropped:
                assert f"{kind} {name.split('(')[0]}".replace('"', "") in found, name
            assert "-> Run `realtime migrate`." in found
            with pytest.raises(
                MigrationError, match=f"missing in the schema realtime: .*{kind} .*run `realtime migrate`"
            ):
                check_served(dsn)
            done = migrate(dsn)
            assert any(f"{kind} realtime." in line for line in done if line.startswith("made again what was missing: "))
            assert set(rows(dsn, SNAPSHOT)) == before
            assert (problems(dsn), migrate(dsn)) == ("", [])
            check_served(dsn)


def test_one_of_several_functions_of_a_name_is_missed(database: str) -> None:
    before = set(rows(database, SNAPSHOT))
    run_sql(database, "drop function realtime.broadcast(text, text, text, text, text, jsonb, integer)")
    assert "missing in the schema realtime: function realtime.broadcast\n" in problems(database)
    migrate(database)
    assert set(rows(database, SNAPSHOT)) == before


def test_every_trigger_that_was_dropped_is_named_and_made_again(database: str) -> None:
    run_sql(database, TABLES)
    run_sql(database, "select realtime.announce_occupancy('room:*')")  # its triggers are missed where rooms announce it
    run_sql(database, "alter event trigger realtime_ddl_end disable")  # it would make that of parts_1 again at once
    kept = "select tgname, tgrelid::regclass::text from pg_trigger where not tgisinternal and tgparentid = 0"
    triggers = rows(database, kept)
    run_sql(database, ";".join(f"drop trigger {name} on {relation}" for name, relation in triggers))
    found = problems(database)
    for name, relation in triggers:
        where = relation if "." in relation else f"public.{relation}"
        assert f"trigger {name} on {where}" in found or f"trigger realtime.{name}" in found, (name, found)
    migrate(database)
    assert problems(database) == ""
    assert set(rows(database, kept)) == set(triggers)


def test_every_table_that_was_dropped_is_named_and_the_advice_works(pg: LocalPostgres) -> None:
    with database_on(pg, TABLES) as dsn:
        tables = rows(
            dsn,
            "select relname from pg_class where relnamespace = 'realtime'::regnamespace and relkind in ('r', 'p')"
            " and (not relispartition or relname = 'messages_default') order by relname = 'migrations' desc, 1",
        )
        for (name,) in tables:
            run_sql(dsn, f"drop table if exists realtime.{name} cascade")
            found = problems(dsn)
            assert "on None" not in found
            assert f"realtime.{name}" in found, found
            assert "drop schema realtime cascade; drop publication if exists bunbase_realtime;" in found
            for command in (check_served, migrate):
                with pytest.raises(MigrationError, match=f"realtime.{name}.* missing: stop the server and restore"):
                    command(dsn)
        refused = realtime("expose", "items", "--dsn", dsn)
        assert (refused.returncode, "are missing: stop the server and restore" in refused.stderr) == (1, True)
        start_over(dsn)


def test_after_the_schema_was_dropped_a_migrate_takes_up_the_publication_that_stays(pg: LocalPostgres) -> None:
    with database_on(pg, TABLES) as dsn:
        run_sql(dsn, "drop schema realtime cascade")
        assert "the database is not at this version" in problems(dsn)
        done = realtime("migrate", "--dsn", dsn)
        assert (done.returncode, "took up the publication bunbase_realtime" in done.stdout) == (0, True), done.stderr
        for table in ("items", "parts"):
            run_sql(dsn, f"select realtime.expose('{table}')")
        assert (problems(dsn), migrate(dsn)) == ("", [])
        check_served(dsn)


def test_a_publication_of_another_role_is_refused_with_statements_that_work(database: str) -> None:
    run_sql(database, "drop schema realtime cascade; create role dba_of_tests login superuser")
    run_sql(
        database,
        "alter role dba_of_tests nosuperuser createrole; grant realtime_reader to dba_of_tests with admin option",
    )
    name = database.rsplit("/", 1)[1]
    run_sql(database, f"grant create on database {name} to dba_of_tests")
    try:
        refused = realtime("migrate", "--dsn", database.replace("postgres@", "dba_of_tests@"))
        assert refused.returncode == 3
        assert "the publication bunbase_realtime exists already and belongs to postgres" in refused.stderr
        assert "ALTER PUBLICATION bunbase_realtime OWNER TO dba_of_tests; to keep it" in refused.stderr
        run_sql(database, "alter publication bunbase_realtime owner to dba_of_tests")
        done = realtime("migrate", "--dsn", database.replace("postgres@", "dba_of_tests@"))
        assert done.returncode == 0, done.stderr
    finally:
        run_sql(database, "drop owned by dba_of_tests cascade; drop role dba_of_tests")


def test_the_schema_of_another_product_stays_another_products(pg: LocalPostgres) -> None:
    others = "create schema realtime; create table realtime.messages (); create table realtime.schema_migrations ()"
    with database_on(pg, others, migrated=False) as dsn:
        assert "the schema realtime is not ours" in problems(dsn)
        with pytest.raises(MigrationError, match="another product uses the name"):
            migrate(dsn)
