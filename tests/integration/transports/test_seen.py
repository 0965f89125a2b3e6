"""``seen``: the answer comes behind everything that a write has caused, whatever it is and whenever it commits."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from tests.support.clients.list_client import TOP, read, write
from tests.support.clients.transports import TRANSPORTS, Message, TransportClient, transport_client
from tests.support.clients.users import UserClient, running_server, user_client
from tests.support.servers.processes import GIVE_UP_AFTER

COUNT = {"sql": "select count(*) as n from messages"}


async def follow(client: TransportClient, query: dict[str, Any], id: str) -> None:
    answer = await client.join("db:collection:messages", id=id, query=query)
    assert answer["type"] == "subscribed", answer
    await client.receive("snapshot")


async def up_to_answer(client: TransportClient) -> list[Message]:
    """Everything that comes, the answer to ``seen`` as the last."""
    assert not client.received
    messages: list[Message] = []
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not messages or messages[-1]["type"] not in ("seen", "error"):
            messages.append(await client.next())
    return messages


def what(messages: list[Message]) -> list[str]:
    return sorted(str(message.get("id", message["channel"])) for message in messages[:-1])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_answer_is_behind_the_changes_of_lists_of_both_kinds_and_the_messages(
    table: str, transport: str
) -> None:
    async with running_server(table) as server, transport_client(server.url, transport) as client:
        await follow(client, TOP, "top")
        await follow(client, COUNT, "count")
        await client.join("chat:1")
        with psycopg.connect(table) as sql:
            [(position,)] = sql.execute("select realtime.position()")  # before the first write, which is as good
            sql.execute("insert into messages values (1, 'a', '', 0)")
            sql.execute("select realtime.broadcast('chat:1', 'made', '1', id => 'm')")
        await client.send(type="seen", position=position, ref="r")
        messages = await up_to_answer(client)
        assert messages[-1].keys() == {"type", "ref", "position"}
        assert (messages[-1]["type"], messages[-1]["ref"]) == ("seen", "r")
        assert what(messages) == ["count", "m", "top"]


async def test_a_transaction_that_has_not_ended_is_waited_for(table: str) -> None:
    async with running_server(table) as server, user_client(server, "ada") as client:
        await follow(client, TOP, "top")
        with psycopg.connect(table) as sql:
            sql.execute("insert into messages values (1, 'a', '', 0)")
            [(position,)] = sql.execute("select realtime.position()")
            await client.send(type="seen", position=position, ref="mine")
            write(table, "insert into messages values (2, 'a', '', 0)")
            assert (await client.next())["id"] == "top"  # of the other one; the answer is not there
            await answered_another(client, table)
        messages = await up_to_answer(client)
        assert (messages[-1]["type"], what(messages)) == ("seen", ["top"])


async def answered_another(client: TransportClient, dsn: str) -> None:
    """The server asks the database and answers, while the transaction is in progress."""
    await client.send(type="seen", position=read(dsn, "select realtime.position()")[0][0], ref="another")
    assert (await client.receive("seen", "error"))["ref"] == "another"


async def test_a_transaction_that_is_rolled_back_is_an_error_whenever_it_is(table: str) -> None:
    async with running_server(table) as server, user_client(server, "ada") as client:
        with psycopg.connect(table) as sql:
            [(position,)] = sql.execute("select realtime.position()")
            await client.send(type="seen", position=position, ref="before")
            await answered_another(client, table)
            sql.rollback()
        await refused(client, "RT_004", "rolled back")
        await client.send(type="seen", position=position, ref="after")
        await refused(client, "RT_004", "rolled back")


async def refused(client: UserClient, code: str, text: str) -> None:
    error = await client.receive("error", "seen")
    assert error.get("code") == code, error
    assert text in error["message"]
    assert error["ref"]


async def test_what_is_no_position_of_this_database_is_refused(table: str) -> None:
    async with running_server(table) as server, user_client(server, "ada") as client:
        for position in ("xid:0", "xid:x", "", "nonsense", "0/16B3748/x"):
            await client.send(type="seen", position=position, ref="r")
            await refused(client, "RT_007", "is no position")
        for position in ("xid:999999999999999999", "FFFFFF/0"):
            await client.send(type="seen", position=position, ref="r")
            await refused(client, "RT_007", "the database has")
        await client.send(type="seen", position="xid:3", ref="long ago")  # of initdb; its end may be forgotten
        assert (await client.receive("seen", "error"))["type"] == "seen"


async def test_the_positions_of_messages_and_of_the_log_will_do(table: str) -> None:
    async with running_server(table) as server, user_client(server, "ada") as client:
        await client.join("chat:1")
        ack = await client.ask(type="message", channel="chat:1", event="e", ref="r")
        await client.send(type="seen", position=ack["position"], ref="s")
        await client.receive("seen")
        await client.receive("message")
        [(position,)] = read(table, "select pg_current_wal_insert_lsn()::text")
        await client.send(type="seen", position=position, ref="t")
        assert (await client.receive("seen", "error"))["ref"] == "t"


async def test_subscriptions_that_were_asked_for_before_have_their_lists(table: str) -> None:
    write(table, "insert into messages values (1, 'a', '', 0)")
    async with running_server(table) as server, user_client(server, "ada") as client:
        [(position,)] = read(table, "select realtime.position()")
        for id, query in (("top", TOP), ("count", COUNT)):
            await client.send(type="subscribe", channel="db:collection:messages", id=id, query=query)
        await client.send(type="subscribe", channel="chat:1", history=1)
        await client.send(type="seen", position=position, ref="r")
        messages = await up_to_answer(client)
        assert what(messages) == ["chat:1", "count", "count", "top", "top"]
