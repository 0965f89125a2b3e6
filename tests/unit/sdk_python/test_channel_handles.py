"""A channel that several parts of an application use, and listeners that are added after ``subscribe()``."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from bunbase import Channel, ErrorCode, Realtime, RealtimeError
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.core.channel_state import ChannelOptions, ChannelState

REFUSED = RealtimeError(ErrorCode.PERMISSION_DENIED, "no", "chat:1")
GONE = RealtimeError(ErrorCode.CONNECTION_FAILED, "disconnected")


def made(**options: Any) -> tuple[SubscriptionManager, Channel]:
    """A channel, and the manager that would serve it over a connection."""
    manager = SubscriptionManager(10)
    return manager, Channel(manager, ChannelState("chat:1", ChannelOptions(**options)))


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def begin(channel: Channel, *messages: int, **answer: Any) -> None:
    """The server answers, and its history comes with that, in one batch."""
    channel.subscribed({"type": "subscribed", "channel": "chat:1", "position": "0/10", **answer}, None, seamless=False)
    for number in messages:
        send(channel, number)


def send(channel: Channel, number: int, event: str = "n", data: object = None) -> None:
    data = number if data is None else data
    message = {"type": "message", "channel": "chat:1", "event": event, "data": data, "id": f"m{number}"}
    channel.received({**message, "position": f"0/{number + 32:X}"}, quiet=False)


def join(channel: Channel, user: str) -> None:
    channel.received({"type": "presence:join", "channel": "chat:1", "user": {"id": user}}, quiet=False)


async def subscribed(channel: Channel, *messages: int, **answer: Any) -> None:
    subscribing = asyncio.create_task(channel.subscribe())
    await turn()
    begin(channel, *messages, **answer)
    await subscribing


async def test_a_channel_that_two_parts_of_an_application_use_is_left_with_the_second_unsubscribe() -> None:
    manager, channel = made()
    both = asyncio.gather(channel.subscribe(), channel.subscribe())
    await turn()
    begin(channel)
    await both
    await channel.unsubscribe()
    assert channel.is_subscribed
    assert manager.subscriptions == {"chat:1": channel}
    await channel.unsubscribe()
    assert not channel.is_subscribed
    assert manager.subscriptions == {}


async def test_presence_and_history_wait_for_a_subscribe_that_is_under_way() -> None:
    manager, channel = made(presence=True)
    subscribing = asyncio.create_task(channel.subscribe())
    await turn()
    reading = asyncio.create_task(channel.get_presence())
    updating = asyncio.create_task(channel.update_presence(status="away"))
    asking = asyncio.create_task(channel.history(limit=1))
    await turn()
    assert (reading.done(), manager.send_queue.next()) == (False, None)
    begin(channel, presence={"users": [{"id": "ada"}]})
    assert [user.id for user in (await reading).users] == ["ada"]
    await turn()
    sent = [entry.message["type"] for entry in (manager.send_queue.next(), manager.send_queue.next()) if entry]
    assert sent == ["presence:update", "history"]
    manager.send_queue.fail(GONE)
    assert list(await asyncio.gather(updating, asking, return_exceptions=True)) == [GONE, GONE]
    await subscribing
    await channel.unsubscribe()  # which reading and asking were no uses that keep it
    assert not channel.is_subscribed


async def test_presence_and_history_of_a_channel_that_is_not_subscribed_are_errors_at_once() -> None:
    manager, channel = made(presence=True)
    wanted = [
        (channel.get_presence(), ErrorCode.PRESENCE_REJECTED),
        (channel.update_presence(status="away"), ErrorCode.PRESENCE_REJECTED),
        (channel.history(), ErrorCode.NOT_FOUND),
    ]
    for call, code in wanted:
        with pytest.raises(RealtimeError, match="subscribe to the channel first") as refused:
            await call
        assert (refused.value.code, refused.value.channel) == (code, "chat:1")
    assert manager.subscriptions == {}


async def test_what_waits_for_a_subscribe_that_is_refused_raises_that_error() -> None:
    manager, channel = made(presence=True)
    calls = (channel.subscribe(), channel.get_presence(), channel.history())
    waiting = asyncio.gather(*calls, return_exceptions=True)
    await turn()
    manager.fail(GONE)
    assert list(await waiting) == [GONE, GONE, GONE]


async def test_a_subscribe_that_is_superseded_returns_quietly() -> None:
    manager, channel = made()
    first = asyncio.create_task(channel.subscribe())
    await turn()
    await channel.unsubscribe()
    again = asyncio.create_task(channel.subscribe())
    assert await first is channel
    assert not channel.is_subscribed
    begin(channel)
    await again
    assert manager.subscriptions == {"chat:1": channel}


async def test_a_subscribe_that_is_cancelled_leaves_the_others() -> None:
    manager, channel = made()
    one, other = asyncio.create_task(channel.subscribe()), asyncio.create_task(channel.subscribe())
    await turn()
    one.cancel()
    await turn()
    assert manager.subscriptions == {"chat:1": channel}
    other.cancel()
    await turn()
    assert (one.cancelled(), other.cancelled(), manager.subscriptions) == (True, True, {})


async def test_a_subscribe_that_waits_when_the_application_disconnects_returns_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager, channel = made()
    waiting, messages = asyncio.create_task(channel.subscribe()), channel.messages()
    await turn()
    manager.fail(GONE, quiet=True)
    await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(messages)
    assert caplog.records == []


async def test_a_subscribe_that_waits_when_the_connection_fails_for_good_raises() -> None:
    manager, channel = made()
    waiting = asyncio.gather(channel.subscribe(), channel.subscribe(), return_exceptions=True)
    await turn()
    manager.fail(GONE)
    assert list(await waiting) == [GONE, GONE]
    manager, channel = made()
    await subscribed(channel)
    await channel.unsubscribe()


async def test_an_iterator_that_the_program_dropped_collects_nothing() -> None:
    _, channel = made()
    await subscribed(channel)
    messages = channel.messages()
    assert len(channel._readers) == 1
    del messages
    gc.collect()
    assert len(channel._readers) == 0


async def test_other_options_of_a_subscribed_channel_are_logged_and_hold_from_the_next_subscription_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    realtime = Realtime("http://localhost:8410")
    channel = realtime.channel("chat:1", history=5)
    realtime._manager.needed = lambda: None  # type: ignore[method-assign]  # no connection
    assert realtime.channel("chat:1", presence={"name": "Ada"}) is channel
    await subscribed(channel)
    assert realtime.channel("chat:1") is realtime.channel("chat:1", history=5) is channel
    assert caplog.records == []
    assert realtime.channel("chat:1", history=9, presence={"name": "Ada"}, meta=True) is channel
    [record] = caplog.records
    assert (record.name, record.levelno) == ("bunbase", logging.WARNING)
    assert "channel chat:1 is subscribed already: its new history, meta will hold" in record.getMessage()
    assert {name: channel.request().get(name) for name in ("presence", "meta")} == {
        "presence": {"name": "Ada"},
        "meta": None,
    }
    await channel.unsubscribe()
    wanted = {"type": "subscribe", "channel": "chat:1", "history": 9, "meta": True, "presence": {"name": "Ada"}}
    assert channel.request() == wanted


def test_a_collection_is_no_channel_and_its_name_is_refused_with_what_to_use() -> None:
    with pytest.raises(ValueError, match=r"db:collection:todos: no channel; use database\(\)\.collection\(\)"):
        Realtime("http://localhost").channel("db:collection:todos")


async def test_rooms_that_become_occupied_and_vacated_are_messages_with_a_listener_for_each() -> None:
    _, channel = made()
    got: list[str] = []
    for event in ("room:occupied", "room:vacated"):
        channel.on(event, lambda message: got.append(message.event))
    await subscribed(channel)
    for number, event in enumerate(("room:occupied", "room:vacated")):
        send(channel, number, event)
    await turn()
    assert got == ["room:occupied", "room:vacated"]


@pytest.mark.parametrize(("event", "guess"), [("presence:joined", "presence:join"), ("room:close", "room:closed")])
async def test_an_event_of_presence_or_of_rooms_that_there_is_none_is_refused(event: str, guess: str) -> None:
    _, channel = made()
    with pytest.raises(ValueError, match=f"no event is named '{event}'; did you mean '{guess}'"):
        channel.on(event, print)
    for known in ("presence:leave", "room:closed", "presence", "rooms:made", "error", "new-message"):
        channel.on(known, print)
