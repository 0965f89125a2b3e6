"""Failover slots (PostgreSQL 17): a promoted standby has the node's slot, and all that clients have seen."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from server.cli.serving.local_nats import LocalNats
from tests.conftest import database_on, fresh_database, postgres_18, started
from tests.integration.dba.catalogs import run
from tests.integration.dba.standby import SLOT as STANDBY
from tests.integration.dba.standby import either_of, streaming_standby
from tests.support.clients.list_client import slot_name
from tests.support.clients.users import UserClient, user_client
from tests.support.nodes.live_node import drop_slot
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving, start

SLOT = "kept"
ITEMS = "create table items (id int primary key); insert into items values (1); select realtime.expose('items')"
UNRECORDED = (
    "select count(distinct xid) from realtime.messages m "
    "where not exists (select from realtime.commits c where (c.channel, c.xid) = (m.channel, m.xid))"
)
SYNCED = f"select synced and not temporary from pg_replication_slots where slot_name = '{SLOT}'"


async def publish(client: UserClient, *numbers: int) -> list[str]:
    """Publish and receive them; returns their positions."""
    positions = []
    for number in numbers:
        await client.send(type="message", channel="chat:1", event="sent", data=number, id=f"m{number}")
        message = await client.receive("message")
        assert message["data"] == number
        positions.append(message["position"])
    return positions


async def reported(process: ServerProcess, problem: str) -> None:
    """Wait until the health of a node or relay names it."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while problem not in (await process.healthy(503))["problems"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def is_copied(dsn: str, standby: LocalPostgres) -> None:
    """Wait until the standby has a usable copy of the node's slot.

    It has one once the slot has moved on beyond what the standby had reserved when it looked first. For that the stream
    needs transactions, and records of those that run, which PostgreSQL writes four times a minute by itself. A standby
    looks less often the longer nothing has changed, up to half a minute; at once when its settings are read again.
    """

    def copied() -> bool:
        run(dsn, "select realtime.broadcast('elsewhere', 'sent'), pg_log_standby_snapshot()")
        run(standby.dsn, "select pg_reload_conf()")
        return run(standby.dsn, SYNCED) == [(True,)]

    await until(copied)


def look(standby: LocalPostgres, dsn: str) -> None:
    """What the commands show of a standby with a copied slot."""
    [slot] = json.loads(realtime("slots", "--json", "--dsn", dsn).stdout)
    assert (slot["name"], slot["kept"], slot["ours"], slot["wal_status"]) == (SLOT, "synced", True, "reserved")
    [row] = run(dsn, "select slot, own, node, synced, failover, wal_status from realtime.stat_slots")
    assert row == (SLOT, True, SLOT, True, True, "reserved")
    for command in ("doctor", "top", "channels"):
        done = realtime(command, "--dsn", dsn)
        assert (done.returncode, "this server is a standby" in done.stdout + done.stderr) == (1, True)
    dropped = realtime("slots", "drop", SLOT, "--dsn", dsn)
    assert dropped.returncode != 0
    assert "Traceback" not in dropped.stderr
    assert run(standby.dsn, SYNCED) == [(True,)]


