"""Partitions that leave and come back without event triggers: the catalog's marks are all that shows it."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from engine.catalog.load import load_marks
from tests.support.nodes.live_node import QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

TABLES = (
    "create table p (id int, k int, x text, primary key (id, k)) partition by list (k)",
    "create table p1 partition of p for values in (1)",
    "create table p2 partition of p for values in (2) partition by range (id)",
    "create table p2a partition of p2 for values from (0) to (100)",
    "create table p2b partition of p2 for values from (100) to (200)",
    "insert into p values (1, 1, 'a'), (2, 2, 'b'), (100, 2, 'c')",
    "select realtime.expose('p')",
    "drop event trigger realtime_ddl_end",
    "drop event trigger realtime_ddl_drop",
)
ALL = Query("p", {"orderBy": [["id", "asc"]]}, json_rows("select * from p order by id, k"))
WATCHFUL = replace(QUICK, watch_interval=0.1)


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        (
            "alter table p2 detach partition p2b; insert into p2b values (101, 2, 'w'); "
            "alter table p2 attach partition p2b for values from (100) to (200)",
            ['["1","1"]', '["2","2"]', '["100","2"]', '["101","2"]'],
        ),
        (
            "alter table p detach partition p1; truncate p1; insert into p1 values (7, 1, 'w'); "
            "alter table p attach partition p1 for values in (1)",
            ['["2","2"]', '["7","1"]', '["100","2"]'],
        ),
        (
            "alter table p detach partition p2; delete from p2 where id = 2; "
            "alter table p attach partition p2 for values in (2)",
            ['["1","1"]', '["100","2"]'],
        ),
    ],
    ids=["a leaf", "a leaf with other rows", "a partitioned partition"],
)
async def test_rows_loaded_while_a_partition_was_detached_are_seen(dsn: str, changes: str, ids: list[str]) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn, live=WATCHFUL) as play:
        follower = await play.follow(ALL)
        run_each(dsn, f"begin; {changes}; commit")
        await follower.until(lambda: follower.ids == ids)
        await play.check(follower)
        assert not follower.failures


async def test_maintenance_of_the_system_catalogs_changes_no_mark(dsn: str) -> None:
    run_each(dsn, *TABLES)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        before = await load_marks(connection)
        for table in ("p", "p1", "p2a", "pg_inherits", "pg_class", "pg_attribute", "pg_publication"):
            await connection.execute(f"vacuum (full, freeze, analyze) {table}".encode())
            await connection.execute(f"vacuum (freeze) {table}".encode())
        assert (await load_marks(connection)).changed(before) == set()
