"""Live order, replayed order and WAL order are the same, however transactions overlap."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from engine.channels.core.messages.model import parse_position
from engine.tasks import end
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import connect, open_transaction, read, run, until
from tests.support.postgres.wal import begin_control, control

WRITERS = 6
TRANSACTIONS = 25


def write(dsn: str, writer: int, seed: int, stop: threading.Event) -> list[tuple[int, int]]:
    """Transactions of one writer: a few messages each, held open for a random time, some rolled back. What was committed."""
    chance = random.Random(f"{seed}-{writer}")
    committed: list[tuple[int, int]] = []
    with connect(dsn) as connection:
        for number in range(TRANSACTIONS):
            commits = chance.random() < 0.8
            connection.execute("begin")
            ids = [(writer, number * 10 + part) for part in range(chance.randint(1, 3))]
            for pair in ids:
                channel = chance.choice(["public:a", "public:a", "public:b"])
                connection.execute("select realtime.broadcast(%s, 'sent', %s::jsonb)", [channel, json.dumps(pair)])
                stop.wait(chance.random() * 0.01)
            connection.execute("commit" if commits else "rollback")
            if commits:
                committed += ids
    return committed


def check_growing(listener: ChannelSubscriber) -> None:
    keys = [parse_position(position) for position in listener.positions]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize("seed", range(2))
async def test_live_order_replayed_order_and_wal_order_are_the_same(source: Source, seed: int) -> None:
    begin_control(source.dsn)
    slots: list[dict[str, Any]] = [
        {"slot": f"kept_{seed}_{number}_{source.decoder}", "feed": {"ephemeral": False}} for number in range(2)
    ]
    both = [partial(channel_node, source.dsn, decoder=source.decoder, **slot) for slot in slots]
    async with both[0]() as one, both[1]() as two:
        lives = [await one.listen("public:a"), await two.listen("public:a")]
        stop = threading.Event()
        writers = [asyncio.to_thread(write, source.dsn, w, seed, stop) for w in range(WRITERS)]
        writing = asyncio.gather(*writers)
        late: list[ChannelSubscriber] = []
        resuming = asyncio.create_task(come_and_go((one, two), seed, late))
        committed = [tuple(pair) for pairs in await writing for pair in pairs]
        await one.caught_up()
        await two.caught_up()
        await end([resuming])
        messages = lives[0].messages
        assert lives[1].messages == messages
        check_growing(lives[0])
        for listener in late:
            # A client that came or resumed at any moment has the end of the same sequence, without gap or duplicate.
            assert listener.messages == messages[len(messages) - len(listener.messages) :]
        await check_replay((one, two), messages)
        written = [message for message in control(source.dsn) if message.stored]
        assert sorted(tuple(message.payload) for message in written) == sorted(committed)
        in_channel = [message.payload for message in written if message.channel == "public:a"]
        assert in_channel == [message["data"] for message in messages]
        assert in_channel != sorted(in_channel, key=seq_of(messages))  # else the transactions have not overlapped
    with open_transaction(source.dsn) as slow:
        slow.execute("select realtime.broadcast('public:a', 'sent', '1')")
        run(source.dsn, "select realtime.broadcast('public:a', 'sent', '2')")
        slow.commit()
    async with both[0]() as one, both[1]() as two:
        await one.caught_up()
        await two.caught_up()
        more = (await one.listen("public:a", since=messages[-1]["position"])).messages
        assert [message["data"] for message in more] == [message.payload for message in control(source.dsn)] == [2, 1]
        await check_replay((one, two), messages + more)


def seq_of(messages: list[dict[str, Any]]) -> Callable[[Any], int]:
    """By what the rows were numbered with, before their transactions committed."""
    numbers = {tuple(message["data"]): parse_position(message["position"]).seq for message in messages}
    return lambda pair: numbers[tuple(pair)]


async def check_replay(nodes: tuple[ChannelNode, ChannelNode], messages: list[dict[str, Any]]) -> None:
    """Both nodes deliver the same story again, from the beginning and from the middle."""
    for there in nodes:
        assert (await there.listen("public:a", history=1000)).messages == messages
        assert (await there.listen("public:a", since=messages[3]["position"])).messages == messages[4:]


async def come_and_go(nodes: tuple[ChannelNode, ChannelNode], seed: int, late: list[ChannelSubscriber]) -> None:
    """Listeners that ask for everything, on either node, while writers write."""
    chance = random.Random(seed)
    while True:
        late.append(await chance.choice(nodes).listen("public:a", history=1000))
        await asyncio.sleep(0.01)


async def test_a_transaction_that_began_first_and_commits_last_comes_last_also_in_the_replay(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        live = await one.listen("public:a")
        with open_transaction(source.dsn) as slow:
            slow.execute("select realtime.broadcast('public:a', 'sent', '1')")
            run(source.dsn, "select realtime.broadcast('public:a', 'sent', '2')")
            await live.until(lambda: live.messages)
            resumed_from = live.positions[-1]
            slow.commit()
        await live.until(lambda: len(live.messages) == 2)
        assert live.data == [2, 1]
        assert (await one.listen("public:a", since=resumed_from)).data == [1]
        assert (await one.listen("public:a", history=1)).data == [1]


async def test_a_position_that_expired_or_is_of_another_cluster_is_not_recovered(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('room', max_messages => 3)")
    async with channel_node(source.dsn, decoder=source.decoder, record_interval=0.001) as one:
        live = await one.listen("room")
        began = live.position
        for number in range(6):
            await one.publish("room", number)
        await live.until(lambda: len(live.messages) == 6)
        await until(lambda: not one.channels.core.unrecorded.pending)
        assert read(source.dsn, "select realtime.expire_messages()") != [(0,)]
        for since, recovered, data in [
            (live.positions[0], False, []),
            (began, False, []),
            (live.positions[2], True, [3, 4, 5]),
            (live.positions[4], True, [5]),
            ("FFFF/0/1", False, []),
            ("0/1/1", False, []),
        ]:
            listener = await one.listen("room", since=since)
            assert listener.subscription is not None
            assert (listener.subscription.recovered, listener.data) == (recovered, data), since
        fallen_back = await one.listen("room", since=live.positions[0], history=2)
        assert fallen_back.data == [4, 5]
