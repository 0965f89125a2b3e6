"""Live order, replayed order and WAL order are the same, however transactions overlap."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import Any

import pytest

from engine.channels.model import parse_position
from engine.feed.settings import FeedSettings
from engine.types import Kind, Message
from tests.channels.conftest import Place
from tests.channels.stage import Listener, Node, connect, node, open_transaction, read, run, until
from tests.feed.conftest import reading

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
                connection.execute("select realtime.broadcast(%s, 'said', %s::jsonb)", [channel, json.dumps(pair)])
                stop.wait(chance.random() * 0.01)
            connection.execute("commit" if commits else "rollback")
            if commits:
                committed += ids
    return committed


async def wal_order(dsn: str, settings: FeedSettings, messages: int) -> list[Any]:
    """The payloads of channel public:a as another slot, read from its beginning, has them."""
    found: list[Any] = []
    async with reading(dsn, settings) as reader:
        while len(found) < messages:
            transaction = await reader.transaction()
            for change in transaction.changes:
                if isinstance(change, Message) or change.relation.name != "messages" or change.kind is not Kind.INSERT:
                    continue
                names = [column.name for column in change.relation.columns]
                row = dict(zip(names, change.new() or (), strict=True))
                if row["channel"] == b"public:a":
                    found.append(json.loads(row["payload"] or b""))
    return found


def check_growing(listener: Listener) -> None:
    keys = [parse_position(position) for position in listener.positions]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize("seed", range(2))
async def test_live_order_replayed_order_and_wal_order_are_the_same(place: Place, seed: int) -> None:
    slot = FeedSettings(slot_name=f"wal_{seed}_{place.decoder}", decoder=place.decoder, throw_away=False)
    async with reading(place.dsn, slot):
        pass  # the slot stays and keeps the WAL
    async with node(place.dsn, decoder=place.decoder) as one, node(place.dsn, decoder=place.decoder) as two:
        lives = [await one.listen("public:a"), await two.listen("public:a")]
        stop = threading.Event()
        writers = [asyncio.to_thread(write, place.dsn, w, seed, stop) for w in range(WRITERS)]
        writing = asyncio.gather(*writers)
        late: list[Listener] = []
        resuming = asyncio.create_task(come_and_go((one, two), seed, late))
        committed = [tuple(pair) for pairs in await writing for pair in pairs]
        await one.settled()
        await two.settled()
        resuming.cancel()
        await asyncio.gather(resuming, return_exceptions=True)
        messages = lives[0].messages
        assert lives[1].messages == messages
        check_growing(lives[0])
        assert {tuple(pair) for pair in lives[0].data} <= set(committed)
        for listener in late:
            # Whoever came or resumed at any moment has the end of the same sequence, without gap or duplicate.
            assert listener.messages == messages[len(messages) - len(listener.messages) :]
        for there in (one, two):
            assert (await there.listen("public:a", history=1000)).messages == messages
            assert (await there.listen("public:a", since=messages[3]["position"])).messages == messages[4:]
    async with asyncio.timeout(60):
        assert await wal_order(place.dsn, FeedSettings(slot_name=slot.slot_name, throw_away=True), len(messages)) == [
            message["data"] for message in messages
        ]


async def come_and_go(nodes: tuple[Node, Node], seed: int, late: list[Listener]) -> None:
    """Listeners that ask for everything, on either node, while writers write."""
    chance = random.Random(seed)
    while True:
        late.append(await chance.choice(nodes).listen("public:a", history=1000))
        await asyncio.sleep(0.01)


async def test_a_transaction_that_began_first_and_commits_last_comes_last_also_in_the_replay(place: Place) -> None:
    async with node(place.dsn, decoder=place.decoder) as one:
        live = await one.listen("public:a")
        with open_transaction(place.dsn) as slow:
            slow.execute("select realtime.broadcast('public:a', 'said', '1')")
            run(place.dsn, "select realtime.broadcast('public:a', 'said', '2')")
            await live.until(lambda: live.messages)
            resumed_from = live.positions[-1]
            slow.commit()
        await live.until(lambda: len(live.messages) == 2)
        assert live.data == [2, 1]
        assert (await one.listen("public:a", since=resumed_from)).data == [1]
        assert (await one.listen("public:a", history=1)).data == [1]


async def test_a_position_that_expired_or_is_of_another_cluster_is_not_recovered(place: Place) -> None:
    run(place.dsn, "select realtime.create_channel('room', max_messages => 3)")
    async with node(place.dsn, decoder=place.decoder, record_interval=0.001) as one:
        live = await one.listen("room")
        began = live.position
        for number in range(6):
            await one.publish("room", number)
        await live.until(lambda: len(live.messages) == 6)
        await until(lambda: not one.channels.core.ledger.unrecorded)
        assert read(place.dsn, "select realtime.expire_messages()") != [(0,)]
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
