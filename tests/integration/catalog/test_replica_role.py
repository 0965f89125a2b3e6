"""Sessions with ``session_replication_role = replica`` (subscriptions, AWS DMS, Bucardo): what they do is seen as well."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from engine.errors import UnknownCollectionError
from tests.support.nodes.live_node import json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

TABLES = (
    "create table part (id int primary key) partition by range (id)",
    "create table part_1 partition of part for values from (0) to (100)",
    "create table part_2 partition of part for values from (100) to (200)",
    "insert into part values (1), (2), (100)",
    "select realtime.expose('part')",
    "create table t (id int primary key, x int)",
    "insert into t values (1, 1)",
    "select realtime.expose('t')",
)
PART = Query("part", {"orderBy": [["id", "asc"]]}, json_rows("select * from part order by id"))
T = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
REPLICA = "set session_replication_role = replica"


@pytest.mark.parametrize(
    "truncate",
    [
        f"{REPLICA}; truncate part_1",
        "alter table part_1 disable trigger user; truncate part_1",
        "alter table part_1 disable trigger all; alter table part_1 enable trigger all; "
        f"{REPLICA}; truncate part_1",  # as pg_restore --disable-triggers does
    ],
)
async def test_a_partition_is_seen_to_be_truncated_in_any_session(dsn: str, truncate: str) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn) as play:
        follower = await play.follow(PART)
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in truncate.split("; "):
                connection.execute(statement.encode())
                await play.caught_up()
        await play.check(follower)
        assert follower.ids == ["100"]


async def test_definitions_that_a_replica_session_changes_are_followed(dsn: str) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn) as play:
        follower = await play.follow(T)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(REPLICA.encode())
            connection.execute("alter table t add column y int default 5")
            await play.check(follower)
            connection.execute("drop table t")
        await follower.until(lambda: follower.error is not None)
        with pytest.raises(UnknownCollectionError):
            await play.follow(T)
        run_each(dsn, "create table t (id int primary key)", "insert into t values (7)", "select realtime.expose('t')")
        await play.caught_up()
        await play.check(await play.follow(T))


async def test_a_partition_that_a_subscription_truncates_is_seen(database: str, database15: str) -> None:
    name = f"sub_{uuid.uuid4().hex[:12]}"
    source = conninfo_to_dict(database15)
    run_each(database, *TABLES)
    run_each(database15, "create table part_1 (id int primary key)", "create publication everything for table part_1")
    async with live_node(database) as play:
        follower = await play.follow(PART)
        conninfo = " ".join(f"{key}={source[key]}" for key in ("host", "port", "user", "dbname"))
        run_each(
            database,
            f"create subscription {name} connection '{conninfo}' publication everything with (copy_data = false)",
        )
        try:
            run_each(database15, "insert into part_1 values (3)")
            await follower.until(lambda: follower.ids == ["1", "2", "3", "100"])
            run_each(database15, "truncate part_1")
            await follower.until(lambda: follower.ids == ["100"])
            run_each(database15, "insert into part_1 values (4)")
            await follower.until(lambda: follower.ids == ["4", "100"])
            await play.check(follower)
        finally:
            run_each(database, f"drop subscription {name}")
