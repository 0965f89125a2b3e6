"""The process and its surroundings: kills, stops, outages, ports, the demo."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.app.listening import ServeError, listen, listen_near
from server.cli.local_postgres import LocalPostgres
from tests.conftest import fresh_database, postgres_18, started
from tests.support.clients.list_client import TABLE, TOP, list_client, read, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, serving, start


async def test_after_a_kill_a_new_process_takes_the_slot_over_and_misses_nothing(table: str) -> None:
    port, slot = free_port(), slot_name()
    server = await start("serve", "--dsn", table, port=port, config={"slot_name": slot})
    await server.healthy()
    reader = await list_client(server)
    await reader.subscribe(TOP)
    await server.end(signal.SIGKILL)
    with pytest.raises(ConnectionClosed):
        await reader.receive()
    write(table, "insert into messages values (1, 'a', 'while no server ran', 1)")
    async with serving(table, port, slot_name=slot) as again:
        reader = await list_client(again)
        await reader.subscribe(TOP)
        assert reader.ids == ["1"]
        write(table, "insert into messages values (2, 'a', 'and now', 2)")
        await reader.until(["2", "1"])
        await reader.client.close()


async def test_stopping_asks_clients_to_reconnect_and_leaves_no_ephemeral_slot(table: str) -> None:
    slot = slot_name()
    server = await start("serve", "--dsn", table, port=free_port(), config={"slot_name": slot, "ephemeral": True})
    await server.healthy()
    reader = await list_client(server)
    await reader.subscribe(TOP)
    ending = asyncio.create_task(server.end())
    with pytest.raises(ConnectionClosed) as closed:
        await reader.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert await ending == 0
    assert read(table, f"select count(*) from pg_replication_slots where slot_name = '{slot}'") == [(0,)]


async def test_a_server_that_cannot_go_on_ends_with_a_reason_and_its_successor_misses_nothing(
    database: str,
) -> None:
    port, slot = free_port(), slot_name()
    subscribe = {"type": "subscribe", "channel": "room"}
    faulty = await start(
        "serve", "--dsn", database, port=port, config={"slot_name": slot}, module="tests.support.servers.failing"
    )
    await faulty.healthy()
    async with asyncio.timeout(GIVE_UP_AFTER), connect(faulty.websocket) as client:
        epoch = json.loads(await client.recv())["epoch"]
        await client.send(json.dumps(subscribe))
        position = json.loads(await client.recv())["position"]
        write(database, "select realtime.broadcast('room', 'break', '1')")
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "the server failed; connect again")
        assert await faulty.process.wait() == 1
    await faulty.end()
    reported = "realtime: the server stopped because it could not go on (AssertionError: an unforeseen fault)"
    assert faulty.lines[-1].startswith(reported)
    async with serving(database, port, slot_name=slot) as again, connect(again.websocket) as client:
        await client.recv()
        await client.send(json.dumps(subscribe | {"since": position, "epoch": epoch}))
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert json.loads(await client.recv())["recovered"] is True
            assert json.loads(await client.recv())["event"] == "break"


async def test_health_reports_an_outage_and_everything_resumes_afterwards(scratch: Path) -> None:
    with started(postgres_18(scratch / "outage18")) as postgres:
        dsn = fresh_database(postgres)
        write(dsn, TABLE)
        async with serving(dsn, free_port(), slot_name=slot_name()) as server:
            reader = await list_client(server)
            await reader.subscribe(TOP)
            good = await server.healthy()
            assert (good["status"], good["feed"]["state"], good["feed"]["reason"]) == ("ok", "streaming", None)
            assert (good["connections"], good["subscriptions"]) == (1, 1)
            postgres.stop()
            bad = await server.healthy(503)
            assert (bad["status"], bad["feed"]["state"]) == ("degraded", "reconnecting")
            assert bad["feed"]["reason"]
            await reader.client.send('{"type":"ping"}')
            assert await reader.receive() == {"type": "pong"}
            postgres.start()
            await server.healthy()
            write(dsn, "insert into messages values (1, 'a', 'after the outage', 1)")
            await reader.until(["1"])
            await reader.client.close()


async def test_only_allowed_origins_may_connect(table: str) -> None:
    async with serving(
        table, free_port(), slot_name=slot_name(), ephemeral=True, allowed_origins="https://app.example"
    ) as server:
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.websocket, origin="https://evil.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        allowed = await list_client(server, origin="https://app.example")
        no_browser = await list_client(server)
        await allowed.client.close()
        await no_browser.client.close()


async def test_a_query_that_is_reread_is_logged_once_with_the_reason(table: str) -> None:
    sql = {"sql": "select count(*) as n from messages"}
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True, log_format="json") as server:
        for each in ("one", "two"):
            async with connect(server.websocket) as client:
                await client.recv()
                await client.send(
                    json.dumps({"type": "subscribe", "channel": "db:collection:messages", "id": each, "query": sql})
                )
                async with asyncio.timeout(GIVE_UP_AFTER):
                    reason = json.loads(await client.recv())["reason"]
        await server.end()
    [line] = [json.loads(line) for line in server.lines if "query_reread" in line]
    assert (line["event"], line["level"], line["collection"]) == ("query_reread", "info", "messages")
    assert line["reason"] == reason


async def test_a_port_in_use_is_one_line(table: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = await start("serve", "--dsn", table, port=port)
        assert await server.process.wait() == 1
        await server.end()
    assert len(server.lines) == 1
    reported = f"realtime: cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert server.lines[0].startswith(reported)
    assert server.lines[0].endswith("choose another port with --port\n")
    assert f"(process {os.getpid()})" in server.lines[0]


async def test_a_database_that_cannot_be_followed_is_one_line(scratch: Path) -> None:
    with started(postgres_18(scratch / "replica18", {"wal_level": "replica"})) as postgres:
        dsn = fresh_database(postgres)
        server = await start("serve", "--dsn", dsn, "--log-level", "error", port=free_port())
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert await server.process.wait() == 1
        await server.end()
        assert len(server.lines) == 1
        assert server.lines[0].startswith("realtime: ")
        assert "wal_level" in server.lines[0]


async def test_a_closed_terminal_ends_the_server_as_an_interrupt_does(table: str) -> None:
    slot = slot_name()
    server = await start("serve", "--dsn", table, port=free_port(), config={"slot_name": slot, "ephemeral": True})
    await server.healthy()
    assert await server.end(signal.SIGHUP) == 0
    assert read(table, f"select count(*) from pg_replication_slots where slot_name = '{slot}'") == [(0,)]


def test_the_next_free_port_is_taken_where_none_was_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with listen_near("127.0.0.1", port, 10) as listener:
            assert port < listener.getsockname()[1] < port + 20
        with pytest.raises(ServeError, match="choose another port with --port"):
            listen("127.0.0.1", port, 10)


def test_an_address_of_another_machine_is_not_tried_again_on_the_next_port() -> None:
    with pytest.raises(ServeError, match=r"cannot listen on 192\.0\.2\.1 port 8000: Cannot assign requested address$"):
        listen_near("192.0.2.1", 8000, 10)


async def answer_about(client: ClientConnection, channel: str) -> str:
    """The type of the next message that names the channel."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while (message := json.loads(await client.recv())).get("channel") != channel:
            pass
    return str(message["type"])


