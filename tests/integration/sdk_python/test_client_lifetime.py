"""The Python SDK: what ends a subscription, an iterator or a connection, and what begins again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bunbase import Message, RealtimeError

from tests.integration.sdk_python.conftest import MakeClient, next_of
from tests.support.clients.list_client import write
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess


async def test_a_slow_iterator_ends_with_an_error_or_drops_the_oldest(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(channel_name) as channel:
        strict, lossy = channel.messages(buffer=2), channel.messages(buffer=2, overflow="drop-oldest")
        everything = channel.messages()
        for n in range(4):
            await channel.send("sent", n)
        assert [(await anext(everything)).data for _ in range(4)] == [0, 1, 2, 3]
        assert [(await anext(lossy)).data for _ in range(2)] == [2, 3]
        assert lossy.dropped == 2
        assert [(await anext(strict)).data for _ in range(2)] == [0, 1]
        with pytest.raises(RealtimeError):
            await anext(strict)


async def test_iterators_end_with_their_channel_and_connecting_again_brings_it_back(
    client: MakeClient, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        ada = client("ada")
        channel = await ada.channel(channel_name).subscribe()
        messages = channel.messages()
        states = [ada.state]
        await ada.disconnect()
        states.append(ada.state)
        assert states == ["open", "closed"]
        async with client("bob") as bob:
            await bob.channel(channel_name).send("sent", "meanwhile")
        await ada.connect()
        assert (await anext(messages)).data == "meanwhile"
        await channel.unsubscribe()
        with pytest.raises(StopAsyncIteration):
            await anext(messages)


async def test_a_client_disconnected_by_an_administrator_does_not_reconnect(
    client: MakeClient, server: ServerProcess, table: str, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(channel_name):
        ended: asyncio.Queue[RealtimeError] = asyncio.Queue()
        ada.on("error", ended.put_nowait)
        write(table, f"select realtime.disconnect('{ada.connection_id}')")
        error = await next_of(ended)
        while ada.state == "open":
            error = await next_of(ended)
        assert (error.code, ada.state) == ("RT_001", "failed")


async def test_a_listener_that_fails_is_reported_and_the_others_still_run(
    client: MakeClient, channel_name: str
) -> None:
    reported: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.put_nowait(context))
    try:
        async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(channel_name) as channel:
            messages = channel.messages()

            @channel.on("sent")
            def _(message: Message) -> None:
                raise ZeroDivisionError

            await channel.send("sent", 1)
            assert (await anext(messages)).data == 1
            assert isinstance((await next_of(reported))["exception"], ZeroDivisionError)
    finally:
        loop.set_exception_handler(None)


async def test_a_room_that_is_closed_ends_the_subscription(
    client: MakeClient, server: ServerProcess, table: str, channel_name: str
) -> None:
    write(table, f"select realtime.create_channel('{channel_name}')")
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        channel = await ada.channel(channel_name).subscribe()
        messages, events = channel.messages(), asyncio.Queue[Any]()
        channel.on("room:closed", lambda _: events.put_nowait("closed"))
        channel.on("error", lambda error: events.put_nowait(error.code))
        write(table, f"select realtime.close_channel('{channel_name}')")
        assert [await next_of(events), await next_of(events)] == ["closed", "RT_004"]
        assert not channel.is_subscribed
        with pytest.raises(RealtimeError, match="RT_004"):
            await anext(messages)
        with pytest.raises(RealtimeError, match="RT_004"):
            await channel.subscribe()


async def test_a_listener_may_leave_the_channel_it_listens_to(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        channel, left = await ada.channel(channel_name).subscribe(), asyncio.Event()
        got: asyncio.Queue[Any] = asyncio.Queue()

        @channel.on("sent")
        async def _(message: Message) -> None:
            got.put_nowait(message.data)
            await channel.unsubscribe()
            left.set()

        await bob.channel(channel_name).send("sent", 1)
        await left.wait()
        await bob.channel(channel_name).send("sent", 2)
        await channel.subscribe()
        await bob.channel(channel_name).send("sent", 3)
        assert [await next_of(got), await next_of(got)] == [1, 3]


async def test_two_parts_of_an_application_share_a_channel(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        one, other = ada.channel(channel_name, history=3), ada.channel(channel_name)
        await asyncio.gather(one.subscribe(), other.subscribe())
        messages = other.messages()
        await one.unsubscribe()
        await one.send("sent", 1)
        assert (await anext(messages)).data == 1
        await other.unsubscribe()
        superseded = asyncio.create_task(one.subscribe())
        await asyncio.sleep(0)
        await asyncio.gather(one.unsubscribe(), superseded)
        assert not one.is_subscribed
        # The history comes with the answer, before there is a listener.
        await one.subscribe()
        assert (await anext(one.messages())).data == 1


async def test_a_subscribe_that_waits_at_a_disconnect_returns_and_the_next_one_is_served(
    client: MakeClient, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        ada = client("ada")
        channel = ada.channel(channel_name)
        waiting = asyncio.create_task(channel.subscribe())
        await asyncio.sleep(0)
        await ada.disconnect()
        assert await waiting is channel
        assert not channel.is_subscribed
        await channel.subscribe()
        await channel.send("sent", 1)


async def test_requests_during_a_disconnect_are_refused_and_connect_begins_anew(
    client: MakeClient, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        ada = client("ada")
        await ada.channel(f"presence:{channel_name}").subscribe()
        ending = asyncio.create_task(ada.disconnect())
        await asyncio.sleep(0)
        sending = asyncio.create_task(ada.channel(channel_name).send("sent", 1))
        connecting = asyncio.create_task(ada.connect())
        await ending
        with pytest.raises(RealtimeError, match="RT_001"):
            await sending
        await connecting
        assert ada.state == "open"
        await ada.channel(channel_name).send("sent", 2)
