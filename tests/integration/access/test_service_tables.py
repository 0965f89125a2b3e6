"""Live queries on the service's own tables: for administrators. For every other client these collections do not exist."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.conftest import database_on
from tests.integration.access.conftest import Judged
from tests.integration.access.judged import ADMIN, ROLE
from tests.integration.access.test_connections import gathered
from tests.support.clients.list_client import read, slot_name, write
from tests.support.clients.transports import TRANSPORTS, Message, TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

SQL = {"sql": "select * from realtime.connections"}
TABLES = ("connections", "channels", "presence", "stat_nodes", "alerts")
ISSUERS = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET, "admin_role": ADMIN}]
OTHER_ROLES = ("realtime_reader", "realtime_observer", "administrators", "service_role", "postgres")
"""Of tokens: none of them is that of administrators, some are roles of the database."""


async def answer(client: TransportClient, collection: str, query: dict[str, Any]) -> Message:
    """What the client gets for the query, without what differs with the name of the collection."""
    found = await client.join(f"db:collection:{collection}", id=collection, query=query)
    return {
        name: value.replace(collection, "NAME") if isinstance(value, str) else value for name, value in found.items()
    }


async def differences(judged: Judged, transport: str, parameters: dict[str, str]) -> list[tuple[Message, Message]]:
    """Answers of a client about a table of the service that are not the same as about one that there is not."""
    async with transport_client(judged.server.url, transport, **parameters) as client:
        unknown = [await answer(client, "realtime.nothing", query) for query in ({}, SQL)]
        answers = [(await answer(client, f"realtime.{table}", {}), unknown[0]) for table in TABLES]
        answers.append((await answer(client, "realtime.connections", SQL), unknown[1]))
        await client.leave()
    assert [each["type"] for each in unknown] == ["error", "error"]
    return [(given, expected) for given, expected in answers if given != expected]


@pytest.mark.long
async def test_a_client_that_is_no_administrator_gets_the_answer_of_a_table_that_does_not_exist(judged: Judged) -> None:
    given = {
        name: {key: text for key, text in (("token", each.token), ("apikey", each.key)) if text is not None}
        for name, each in judged.credentials.items()
        if each.who is not None and not each.administrator
    }
    given |= {role: {"token": token(sub="eve", role=role)} for role in OTHER_ROLES}
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        async with transport_client(judged.server.url, "websocket", token=token(sub="ops", role=ADMIN)) as ops:
            for table in TABLES:  # so that there are plans and windows that could be shared
                assert (await ops.join(f"db:collection:realtime.{table}", id=table, query={}))["type"] == "subscribed"
            cases = [
                (transport, name)
                for transport in TRANSPORTS
                for name in given
                if transport == "websocket" or name not in OTHER_ROLES
            ]
            found = await gathered(differences(judged, transport, given[name]) for transport, name in cases)
            assert {case: pairs for case, pairs in zip(cases, found, strict=True) if pairs} == {}


async def test_no_sql_of_a_client_reads_a_table_of_the_service(judged: Judged) -> None:
    texts = (
        "select * from news where text in (select id from realtime.connections)",
        "select c.* from news, lateral (select * from realtime.presence) c",
        "select * from realtime.channels",
    )
    async with asyncio.timeout(2 * GIVE_UP_AFTER), AsyncExitStack() as stack:
        for given in (token(sub="ops", role=ADMIN), token(sub="ada")):
            client = await stack.enter_async_context(transport_client(judged.server.url, "websocket", token=given))
            for text in texts:
                found = await client.join("db:collection:news", id="q", query={"sql": text})
                assert found["type"] == "error", text
                assert found["code"] in ("RT_003", "RT_004"), text
        async with transport_client(judged.server.url, "websocket", token=token(sub="ops", role=ADMIN)) as ops:
            found = await ops.join("db:collection:realtime.connections", id="q", query=SQL)
            assert (found["code"], "no SQL" in found["message"]) == ("RT_007", True), found


async def test_a_right_that_is_lost_ends_the_live_queries_of_an_administrator(judged: Judged) -> None:
    channel = "db:collection:realtime.connections"
    write(judged.dsn, "insert into realtime.sessions (id, user_id) values ('of max', 'max')")
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        for transport in ("websocket", "sse"):
            async with transport_client(judged.server.url, transport, token=token(sub="ops", role=ADMIN)) as client:
                assert (await client.join(channel, id="q", query={}))["type"] == "subscribed"
                await client.receive("snapshot")
                await client.send(type="auth", token=token(sub="ops", role=ROLE))
                closed = await client.receive("close")
                assert transport == "sse" or closed["code"] == 4008
            async with transport_client(judged.server.url, transport, token=token(sub="ops", role=ROLE)) as client:
                assert (await client.join(channel, id="q", query={}))["code"] == "RT_004"
        async with transport_client(
            judged.server.url, "websocket", token=token(sub="max", role=ADMIN, sid="of max")
        ) as client:
            assert (await client.join(channel, id="q", query={}))["type"] == "subscribed"
            write(judged.dsn, "select realtime.revoke_session('of max')")
            assert (await client.receive("error"))["message"] == "session revoked"
            await client.receive("close")


class ListChanges:
    """What the subscriptions of a client bring."""

    def __init__(self, client: TransportClient) -> None:
        self._client = client
        self._changes: dict[str, list[dict[str, Any]]] = {}

    async def change(self, id: str, kind: str) -> dict[str, Any]:
        """The row of the next change of this kind in the list of a subscription."""
        while True:
            for place, each in enumerate(self._changes.get(id, ())):
                if each["type"] == kind:
                    del self._changes[id][: place + 1]
                    found: dict[str, Any] = each["doc"]["data"]
                    return found
            message = await self._client.receive("snapshot")
            self._changes.setdefault(message["id"], []).extend(message["changes"])


@pytest.mark.parametrize(("server", "decoder"), [("pg18", "pgoutput"), ("pg15", "wal2json")])
async def test_an_administrator_sees_clients_and_rooms_come_and_go_on_every_node(
    server: str, decoder: str, request: pytest.FixtureRequest
) -> None:
    options: dict[str, Any] = {"auth_issuers": ISSUERS, "ephemeral": True, "decoder": decoder}
    with database_on(request.getfixturevalue(server)) as dsn:
        async with (
            asyncio.timeout(6 * GIVE_UP_AFTER),
            serving(dsn, free_port(), slot_name=slot_name(), **options) as one,
            serving(dsn, free_port(), slot_name=slot_name(), **options) as two,
            transport_client(one.url, "websocket", token=token(sub="ops", role=ADMIN)) as ops,
        ):
            of_ada = {"where": [["userId", "==", "ada"]]}
            ordered = {**of_ada, "orderBy": [["ip"]]}
            queries = {"connections": of_ada, "ordered": ordered, "channels": {}, "presence": of_ada}
            lists = ListChanges(ops)
            for id, query in queries.items():
                table = "connections" if id == "ordered" else id
                found = await ops.join(f"db:collection:realtime.{table}", id=id, query=query)
                assert found["type"] == "subscribed", found
            listed = "select collection, role, strategy, cost > 0 from realtime.stat_queries where query like '%ip%'"
            await until(lambda: read(dsn, listed) == [("realtime.connections", "administrators", "re-read", True)])
            for node in (one, two):
                async with transport_client(node.url, "websocket", token=token(sub="ada")) as ada:
                    for id in ("connections", "ordered"):
                        row = await lists.change(id, "added")
                        stored = (
                            f"select node_id, transport, host(ip) from realtime.connections where id = '{row['id']}'"
                        )
                        assert read(dsn, stored) == [(row["nodeId"], "websocket", row["ip"])]
                    await ada.join("presence:lobby", presence=True)
                    row = await lists.change("presence", "added")
                    assert (row["channel"], row["userId"]) == ("presence:lobby", "ada")
                    await ada.leave()
                    for id in ("presence", "connections", "ordered"):
                        await lists.change(id, "removed")
            write(dsn, "select realtime.create_channel('chat:new')")
            row = await lists.change("channels", "added")
            assert (row["name"], row["presenceTimeout"]) == ("chat:new", "00:00:10")
