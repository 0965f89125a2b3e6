"""Channels are followed while something here looks at them, and published messages keep their order meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from engine.channels.core.messages.model import ChannelOptions, Member, Publication, UnavailableError
from engine.channels.followed_channels import FollowedChannels
from engine.feed.table_interest import TableInterest, channel_topic
from engine.postgres.snapshot import Snapshot
from tests.support.nodes.core_node import CoreNode, Subscriber, message
from tests.support.values.changes import transaction_of

ROOM, OTHER = channel_topic("room"), channel_topic("other")


class Stream:
    """A driver whose feed takes topics when the test lets it."""

    def __init__(self) -> None:
        self.interest = TableInterest()
        self.interest.selective = True
        self.passed = 1000
        self._processed = 0
        self._changed = asyncio.Event()

    def follows(self, topics: set[int]) -> bool:
        return self.interest.follows(topics, self._processed)

    async def follow(self, topics: set[int]) -> None:
        while not self.follows(topics):
            await self._changed.wait()

    def take(self, *topics: int) -> None:
        self._processed = self.interest.take(set(topics))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Play:
    """A node's channels over such a stream."""

    def __init__(self) -> None:
        self.node = CoreNode()
        self.stream = Stream()
        self.followed = FollowedChannels(cast("Any", self.stream), self.node.core, timeout=10)
        self.sent: list[int] = []

    def subscriber(self, channel: str) -> Subscriber:
        return Subscriber(self.node, channel, Member("A", "ann"), ChannelOptions(), False)

    async def publish(self, channel: str, number: int) -> None:
        await self.followed.publishing(channel)
        self.sent.append(number)

    def ready(self, *channels: str) -> int:
        messages = [(Publication(each, "e", b"1", Member("A")), lambda _: None) for each in channels]
        return len(self.followed.ready(messages))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_subscription_waits_until_its_channel_is_followed_and_the_last_one_lets_it_go() -> None:
    play = Play()
    first, second = play.subscriber("room").subscription, play.subscriber("room").subscription
    tasks = [asyncio.create_task(play.followed.follow(each)) for each in (first, second)]
    await turns()
    assert play.stream.interest.lacking == {ROOM}
    assert not any(task.done() for task in tasks)
    play.stream.take(ROOM)
    await asyncio.gather(*tasks)
    assert play.node.core.position == 999, "everything before has been brought, or is in the tables"
    await play.followed.follow(first)
    for each in (first, first, second):
        assert play.stream.interest.held == {ROOM}
        play.followed.release(each)
    assert not play.stream.interest.held


async def test_subscription_that_gives_up_holds_its_channel_until_it_is_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.channels.db.refusals._STREAM_TIMEOUT", 0)
    play = Play()
    subscription = play.subscriber("room").subscription
    with pytest.raises(UnavailableError):
        await play.followed.follow(subscription)
    play.followed.release(subscription)
    assert not play.stream.interest.held


async def test_messages_to_many_new_channels_are_refused_at_once_if_none_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.channels.db.refusals._STREAM_TIMEOUT", 0.2)
    play = Play()
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(play.publish(f"room {each}", each) for each in range(100)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {UnavailableError}
    assert asyncio.get_running_loop().time() - began < 10, "not one after the other: that takes 20 seconds"


async def test_messages_keep_the_order_of_the_calls_while_channels_are_joined() -> None:
    play = Play()
    assert play.ready("room") == 0
    play.stream.interest.hold("else", {OTHER: 0})
    play.stream.take(OTHER)
    calls = [("room", 1), ("other", 2), ("room", 3)]
    tasks = [asyncio.create_task(play.publish(*each)) for each in calls]
    await turns()
    assert play.sent == [], "what is followed does not overtake what is not"
    play.stream.take(ROOM)
    tasks.append(asyncio.create_task(play.publish("room", 4)))
    await asyncio.gather(*tasks)
    assert play.sent == [1, 2, 3, 4]
    assert play.ready("room", "other", "third", "room") == 2


async def test_channel_that_nothing_is_published_to_any_more_is_let_go() -> None:
    play = Play()
    task = asyncio.create_task(play.publish("room", 1))
    await turns()
    play.stream.take(ROOM)
    await task
    now = asyncio.get_running_loop().time()
    play.followed.forget_before(now - 10)
    assert play.stream.interest.held == {ROOM}
    play.followed.forget_before(now + 1)
    assert not play.stream.interest.held
    assert play.ready("room") == 0


async def test_with_a_feed_that_brings_all_channels_nothing_is_held() -> None:
    play = Play()
    play.stream.interest.selective = False
    await play.followed.follow(play.subscriber("room").subscription)
    await play.publish("room", 1)
    await play.followed.forget()
    assert play.ready("room", "other") == 2
    assert not play.stream.interest.held


def test_late_messages_are_of_the_past_and_recorded_in_their_order() -> None:
    node = CoreNode([[], [], [], [], []])
    here = node.subscriber("c")
    node.process(5, message(5, xid="1005"))
    for number in (3, 2, 3, 5):
        node.core.late(transaction_of(number, message(number, xid=str(1000 + number))))
    unrecorded = node.core.unrecorded
    assert [entry.xid for entry in unrecorded.pending] == [1002, 1003, 1005]
    assert [body["id"] for body in here.bodies] == ["5"]
    assert (unrecorded.confirmable, node.core.position) == (2 * 256, 5 * 256)
    node.core.late(transaction_of(6, message(6, xid="1006")))
    assert node.core.position == 6 * 256, "it is not to be taken for a later one"
    node.process(7, message(7, xid="1007"))
    unrecorded.record(unrecorded.pending)
    unrecorded.end_read(unrecorded.begin_read(), Snapshot(2000, 2000, frozenset()))
    assert not len(unrecorded)
