"""``realtime dev --nodes``: a cluster on one machine, which leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from server.cli.serving.local_nats import nats_server_program
from tests.support.clients.list_client import ListClient, read, slot_name, write
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, start

INSERT = "insert into messages values (1)"


def addresses(server: ServerProcess) -> list[str]:
    """Of the processes that serve beside it, as their log has them."""
    events = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [each["url"] for each in events if each["event"] == "serving"]


def ended(server: ServerProcess) -> set[str]:
    """The processes beside it that have been started again, as its log has them."""
    events = [json.loads(line) for line in server.lines if line.startswith("{")]
    return {each["name"] for each in events if each["event"] == "part_ended"}


async def read_health(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=GIVE_UP_AFTER) as http:
        found: dict[str, Any] = (await http.get(f"{url}/health")).json()
    return found


async def follower(url: str) -> ListClient:
    """A client of the node that has the list of all messages."""
    client = ListClient(await connect(f"{url.replace('http', 'ws', 1)}/realtime"))
    assert (await client.receive())["type"] == "connected"
    assert (await client.subscribe({}))["type"] == "subscribed"
    return client


def child(server: ServerProcess, word: str) -> int:
    """The process beside it that has ``word`` in its command line."""
    children = [
        each
        for file in Path(f"/proc/{server.process.pid}/task").glob("*/children")
        for each in file.read_text().split()
    ]
    [found] = [each for each in children if word in Path(f"/proc/{each}/cmdline").read_text().split("\0")]
    return int(found)


async def test_nodes_read_the_file_with_settings_that_is_named(database: str, tmp_path: Path) -> None:
    slot, config = slot_name(), tmp_path / "other.toml"
    config.write_text('node_region = "north"\n')
    arguments = ("dev", "--dsn", database, "--nodes", "2", "--config", str(config))
    server = await start(*arguments, port=free_port(), config={"slot_name": slot})
    try:
        await server.healthy()
        await until(lambda: len(addresses(server)) == 2)
        nodes = "select count(*) from realtime.stat_nodes where region = 'north'"
        await until(lambda: read(database, nodes) == [(2,)])
    finally:
        await server.end(signal.SIGINT)


@pytest.mark.long
async def test_a_change_reaches_clients_of_every_node_and_nothing_is_left_at_the_end(database: str) -> None:
    write(database, "create table messages (id int primary key)")
    slot = slot_name()
    server = await start("dev", "--dsn", database, "--nodes", "3", port=free_port(), config={"slot_name": slot})
    try:
        await server.healthy()
        write(database, "select realtime.expose('messages')")
        await until(lambda: len(addresses(server)) == 3)
        health = {url: await read_health(url) for url in addresses(server)}
        assert [each["role"] for each in health.values() if "role" in each] == ["leader"]
        clients = [await follower(url) for url in (server.url, *health) if "role" not in health.get(url, {})]
        assert len(clients) == 3
        write(database, INSERT)
        for each in clients:
            await each.until(["1"])
        os.kill(child(server, "relay"), signal.SIGKILL)
        os.kill(child(server, str(nats_server_program())), signal.SIGKILL)
        await until(lambda: ended(server) == {"relay", "nats"})
        write(database, "insert into messages values (2)")
        for each in clients:
            await each.until(["1", "2"])
        slots = read(database, f"select slot_name from pg_replication_slots where slot_name like '{slot}%'")
        assert slots == [(f"{slot}_cluster",)]
    finally:
        code = await server.end(signal.SIGINT)
    assert code == 0
    for url in addresses(server):
        with pytest.raises(httpx.ConnectError):
            await read_health(url)
    assert read(database, f"select 1 from pg_replication_slots where slot_name like '{slot}%'") == []


async def test_nodes_and_workers_exclude_each_other(database: str) -> None:
    server = await start("dev", "--dsn", database, "--nodes", "2", "--workers", "2", port=free_port())
    assert await server.end(signal.SIGCONT) != 0
    assert "--nodes and --workers exclude each other" in "".join(server.lines)
