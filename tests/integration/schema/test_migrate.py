"""Migrating and exposing, on both servers."""

from __future__ import annotations

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import MigrationError, migrate
from tests.conftest import database_on


def test_migrating_twice_does_nothing_the_second_time(pg: LocalPostgres) -> None:
    with database_on(pg, migrated=False) as dsn:
        assert migrate(dsn) != []
        assert migrate(dsn) == []


def test_a_changed_migration_is_refused(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("update realtime.migrations set checksum = 'other'")
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        migrate(database)


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ("create table t (x int)", "no primary key"),
        ("create table t (id int primary key); alter table t replica identity nothing", "IDENTITY NOTHING"),
        ("create unlogged table t (id int primary key)", "not in the WAL"),
        ("create view t as select 1 as id", "is not a table"),
        ("create table t (id int primary key); alter table t enable row level security", "row-level security"),
        ("create table p (id int primary key); create table t () inherits (p)", "inheritance"),
    ],
)
def test_a_table_that_cannot_be_followed_is_not_exposed(database: str, definition: str, problem: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(definition.encode())
        with pytest.raises(psycopg.Error, match=problem):
            connection.execute("select realtime.expose('t')")


def test_exposing_grants_the_reader_the_exposed_columns_only(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table users (id int primary key, name text, password text)")
        connection.execute("select realtime.expose('users', columns => '{id,name}')")
        connection.execute("set role realtime_reader")
        connection.execute("select id, name from users")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select password from users")
        connection.execute("reset role; select realtime.unexpose('users'); set role realtime_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select id from users")


def test_exposing_waits_for_writers_under_way(database: str) -> None:
    with psycopg.connect(database) as writer, psycopg.connect(database, autocommit=True) as owner:
        owner.execute("create table t (id int primary key)")
        writer.execute("insert into t values (1)")
        owner.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            owner.execute("select realtime.expose('t')")
        writer.commit()
        owner.execute("select realtime.expose('t')")


def test_a_dropped_table_is_no_longer_a_collection(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table t (id int primary key)")
        connection.execute("select realtime.expose('t')")
        connection.execute("drop table t")
        assert connection.execute("select count(*) from realtime.collections").fetchone() == (0,)
