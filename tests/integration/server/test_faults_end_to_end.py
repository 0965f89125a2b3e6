"""The whole service as a process, and the worst that can happen to it and its database."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict
from websockets.exceptions import ConnectionClosed

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_18, started
from tests.faultproxy.proxy import FaultProxy
from tests.support.clients.list_client import TABLE, TOP, list_client, slot_name
from tests.support.nodes.live_node import held
from tests.support.ports import free_port
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run_each, until
from tests.support.servers.processes import serving, start

SETTINGS = {
    "fsync": "off",
    "synchronous_standby_names": "nobody",  # only a session that sets synchronous_commit to on waits for it
    "synchronous_commit": "local",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "max_slot_wal_keep_size": "32MB",
    "wal_sender_timeout": "2s",
}


@pytest.fixture(scope="module")
def own(scratch: Path) -> Iterator[LocalPostgres]:
    with started(postgres_18(scratch / "faults_end_to_end", SETTINGS)) as server:
        yield server


@pytest.fixture
def base(own: LocalPostgres) -> Iterator[str]:
    messages = "insert into messages select n, 'a', '', n from generate_series(1, 5) n"
    with database_on(own, TABLE, messages) as dsn:
        yield dsn


async def test_a_killed_server_misses_nothing_of_what_was_in_the_wal_and_invisible(base: str) -> None:
    port, slot = free_port(), slot_name()
    server = await start("serve", "--dsn", base, port=port, config={"slot_name": slot})
    await server.healthy()
    before = await list_client(server)
    await before.subscribe(TOP)
    async with held(base, "update messages set likes = 100 where id = 1") as release:
        await before.until(["1", "5", "4"])
        run_each(base, "update messages set likes = 50 where id = 2")
        await before.until(["1", "2", "5"])
        await server.end(signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            await before.receive()
        run_each(base, "update messages set likes = 200 where id = 3")
        async with serving(base, port, slot_name=slot, ephemeral=True) as again:
            after = await list_client(again)
            await after.subscribe(TOP)
            await after.until(["3", "1", "2"])
            await release()
            run_each(base, "delete from messages where id = 2")
            await after.until(["3", "1", "5"])
            await after.client.close()


async def test_a_server_that_stood_still_until_its_slot_was_lost_sends_one_difference(base: str) -> None:
    slot = slot_name()
    async with serving(base, free_port(), slot_name=slot, ephemeral=True) as server:
        reader = await list_client(server, ping_interval=None)
        await reader.subscribe(TOP)
        server.process.send_signal(signal.SIGSTOP)
        try:
            run_each(base, "update messages set likes = 10 where id = 1", "update messages set likes = 20 where id = 2")
            await until(lambda: lose_some(base, slot))
        finally:
            server.process.send_signal(signal.SIGCONT)
        await reader.event()
        while reader.ids != ["2", "1", "5"]:  # what was on its way to the process came in the old stream
            await reader.event()
        run_each(base, "delete from messages where id = 1")
        await reader.until(["2", "5", "4"])
        assert [event["reset"] for event in reader.events].count(True) == 1
        await reader.client.close()


@pytest.mark.long
async def test_health_names_silent_connections_until_lists_and_answers_are_right_again(base: str) -> None:
    address = conninfo_to_dict(base)
    plain = "?sslmode=disable&gssencmode=disable"  # so that the first bytes name the application
    async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
        dsn = base.replace(f":{address['port']}/", f":{proxy.port}/") + plain
        async with (
            serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True) as server,
            httpx.AsyncClient(timeout=GIVE_UP_AFTER) as http,
        ):
            members = f"{server.url}/realtime/channels/chat/presence"
            assert (await http.get(members)).is_success
            reader = await list_client(server)
            await reader.subscribe({"sql": "select max(likes) as likes from messages"})
            proxy.half_open(b"realtime feed", b"realtime node")
            run_each(base, "update messages set likes = 100 where id = 1")
            degraded = await server.healthy(503)
            # That of the lists or that of the channels, whichever is used first.
            reported = [degraded["feed"]["reason"] or "", *degraded["problems"]]
            assert any("has not answered" in each for each in reported), reported
            assert (await http.get(members, timeout=GIVE_UP_AFTER)).is_success
            while reader.list[0][1] != {"likes": 100}:
                await reader.event()
            await server.healthy()
            await reader.client.close()


def lose_some(dsn: str, slot: str) -> bool:
    """Write WAL and let the server remove old WAL; True when the slot is lost."""
    run_each(
        dsn,
        "select pg_switch_wal()",
        "create table if not exists filler (x int)",
        "insert into filler values (1)",
        "checkpoint",
    )
    return read(dsn, f"select wal_status = 'lost' from pg_replication_slots where slot_name = '{slot}'") == [(True,)]


async def test_every_client_is_right_after_restarts_of_postgres(base: str, own: LocalPostgres) -> None:
    async with serving(base, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        reader = await list_client(server)
        await reader.subscribe(TOP)
        for round, mode in enumerate(["fast", "immediate"]):
            await asyncio.to_thread(own.restart, mode)
            run_each(base, f"update messages set likes = {100 + round} where id = {round + 1}")
            await reader.until([["1", "5", "4"], ["2", "1", "5"]][round])
        assert [event["reset"] for event in reader.events].count(True) == 1
        await reader.client.close()
