"""Several parts of an application use one channel: what each of them ends is its own use alone."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

import pytest
from bunbase import Channel, RealtimeError
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.sync.loop_thread import LoopThread
from bunbase.sync.typed_channel import SyncChannel

from tests.support import VECTORS
from tests.unit.sdk_python.test_channel_handles import GONE, REFUSED, begin, made, subscribed, turn

T = TypeVar("T")

CASES = json.loads((VECTORS / "uses.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_uses_are_begun_and_left_as_in_the_vectors(case: dict[str, Any]) -> None:
    manager, channel = made()
    kept, waiting = dict[str, Any](), list[asyncio.Future[Any]]()
    for number, step in enumerate(case["steps"]):
        before = channel.key in manager.subscriptions
        match step:
            case {"subscribe": name}:
                use = channel.subscribe(name)
                kept[step.get("as", "")] = use
                waiting.append(asyncio.ensure_future(use))
                before = True
            case {"answer": True}:
                begin(channel)
            case {"end": True}:
                manager.subscriptions.pop(channel.key).ended(REFUSED)
                before = False
            case {"unsubscribe": name}:
                await channel.unsubscribe(name)
            case {"leave": use}:
                await channel.unsubscribe(kept[use])
        await turn()
        left = before and channel.key not in manager.subscriptions
        assert left == step.get("left", False), f"step {number}, {step}"
    await asyncio.gather(*waiting, return_exceptions=True)


class Component:
    """A part of an application, which names its use."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def leave(self) -> None:
        await self.channel.unsubscribe(self)


async def test_a_clean_up_that_runs_more_than_once_ends_its_own_use_alone() -> None:
    _, channel = made()
    one, other = Component(channel), Component(channel)
    both = asyncio.gather(channel.subscribe(one), channel.subscribe(other))
    await turn()
    begin(channel)
    await both
    for _ in range(3):
        await one.leave()
    await channel.unsubscribe()  # of who has named none
    assert channel.is_subscribed
    await other.leave()
    assert not channel.is_subscribed


async def test_a_with_block_is_ended_by_no_unsubscribe() -> None:
    _, channel = made()
    await subscribed(channel)
    async with channel:
        async with channel:
            await channel.unsubscribe()
            await channel.unsubscribe()
        assert channel.is_subscribed
    assert not channel.is_subscribed


async def test_a_named_use_that_has_ended_or_was_refused_is_left_without_ending_a_later_one() -> None:
    _, channel = made()
    one, other = object(), object()
    await subscribed(channel)
    await channel.subscribe(one)
    channel.ended(REFUSED)
    refused = asyncio.create_task(channel.subscribe(other))
    await turn()
    channel.ended(REFUSED)
    with pytest.raises(RealtimeError):
        await refused
    await subscribed(channel)
    for use in (other, one, one, None):  # None: of the first subscription
        await channel.unsubscribe(use)
        assert channel.is_subscribed
    await channel.unsubscribe()
    assert not channel.is_subscribed


async def test_a_named_use_that_is_cancelled_is_taken_back() -> None:
    manager, channel = made()
    one = asyncio.create_task(channel.subscribe(channel))
    await turn()
    one.cancel()
    await turn()
    assert (one.cancelled(), manager.subscriptions) == (True, {})


def test_components_of_synchronous_code_end_their_own_uses() -> None:
    class Here:
        """The thread of the client, which is this one."""

        def __init__(self) -> None:
            self.loop = asyncio.new_event_loop()

        def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
            return self.loop.run_until_complete(coroutine)

    here = Here()
    _, channel = made()
    here.run(subscribed(channel))
    one, other = (SyncChannel(cast("LoopThread", here), cast("Any", None), channel) for _ in range(2))
    one.subscribe(one)
    other.subscribe(other)
    here.run(channel.unsubscribe())  # the first
    for _ in range(2):
        one.unsubscribe(one)
    with one:
        one.unsubscribe()
        assert other.is_subscribed
    assert other.is_subscribed
    other.unsubscribe(other)
    assert not other.is_subscribed
    here.loop.close()


async def test_what_the_server_has_ended_is_left_without_ending_a_use_that_began_after_it() -> None:
    _, channel = made()
    await subscribed(channel)
    await channel.subscribe()  # a second component
    channel.ended(REFUSED)
    await subscribed(channel)
    await channel.unsubscribe()  # the two clean up
    await channel.unsubscribe()
    assert channel.is_subscribed
    await channel.unsubscribe()
    assert not channel.is_subscribed


async def test_a_subscribe_that_was_refused_needs_no_unsubscribe() -> None:
    _, channel = made()
    for _ in range(2):
        refused = asyncio.create_task(channel.subscribe())
        await turn()
        channel.ended(REFUSED)
        with pytest.raises(RealtimeError, match="no"):
            await refused
    await subscribed(channel)
    await channel.unsubscribe()
    assert not channel.is_subscribed


