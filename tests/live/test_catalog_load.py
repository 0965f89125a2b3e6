"""Loading the catalog: locked tables do not hold it up, and what is not exposed does not cause it."""

from __future__ import annotations

from tests.live.stage import json_rows, open_transaction, run, stage
from tests.oracle.queries import Query

TABLES = (
    "create table a (id int primary key)",
    "create table b (id int primary key)",
    "create table p (id int primary key) partition by range (id)",
    "create table p1 partition of p for values from (0) to (10)",
    "select realtime.expose('a')",
    "select realtime.expose('b')",
    "select realtime.expose('p')",
)
B = Query("b", {}, json_rows("select * from b order by id"))


async def test_an_open_alter_table_does_not_keep_other_tables_from_being_subscribed_to(dsn: str) -> None:
    run(dsn, *TABLES)
    async with stage(dsn) as play:
        with open_transaction(dsn, "alter table a add column y int", "alter table p1 add constraint c check (id > -1)"):
            run(dsn, "create table elsewhere (id int)", "alter table b add column z int")
            follower = await play.follow(B)
            run(dsn, "insert into b values (1, 2)")
            await play.check(follower)
