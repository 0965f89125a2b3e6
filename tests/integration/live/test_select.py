"""Documents with some of their fields: what PostgreSQL gives for these columns, and no event where they stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.errors import InvalidQueryError
from engine.feed.settings import DecoderName
from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent
from tests.integration.live.rights.conftest import Rows, Watching, served
from tests.support.nodes.live_node import json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

TABLE = """
create table todo (id int primary key, title text not null, done boolean not null default false, rank int not null,
  body text, area box, kind regclass);
alter table todo alter column body set storage external;
select realtime.expose('todo');
insert into todo (id, title, rank, body) select i, 'title ' || i, i * 10, repeat('x', 9000) from generate_series(1, 9) i;
create table pair (id int primary key, title text not null);
select realtime.expose('pair');
insert into pair values (1, 'a'), (2, 'b')
"""


@dataclass
class Base:
    """A database with the tables, and how its WAL is decoded."""

    dsn: str
    decoder: DecoderName

    def run(self, *statements: str) -> None:
        run_each(self.dsn, *statements)


@pytest.fixture(params=[("database", "pgoutput"), ("database15", "wal2json")], ids=["pgoutput", "wal2json"])
def base(request: pytest.FixtureRequest) -> Base:
    database, decoder = request.param
    made = Base(request.getfixturevalue(database), decoder)
    made.run(*TABLE.split(";"))
    return made


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    with served(database) as found:
        yield found


def titles(sql: str, **spec: Any) -> Query:
    """A query of titles, and what SQL has behind its columns for it."""
    return Query("todo", {"select": ["title"], **spec}, json_rows(f"select id, title from todo {sql}"))


ALL = titles("order by id")
TOP = titles("where not done order by rank, id limit 3", where=[["done", "==", False]], orderBy=["rank"], limit=3)
NEXT = titles("where rank > 20 order by rank, id limit 3", orderBy=["rank"], startAfter=[20], limit=3)
READ_AGAIN = titles(
    "where area is null or not area = box '(1,1),(0,0)' order by id",
    where=[{"or": [["area", "is-null"], {"not": ["area", "==", "(1,1),(0,0)"]}]}],
)


async def test_a_change_of_other_fields_is_no_event(base: Base) -> None:
    async with live_node(base.dsn, decoder=base.decoder) as node:
        followers = [await node.follow(query) for query in (ALL, TOP, NEXT, READ_AGAIN)]
        strategies = [follower.subscription and follower.subscription.strategy for follower in followers]
        assert strategies == ["incremental", "incremental", "incremental", "re-read"]
        base.run(
            "update todo set body = 'other' where id = 1",
            "update todo set body = null, area = '(2,2),(0,0)', kind = 'todo' where id = 3",
            "update todo set title = title, done = not done where id = 9",
        )
        await node.check(*followers)
        assert [follower.events for follower in followers] == [1, 1, 1, 1]
        base.run("update todo set title = 'new', body = repeat('y', 9000) where id = 3")
        await node.check(*followers)
        assert [follower.events for follower in followers] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("update todo set rank = 35 where id = 1", [("modified", 0, 2, "1")]),
        ("update todo set rank = 45 where id = 1", [("removed", 0, -1, "1"), ("added", -1, 2, "4")]),
        ("update todo set rank = 1 where id = 9", [("removed", 2, -1, "3"), ("added", -1, 0, "9")]),
        ("update todo set done = true where id = 2", [("removed", 1, -1, "2"), ("added", -1, 2, "4")]),
        ("update todo set rank = 11 where id = 1", []),
    ],
)
async def test_a_row_moves_by_fields_that_are_not_selected(
    base: Base, statement: str, changes: list[tuple[str, int, int, str]]
) -> None:
    events: list[WindowEvent] = []
    async with live_node(base.dsn, decoder=base.decoder) as node:
        follower = await node.follow(TOP)
        watching = await node.live.subscribe(Principal(), "todo", TOP.spec, lambda _, event: events.append(event))
        watching.begin()
        base.run(statement)
        await node.check(follower)
        assert follower.events == 1 + bool(changes)
        found = [(each.type, each.old_index, each.new_index, each.id) for event in events[1:] for each in event.changes]
        assert found == changes


async def test_what_is_selected_decides_whether_a_query_is_incremental(base: Base) -> None:
    async with live_node(base.dsn, decoder=base.decoder) as node:
        whole = await node.follow(Query("todo", {}, json_rows("select * from todo order by id")))
        kind = await node.follow(
            Query("todo", {"select": ["kind"]}, json_rows("select id, kind from todo order by id"))
        )
        for follower in (whole, kind):
            assert follower.subscription is not None
            assert follower.subscription.reason == "the JSON form of column 'kind' (regclass) cannot be reproduced"
        title = await node.follow(ALL)
        assert title.subscription is not None
        assert title.subscription.strategy == "incremental"
        base.run("update todo set kind = 'pg_class', title = 'pairs' where id = 1")
        await node.check(whole, kind, title)


async def test_a_key_that_is_not_exposed_stays_hidden(base: Base) -> None:
    base.run("select realtime.expose('todo', columns => '{title, rank, area}')")
    query = titles("", orderBy=["rank"])
    query = replace(query, truth=json_rows("select title from todo order by rank"))
    area = Query("todo", {**query.spec, "select": ["area"], "where": [["area", "<", "(9,9),(0,0)"]]}, "")
    area = replace(area, truth=json_rows("select area from todo where area < '(9,9),(0,0)' order by rank"))
    async with live_node(base.dsn, decoder=base.decoder) as node:
        followers = [await node.follow(query), await node.follow(area)]
        base.run("update todo set body = 'new', rank = rank + 1", "update todo set area = '(1,1),(0,0)' where id < 4")
        await node.check(*followers)
        assert followers[0].events == 1
        assert followers[1].ids == ["1", "2", "3"]
        base.run("update todo set title = 'new', area = '(2,1),(0,0)' where id = 3")
        await node.check(*followers)
        with pytest.raises(InvalidQueryError, match="no field 'id'"):
            await node.follow(Query("todo", {"select": ["id"]}, ""))


async def test_equal_queries_are_one_whatever_the_order_of_the_names(base: Base) -> None:
    async with live_node(base.dsn, decoder=base.decoder) as node:
        for names in (["title", "done"], ["done", "title"]):
            await node.follow(Query("todo", {"select": names}, ""))
        assert node.live.status()["queries"] == 1
        await node.follow(Query("todo", {"select": ["title"]}, ""))
        await node.follow(Query("todo", {}, ""))
        assert node.live.status()["queries"] == 3


PAIRS = (
    Query("pair", {}, "select * from pair"),
    Query("pair", {"select": ["id", "title"]}, "select id, title from pair"),
    Query("pair", {"select": ["title"]}, "select id, title from pair"),
    Query("pair", {"sql": "select * from pair order by id"}, "select * from pair"),
    Query("pair", {"sql": "select id, title from pair order by id"}, "select id, title from pair"),
    Query("pair", {"sql": "select p.* from pair p order by id"}, "select * from pair"),
)


@pytest.mark.parametrize("first", range(len(PAIRS)))
async def test_queries_that_are_alike_today_differ_when_a_column_comes(base: Base, first: int) -> None:
    """The one that comes first would decide for all, if they shared a window."""
    async with live_node(base.dsn, decoder=base.decoder) as node:
        order = (*PAIRS[first:], *PAIRS[:first])
        followers = [await node.follow(replace(each, truth=json_rows(f"{each.truth} order by id"))) for each in order]
        base.run("alter table pair add column extra int default 5", "update pair set title = 'c' where id = 1")
        await node.check(*followers)


async def test_another_key_is_selected_when_the_table_gets_one(base: Base) -> None:
    base.run("alter table pair add column number int not null unique generated always as identity")
    async with live_node(base.dsn, decoder=base.decoder) as node:
        one = await node.follow(Query("pair", {"select": ["id", "title"]}, json_rows("select id, title from pair")))
        other = await node.follow(Query("pair", {"select": ["title"]}, one.query.truth))
        await node.check(one, other)
        base.run("alter table pair drop constraint pair_pkey, add primary key (number)")
        one.query = replace(one.query, truth=json_rows("select id, title, number from pair order by number"))
        other.query = replace(other.query, truth=json_rows("select title, number from pair order by number"))
        base.run("update pair set title = 'c' where id = 1")
        await node.check(one, other)


async def test_a_column_that_goes_ends_the_queries_that_select_it(base: Base) -> None:
    async with live_node(base.dsn, decoder=base.decoder) as node:
        title, done = await node.follow(ALL), await node.follow(Query("todo", {"select": ["done"]}, ""))
        base.run("alter table todo drop column done")
        await done.until(lambda: done.error is not None)
        assert isinstance(done.error, InvalidQueryError)
        assert "no field 'done'" in str(done.error)
        base.run("update todo set title = 'new' where id = 3")
        await node.check(title)


async def test_rows_come_and_go_by_policies_of_columns_that_are_not_selected(rows: Rows) -> None:
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, {"select": ["body"]}, "select id, body from note order by id")
        await watching.add(rows.principal("ann"), rows.principal("bob"), rows.principal("lead", rows.staff))
        followers = [follower for _, follower in watching.followers]
        assert [follower.subscription and follower.subscription.strategy for follower in followers] == [
            "incremental"
        ] * 3
        for statement, events in (
            ("update note set org = 7, secret = 'x'", [1, 1, 1]),
            ("update note set body = 'of ann' where id = 1", [2, 1, 2]),
            ("update note set owner = 'bob' where id = 1", [3, 2, 2]),
            ("update note set owner = 'ann' where owner = 'bob'", [4, 3, 2]),
        ):
            run_each(rows.dsn, statement)
            await watching.check()
            assert [follower.events for follower in followers] == events, statement


@pytest.mark.parametrize("policy", ["owner = me()", "pg_column_size(secret) is null and owner = me()"])
async def test_a_field_that_the_role_may_not_select_is_none_of_its_documents(rows: Rows, policy: str) -> None:
    run_each(rows.dsn, f"alter policy own on note using ({policy})", "select realtime.expose('note')")
    async with live_node(rows.dsn) as node:
        for select, problem in (
            (["secret"], "no field 'secret'; it has 'id', 'owner', 'org', 'body'$"),
            (["body", "secre"], "no field 'secre'; it has 'id', 'owner', 'org', 'body'$"),
            (["bod"], "no field 'bod'; did you mean 'body'"),
        ):
            with pytest.raises(InvalidQueryError, match=problem):
                await node.follow(Query("note", {"select": select}, ""), principal=rows.principal("ann"))
        found = await node.follow(Query("note", {"select": ["body"]}, ""), principal=rows.principal("ann"))
        assert found.documents() == [{"id": 1, "body": "a"}]
