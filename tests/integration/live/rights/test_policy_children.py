"""Tables that policies read need not be exposed, and may get children and partitions: subscribers keep their lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.errors import QueryRejectedError
from engine.feed.settings import DecoderName
from tests.integration.live.rights.conftest import ALL, SUM, Rows, Watching, served
from tests.support.nodes.live_node import QUICK, live_node
from tests.support.postgres.sql import read, run_each

ROWS = "select id, owner, org, body from note order by id"
BY_FUNCTION = (
    "create function knows(who text, what int) returns boolean language plpgsql stable security definer as "
    "$$ begin return exists (select from member where person = who and org = what); end $$"
)
Streamed = tuple[Rows, DecoderName]


@pytest.fixture(params=[("database", "pgoutput"), ("database15", "wal2json")], ids=["pgoutput", "wal2json"])
def streamed(request: pytest.FixtureRequest) -> Iterator[Streamed]:
    """The tables, none but ``note`` exposed, and the plugin by which their changes come."""
    database, decoder = request.param
    with served(request.getfixturevalue(database)) as rows:
        yield rows, decoder


async def test_a_user_removed_from_a_table_that_is_not_exposed_gets_no_more_rows(streamed: Streamed) -> None:
    rows, decoder = streamed
    run_each(
        rows.dsn,
        "alter policy own on note using (org in (select m.org from member m where m.person = claim('sub')))",
        "select realtime.expose('note')",
    )
    assert read(rows.dsn, "select relation::regclass::text from realtime.collections") == [("note",)]
    async with live_node(rows.dsn, decoder=decoder) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await watching.add(rows.principal("ann"), rows.principal("bob"))
        ann = watching.followers[0][1]
        assert ann.ids == ["1", "2"]
        for step, ids in (
            ("delete from member where person = 'ann'", []),
            ("insert into note values (5, 'bob', 1, 'after the removal')", []),
            ("insert into member values (2, 'ann')", ["3"]),
            ("update member set org = 1 where person = 'ann'", ["1", "2", "5"]),
            ("truncate member", []),
        ):
            run_each(rows.dsn, step)
            await watching.check()
            assert ann.ids == ids, step


@pytest.mark.parametrize("policy", ["org in (select m.org from member m where m.person = me())", "knows(me(), org)"])
async def test_lists_go_on_when_a_table_that_policies_read_gets_children(streamed: Streamed, policy: str) -> None:
    rows, decoder = streamed
    run_each(rows.dsn, BY_FUNCTION, f"alter policy own on note using ({policy})", "select realtime.expose('note')")
    async with live_node(rows.dsn, decoder=decoder) as node:
        watching = [Watching(rows, node, ALL, ROWS), Watching(rows, node, SUM, SUM["sql"])]
        for each in watching:
            await each.add(rows.principal("ann"), rows.principal("eve"))
        for step in (
            "create table member_eu () inherits (member)",
            "insert into member_eu values (3, 'ann'), (2, 'eve')",
            "update member_eu set person = 'ann' where person = 'eve'",
            "create table member_asia (like member including all); insert into member_asia values (1, 'eve'), (3, 'eve')",
            "create table member_japan () inherits (member_asia)",
            "insert into member_japan values (2, 'eve')",
            "alter table member_asia inherit member",
            "delete from member_japan",
            "alter table member_asia no inherit member",
            "alter table member_asia inherit member",
            "truncate member_eu",
            "drop table member_japan; drop table member_asia",
        ):
            run_each(rows.dsn, step)
            for each in watching:
                await each.check()


async def test_lists_go_on_when_a_partitioned_table_that_policies_read_gets_partitions(streamed: Streamed) -> None:
    rows, decoder = streamed
    run_each(
        rows.dsn,
        "create table seat (org int, person text, primary key (org, person)) partition by list (org)",
        "create table seat_1 partition of seat for values in (1)",
        f"grant select on seat to {rows.people}",
        "alter policy own on note using (org in (select s.org from seat s where s.person = me()))",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn, decoder=decoder) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await watching.add(rows.principal("ann"), rows.principal("eve"))
        for step in (
            "insert into seat values (1, 'ann')",
            "create table seat_2 partition of seat for values in (2)",
            "insert into seat values (2, 'ann'), (2, 'eve')",
            "truncate seat_2",
            "create table seat_3 (like seat including all); insert into seat_3 values (3, 'ann')",
            "alter table seat attach partition seat_3 for values in (3)",
            "truncate seat_3",
            "insert into seat values (3, 'eve')",
            "alter table seat detach partition seat_3",
        ):
            run_each(rows.dsn, step)
            await watching.check()


async def test_a_child_that_may_not_be_published_ends_the_queries_and_the_error_names_the_next_step(rows: Rows) -> None:
    """Without its event trigger nothing publishes the child."""
    run_each(
        rows.dsn,
        "alter policy own on note using (org in (select m.org from member m where m.person = me()))",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn, live=replace(QUICK, watch_interval=0.1)) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await watching.add(rows.principal("ann"))
        [(_, follower)] = watching.followers
        run_each(
            rows.dsn,
            "alter event trigger realtime_ddl_end disable",
            "create table member_eu (primary key (org, person)) inherits (member)",
            "insert into member_eu values (3, 'ann')",
        )
        assert read(rows.dsn, "select realtime.is_published('member_eu')") == [(False,)]
        await follower.until(lambda: follower.error is not None)
        assert isinstance(follower.error, QueryRejectedError)
        assert "expose it again" in str(follower.error)
        run_each(rows.dsn, "alter event trigger realtime_ddl_end enable", "select realtime.expose('note')")
        again = Watching(rows, node, ALL, ROWS)
        await again.add(rows.principal("ann"))
        await again.check()