def with_failover_slot(primary: LocalPostgres) -> str:
    """A database with the items and a failover slot, which is sent no commit that the standby lacks."""
    dsn = fresh_database(primary)
    run(dsn, ITEMS)
    run(dsn, f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput', failover => true)")
    run(dsn, f"alter system set synchronized_standby_slots = '{STANDBY}'")
    run(dsn, "select pg_reload_conf()")
    return dsn


@pytest.mark.long
@pytest.mark.since(17)
async def test_a_promoted_standby_with_a_copy_of_the_slot_has_all_that_clients_have_seen(scratch: Path) -> None:
    with (
        started(postgres_18(scratch / "failover_slots")) as primary,
        streaming_standby(primary, {"sync_replication_slots": "on"}) as standby,
    ):
        dsn = with_failover_slot(primary)
        config: dict[str, Any] = {"slot_name": SLOT, "trust_user_parameter": "true"}
        async with (
            serving(either_of(dsn, primary, standby), free_port(), **config) as server,
            user_client(server, "ada") as ada,
        ):
            epoch = (await ada.join("chat:1"))["epoch"]
            await ada.join("db:collection:items", id="items", query={"orderBy": ["id"]})
            await ada.receive("snapshot")
            positions = await publish(ada, 0, 1, 2)
            run(dsn, "insert into items values (2)")
            await ada.receive("snapshot")
            await is_copied(dsn, standby)
            there = standby.dsn_for(dsn.rpartition("/")[2])
            await asyncio.to_thread(look, standby, there)

            await asyncio.to_thread(primary.stop, "immediate")
            run(there, "select pg_promote(true, 60)")
            run(there, "alter system set synchronized_standby_slots = ''")
            run(there, "select pg_reload_conf()")
            gone = await ada.receive("error")
            assert (gone["code"], gone["channel"]) == ("RT_001", "chat:1")
            again = await ada.join("chat:1", since=positions[0], epoch=epoch)
            assert again["recovered"] is True
            assert [(await ada.receive("message"))["data"] for _ in range(2)] == [1, 2]
            await publish(ada, 3)
            run(there, "insert into items values (3)")
            [change] = (await ada.receive("snapshot"))["changes"]
            assert (change["type"], change["doc"]["id"]) == ("added", "3")
            assert run(there, "select slot, node, failover, synced from realtime.stat_slots where own") == [
                (SLOT, SLOT, True, False)
            ]


ABSENT = "synchronized_standby_slots names slots that no standby uses"
FAILOVER = "select failover from realtime.stat_slots where own and active"


@pytest.mark.since(17)
@pytest.mark.parametrize("made", [None, False, True])
@pytest.mark.parametrize("wanted", [True, False])
async def test_the_slot_is_a_failover_slot_by_the_setting(pg18: LocalPostgres, made: bool | None, wanted: bool) -> None:
    """Also one that was there, and one that replaces a dropped one in a later process: else its walsender would not wait
    for standbys, and clients would see what a promoted one lacks.
    """
    with database_on(pg18) as dsn:
        slot = slot_name()
        if made is not None:
            run(dsn, f"select pg_create_logical_replication_slot('{slot}', 'pgoutput', failover => {made})")
        config = {"slot_name": slot, "slot_failover": str(wanted).lower(), "trust_user_parameter": "true"}
        async with serving(dsn, free_port(), **config):
            await until(lambda: run(dsn, FAILOVER) == [(wanted or bool(made),)])
        run(dsn, f"select pg_drop_replication_slot('{slot}')")
        async with serving(dsn, free_port(), **config) as server, user_client(server, "ada") as ada:
            await ada.join("chat:1")
            await until(lambda: run(dsn, FAILOVER) == [(wanted,)])
            drop_slot(dsn, slot)
            await until(lambda: run(dsn, FAILOVER) == [(wanted,)])
            await publish(ada, 1)


@pytest.mark.since(17)
async def test_a_standby_that_is_waited_for_and_not_there_is_reported(scratch: Path) -> None:
    """By the nodes of failover slots alone: the streams of others go on."""
    with started(postgres_18(scratch / "awaited")) as primary:
        dsn = fresh_database(primary)
        config = {"slot_name": SLOT, "trust_user_parameter": "true", "heartbeat_interval": "0.2"}
        async with (
            serving(dsn, free_port(), **config) as server,
            serving(dsn, free_port(), **config | {"slot_name": "other", "slot_failover": "false"}) as other,
            user_client(server, "ada") as ada,
        ):
            await ada.join("chat:1")
            await publish(ada, 1)
            await server.healthy()
            assert "synchronized_standby_slots" not in realtime("doctor", "--dsn", dsn).stdout
            run(dsn, "alter system set synchronized_standby_slots = 'one, \"two\"'")
            run(dsn, "select pg_reload_conf()")
            await until(lambda: any('"absent":"one, two"' in line for line in server.lines))
            await ada.send(type="message", channel="chat:1", event="sent", data=2, id="m2")
            done = realtime("doctor", "--dsn", dsn)
            assert done.returncode == 1
            assert f"{ABSENT}: one, two." in done.stdout
            assert (await server.healthy(503))["problems"] == [f"the stream waits for standbys: {ABSENT}: one, two"]
            assert (await other.health())[0] == 200
            run(dsn, "alter system reset synchronized_standby_slots")
            run(dsn, "select pg_reload_conf()")
            await server.healthy()
            assert (await ada.receive("message"))["data"] == 2


@pytest.mark.long
@pytest.mark.since(17)
@pytest.mark.parametrize("copied", [True, False])
async def test_messages_of_both_histories_need_not_be_recorded_before_a_standby_is_promoted(
    scratch: Path, copied: bool
) -> None:
    """With a copy of the slot the stream brings where they committed, without one the node that runs knows it."""
    with (
        started(postgres_18(scratch / "recorded_later")) as primary,
        streaming_standby(primary, {"sync_replication_slots": "on"} if copied else {}) as standby,
    ):
        dsn = fresh_database(primary)
        run(dsn, f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput', failover => {copied})")
        config: dict[str, Any] = {"slot_name": SLOT, "trust_user_parameter": "true"}
        async with (
            serving(either_of(dsn, primary, standby), free_port(), **config) as server,
            user_client(server, "ada") as ada,
        ):
            epoch = (await ada.join("chat:1"))["epoch"]
            await publish(ada, 0)
            if copied:
                await is_copied(dsn, standby)
            holder = psycopg.connect(dsn)
            holder.execute("lock table realtime.commits in share mode")  # nothing is recorded from here on
            positions = await publish(ada, 1, 2, 3)
            written = run(dsn, "select pg_current_wal_flush_lsn()::text")[0][0]
            await until(lambda: run(standby.dsn, f"select pg_last_wal_replay_lsn() >= '{written}'") == [(True,)])
            await asyncio.to_thread(primary.stop, "immediate")
            holder.close()
            there = standby.dsn_for(dsn.rpartition("/")[2])
            assert run(there, UNRECORDED)[0][0] >= 3
            run(there, "select pg_promote(true, 60)")
            assert (await ada.receive("error"))["channel"] == "chat:1"
            again = await ada.join("chat:1", since=positions[1], epoch=epoch)
            assert again["recovered"] is True
            assert (await ada.receive("message"))["position"] == positions[2]
            await publish(ada, 4)
            page = await ada.join("chat:2")
            assert page["epoch"] != epoch


@pytest.mark.long
@pytest.mark.since(17)
async def test_a_relay_goes_on_with_the_slot_of_the_promoted_standby(scratch: Path, tmp_path: Path) -> None:
    """Neither relay nor node is started again; clients have what both servers committed, once."""
    nats = LocalNats(tmp_path / "nats", free_port())
    with (
        started(postgres_18(scratch / "relay_failover")) as primary,
        streaming_standby(primary, {"sync_replication_slots": "on"}) as standby,
    ):
        dsn = with_failover_slot(primary)
        either = either_of(dsn, primary, standby)
        config: dict[str, Any] = {"slot_name": SLOT, "nats_url": nats.url, "heartbeat_interval": 0.2}
        await asyncio.to_thread(nats.start)
        relay = await start("relay", "--dsn", either, port=free_port(), config=config)
        try:
            await relay.healthy()
            served = serving(either, free_port(), trust_user_parameter="true", **config)
            async with served as server, user_client(server, "ada") as ada:
                epoch = (await ada.join("chat:1"))["epoch"]
                await ada.join("db:collection:items", id="items", query={"orderBy": ["id"]})
                await ada.receive("snapshot")
                positions = await publish(ada, 0, 1, 2)
                await is_copied(dsn, standby)

                await asyncio.to_thread(primary.stop, "immediate")
                there = standby.dsn_for(dsn.rpartition("/")[2])
                run(there, f"alter system set synchronized_standby_slots = '{STANDBY}'")
                run(there, "select pg_promote(true, 60)")
                run(there, "select pg_reload_conf()")
                for each in (relay, server):
                    await reported(each, f"the stream waits for standbys: {ABSENT}: {STANDBY}")
                run(there, "alter system set synchronized_standby_slots = ''")
                run(there, "select pg_reload_conf()")
                assert (await ada.receive("error"))["channel"] == "chat:1"
                again = await ada.join("chat:1", since=positions[0], epoch=epoch)
                assert again["recovered"] is True
                assert [(await ada.receive("message"))["data"] for _ in range(2)] == [1, 2]
                await publish(ada, 3)
                run(there, "insert into items values (3)")
                [change] = (await ada.receive("snapshot"))["changes"]
                assert (change["type"], change["doc"]["id"]) == ("added", "3")
                slots = run(there, "select slot_name, failover from pg_replication_slots where slot_type = 'logical'")
                assert slots == [(SLOT, True)]
            assert relay.process.returncode is None
        finally:
            await relay.end()
            await asyncio.to_thread(nats.kill)


@pytest.mark.long
@pytest.mark.since(17)
async def test_a_former_primary_that_was_stopped_in_order_copies_the_slot_once_its_own_is_dropped(
    scratch: Path,
) -> None:
    """Then the primary can go back there, and clients resume each time."""
    with (
        started(postgres_18(scratch / "switched")) as primary,
        streaming_standby(primary, {"sync_replication_slots": "on"}) as standby,
    ):
        dsn = fresh_database(primary)
        there = standby.dsn_for(dsn.rpartition("/")[2])
        config: dict[str, Any] = {"slot_name": SLOT, "trust_user_parameter": "true"}
        async with (
            serving(either_of(dsn, primary, standby), free_port(), **config) as server,
            user_client(server, "ada") as ada,
        ):
            epoch = (await ada.join("chat:1"))["epoch"]
            positions = await publish(ada, 0, 1, 2)
            await is_copied(dsn, standby)
            await asyncio.to_thread(primary.stop)
            run(there, "select pg_promote(true, 60)")
            await asyncio.to_thread(follow, primary, standby)
            assert (await ada.receive("error"))["channel"] == "chat:1"
            again = await ada.join("chat:1", since=positions[0], epoch=epoch)
            assert again["recovered"] is True
            assert [(await ada.receive("message"))["data"] for _ in range(2)] == [1, 2]

            positions = await publish(ada, 3)
            assert run(dsn, f"select synced from pg_replication_slots where slot_name = '{SLOT}'") == [(False,)]
            assert (await asyncio.to_thread(realtime, "slots", "drop", SLOT, "--dsn", dsn)).returncode == 0
            await is_copied(there, primary)
            positions += await publish(ada, 4, 5)
            await asyncio.to_thread(standby.stop)
            run(dsn, "select pg_promote(true, 60)")
            assert (await ada.receive("error"))["channel"] == "chat:1"
            again = await ada.join("chat:1", since=positions[0], epoch=again["epoch"])
            assert again["recovered"] is True
            assert [(await ada.receive("message"))["data"] for _ in range(2)] == [4, 5]
            await publish(ada, 6)


def follow(former: LocalPostgres, primary: LocalPostgres) -> None:
    """Start a primary that was stopped as a standby of ``primary``, which copies its slots."""
    run(primary.dsn, "select pg_create_physical_replication_slot('of_the_former', true)")
    signal = former.data_dir / "standby.signal"
    signal.touch()
    os.chown(signal, former.data_dir.stat().st_uid, former.data_dir.stat().st_gid)
    former.settings |= {
        "primary_conninfo": f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres",
        "primary_slot_name": "of_the_former",
        "hot_standby_feedback": "on",
        "sync_replication_slots": "on",
    }
    former.start()
