"""A crash with ``synchronous_commit = off`` takes back commits that had returned; not what clients received."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.channels.core.messages.model import Member, Publication
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_18, started
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import read, run, until

# The WAL writer comes round every ten seconds: what is not flushed by a commit is lost in a crash before.
LAZY = {"synchronous_commit": "off", "wal_writer_delay": "10s"}


WRITTEN = """select from pg_stat_activity where application_name like 'realtime publisher%' and state = 'idle'
  and (select count(*) = 7 from realtime.messages)"""


@pytest.fixture(scope="module")
def lazy(scratch: Path) -> Iterator[LocalPostgres]:
    with started(postgres_18(scratch / "lazy", LAZY)) as server:
        yield server


@pytest.fixture
def dsn(lazy: LocalPostgres) -> Iterator[str]:
    with database_on(lazy) as dsn:
        yield dsn


async def crash(server: LocalPostgres) -> None:
    await asyncio.to_thread(server.stop, "immediate")
    await asyncio.to_thread(server.start)


async def test_acknowledged_messages_are_in_the_history_and_replayed_after_a_crash(
    lazy: LocalPostgres, dsn: str
) -> None:
    async with channel_node(dsn) as one:
        live = await one.listen("room")
        for round_ in range(3):
            for number in range(5):
                await one.publish("room", round_ * 5 + number)
            await until(lambda: not one.channels.core.unrecorded.pending)
            await until(lambda: not len(one.channels.core.unrecorded))
            await crash(lazy)
        await live.until(lambda: len(live.messages) == 15)
        again = await one.listen("room", since=live.position)
        assert again.subscription is not None
        assert again.subscription.recovered is True
        assert again.data == live.data == list(range(15))
        assert again.positions == live.positions
        history = read(dsn, "select position, payload from realtime.history('room')")
        assert history == list(zip(live.positions, live.data, strict=True))


async def test_publishes_that_a_crash_took_back_are_written_again_in_their_order(lazy: LocalPostgres, dsn: str) -> None:
    run(dsn, "select realtime.create_channel('passing', history => false)")
    run(lazy.dsn, "alter system set synchronous_commit = on")
    run(lazy.dsn, "select pg_reload_conf()")
    async with channel_node(dsn) as one:
        live, passing = await one.listen("room"), await one.listen("passing")
        await one.publish("room", "first")
        run(lazy.dsn, "alter system reset synchronous_commit")  # the publisher's session follows
        run(lazy.dsn, "select pg_reload_conf()")
        emitting = [asyncio.create_task(one.publish("passing", number)) for number in range(3)]
        publishing = [asyncio.create_task(one.publish("room", number, id=f"i{number}")) for number in range(3)]
        await until(lambda: read(dsn, "select from realtime.message_ids"))
        publishing += [asyncio.create_task(one.publish("room", number)) for number in range(3, 6)]
        await until(lambda: read(dsn, WRITTEN))
        await crash(lazy)
        again = await one.publish("room", "another", id="i0")  # a client that does not know sends it again
        acks = await asyncio.gather(*publishing, *emitting)
        await live.until(lambda: len(live.messages) == 7)
        await passing.until(lambda: len(passing.messages) == 3)
        assert live.data == ["first", *range(6)]
        assert passing.data == list(range(3))
        assert [ack.position for ack in acks] == [*live.positions[1:], *passing.positions]
        assert again == acks[0]
        assert one.channels.status()["publishing"] == 0


async def test_a_room_whose_commit_is_not_flushed_yet_can_be_subscribed_to(lazy: LocalPostgres, dsn: str) -> None:
    run(dsn, "update realtime.channel_defaults set dynamic = false")
    async with channel_node(dsn) as one:
        assert read(lazy.dsn, "show wal_writer_delay") == [("10s",)]
        run(dsn, "select realtime.create_channel('made')")
        live = await one.listen("made")
        await one.publish("made", 1)
        await live.until(lambda: live.data == [1])


async def test_acks_deliveries_and_history_are_the_same_after_crashes_under_load(lazy: LocalPostgres, dsn: str) -> None:
    async with channel_node(dsn) as one:
        live = await one.listen("room")
        acked: list[str | None] = []
        stopped = asyncio.Event()

        async def keep_publishing(publisher: int) -> int:
            number = 0
            while not stopped.is_set():
                identifier = f"{publisher} {number}" if publisher % 2 else None
                ack = await one.channels.publish(
                    Publication("room", "sent", b"[%d, %d]" % (publisher, number), Member("c"), identifier)
                )
                acked.append(ack.position)
                number += 1
            return number

        publishing = [asyncio.create_task(keep_publishing(publisher)) for publisher in range(8)]
        for _ in range(3):
            received = len(live.messages)
            await live.until(lambda: len(live.messages) > received + 50)
            run(dsn, "select realtime.broadcast('room', 'aside', '0')")  # its commit is not flushed
            await crash(lazy)
        received = len(live.messages)
        await live.until(lambda: len(live.messages) > received + 50)
        stopped.set()
        counts = await asyncio.gather(*publishing)
        await one.channels.recorded()
        await one.caught_up()
        sent = [message for message in live.messages if message["event"] == "sent"]
        assert sorted(map(tuple, (message["data"] for message in sent))) == [
            (publisher, number) for publisher, count in enumerate(counts) for number in range(count)
        ]
        assert sorted(map(str, acked)) == sorted(message["position"] for message in sent)
        assert read(dsn, "select position from realtime.history('room', null, 100000)") == [
            (position,) for position in live.positions
        ]
        assert (await one.listen("room", since=live.position)).messages == live.messages
        assert one.channels.status()["publishing"] == 0
        assert one.channels.status()["malformed"] == 0
