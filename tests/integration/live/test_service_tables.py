"""Administrators' live queries on the service's own tables, beside those of other subscribers with the same questions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.errors import UnknownCollectionError
from engine.identity.principal import Principal
from engine.live.core.shared_query import LiveQuery
from tests.support.nodes.live_node import Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

NODE = "insert into realtime.nodes (id, host, lease_expires_at) values ('n', 'h', now() + '1 day')"
COLUMNS = (
    'id, node_id as "nodeId", user_id as "userId", attributes, transport, ip, connected_at as "connectedAt", '
    'dropped_at as "droppedAt", metadata'
)
INCREMENTAL = Query(
    "realtime.connections",
    {"where": [["transport", "==", "sse"]]},
    json_rows(f"select {COLUMNS} from realtime.connections where transport = 'sse' order by realtime.connections.id"),
)
REREAD = Query(
    "realtime.connections",
    {"where": [["userId", "like", "a%"]], "orderBy": [["ip", "desc"]]},
    json_rows(f"select {COLUMNS} from realtime.connections where user_id like 'a%' order by ip desc, connections.id"),
)


def connection(id: str, user: str, transport: str = "sse", ip: str = "::1") -> str:
    return (
        "insert into realtime.connections (id, node_id, user_id, transport, ip) "
        f"values ('{id}', 'n', '{user}', '{transport}', '{ip}')"
    )


def administrator() -> Principal:
    return Principal("ops", administrator=True, authenticated=True)


async def refused(node: LiveNode, query: Query, principal: Principal) -> str:
    with pytest.raises(UnknownCollectionError) as error:
        await node.follow(query, principal=principal)
    return str(error.value)


async def test_lists_of_administrators_follow_the_tables_of_the_service(database: str) -> None:
    run_each(database, NODE, connection("a", "ann"))
    async with live_node(database) as node:
        followers = [await node.follow(query, principal=administrator()) for query in (INCREMENTAL, REREAD)]
        assert [query_of(each).strategy for each in followers] == ["incremental", "re-read"]
        await node.check(*followers)
        run_each(
            database,
            connection("b", "bob"),
            connection("c", "amy", "websocket", "10.0.0.1"),
            connection("d", "abe", "websocket", "10.0.0.10"),
            "update realtime.connections set transport = 'sse', metadata = '{\"x\": 1}' where id = 'c'",
            "delete from realtime.connections where id = 'a'",
        )
        await node.check(*followers)
        # A migration of a later version that changes the table.
        run_each(database, "alter table realtime.connections add column later text default 'x'", connection("e", "alf"))
        await node.check(*followers)
        await node.looked()
        await node.check(*followers)
        for follower in followers:
            assert "later" not in json.dumps([json.loads(document) for _, document in follower.list])
            found = await node.live.explain(query_of(follower))
            assert "connections" in "\n".join(found.lines), found


async def test_what_administrators_see_is_shared_with_administrators_alone(database: str) -> None:
    run_each(database, NODE, connection("a", "ann"))
    async with live_node(database) as node:
        for query in (INCREMENTAL, REREAD):
            first = await node.follow(query, principal=administrator())
            second = await node.follow(query, principal=administrator())
            assert query_of(first) is query_of(second)
            user = Principal("ops", authenticated=True)
            unknown = Query("realtime.nothing", query.spec, "")
            assert await refused(node, query, user) == (await refused(node, unknown, user)).replace(
                "nothing", "connections"
            )
            # The same subscription, of a principal that is no administrator any more.
            assert first.subscription is not None
            await node.live.reopen(user, first.subscription)
            run_each(database, connection(f"of {query.spec}".replace("'", ""), "amy"))
            await node.check(second)
            assert isinstance(first.error, UnknownCollectionError)


async def test_a_collection_that_has_the_name_of_a_table_of_the_service_is_for_all_others(database: str) -> None:
    run_each(
        database,
        NODE,
        connection("a", "ann"),
        "create table own (id int primary key)",
        "insert into own values (7)",
        "select realtime.expose('own', name => 'realtime.connections')",
    )
    for_all = Query("realtime.connections", {}, json_rows("select * from own order by id"))
    async with live_node(database) as node:
        user, ops = Principal("ann", authenticated=True), administrator()
        theirs, ours = await node.follow(for_all, principal=user), await node.follow(INCREMENTAL, principal=ops)
        run_each(database, "insert into own values (8)", connection("b", "bob"))
        await node.check(theirs, ours)
        assert ids(theirs) == [7, 8]
        assert theirs.subscription is not None
        await node.live.reopen(ops, theirs.subscription)
        run_each(database, connection("c", "cid"))
        await node.caught_up()
        assert sorted(ids(theirs)) == ["a", "b", "c"]


def ids(follower: Follower) -> list[Any]:
    return [json.loads(document)["id"] for _, document in follower.list]


def query_of(follower: Follower) -> LiveQuery:
    assert follower.subscription is not None
    return follower.subscription.query
