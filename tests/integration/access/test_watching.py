"""Connections of operators, with what the REST API takes from them: they see the service, and do nothing else."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.access.conftest import Judged
from tests.integration.access.judged import ADMIN, REST_KEY
from tests.integration.access.test_service_tables import ISSUERS
from tests.support.clients.list_client import read, slot_name, write
from tests.support.clients.transports import SocketClient, transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving
from tests.support.values.tokens import token

NODES = "db:collection:realtime.stat_nodes"
EVIL = "http://evil.example"


@asynccontextmanager
async def socket(
    server: ServerProcess,
    key: str | None = None,
    *,
    query: str = "",
    protocol: bool = False,
    origin: str | None = None,
    **headers: str,
) -> AsyncIterator[SocketClient]:
    """A client with ``key`` as its token, in a header or as a subprotocol."""
    offered: list[Subprotocol] | None = None
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None and not protocol:
        given["Authorization"] = f"Bearer {key}"
    if key is not None and protocol:
        wrapped = urlsafe_b64encode(key.encode()).decode().rstrip("=")
        offered = [Subprotocol("bunbase"), Subprotocol(f"bunbase.token.{wrapped}")]
    async with connect(
        f"{server.websocket}{query}",
        additional_headers=given,
        subprotocols=offered,
        origin=None if origin is None else Origin(origin),
        proxy=None,
    ) as websocket:
        yield SocketClient(websocket, packed=False)


async def watches(client: SocketClient) -> bool:
    """Whether the client sees the nodes; else these do not exist for it."""
    answer = await client.join(NODES, id="n", query={})
    if answer["type"] == "subscribed":
        snapshot = await client.receive("snapshot")
        return bool(snapshot["changes"][0]["doc"]["data"]["node"])
    assert answer["code"] == "RT_004", answer
    return False


async def test_a_key_that_reads_everything_watches_the_service_and_does_nothing_else(judged: Judged) -> None:
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        for name in ("secret key", "secret key for dashboard", "rest_key"):
            async with socket(judged.server, judged.credentials[name].key, protocol=name == "secret key") as client:
                assert await watches(client), name
                listed = await client.join("db:collection:realtime.connections", id="c", query={"limit": 1})
                assert listed["type"] == "subscribed"
                refused = [
                    await client.join("public:news"),
                    await client.join("chat:1", presence=True),
                    await client.join("admin:alerts"),
                    await client.join("db:collection:news", id="q", query={}),
                    await client.ask(type="message", channel="public:news", event="e", data=1),
                    await client.join(NODES, id="sql", query={"sql": "select 1"}),
                ]
                assert [each["code"] for each in refused] == ["RT_003"] * 5 + ["RT_007"]
                await client.send(type="auth", token=token(sub="ops", role=ADMIN), ref="r")
                assert (await client.receive("error"))["code"] == "RT_002"


async def test_every_other_key_opens_no_connection(judged: Judged) -> None:
    keys = {name: each.key for name, each in judged.credentials.items() if each.token is None and each.key is not None}
    watching = ("secret key", "secret key for dashboard", "rest_key")
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        for name, key in keys.items():
            if name not in watching:
                async with socket(judged.server, key) as client:
                    assert (await client.receive("error"))["code"] == "RT_002", name
        for query in (f"?token={keys['secret key']}", f"?token={REST_KEY}", f"?apikey={keys['secret key']}"):
            async with socket(judged.server, query=query) as client:
                error = await client.receive("error")
                assert error["code"] == "RT_002", query
        async with socket(judged.server, query="?watch=on") as client:  # this machine needs a key here
            assert not await watches(client)


async def test_a_key_that_is_revoked_ends_what_watches_with_it(judged: Judged) -> None:
    [(key,)] = read(judged.dsn, "select realtime.create_api_key('of a screen', 'secret', '{dashboard}')")
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        while True:
            async with socket(judged.server, key) as client:
                if (await client.receive())["type"] == "error":  # the node has not read yet that there is such a key
                    continue
                assert await watches(client)
                write(judged.dsn, f"select realtime.revoke_api_key('{key[:15]}')")
                assert (await client.receive("error"))["message"] == "API key revoked"
                assert (await client.receive("close"))["code"] == 4401
                return


async def test_this_machine_watches_without_a_key_where_rest_needs_none_and_no_other_page_does(
    pg18: LocalPostgres,
) -> None:
    options = {"allowed_origins": EVIL, "auth_issuers": ISSUERS}
    with database_on(pg18) as dsn:
        async with (
            asyncio.timeout(4 * GIVE_UP_AFTER),
            serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
        ):
            asked = "?watch=on"
            for origin in (None, server.url):
                async with socket(server, query=asked, origin=origin) as client:
                    assert await watches(client), origin
                    assert (await client.join("public:news"))["code"] == "RT_003"
            async with socket(server) as client:  # it did not ask
                assert not await watches(client)
                assert (await client.join("public:news"))["type"] == "subscribed"
            async with socket(server, query=asked, origin=EVIL) as client:
                assert not await watches(client)
            async with socket(server, query=asked, x_forwarded_for="10.0.0.1") as client:
                assert not await watches(client)
            async with socket(server, query=asked, sec_fetch_site="cross-site") as client:
                assert not await watches(client)
            async with transport_client(server.url, "sse", watch="on") as client:
                assert (await client.join(NODES, id="n", query={}))["code"] == "RT_004"
            with pytest.raises(InvalidStatus):  # a page that reaches this machine under a name of its own
                async with socket(server, query=asked, origin="http://rebound.example", Host="rebound.example"):
                    pass
            user = token(sub="ops")
            async with socket(server, user, origin=server.url) as client:  # a page of the server itself
                assert (await client.join("public:news"))["type"] == "subscribed"
            for key, origin in ((None, server.url), (user, "http://other.example")):
                with pytest.raises(InvalidStatus):
                    async with socket(server, key, origin=origin):
                        pass
