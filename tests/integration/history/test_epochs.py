"""Positions of another cluster, or of a history that was taken back, are not mistaken for today's."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import RealtimeError
from engine.lsn import format_lsn, parse_lsn
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, fresh_database, postgres_18, started
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import channel_node
from tests.support.nodes.live_node import drop_slot
from tests.support.postgres.other_version import client_program
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, run, until


async def test_a_position_only_counts_in_its_epoch(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        live = await one.listen("room")
        began, epoch = live.position, one.channels.epoch
        for number in range(3):
            await one.publish("room", number)
        await live.until(lambda: len(live.messages) == 3)
        for since, of, recovered in [
            (began, epoch, True),
            (began, None, True),
            (began, "elsewhere", False),
            (live.positions[0], epoch, True),
            (live.positions[0], "elsewhere", False),
        ]:
            listener = await one.listen("room", since=since, epoch=of)
            assert listener.subscription is not None
            assert listener.subscription.recovered is recovered, (since, of)


async def test_a_position_of_another_channel_is_as_good_if_its_epoch_is_known_and_messages_are_kept(
    source: Source,
) -> None:
    run(source.dsn, "select realtime.create_channel('passing', history => false)")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        for channel in ("room", "other", "passing"):
            await one.publish(channel, channel)
        position = (await one.publish("room", "last")).position
        for channel in ("other", "passing"):
            await one.publish(channel, "later")
        await one.channels.recorded()
        first = (await one.listen("room", history=2)).positions[0]
    async with channel_node(source.dsn, decoder=source.decoder) as one:  # it only knows what is in the tables
        epoch = one.channels.epoch
        for channel, since, of, recovered, data in [
            ("other", position, epoch, True, ["later"]),
            ("other", first, epoch, True, ["other", "later"]),
            ("other", position, None, False, []),
            ("passing", position, epoch, False, []),
        ]:
            listener = await one.listen(channel, since=since, epoch=of)
            assert listener.subscription is not None
            assert (listener.subscription.recovered, listener.data) == (recovered, data), (channel, since, of)


def another_timeline(dsn: str) -> None:
    """As if the cluster had been restored to this moment from a backup that was taken on another timeline."""
    run(dsn, "update realtime.settings set timeline = '000000FF'")


async def test_after_a_restore_to_an_earlier_moment_only_what_is_known_to_be_common_counts(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        live = await one.listen("room")
        for number in range(3):
            await one.publish("room", number)
        await live.until(lambda: len(live.messages) == 3)
        await one.channels.recorded()
        old = one.channels.epoch
    another_timeline(source.dsn)
    lost = format_lsn(parse_lsn(live.positions[2].rpartition("/")[0]) + 1)  # a commit that no node had recorded
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        assert one.channels.epoch != old
        for since, recovered in [(live.positions[0], True), (live.positions[2], True), (lost, False)]:
            listener = await one.listen("room", since=since, epoch=old)
            assert listener.subscription is not None
            assert listener.subscription.recovered is recovered, since
            assert listener.data == ([1, 2] if since == live.positions[0] else [])


async def test_a_node_that_is_running_when_the_history_parts_asks_its_subscribers_to_come_again(database: str) -> None:
    async with channel_node(database) as one:
        live = await one.listen("room", user="ann", presence={})
        removed = await one.listen("room", user="bob")
        await one.publish("room", 1)
        await live.until(lambda: live.messages)
        await one.channels.recorded()
        old = one.channels.epoch
        another_timeline(database)
        run(
            database, "insert into realtime.kicks (channel, user_id) values ('room', 'bob')"
        )  # its message was not streamed
        drop_slot(database, one.feed.settings.slot_name)
        await live.until(lambda: live.of("error"))
        assert live.of("error")[0]["code"] == "RT_001"
        assert [error["code"] for error in removed.of("error")] == ["RT_003"]
        again = await one.listen("room", since=live.positions[0], epoch=old)
        assert again.subscription is not None
        assert again.subscription.recovered is True
        await one.publish("room", 2)
        await again.until(lambda: again.data == [2])
        assert one.channels.epoch != old


async def test_commits_of_one_history_are_not_recorded_in_another(database: str) -> None:
    async with channel_node(database, record_interval=GIVE_UP_AFTER) as one:
        await one.publish("room", 1)
        await until(lambda: read(database, "select from realtime.commits"))
        live = await one.listen("room")
        await one.publish("room", 2)
        await live.until(lambda: live.messages)
        [lost], old = live.positions, one.channels.epoch
        another_timeline(database)  # a standby that lacks the second message was promoted
        run(database, "delete from realtime.messages where payload = '2'")
        with pytest.raises(RealtimeError) as refused:
            await one.listen("room", since=lost, epoch=old)  # the stream has not noticed yet
        assert refused.value.code == "RT_001"
        with pytest.raises(RealtimeError):
            await one.channels.recorded()
        assert read(database, "select count(*) from realtime.commits") == [(1,)]
        drop_slot(database, one.feed.settings.slot_name)
        await live.until(lambda: live.of("error"))
        again = await one.listen("room", since=lost, epoch=old, history=5)
        assert again.subscription is not None
        assert again.subscription.recovered is False
        assert again.data == [1]
        await one.publish("room", 3)
        await again.until(lambda: again.data == [1, 3])
        await one.channels.recorded()


@pytest.fixture
def elsewhere(scratch: Path) -> Iterator[LocalPostgres]:
    """Another cluster."""
    with started(postgres_18(scratch / "elsewhere")) as server:
        yield server


@pytest.fixture
def target(elsewhere: LocalPostgres) -> Iterator[str]:
    """An empty database there."""
    with database_on(elsewhere, migrated=False) as dsn:
        yield dsn


def restore(source: str, target: str) -> None:
    """A dump of ``source`` into the empty database ``target``."""
    dump = subprocess.run(
        [client_program("pg_dump"), "--no-owner", source], capture_output=True, check=True, timeout=60
    ).stdout
    for unknown in (b"SET transaction_timeout = 0;\n", b"    LOGGED\n"):  # to servers before 17, and before 15
        dump = dump.replace(unknown, b"")
    restored = subprocess.run(
        [client_program("psql"), "-q", "-v", "ON_ERROR_STOP=1", target],
        input=dump,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert restored.returncode == 0, restored.stderr.decode()


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_dump_in_another_cluster_keeps_messages_and_starts_positions_anew(
    database: str, elsewhere: LocalPostgres, target: str, ahead: bool
) -> None:
    if not ahead:  # positions of the old cluster are then beyond those of the new one, else before them
        run(database, "select pg_logical_emit_message(false, 'x', repeat('x', 1000000)) from generate_series(1, 80)")
    async with channel_node(database, slot="same_name") as one:
        live = await one.listen("room", user="ann", presence={})
        for number in range(4):
            await one.publish("room", number, id=f"m{number}")
        await live.until(lambda: len(live.messages) == 4)
        await one.channels.recorded()
        old, began = one.channels.epoch, live.position
        run(elsewhere.dsn, "do $$ begin create role realtime_reader nologin; exception when others then null; end $$")
        run(
            elsewhere.dsn, "do $$ begin create role realtime_publisher nologin; exception when others then null; end $$"
        )
        restore(database, target)
    if ahead:
        run(target, "select pg_logical_emit_message(false, 'x', repeat('x', 1000000)) from generate_series(1, 200)")
    async with channel_node(target, slot="same_name") as one:
        assert one.channels.epoch != old
        assert read(
            target, "select n.id, s.name from realtime.nodes n full join realtime.slots s on s.node = n.id"
        ) == [("same_name", "same_name")]
        assert read(target, "select count(*) from realtime.connections") == [(0,)]
        for since in (live.positions[1], live.positions[3], began):
            for epoch in (old, None):
                listener = await one.listen("room", since=since, epoch=epoch, history=2)
                assert listener.subscription is not None
                assert listener.subscription.recovered is False, (since, epoch)
                assert listener.data == [2, 3]
        here = await one.listen("room", user="ann", presence={}, history=10)
        assert here.data == [0, 1, 2, 3]
        await one.publish("room", 4)
        await here.until(lambda: len(here.messages) == 5)
        again = await one.listen("room", since=here.positions[2], epoch=one.channels.epoch)
        assert again.subscription is not None
        assert (again.subscription.recovered, again.data) == (True, [3, 4])


def backup_of(server: LocalPostgres, folder: Path) -> LocalPostgres:
    """A copy of the stopped ``server`` that recovers to the end of its WAL, as from a backup: on a timeline of its own."""
    shutil.copytree(server.data_dir, folder)
    owner = server.data_dir.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    (folder / "recovery.signal").touch()
    os.chown(folder / "recovery.signal", owner.st_uid, owner.st_gid)
    return postgres_18(folder, {"restore_command": "false"})


async def test_a_restored_backup_does_not_take_positions_that_came_after_it_for_its_own(
    elsewhere: LocalPostgres, scratch: Path
) -> None:
    dsn = fresh_database(elsewhere)

    async def publish(*numbers: int) -> tuple[list[str], str]:
        async with channel_node(dsn, slot="restored") as one:
            acks = [await one.publish("room", number) for number in numbers]
            await one.channels.recorded()
            return [str(ack.position) for ack in acks], one.channels.epoch

    before, epoch = await publish(0, 1)
    elsewhere.stop()
    restored = backup_of(elsewhere, scratch / "restored")
    elsewhere.start()
    after, same = await publish(2, 3)
    assert same == epoch
    elsewhere.stop()
    try:
        restored.start()
        dsn = dsn.replace(str(elsewhere.port), str(restored.port))
        await asyncio.to_thread(_writable, dsn)
        async with channel_node(dsn, slot="restored") as one:
            assert one.channels.epoch != epoch
            lost = after[0].rpartition("/")[0]
            while parse_lsn(read(dsn, "select pg_current_wal_lsn()::text")[0][0]) <= parse_lsn(
                after[-1].rpartition("/")[0]
            ):
                await one.publish("room", 20)
            await one.caught_up()
            for since in (*after, lost):
                listener = await one.listen("room", since=since, epoch=epoch)
                assert listener.subscription is not None
                assert listener.subscription.recovered is False, since
            listener = await one.listen("room", since=before[0], epoch=epoch)
            assert listener.subscription is not None
            assert listener.subscription.recovered is True
            assert listener.data[0] == 1
            assert set(listener.data[1:]) <= {20}
    finally:
        restored.delete()


def _writable(dsn: str) -> None:
    """Wait until recovery has ended."""
    with connect(dsn) as connection:
        row = connection.execute("select pg_promote(true, 30) where pg_is_in_recovery()").fetchone()
        assert row is None or row[0]