@pytest.mark.own_database
async def test_dev_serves_the_demo_and_keeps_its_data(scratch: Path) -> None:
    port, folder = free_port(), str(scratch / "dev")
    for expected in (0, 1):
        server = await start("dev", "--data-dir", folder, port=port)
        try:
            await server.healthy()
            async with httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http:
                page = await http.get("/")
                for origin, status in {"https://evil.example": 403, "null": 403, server.url: 200}.items():
                    opened = await http.post("/realtime/poll", json={}, headers={"Origin": origin})
                    assert opened.status_code == status, origin
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            async with connect(server.websocket) as client:
                for channel, answer in (
                    ("public:news", "subscribed"),
                    ("chat:room-123", "subscribed"),
                    ("jobs", "error"),
                ):
                    await client.send(json.dumps({"type": "subscribe", "channel": channel}))
                    assert await answer_about(client, channel) == answer
            postgres = LocalPostgres(Path(folder))
            write(postgres.dsn, "create table if not exists kept (id int primary key)")
            assert read(postgres.dsn, "select count(*) from kept") == [(expected,)]
            write(postgres.dsn, "insert into kept values (1) on conflict do nothing")
        finally:
            assert await server.end(signal.SIGINT) == 0
        assert not LocalPostgres(Path(folder)).running


@pytest.mark.own_database
async def test_dev_that_is_started_a_second_time_names_the_first_and_leaves_it_alone(scratch: Path) -> None:
    folder = str(scratch / "dev")
    first = await start("dev", "--no-examples", "--data-dir", folder, port=free_port())
    try:
        await first.healthy()
        done = await asyncio.to_thread(realtime, "dev", "--data-dir", folder, "--port", "0")
        holder = f"process {first.process.pid} on {socket.gethostname()}"
        assert (done.returncode, f"realtime: this database is served already, by {holder}: " in done.stderr) == (
            1,
            True,
        )
        await first.healthy()
    finally:
        assert await first.end(signal.SIGINT) == 0


async def test_dev_serves_a_given_database_and_puts_nothing_into_it(database: str) -> None:
    server = await start("dev", "--dsn", database, port=free_port(), config={"slot_name": slot_name()})
    try:
        await server.healthy()
        async with httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http:
            assert [(await http.get(path)).status_code for path in ("/", "/demo/about", "/dashboard")] == [
                404,
                404,
                200,
            ]
        assert read(database, "select count(*) from realtime.collections") == [(0,)]
        assert read(database, "select to_regclass('messages')::text") == [(None,)]
    finally:
        assert await server.end(signal.SIGINT) == 0
