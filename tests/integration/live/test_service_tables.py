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
from tests.support.postgres.sql import run_each, until

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


async def test_lists_on_what_no_stream_brings_follow_it_by_the_clock_and_are_shared(database: str) -> None:
    run_each(database, NODE, "select realtime.create_channel('chat:1')")
    queries = [
        Query(f"realtime.{name}", spec, json_rows(f"select {columns} from realtime.{name} {rest}"))
        for name, spec, columns, rest in (
            ("stat_nodes", {"where": [["node", "==", "n"]]}, "node, state, connections", "where node = 'n'"),
            (
                "stat_channels",
                {"where": [["channel", "like", "chat:%"]], "orderBy": [["members", "desc"]], "limit": 2},
                'channel, room, subscribers, members, capacity, last_message_at as "lastMessageAt"',
                "where channel like 'chat:%' order by members desc, channel limit 2",
            ),
            ("stat_latency", {"orderBy": ["stage"]}, "*", "order by stage"),
            ("alerts", {"where": [["clearedAt", "is-null"]]}, "rule, measure, severity", "where cleared_at is null"),
            ("stat_channels", {"select": ["members"]}, "channel, members", "order by channel"),
        )
    ]
    async with live_node(database) as node:
        followers = [await node.follow(query, principal=administrator()) for query in queries]
        assert {query_of(each).strategy for each in followers} == {"re-read"}
        assert {query_of(each).plan.time_dependent for each in followers} == {True}  # type: ignore[union-attr]
        assert query_of(await node.follow(queries[1], principal=administrator())) is query_of(followers[1])
        run_each(
            database,
            connection("a", "ann"),
            "select realtime.create_channel('chat:2', capacity => 3)",
            "insert into realtime.presence (channel, connection_id, user_id) values ('chat:2', 'a', 'ann')",
            "insert into realtime.alerts (rule, measure, subject, severity, value, threshold) "
            "select name, measure, 'all', severity, 2, 1 from realtime.alert_rules where name = 'slot_lag'",
        )
        nodes, channels, latency, alerts, members = followers
        await until(lambda: documents(nodes)[0]["connections"] == 1 and len(documents(alerts)) == 1)
        await until(lambda: [each["channel"] for each in documents(channels)] == ["chat:2", "chat:1"])
        assert documents(channels)[0] == {
            "channel": "chat:2",
            "room": True,
            "subscribers": 0,
            "members": 1,
            "capacity": 3,
            "lastMessageAt": None,
        }
        await until(
            lambda: documents(members) == [{"channel": "chat:1", "members": 0}, {"channel": "chat:2", "members": 1}]
        )
        assert [each["stage"] for each in documents(latency)] == ["apply", "encode", "feed", "total", "write"]
        assert documents(alerts)[0]["rule"] == "slot_lag"
        run_each(database, "update realtime.alerts set cleared_at = now()", "delete from realtime.connections")
        await until(lambda: documents(alerts) == [] and documents(nodes)[0]["connections"] == 0)
        user = Principal("ops", authenticated=True)
        for query in queries:
            await refused(node, query, user)


async def test_an_exposed_table_and_the_administrators_list_of_it_are_two_collections(database: str) -> None:
    run_each(database, "select realtime.expose('realtime.alerts')")
    for_all = {"limit": 5}
    async with live_node(database) as node:
        theirs = await node.follow(Query("alerts", for_all, ""), principal=Principal("ann", authenticated=True))
        ours = await node.follow(Query("realtime.alerts", for_all, ""), principal=administrator())
        assert [query_of(each).strategy for each in (theirs, ours)] == ["incremental", "re-read"]
        run_each(
            database,
            "insert into realtime.alerts (rule, measure, subject, severity, value, threshold) "
            "select name, measure, 'all', severity, 2, 1 from realtime.alert_rules where name = 'slot_lag'",
        )
        await until(lambda: len(theirs.list) == len(ours.list) == 1)


def documents(follower: Follower) -> list[dict[str, Any]]:
    return [json.loads(document) for _, document in follower.list]


def ids(follower: Follower) -> list[Any]:
    return [json.loads(document)["id"] for _, document in follower.list]


def query_of(follower: Follower) -> LiveQuery:
    assert follower.subscription is not None
    return follower.subscription.query
