"""PgBouncer between a node and its database, with sessions that change from transaction to transaction."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.channels.publish.test_session_settings import HOSTILE, set_all
from tests.support.clients.list_client import TOP, list_client, slot_name
from tests.support.ports import free_port
from tests.support.postgres.sql import read, run_each
from tests.support.servers.pooler import pgbouncer, pooler
from tests.support.servers.processes import GIVE_UP_AFTER, serving, start


@pytest.fixture
def program() -> str:
    return pgbouncer()


@pytest.mark.long
async def test_everything_but_the_feed_goes_through_a_pooler(program: str, scratch: Path, table: str) -> None:
    folder = scratch / "pooler"
    folder.mkdir()
    run_each(table, "insert into messages select n, 'a', '', n from generate_series(1, 5) n")
    # Time-outs of the pooler's own sessions, between our transactions, are no affair of ours.
    set_all(table, {name: value for name, value in HOSTILE.items() if name != "search_path" and "timeout" not in name})
    with pooler(program, folder, table) as pooled:
        async with (
            serving(table, free_port(), slot_name=slot_name(), ephemeral=True, pooled_dsn=pooled) as server,
            httpx.AsyncClient(timeout=GIVE_UP_AFTER) as http,
            asyncio.timeout(2 * GIVE_UP_AFTER),
        ):
            clients = [await list_client(server) for _ in range(3)]
            for client in clients[1:]:
                await client.subscribe(TOP)
            await clients[0].subscribe(
                {"sql": "select max(likes) as most from messages where likes is distinct from 7"}
            )
            run_each(table, "update messages set likes = 100 where id = 1")
            for client in clients[1:]:
                await client.until(["1", "5", "4"])
            while clients[0].list[0][1] != {"most": 100}:
                await clients[0].event()
            socket = clients[0].client
            await socket.send(json.dumps({"type": "subscribe", "channel": "chat:1", "presence": True, "history": 10}))
            await socket.send(json.dumps({"type": "message", "channel": "chat:1", "event": "e", "data": 1, "ref": "r"}))
            kinds = []
            while "ack" not in kinds or "message" not in kinds:
                received = json.loads(await socket.recv())
                assert received["type"] != "error", received
                kinds.append(received["type"])
            sent = await http.post(f"{server.url}/realtime/channels/chat:1/broadcast", json={"event": "e", "data": 2})
            assert sent.status_code == 201, sent.text
            history = await http.get(f"{server.url}/realtime/channels/chat:1/messages")
            assert [message["data"] for message in history.json()["messages"]] == [1, 2]
            direct = read(
                table,
                "select distinct split_part(application_name, ' ', 2) from pg_stat_activity "
                "where datname = current_database() and application_name like 'realtime %' and client_port is not null",
            )
            assert {name for (name,) in direct} >= {"feed", "node", "publisher"}
            # What the node sets does not stay behind in sessions that others get.
            with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as other:
                for _ in range(4):
                    with other.transaction():
                        row = other.execute("select current_setting('array_nulls'), current_setting('role')").fetchone()
                        assert row == ("off", "none")
            for client in clients:
                await client.client.close()


async def test_a_server_behind_a_pooler_that_cannot_replicate_stops_with_the_remedy(
    program: str, scratch: Path, table: str
) -> None:
    for number, lines in enumerate(([], ["ignore_startup_parameters = options"])):
        folder = scratch / f"pooler_{number}"
        folder.mkdir()
        with pooler(program, folder, table, *lines) as pooled:
            server = await start("serve", "--dsn", pooled, port=free_port(), config={"slot_name": slot_name()})
            async with asyncio.timeout(GIVE_UP_AFTER):
                code = await server.process.wait()
            await server.end()
            assert code in (1, 3), server.lines
            assert "pooled_dsn" in server.lines[-1], server.lines


async def test_a_pooler_before_another_database_is_refused(
    program: str, scratch: Path, table: str, pg18: object
) -> None:
    folder = scratch / "pooler_elsewhere"
    folder.mkdir()
    with pooler(program, folder, table) as pooled:
        elsewhere = pooled.rsplit("/", 1)[0] + "/postgres"
        config = {"slot_name": slot_name(), "ephemeral": True, "pooled_dsn": elsewhere}
        server = await start("serve", "--dsn", table, port=free_port(), config=config)
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert await server.process.wait() == 1
        await server.end()
        assert "leads to another server or database" in server.lines[-1]
