"""What the listeners of a channel get of what came before they were added."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from bunbase import ErrorCode, Message, RealtimeError

from tests.support import VECTORS
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.unit.sdk_python.test_channel_handles import begin, join, made, send, subscribed, turn

CASES = json.loads((VECTORS / "listeners.json").read_text())["cases"]


class Listening:
    """A channel by the steps of the vectors, and what is delivered. ``now`` is its clock, in seconds."""

    def __init__(self) -> None:
        _, self.channel = made(presence=True)
        self.seen: list[str] = []
        self.now = 0.0
        self.channel._events._now = lambda: self.now
        self._number = 0
        self._tasks: list[asyncio.Task[Any]] = []

    async def step(self, step: dict[str, Any]) -> None:
        self._number += 1
        match step:
            case {"subscribed": True}:
                await subscribed(self.channel)
            case {"message": [event, data]}:
                send(self.channel, self._number, event, data)
            case {"presence": [what, user]}:
                message = {"type": f"presence:{what}", "channel": "chat:1", "user": {"id": user}}
                self.channel.received(message, quiet=False)
            case {"wait": seconds}:
                self.now += seconds
            case {"listen": event}:
                self.channel.on(
                    event, lambda what: self.seen.append(f"{event} {getattr(what, 'data', None) or what.id}")
                )
            case {"off": event}:
                self.channel.off(event)
            case {"iterate": event}:
                self._tasks.append(asyncio.create_task(self._iterate(event)))
            case {"unsubscribe": True}:
                await self.channel.unsubscribe()
            case other:
                raise AssertionError(other)
        await turn()

    async def _iterate(self, event: str | None) -> None:
        label = "messages" if event is None else f"messages {event}"
        async for message in self.channel.messages(event):
            self.seen.append(f"{label} {message.data}")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_listeners_get_what_came_before_them_as_in_the_vectors(case: dict[str, Any]) -> None:
    listening = Listening()
    for step in case["steps"]:
        listening.seen.clear()
        await listening.step(step)
        assert listening.seen == step.get("delivered", []), step


async def test_a_listener_that_adds_another_gives_it_what_waits_in_its_order() -> None:
    _, channel = made()
    await subscribed(channel)
    await turn()
    for number, event in enumerate(("b", "a", "b", "a")):
        send(channel, number, event)
    got: list[Any] = []

    @channel.on("a")
    def first(message: Message) -> None:
        if message.data == 1:
            channel.on("*", lambda every: got.append(every.data))

    await turn()
    assert got == [0, 2, 3]


async def test_listeners_added_after_subscribe_miss_nothing_that_came_with_it() -> None:
    _, channel = made(presence=True, history=2)
    got: list[Any] = []

    async def component() -> None:
        await channel.subscribe()
        channel.on("presence:join", lambda user: got.append(user.id))
        channel.on("n", lambda message: got.append(message.data))

    running = asyncio.gather(asyncio.create_task(component()))
    await turn()
    begin(channel, 1, 2, presence={"users": [{"id": "ada"}]})
    join(channel, "bob")
    send(channel, 3)
    await running
    await turn()
    assert got == [1, 2, "bob", 3]
    assert [user.id for user in channel.presence.users] == ["ada", "bob"]


async def test_messages_wait_for_the_first_listener_and_those_added_with_it() -> None:
    _, channel = made(history=2)
    await subscribed(channel, 1, 2)
    await turn()
    send(channel, 3)
    got: list[Any] = []
    channel.on("subscribed", got.append)  # no listener of messages
    await turn()
    channel.on("n", lambda message: got.append(("first", message.data)))
    channel.on("*", lambda message: got.append(("all", message.data)))
    await turn()
    send(channel, 4)
    assert got == [(who, number) for number in (1, 2, 3, 4) for who in ("first", "all")]


async def test_an_iterator_made_after_subscribe_begins_with_the_history() -> None:
    _, channel = made(history=2)
    await subscribed(channel, 1, 2)
    messages = channel.messages()
    assert [(await anext(messages)).data for _ in range(2)] == [1, 2]


async def test_a_thousand_messages_wait_and_the_oldest_are_dropped() -> None:
    _, channel = made()
    await subscribed(channel, *range(1, 1003))
    await turn()
    got: list[Any] = []
    channel.on("n", lambda message: got.append(message.data))
    await turn()
    assert (got[0], got[-1], len(got)) == (3, 1002, 1000)


async def test_what_waits_for_a_listener_is_dropped_with_the_subscription() -> None:
    _, channel = made()
    await subscribed(channel, 1)
    await channel.unsubscribe()
    await subscribed(channel, 2)
    got: list[Any] = []
    channel.on("n", lambda message: got.append(message.data))
    await turn()
    assert got == [2]


async def test_a_message_named_like_an_event_of_channels_is_no_such_event() -> None:
    _, channel = made()
    named, everything = list[Any](), list[Any]()
    for event in ("error", "presence:join", "subscribed"):
        channel.on(event, lambda *given: named.append(given))
    channel.on("*", lambda message: everything.append(message.event))
    await subscribed(channel)
    named.clear()
    await turn()
    for number, event in enumerate(("error", "presence:join", "subscribed", "*")):
        send(channel, number, event)
    assert (named, everything) == ([], ["error", "presence:join", "subscribed", "*"])


async def test_a_listener_that_awaits_what_is_cancelled_holds_up_no_other() -> None:
    (_, channel), received = made(), asyncio.Event()
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    channel.on("sent", lambda _: cancelled)

    @channel.on("sent")
    async def receive_it(_message: object) -> None:
        received.set()

    channel._deliver("sent", None)
    await asyncio.wait_for(received.wait(), GIVE_UP_AFTER)


async def test_messages_of_a_channel_that_is_not_subscribed_to_are_an_error_at_the_first_of_them() -> None:
    _, channel = made()
    early, never = channel.messages(), channel.messages("n")
    with pytest.raises(RealtimeError, match="subscribe to the channel first") as refused:
        await asyncio.wait_for(anext(never), 5)
    assert (refused.value.code, refused.value.channel) == (ErrorCode.NOT_FOUND, "chat:1")
    with pytest.raises(StopAsyncIteration):
        await anext(never)
    subscribing = asyncio.create_task(channel.subscribe())
    await turn()
    soon = asyncio.create_task(anext(channel.messages()))  # while it is under way
    await turn()
    begin(channel, 1)
    await subscribing
    assert [(await early.__anext__()).data, (await soon).data] == [1, 1]
    await channel.unsubscribe()
    with pytest.raises(StopAsyncIteration):
        await anext(early)
    with pytest.raises(RealtimeError, match="subscribe to the channel first"):
        await asyncio.wait_for(anext(channel.messages()), 5)
    left = channel.messages()
    left.close()
    with pytest.raises(StopAsyncIteration):
        await anext(left)