async def test_a_use_that_a_disconnect_has_ended_is_left_without_ending_a_later_one() -> None:
    _, channel = made()
    early = asyncio.create_task(channel.subscribe())
    await turn()
    channel.ended(GONE, quiet=True)
    await early
    await subscribed(channel)
    await channel.unsubscribe()
    assert channel.is_subscribed


async def test_a_subscribe_that_is_cancelled_takes_back_its_own_use_alone() -> None:
    _, channel = made()
    await subscribed(channel)
    channel.ended(REFUSED)  # its unsubscribe is to come
    waiting = [asyncio.create_task(channel.subscribe()) for _ in range(2)]
    await turn()
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    begin(channel)
    await waiting[1]
    await channel.unsubscribe()  # of the first
    assert channel.is_subscribed
    await channel.unsubscribe()
    assert not channel.is_subscribed


async def test_a_use_is_ended_by_what_subscribe_returned_in_any_order_and_once() -> None:
    _, channel = made()
    await subscribed(channel)
    ended = channel.subscribe()
    assert await ended is channel
    channel.ended(REFUSED)
    refused = channel.subscribe()
    waiting = asyncio.create_task(refused)
    await turn()
    channel.ended(REFUSED)
    with pytest.raises(RealtimeError):
        await waiting
    later, other = channel.subscribe(), channel.subscribe()
    both = asyncio.gather(later, other)
    await turn()
    begin(channel)
    await both
    for use in (refused, ended, ended, ended, later, later):  # once would do
        await channel.unsubscribe(use)
        assert channel.is_subscribed
    await channel.unsubscribe(other)
    assert not channel.is_subscribed


@pytest.mark.parametrize("order", ["use first", "use last"])
async def test_uses_are_counted_with_calls_of_unsubscribe_that_name_none(order: str) -> None:
    _, channel = made()
    await subscribed(channel)
    use = channel.subscribe()
    await use
    calls: list[object] = [use, None] if order == "use first" else [None, use]
    await channel.unsubscribe(calls[0])
    assert channel.is_subscribed
    await channel.unsubscribe(calls[1])
    assert not channel.is_subscribed
    await subscribed(channel)
    await channel.unsubscribe(use)  # once more
    assert channel.is_subscribed


async def test_a_use_that_is_ended_before_it_began_subscribes_to_nothing() -> None:
    manager, channel = made()
    use = channel.subscribe()
    task = asyncio.create_task(use)
    await channel.unsubscribe(use)
    assert (await task is channel, manager.subscriptions) == (True, {})


def _answer_later(manager: SubscriptionManager, channel: Channel) -> None:
    def answer() -> None:
        if manager.subscriptions:
            begin(channel)

    asyncio.get_running_loop().call_later(0.01, answer)


@pytest.mark.parametrize(
    "wait",
    [
        lambda subscribing: subscribing,
        asyncio.create_task,
        asyncio.ensure_future,
        asyncio.gather,
        lambda subscribing: asyncio.wait_for(subscribing, 5),
        lambda subscribing: asyncio.shield(subscribing),
    ],
)
async def test_what_subscribe_returns_is_awaited_as_any_coroutine(
    wait: Callable[[Any], Awaitable[object]], recwarn: pytest.WarningsRecorder
) -> None:
    manager, channel = made()
    subscribing = channel.subscribe()
    assert asyncio.iscoroutine(subscribing)
    assert manager.subscriptions == {}  # it begins when it is awaited
    _answer_later(manager, channel)
    assert await wait(subscribing) in (channel, [channel])
    await channel.unsubscribe()
    assert not channel.is_subscribed
    del subscribing
    gc.collect()
    assert not recwarn.list


async def test_a_subscribe_that_is_cancelled_before_it_begins_is_no_use_and_one_never_awaited_is_warned_of() -> None:
    manager, channel = made()
    task = asyncio.create_task(channel.subscribe())
    task.cancel()
    await turn()
    assert (task.cancelled(), manager.subscriptions) == (True, {})
    await subscribed(channel)
    await channel.unsubscribe()
    assert not channel.is_subscribed
    with pytest.warns(RuntimeWarning, match="subscribe' was never awaited"):
        channel.subscribe()


async def test_a_subscribe_that_is_cancelled_after_its_use_was_ended_ends_no_other() -> None:
    _, channel = made()
    one = channel.subscribe()
    tasks = [asyncio.create_task(each) for each in (one, channel.subscribe())]
    await turn()
    await channel.unsubscribe(one)
    tasks[0].cancel()
    await turn()
    begin(channel)
    await tasks[1]
    assert channel.is_subscribed
