"""Workers over one slot: each sees what a node with a slot of its own sees, and the slot waits for the slowest of them."""

from __future__ import annotations

import asyncio
import io
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack

import pytest

from engine.errors import FeedError
from engine.lsn import parse_lsn
from engine.relay.feed import RelayFeed
from engine.transaction import Transaction
from tests.integration.feed.conftest import reading, row
from tests.integration.feed.test_faults import drop_slot_of_running_feed, ids, read_ids
from tests.integration.feed.test_frames import until_last
from tests.integration.relay.conftest import Machine
from tests.support.postgres.sql import GIVE_UP_AFTER, until
from tests.support.programs.frames_reader import described, read_block
from tests.support.programs.relay import LAST, READY

HISTORY = """
insert into t select i, repeat('z', 200) from generate_series(1, 3000) i;
update t set s = 'short' where id < 20;
update t set id = -id where id between 20 and 30;
delete from t where id between 31 and 50;
truncate t;
select pg_logical_emit_message(true, 'realtime.test', 'transactional');
insert into t values (1, 'a');
select pg_logical_emit_message(false, 'realtime.test', %s::bytea)
"""


async def transactions_of(worker: asyncio.subprocess.Process) -> list[bytes]:
    """What a worker writes until it has the last message."""
    output, _ = await worker.communicate()
    assert worker.returncode == 0
    pipe = io.BytesIO(output)
    return list(iter(lambda: read_block(pipe) or b"", b""))


async def test_two_processes_over_one_slot_see_what_a_node_with_its_own_slot_sees(machine: Machine) -> None:
    own_slot = machine.source.settings()
    async with (
        asyncio.timeout(2 * GIVE_UP_AFTER),
        machine.relay(part=4 << 10),
        reading(machine.source.dsn, own_slot) as own,
    ):
        commands = [machine.command(name) for name in ("one", "two")]
        workers = [await asyncio.create_subprocess_exec(*command, stdout=PIPE) for command in commands]
        try:
            for worker in workers:
                assert worker.stdout is not None
                await worker.stdout.readexactly(4 + len(READY))
            with machine.source.connect() as sql:
                for statement in HISTORY.split(";"):
                    sql.execute(statement.encode(), [LAST] if "%s" in statement else None)
            expected = [described(transaction) for transaction in await until_last(own)]
            for found in await asyncio.gather(*map(transactions_of, workers)):
                assert found == expected
        finally:
            for worker in workers:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()


async def test_a_worker_has_a_row_without_a_slot_and_takes_it_away(machine: Machine) -> None:
    async with machine.relay():
        async with machine.worker("one"), machine.worker("two"):
            with machine.source.connect() as sql:
                nodes = sql.execute(
                    "select n.id, s.name from realtime.nodes n left join realtime.slots s on s.node = n.id order by 1"
                ).fetchall()
            slot = machine.settings.slot_name
            assert nodes == [(slot, slot), (f"{slot}-one", None), (f"{slot}-two", None)]
        with machine.source.connect() as sql:
            assert sql.execute("select id from realtime.nodes").fetchall() == [(slot,)]


async def test_the_slot_waits_for_the_slowest_worker(machine: Machine) -> None:
    async with machine.relay(), machine.worker("one") as one, machine.worker("two") as two:
        machine.insert(1, 2)
        assert await read_ids(one, 2) == [1, 2]
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not isinstance(event := await anext(two.feed), Transaction):
                two.feed.confirm(event.position)  # type: ignore[union-attr]
        first = event.end
        machine.insert(3)
        assert await read_ids(one, 1) == [3]
        assert parse_lsn(machine.slot("confirmed_flush_lsn::text")[0]) < first
        assert two.feed.lag.bytes > 0
        two.feed.confirm(first)
        await until(lambda: parse_lsn(machine.slot("confirmed_flush_lsn::text")[0]) >= first)
        assert await read_ids(two, 2) == [2, 3]


async def test_a_killed_relay_is_replaced_without_loss_or_repetition(machine: Machine) -> None:
    async with AsyncExitStack() as stack:
        with machine.relay_process() as relay:
            readers = [await stack.enter_async_context(machine.worker(name)) for name in ("one", "two")]
            machine.insert(1, 2)
            assert await read_ids(readers[0], 2) == [1, 2]
            assert await read_ids(readers[1], 1) == [1]
            relay.kill()
            await until(lambda: all(reader.feed.state.status == "reconnecting" for reader in readers))
            assert "relay" in (readers[0].feed.state.reason or "")
            machine.insert(3)
        with machine.relay_process():
            machine.insert(4)
            assert await read_ids(readers[0], 2) == [3, 4]  # fails on a discontinuity
            assert await read_ids(readers[1], 3) == [2, 3, 4]
            assert [reader.feed.state.status for reader in readers] == ["streaming", "streaming"]


