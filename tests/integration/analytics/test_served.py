"""Analytics of served nodes: their sums are what clients did, on however many nodes; and what is counted of whom."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from server.app.loading import load_settings
from server.cli.doctor.diagnose import diagnose
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import TRANSPORTS, open_stream, transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import read, run_each, until
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, serving, start
from tests.support.values.country_database import country_database

MESSAGES = 20
ROLE = "server_that_counts"
SUMS = "sessions", "sessions_ended", "messages_in", "messages_out", "published"
ROLL_UP = "select realtime.roll_up_usage('0', '2 days', '90 days', '3 years', 50)"


def sums(dsn: str) -> dict[str, int]:
    """Over all minutes."""
    columns = ", ".join(f"coalesce(sum({each}), 0)::int" for each in SUMS)
    [row] = read(dsn, f"select {columns} from realtime.analytics_minutes")
    return dict(zip(SUMS, row, strict=True))


def everything(dsn: str) -> str:
    """The rows of all tables of analytics, as text."""
    tables = read(dsn, "select relname from pg_class where relname like 'usage\\_%' and relkind = 'r'")
    return "\n".join(str(row) for (table,) in tables for row in read(dsn, f"select t::text from realtime.{table} t"))


async def test_the_sums_of_two_nodes_are_what_clients_did_and_name_no_user(database: str) -> None:
    run_each(database, f"create role {ROLE} login replication", f"select realtime.grant_server('{ROLE}')")
    dsns = database, database.replace("postgres@", f"{ROLE}@")
    config: dict[str, Any] = {"trust_user_parameter": "true", "ping_interval": 300}  # a ping is a message that is sent
    async with AsyncExitStack() as stack, asyncio.timeout(4 * GIVE_UP_AFTER):
        nodes = [
            await stack.enter_async_context(
                serving(dsn, free_port(), slot_name=slot_name(), analytics_interval=1, **config)
            )
            for dsn in dsns
        ]
        async with AsyncExitStack() as clients:
            users = [
                await clients.enter_async_context(
                    transport_client(node.url, transport, user=f"someone-{number}", analytics="on")
                )
                for number, transport in enumerate(TRANSPORTS)
                for node in nodes
            ]
            asked, got = 0, len(users)  # what they were sent: connected
            for client in users:
                assert (await client.join("chat:1"))["type"] == "subscribed"
                asked, got = asked + 1, got + 1
            for number in range(MESSAGES):
                await users[number % len(users)].ask(type="message", channel="chat:1", event="sent", data=number)
                asked, got = asked + 1, got + 1
            for client in users:
                assert [(await client.receive("message"))["data"] for _ in range(MESSAGES)] == list(range(MESSAGES))
                got += MESSAGES
            done = {"sessions": len(users), "messages_in": asked, "messages_out": got, "published": MESSAGES}
            await until(lambda: {name: sums(database)[name] for name in done} == done)
            run_each(database, "select realtime.broadcast('private:someone-1', 'sent', '1') from generate_series(1, 3)")
            subscribers = "select max(subscribers) from realtime.analytics_channels where channel = 'chat:1'"
            await until(lambda: read(database, subscribers) == [(len(users),)])
            for client in users:
                await client.leave()
            await until(lambda: sums(database)["sessions_ended"] == len(users))
    assert sums(database)["published"] == MESSAGES + 3
    run_each(database, ROLL_UP)
    [(users_of_day, connections, messages)] = read(
        database, "select max(users), max(connections), sum(published) from realtime.analytics_days"
    )
    assert messages == MESSAGES + 3
    assert users_of_day == len(TRANSPORTS)
    assert connections == len(users)
    channels = read(
        database,
        "select channel, sum(messages)::int from realtime.analytics_channels where bucket = 'day' group by 1 order by 1",
    )
    assert channels == [("chat:1", MESSAGES), ("private:*", 3)]
    assert "someone" not in everything(database)
    run_each(database, f"drop owned by {ROLE}", f"drop role {ROLE}")


async def test_a_node_that_is_killed_counts_no_message_twice_when_it_is_back(database: str) -> None:
    name, port = slot_name(), free_port()
    config: dict[str, Any] = {"slot_name": name, "analytics_interval": 1}
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        server = await start("serve", "--dsn", database, port=port, config=config)
        try:
            await server.healthy()
            async with transport_client(server.url, "websocket") as client:
                for number in range(5):
                    await client.ask(type="message", channel="chat:1", event="sent", data=number)
                await until(lambda: sums(database)["published"] == 5)
        finally:
            await server.end(signal.SIGKILL)
        async with serving(database, port, **config) as server, transport_client(server.url, "websocket") as client:
            for number in range(3):
                await client.ask(type="message", channel="chat:1", event="sent", data=number)
    found = sums(database)
    assert (found["published"], found["sessions"]) == (8, 2)


async def visit(url: str, **headers: str) -> None:
    """A client of each transport comes and goes."""
    async with connect(url.replace("http", "ws", 1) + "/realtime", additional_headers=headers) as socket:
        await socket.recv()
    async with httpx.AsyncClient(base_url=f"{url}/realtime", timeout=GIVE_UP_AFTER, headers=headers) as http:
        stream = await open_stream(http)
        await anext(stream.aiter_lines())
        await stream.aclose()
        session = (await http.post("/poll", json={})).json()["session"]
        assert (await http.request("DELETE", "/session", json={"session": session})).status_code == 204


def countries(dsn: str) -> dict[str, int]:
    return dict(
        read(
            dsn,
            "select country, sum(sessions)::int from realtime.analytics_countries where bucket = 'minute' group by 1",
        )
    )


async def test_countries_come_from_the_database_or_a_trusted_proxy_and_clients_can_opt_out(
    database: str, tmp_path: Path
) -> None:
    path = country_database(tmp_path / "countries.mmdb", DE="198.51.100.0/24")
    config: dict[str, Any] = {"country_header": "CF-IPCountry", "rest_key": "k" * 32, "max_connection_rate": 1000}
    async with serving(
        database, free_port(), slot_name=slot_name(), trusted_proxies="127.0.0.1", country_database=str(path), **config
    ) as server:
        await visit(server.url, **{"X-Forwarded-For": "198.51.100.7", "CF-IPCountry": "US"})
        await visit(server.url, **{"X-Forwarded-For": "203.0.113.7", "CF-IPCountry": "US"})
        await visit(server.url, **{"X-Forwarded-For": "203.0.113.7", "CF-IPCountry": "<script>"})
        await visit(server.url, **{"X-Forwarded-For": "198.51.100.7", "DNT": "1"})
        await visit(server.url, **{"X-Forwarded-For": "198.51.100.7", "Sec-GPC": "1"})
        for transport in TRANSPORTS:
            async with transport_client(server.url, transport, analytics="off") as client:
                await client.leave()
    assert countries(database) == {"DE": 3, "US": 3, "ZZ": 3}
    assert (sums(database)["sessions"], sums(database)["sessions_ended"]) == (9, 9)
    assert "198.51.100" not in everything(database)
    async with serving(
        database,
        free_port(),
        slot_name=slot_name(),
        trusted_proxies="192.0.2.1",
        respect_do_not_track="false",
        **config,
    ) as server:
        await visit(server.url, **{"CF-IPCountry": "US", "DNT": "1"})
    assert countries(database) == {"DE": 3, "US": 3, "ZZ": 6}
    before = everything(database)
    del config["country_header"]
    async with serving(database, free_port(), slot_name=slot_name(), analytics="false", **config) as server:
        await visit(server.url)
    assert everything(database) == before


@pytest.mark.parametrize("way", ["counted", "off"])
async def test_nodes_that_only_count_users_write_no_hashes(database: str, way: str) -> None:
    async with (
        serving(
            database, free_port(), slot_name=slot_name(), trust_user_parameter="true", analytics_users=way
        ) as server,
        transport_client(server.url, "websocket", user="ada"),
        transport_client(server.url, "websocket", user="ada"),
        transport_client(server.url, "websocket", user="bob"),
    ):
        pass
    run_each(database, ROLL_UP)
    assert (
        read(database, "select from realtime.usage_users") == read(database, "select from realtime.usage_salts") == []
    )
    assert read(database, "select sum(users)::int from realtime.analytics_days") == [(2 if way == "counted" else 0,)]


def test_a_database_of_countries_that_cannot_be_read_keeps_the_server_from_starting_and_the_doctor_names_it(
    database: str,
) -> None:
    done = realtime("serve", "--dsn", database, REALTIME_COUNTRY_DATABASE="/nowhere.mmdb")
    assert done.returncode == 1
    assert "country_database: /nowhere.mmdb cannot be read" in done.stderr
    [found] = [
        each
        for each in diagnose(database, load_settings(None, country_database="/nowhere.mmdb"))
        if each.text.startswith("country_database: /nowhere.mmdb cannot be read")
    ]
    assert (found.level, found.remedy in done.stderr) == ("problem", True)
