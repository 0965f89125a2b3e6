"""Rules of channels over the wire: what is saved by SQL acts on clients that are connected, and on those that come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest

from tests.support.clients.transports import TransportClient, transport_client
from tests.support.nodes.server_nodes import NodeHere
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER

ROOM = "private:room-123"
MEMBERS = "auth.uid != null && data.members.includes(auth.uid)"


@pytest.fixture(params=["pgoutput", "wal2json"])
async def node(request: pytest.FixtureRequest) -> AsyncIterator[NodeHere]:
    database = request.getfixturevalue("database" if request.param == "pgoutput" else "database15")
    node = NodeHere(database, request.param)
    await node.start()
    yield node
    await node.stop()


class World:
    """A node, its database, and clients by user."""

    def __init__(self, node: NodeHere, stack: AsyncExitStack) -> None:
        self._node = node
        self._stack = stack

    async def client(self, user: str, transport: str = "websocket") -> TransportClient:
        address = f"http://127.0.0.1:{self._node.port}"
        return await self._stack.enter_async_context(transport_client(address, transport, user=user))

    def sql(self, statement: str, *values: object) -> Any:
        with psycopg.connect(self._node.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return None if cursor.description is None else cursor.fetchone()

    def rules(self, channel: str, **rules: object) -> None:
        self.sql("select realtime.set_rules(%s::jsonb)", json.dumps({"channel": channel, "rules": rules}))

    def members(self, *users: str) -> None:
        metadata = json.dumps({"metadata": {"members": users}})
        self.sql("select realtime.update_channel(%s, %s::jsonb)", ROOM, metadata)


@pytest.fixture
async def world(node: NodeHere) -> AsyncIterator[World]:
    async with asyncio.timeout(2 * GIVE_UP_AFTER), AsyncExitStack() as stack:
        yield World(node, stack)


async def test_members_of_a_room_come_and_go_with_its_metadata(world: World) -> None:
    world.rules(ROOM, subscribe=MEMBERS, publish=MEMBERS, presence=True)
    world.sql("select realtime.create_channel(%s, %s::jsonb)", ROOM, '{"members": ["ann", "bob"]}')
    ann, bob, eve = await world.client("ann"), await world.client("bob", "msgpack"), await world.client("eve", "sse")
    for member in (ann, bob):
        assert (await member.join(ROOM, presence=True))["type"] == "subscribed"
    refused = await eve.join(ROOM)
    assert (refused["type"], refused["code"], refused["channel"]) == ("error", "RT_003", ROOM)
    assert refused["message"] == f"you may not subscribe to '{ROOM}': the rule of '{ROOM}' does not allow it"

    world.members("ann", "eve")
    lost = await bob.receive("error")
    assert (lost["code"], lost["channel"]) == ("RT_003", ROOM)
    assert (await ann.receive("presence:leave"))["user"]["id"] == "bob"
    assert (await eve.join(ROOM))["type"] == "subscribed"
    await bob.send(type="message", channel=ROOM, event="sent", data=1)
    assert (await bob.receive("error"))["code"] == "RT_003"
    await eve.send(type="message", channel=ROOM, event="sent", data=2)
    assert (await ann.receive("message"))["data"] == 2
    await bob.send(type="ping")
    await bob.receive("pong")
    assert [message for message in bob.received if message["type"] == "message"] == []

    world.members("ann", "bob")
    assert (await bob.join(ROOM))["type"] == "subscribed"
    assert (await eve.receive("error"))["code"] == "RT_003"


async def test_a_rule_that_is_saved_changed_or_deleted_acts_on_clients_that_are_connected(world: World) -> None:
    ann, bob = await world.client("ann"), await world.client("bob", "poll")
    assert (await ann.join("private:staff"))["code"] == "RT_003", "private channels are closed without a rule"
    world.rules("private:*", subscribe="auth.uid in ['ann', 'bob']")
    for each in (ann, bob):
        assert (await each.join("private:staff"))["type"] == "subscribed"
    assert (await ann.join("private:user-ann"))["type"] == "subscribed"
    world.rules("private:st*", subscribe="auth.uid == 'bob'")
    assert (await ann.receive("error"))["channel"] == "private:staff"
    world.sql("""update realtime.rules set rules = '{"subscribe": "auth.uid =="}' where channel = 'private:st*'""")
    assert (await bob.receive("error"))["channel"] == "private:staff"
    assert (await bob.join("private:staff"))["code"] == "RT_003", "a rule that does not compile denies"
    assert world._node._node.status()["rules"]["problems"][0].startswith("rule of 'private:st*', subscribe: ")
    world.sql("delete from realtime.rules where channel = 'private:st*'")
    assert (await bob.join("private:staff"))["type"] == "subscribed"
    world.sql("truncate realtime.rules")
    assert (await bob.receive("error"))["channel"] == "private:staff"
    assert (await ann.join("private:user-ann", id="again"))["type"] == "error"
    await ann.send(type="message", channel="private:user-ann", event="sent", data=1)
    assert (await ann.receive("message"))["data"] == 1, "the user's own channel is open without a rule"


@pytest.mark.parametrize(
    ("rule", "error", "failed_in"),
    [
        ("data.members.includes(auth.uid)", "there is no field 'members'", "private:1"),
        ("auth.name == 'ann'", "there is no field 'name'", "private:1"),
        ("user == 'ann'", "there is no variable 'user': auth, channel, data, request", None),
    ],
)
async def test_an_error_of_a_rule_is_reported_where_the_rule_was_saved(
    world: World, rule: str, error: str, failed_in: str | None
) -> None:
    errors = "select channel, action, condition, error, failed_in from realtime.rule_errors"
    ann = await world.client("ann")
    world.rules("private:*", publish=rule)
    if failed_in is not None:
        await ann.send(type="message", channel="private:1", event="sent", data=1)
        assert (await ann.receive("ack", "error"))["code"] == "RT_003"
    assert await until(lambda: world.sql(errors)) == ("private:*", "publish", rule, error, failed_in)
    world.rules("private:*", publish="true")
    assert world.sql(errors) is None


async def test_presence_and_publishing_have_rules_of_their_own(world: World) -> None:
    world.rules("public:board", publish="request.event == 'note' && !auth.anonymous", presence=False)
    ann = await world.client("ann")
    assert (await ann.join("public:board", presence=True))["code"] == "RT_003"
    assert (await ann.join("public:board"))["type"] == "subscribed"
    for event, kind in (("note", "ack"), ("other", "error")):
        await ann.send(type="message", channel="public:board", event=event, data=1)
        assert (await ann.receive("ack", "error"))["type"] == kind
    world.rules("public:board", presence="auth.uid == 'ann'")
    await ann.send(type="unsubscribe", channel="public:board")
    assert (await ann.join("public:board", presence=True))["type"] == "subscribed"
    world.rules("public:board", presence=False)
    lost = await ann.receive("error")
    assert lost["message"].startswith("you may not be present in 'public:board'")
    assert (await ann.join("public:board"))["type"] == "subscribed"