async def test_a_dropped_slot_is_a_discontinuity_for_every_worker(machine: Machine) -> None:
    async with AsyncExitStack() as stack:
        async with machine.relay():
            readers = [await stack.enter_async_context(machine.worker(name)) for name in ("one", "two")]
            machine.insert(1)
            assert [await read_ids(reader, 1) for reader in readers] == [[1], [1]]
            await asyncio.to_thread(drop_slot_of_running_feed, machine.source, machine.settings.slot_name)
            for reader in readers:
                assert "dropped" in (await reader.discontinuity()).reason
            machine.insert(2)
            assert [await read_ids(reader, 1) for reader in readers] == [[2], [2]]
            await until(lambda: readers[0].feed.lag.bytes == 0)
        await asyncio.to_thread(drop_slot_of_running_feed, machine.source, machine.settings.slot_name)
        async with machine.relay():  # which knows nothing of the former slot
            for reader in readers:
                assert (await reader.discontinuity()).missing
            machine.insert(3)
            assert [await read_ids(reader, 1) for reader in readers] == [[3], [3]]


async def test_a_transaction_larger_than_every_buffer_reaches_all_workers_whole(machine: Machine) -> None:
    small = {"transaction_memory": 64 << 10, "buffer_bytes": 64 << 10}
    async with (
        machine.relay(backlog=64 << 10, part=8 << 10) as relay,
        machine.worker("one", **small) as one,
        machine.worker("two", **small) as two,
    ):
        sizes: list[int] = []
        with machine.source.connect() as sql:
            sql.execute("insert into t select i, repeat('x', 90) from generate_series(1, 20000) i")
        for transaction in await asyncio.gather(one.transaction(), two.transaction()):
            assert transaction.changes.spilled  # type: ignore[attr-defined]
            assert ids(transaction) == list(range(1, 20001))
            sizes.append(len(relay._backlog))
        assert max(sizes) < 80 << 10


async def test_a_worker_joins_within_a_long_transaction_and_gets_it(machine: Machine) -> None:
    async with machine.relay(), machine.worker("one") as one:
        with machine.source.connect() as long:
            long.execute("begin")
            long.execute("insert into t values (1)")
            machine.insert(2)
            assert await read_ids(one, 1) == [2]
            async with machine.worker("two") as two:
                machine.insert(3)
                while await read_ids(two, 1) != [3]:  # it begins where the slot stands
                    pass
                long.execute("insert into t values (4)")
                long.execute("commit")
                machine.insert(5)
                assert await read_ids(two, 3) == [1, 4, 5]
        assert await read_ids(one, 4) == [3, 1, 4, 5]


async def unconfirmed(feed: RelayFeed, count: int) -> list[int]:
    """The next ids, of which the feed confirms none."""
    found: list[int] = []
    async with asyncio.timeout(GIVE_UP_AFTER):
        while len(found) < count:
            if isinstance(event := await anext(feed), Transaction):
                found += ids(event)
    return found


async def test_workers_that_all_start_anew_begin_where_the_slot_stands(machine: Machine) -> None:
    async with machine.relay():
        async with machine.worker("one") as one:
            machine.insert(1, 2)
            assert await unconfirmed(one.feed, 2) == [1, 2]
        async with machine.worker("two") as two:
            assert await unconfirmed(two.feed, 2) == [1, 2]
    async with machine.relay(), machine.worker("one") as one:
        machine.insert(3)
        changes = [change for _ in range(3) for change in await one.changes()]
        assert [row(change)[2] for change in changes] == [{"id": i, "s": None} for i in (b"1", b"2", b"3")]


async def test_a_worker_that_connects_again_resumes(machine: Machine) -> None:
    async with machine.relay() as relay, machine.worker("one") as one, machine.worker("two") as two:
        machine.insert(1)
        assert await read_ids(one, 1) == [1]
        assert relay.workers == [one.feed.settings.node, two.feed.settings.node]
        assert isinstance(one.feed, RelayFeed)
        reconnected = asyncio.Event()
        one.feed.on_reconnect(reconnected.set)
        for link in list(relay._links):
            link.cut()
        machine.insert(2)
        async with asyncio.timeout(GIVE_UP_AFTER):
            await reconnected.wait()
        machine.insert(3)
        assert await read_ids(one, 2) == [2, 3]
        assert await read_ids(two, 3) == [1, 2, 3]
        assert one.feed.sessions == 2


async def test_what_an_operator_has_to_remove_ends_the_start_of_relay_and_workers(machine: Machine) -> None:
    with machine.source.connect() as sql:
        sql.execute("select pg_create_logical_replication_slot(%s, 'test_decoding')", [machine.settings.slot_name])
    async with machine.relay(), machine.feed("one") as feed:
        with pytest.raises(FeedError, match="uses the plugin test_decoding"):
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()


async def test_a_relay_without_workers_lets_the_slot_go_on(machine: Machine) -> None:
    async with machine.relay(grace=0.0):
        await until(lambda: machine.slot("active")[0] if machine.slot("active") else None)
        machine.insert(1)
        with machine.source.connect() as sql:
            row = sql.execute("select pg_current_wal_lsn()::text").fetchone()
        assert row is not None
        await until(lambda: parse_lsn(machine.slot("confirmed_flush_lsn::text")[0]) >= parse_lsn(row[0]) - 64)
        async with machine.worker("late") as late:
            machine.insert(2)
            assert await read_ids(late, 1) == [2]
