"""A promoted standby whose copy of the slot is older than the one that was dropped: it brings again what has a position."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.lsn import Lsn
from engine.transaction import Discontinuity, Transaction
from server.cli.local_postgres import LocalPostgres
from server.cli.serving.local_nats import LocalNats
from tests.conftest import postgres_18, started
from tests.integration.cluster.conftest import Cluster, ClusterNode, cluster_of
from tests.integration.dba.catalogs import run
from tests.integration.dba.standby import either_of, streaming_standby
from tests.integration.dba.test_failover_slots import SLOT, UNRECORDED, is_copied, with_failover_slot
from tests.support.ports import free_port
from tests.support.postgres.sql import open_transaction, read, until

COPY = f"select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_name = '{SLOT}'"
REPLAYED = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"


async def stop_copying(dsn: str, standby: LocalPostgres, behind: str | None) -> None:
    """Leave the standby a copy of the slot that stands behind the position of a message, and no later one."""
    await is_copied(dsn, standby)
    assert behind is not None

    def copied() -> bool:
        run(dsn, "select realtime.broadcast('elsewhere', 'sent'), pg_log_standby_snapshot()")
        run(standby.dsn, "select pg_reload_conf()")
        return read(standby.dsn, f"{COPY} and confirmed_flush_lsn > %s::pg_lsn", behind.rpartition("/")[0]) != []

    await until(copied)
    run(standby.dsn, "alter system set sync_replication_slots = off")
    run(standby.dsn, "select pg_reload_conf()")
    workers = "select from pg_stat_activity where backend_type = 'slotsync worker'"
    await until(lambda: not read(standby.dsn, workers))


async def commit_unseen(cluster: Cluster) -> None:
    """Two transactions that overlap, the one with the later message first, while no relay runs; their slot is dropped."""
    for relay in cluster.relays:
        await relay.end(signal.SIGKILL)
    slot = f"from pg_replication_slots where slot_name = '{SLOT}'"
    await until(lambda: not read(cluster.dsn, f"select {slot} and active"))
    message = "select realtime.broadcast('room', 'sent', '\"%s\"')"
    with open_transaction(cluster.dsn, message % "one") as first:
        run(cluster.dsn, message % "two")
        first.commit()
    run(cluster.dsn, f"select pg_drop_replication_slot(slot_name) {slot}")


async def promote(cluster: Cluster, primary: LocalPostgres, standby: LocalPostgres, before: Lsn) -> None:
    """No relay runs. ``before``: the standby's copy of the slot must be from before this position."""
    [(flushed,)] = run(cluster.dsn, "select pg_current_wal_flush_lsn()::text")
    await until(lambda: read(standby.dsn, REPLAYED, flushed) == [(True,)])
    [(copy,)] = run(standby.dsn, COPY)
    assert copy < before, "the standby has a later copy of the slot"
    await asyncio.to_thread(primary.stop, "immediate")
    run(standby.dsn, "select pg_promote(true, 60)")
    run(standby.dsn, "alter system set synchronized_standby_slots = ''")
    run(standby.dsn, "select pg_reload_conf()")


class Held:
    """A consumer of a node's stream that holds it from the first transaction of another history on."""

    confirmable = None

    def __init__(self, node: ClusterNode) -> None:
        self.holds = False
        node.stream.add_consumer(self)

    def process(self, *_: Transaction) -> Iterator[None]:
        while self.holds:
            yield

    def discontinuity(self, event: Discontinuity, position: Lsn) -> None:
        self.holds = event.other_history


@pytest.mark.long
@pytest.mark.since(17)
async def test_what_an_older_copy_of_the_slot_brings_again_keeps_its_position_and_comes_once(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats = LocalNats(tmp_path / "nats", free_port())
    with (
        started(postgres_18(scratch / "older_copy")) as primary,
        streaming_standby(primary, {"sync_replication_slots": "on"}) as standby,
    ):
        dsn = with_failover_slot(primary)
        await asyncio.to_thread(nats.start)
        try:
            async with cluster_of(either_of(dsn, primary, standby), nats, slot=SLOT) as cluster:
                await cluster.relay()
                await cluster.leading()
                node = await cluster.node(trim_interval=3600.0)  # what the stream brings again is not released
                room = await node.listen("room")
                since = (await node.publish("room", "before")).position
                await stop_copying(dsn, standby, since)
                await node.publish("room", "true")
                await node.channels.recorded()
                received = node.stream.passed
                await commit_unseen(cluster)
                await cluster.relay()
                await room.until(lambda: room.data == ["before", "true", "one", "two"])
                assert room.positions[2].split("/")[:2] == room.positions[3].split("/")[:2], "none was made up"
                await until(lambda: not run(dsn, UNRECORDED)[0][0])
                epoch, held, waits = node.channels.epoch, Held(node), asyncio.Event()
                reached, recovery = node.stream.reached, node.channels._subscriptions._recovery

                async def noted(position: Lsn) -> None:
                    if room.of("error") and not recovery._synced.is_set():
                        waits.set()
                    await reached(position)

                monkeypatch.setattr(node.stream, "reached", noted)
                await cluster.relays[-1].end(signal.SIGKILL)
                await promote(cluster, primary, standby, received)
                # Until the node has begun, the slot stays where its copy was.
                with open_transaction(cluster.dsn, "lock table realtime.commits in share mode"):
                    await cluster.relay()
                    await until(lambda: held.holds)
                await room.until(lambda: room.of("error"))
                resuming = asyncio.create_task(node.listen("room", since=since, epoch=epoch))
                await until(lambda: resuming.done() or waits.is_set())
                held.holds = False
                resumed = await resuming
                await node.caught_up()
                assert (resumed.data, resumed.positions) == (room.data[1:], room.positions[1:])
                late = await node.listen("room", history=4)
                assert (late.data, late.positions) == (room.data, room.positions)
                last = await node.listen("room", since=room.positions[2], epoch=epoch)
                assert last.data == ["two"]
        finally:
            await asyncio.to_thread(nats.kill)
