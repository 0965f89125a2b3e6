"""Subscriptions with ``conflate`` over every transport, from ``realtime.broadcast()`` to the client, and resumed."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.transports.test_sse import EventSource
from tests.support.clients.list_client import write
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.clients.users import rest_client, running_server
from tests.support.servers.processes import GIVE_UP_AFTER

SOON, NEVER = {"key": "id", "ms": 200}, {"key": "id", "ms": 60_000}


def broadcast(database: str, first: int, last: int, channel: str = "chat:1") -> None:
    """The messages numbered ``first`` to ``last``, in one transaction, so that all come in one interval."""
    write(
        database,
        f"select realtime.broadcast('{channel}', 'move', jsonb_build_object('id', 'a', 'n', n))"
        f" from generate_series({first}, {last}) n",
    )


async def numbers(client: TransportClient, count: int) -> list[Any]:
    messages = [await client.receive("message") for _ in range(count)]
    return [message["data"]["n"] for message in messages]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_first_and_the_latest_of_each_value_come_in_order(database: str, transport: str) -> None:
    async with running_server(database) as server, transport_client(server.url, transport) as ada:
        assert (await ada.join(conflate=SOON, filter={"where": [["n", "<", 100]]}))["type"] == "subscribed"
        write(
            database,
            """
            select realtime.broadcast('chat:1', 'move', data::jsonb) from unnest(array[
              '{"id": "a", "n": 1}', '{"id": "b", "n": 2}', '{"id": "a", "n": 3}', '{"n": 4}', '{"id": "a", "n": 5}',
              '{"id": "a", "n": 6}', '{"id": "a", "n": 700}', '{"id": "b", "n": 8}'
            ]) data
            """,
        )
        assert await numbers(ada, 5) == [1, 2, 4, 6, 8]
        ack = await ada.ask(type="message", channel="chat:1", event="move", data={"id": "c", "n": 9}, ref="r")
        assert ack["type"] == "ack"
        assert await numbers(ada, 1) == [9]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_comes_back_gets_what_it_lacks_and_nothing_that_was_skipped(
    database: str, transport: str
) -> None:
    async with running_server(database) as server:
        async with transport_client(server.url, transport) as ada:
            await ada.join(conflate=SOON)
            broadcast(database, 1, 20)
            assert (await ada.receive("message"))["data"]["n"] == 1
            last = await ada.receive("message")
            assert last["data"]["n"] == 20
        async with transport_client(server.url, transport) as ada:
            joined = await ada.join(conflate=NEVER, since=last["position"], epoch=ada.connected["epoch"])
            assert joined["recovered"] is True
            broadcast(database, 21, 25)
            first = await ada.receive("message")
            assert first["data"]["n"] == 21  # the latest is held, and the connection breaks
        async with transport_client(server.url, transport) as ada:
            joined = await ada.join(conflate=NEVER, since=first["position"], epoch=ada.connected["epoch"], history=1)
            assert joined["recovered"] is True
            assert await numbers(ada, 4) == [22, 23, 24, 25]


@pytest.mark.parametrize(
    ("conflate", "wrong"),
    [
        ({"key": "id"}, "conflate.ms"),
        ({"key": "id", "ms": 0}, "conflate.ms"),
        ({"key": "id", "ms": 1.5}, "conflate.ms"),
        ({"key": "id", "ms": True}, "conflate.ms"),
        ({"key": "id", "ms": 60_001}, "conflate.ms"),
        ({"ms": 5}, "conflate.key"),
        ({"key": "a..b", "ms": 5}, "conflate.key"),
        ({"key": [], "ms": 5}, "conflate.key"),
        ({"key": "id", "ms": 5, "mode": "last"}, "'mode'"),
    ],
)
async def test_a_wrong_option_is_refused_with_what_to_give(database: str, conflate: dict[str, Any], wrong: str) -> None:
    async with running_server(database) as server, transport_client(server.url, "websocket") as ada:
        refused = await ada.join(conflate=conflate)
        assert (refused["type"], refused["code"]) == ("error", "RT_007")
        assert wrong in refused["message"]
        assert '{"key": "user.id", "ms": 100}' in refused["message"]
        live = await ada.join("db:collection:notes", conflate=SOON)
        assert live["type"] == "error"
        assert "conflate" in live["message"]


async def test_the_id_of_an_event_stream_is_not_ahead_of_what_is_held(database: str) -> None:
    """An id of several channels holds one position for all, unless a channel is behind."""
    conflating = quote(json.dumps({"channel": "chat:1", "conflate": NEVER}))
    async with running_server(database) as server, rest_client(server) as http, asyncio.timeout(GIVE_UP_AFTER):
        source = EventSource(http, f"channel=chat:2&subscribe={conflating}")
        async with source.open() as stream:
            for _ in range(2):
                await stream.receive("subscribed")
            broadcast(database, 1, 3)
            assert (await stream.receive("message"))["data"]["n"] == 1
            broadcast(database, 4, 4, "chat:2")
            assert (await stream.receive("message"))["data"]["n"] == 4
            broadcast(database, 5, 5, "chat:2")
            while stream.last_id == "" or (await stream.receive())["type"] != "message":
                pass
        async with source.open() as stream:
            for _ in range(2):
                assert (await stream.receive("subscribed"))["recovered"] is True
            received: list[Any] = []
            while len(received) < 2:
                message = await stream.receive("message")
                received += [message["data"]["n"]] if message["channel"] == "chat:1" else []
            assert received == [2, 3]
