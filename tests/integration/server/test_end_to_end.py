"""The whole service as a process: a client over WebSocket, a real Postgres behind it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.clients.list_client import TABLE, TOP, list_client, read, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.processes import serving


@pytest.fixture(params=[("pg18", "pgoutput"), ("pg15", "pgoutput"), ("pg15", "wal2json")], ids="-".join)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A database with the example table, and the decoder to follow it with."""
    server, decoder = request.param
    postgres: LocalPostgres = request.getfixturevalue(server)
    with database_on(postgres, TABLE) as dsn:
        yield dsn, decoder


async def test_a_client_follows_a_query_through_every_kind_of_change(place: tuple[str, str]) -> None:
    dsn, decoder = place
    write(dsn, "insert into messages select n, 'a', 'body ' || n, n from generate_series(1, 5) n")
    async with serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True, decoder=decoder) as server:
        reader = await list_client(server)
        answer = await reader.subscribe(TOP)
        assert (answer["strategy"], answer["id"], answer["channel"]) == ("incremental", "q", "db:collection:messages")
        assert reader.list == [(str(n), {"id": n, "room": "a", "body": f"body {n}", "likes": n}) for n in (5, 4, 3)]
        write(dsn, "insert into messages values (6, 'a', 'six', 10), (7, 'b', 'elsewhere', 99)")
        await reader.until(["6", "5", "4"])
        write(dsn, "update messages set likes = 20 where id = 1")
        await reader.until(["1", "6", "5"])
        write(dsn, "delete from messages where id in (1, 6)", "update messages set body = 'new' where id = 5")
        await reader.until(["5", "4", "3"])
        assert reader.list[0][1]["body"] == "new"
        write(dsn, "truncate messages")
        await reader.until([])
        positions = [event["position"] for event in reader.events]
        assert len(set(positions)) == len(positions) == 5
        await reader.client.close()


async def test_sql_with_a_join_or_an_aggregate_is_followed_too(table: str) -> None:
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        reader = await list_client(server)
        sql = "select room, count(*) as n from messages group by room order by room"
        answer = await reader.subscribe({"sql": sql})
        assert answer["strategy"] == "re-read"
        assert answer["reason"]
        write(table, "insert into messages values (1, 'a', '', 0), (2, 'a', '', 0), (3, 'b', '', 0)")
        await reader.event()
        assert [data for _, data in reader.list] == [{"room": "a", "n": 2}, {"room": "b", "n": 1}]
        await reader.client.close()


async def test_a_rolled_back_transaction_sends_nothing(table: str) -> None:
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        reader = await list_client(server)
        await reader.subscribe(TOP)
        with psycopg.connect(table) as connection:
            connection.execute("insert into messages values (1, 'a', 'never', 1)")
            connection.rollback()
        write(table, "insert into messages values (2, 'a', 'yes', 1)")
        await reader.event()
        assert reader.ids == ["2"]
        await reader.client.close()


@pytest.mark.parametrize(
    ("channel", "query", "code"),
    [
        ("db:collection:nothing", {}, "RT_004"),
        ("db:collection:messages", {"where": [["nonesuch", "==", 1]]}, "RT_007"),
        ("db:collection:messages", {"whree": []}, "RT_007"),
        ("db:collection:messages", {"sql": "select * from pg_authid"}, "RT_003"),
        ("db:collection:messages", {"sql": "delete from messages"}, "RT_007"),
    ],
)
async def test_a_query_that_cannot_be_accepted_is_refused_and_the_connection_lives_on(
    table: str, channel: str, query: dict[str, Any], code: str
) -> None:
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        reader = await list_client(server)
        await reader.client.send(json.dumps({"type": "subscribe", "channel": channel, "id": "x", "query": query}))
        answer = await reader.receive()
        assert (answer["type"], answer["code"], answer["channel"], answer["id"]) == ("error", code, channel, "x")
        assert (await reader.subscribe(TOP))["type"] == "subscribed"
        await reader.client.close()


async def test_closing_a_collection_ends_its_subscriptions_with_an_error(table: str) -> None:
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        reader = await list_client(server)
        await reader.subscribe(TOP)
        write(table, "select realtime.unexpose('messages')")
        answer = await reader.receive()
        assert (answer["type"], answer["code"], answer["id"]) == ("error", "RT_004", "q")
        await reader.client.close()


def narrow_socket(port: int) -> socket.socket:
    """A connection whose receive buffer is small, so that not reading from it is noticed soon."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.connect(("127.0.0.1", port))
    return narrow


async def test_a_client_that_stopped_reading_ends_with_the_rows_of_the_query(table: str) -> None:
    write(table, "insert into messages select n, 'a', '', n from generate_series(1, 50) n")
    query = {"where": [["room", "==", "a"]], "orderBy": [["likes", "desc"]], "limit": 50}
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True, max_buffer_size=64 * 1024) as server:
        slow = await list_client(server, max_queue=1, sock=narrow_socket(server.port))
        quick = await list_client(server)
        await slow.subscribe(query)
        await quick.subscribe(query)
        changes = 200
        async with await psycopg.AsyncConnection.connect(table, autocommit=True) as connection:
            for number in range(changes):
                await connection.execute(
                    "update messages set likes = likes + 51, body = repeat(%s, 20000) where id = %s",
                    [chr(97 + number % 26), number % 50 + 1],
                )
                await quick.event()  # each change by itself, as if no other client were there
        expected = read(table, "select id::text, body from messages order by likes desc, id limit 50")
        assert [(id, data["body"]) for id, data in quick.list] == expected
        while [(id, data["body"]) for id, data in slow.list] != expected:
            await slow.event()
        assert len(slow.events) < changes
        write(table, "delete from messages where id <= 49")
        await slow.until(["50"])
        await quick.until(["50"])
        await slow.client.close()
        await quick.client.close()
