"""Two nodes behind a load balancer: every transport, the addresses of clients, and a node that is killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from bunbase import Realtime
from bunbase.transports import posting
from starlette.applications import Starlette

from server.app.server import _config
from tests.integration.proxies.balancers import FILES, Behind, behind
from tests.support.clients.list_client import read
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.certificates import Authority

WAYS = ("websocket", "sse", "polling")
PROXIES = {"nginx.conf": {}, "haproxy.cfg": {}, "haproxy-tcp.cfg": {"proxy_protocol": True}}
ADDRESSES = [f"127.0.0.{number}" for number in range(20, 32)]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The only authority that clients of this test trust."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    posting._default_certificates.cache_clear()
    yield authority
    posting._default_certificates.cache_clear()


def connections(dsn: str, transport: str) -> list[tuple[str, str]]:
    """Node and address of each."""
    rows: list[Any] = read(dsn, f"select node_id, host(ip) from realtime.connections where transport = '{transport}'")
    return rows


class Listener:
    """A client of the SDK that keeps what it gets."""

    def __init__(self, client: Realtime) -> None:
        self.client = client
        self.received: list[int] = []
        self.channel = client.channel("chat:1")
        self.channel.on("sent", lambda message: self.received.append(message.data))

    async def until(self, numbers: list[int]) -> None:
        await until(lambda: len(self.received) >= len(numbers))
        assert sorted(self.received) == numbers, (self.client.transport, self.received)


async def listeners(made: Behind, stack: AsyncExitStack, count: int) -> list[Listener]:
    """``count`` clients of each transport, connected and subscribed."""
    found = []
    for way in WAYS * count:
        client = await stack.enter_async_context(Realtime(made.url, transports=(way,), reconnect_delay=0.05))
        found.append(Listener(client))
        await found[-1].channel.subscribe()
    return found


async def opened(http: httpx.AsyncClient) -> dict[str, Any]:
    """A polled session; its secret and its cursor."""
    answer = await http.post("/realtime/poll", json={"messages": [{"type": "subscribe", "channel": "chat:2"}]})
    assert answer.status_code == 200, answer.text
    return {"session": answer.json()["session"], "cursor": answer.json()["cursor"]}


async def polled(http: httpx.AsyncClient, session: dict[str, Any]) -> int:
    """The status of a request of the session."""
    return (await http.post("/realtime/poll", json={**session, "timeout": 0})).status_code


@pytest.mark.long
@pytest.mark.parametrize("proxy", PROXIES)
async def test_clients_of_every_transport_lose_nothing_when_their_node_is_killed(
    database: str, authority: Authority, proxy: str
) -> None:
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        behind(proxy, database, authority, **PROXIES[proxy]) as made,
        AsyncExitStack() as stack,
    ):
        clients = await listeners(made, stack, 2)
        for number, each in enumerate(clients):
            await each.channel.send("sent", number)
        sent = list(range(len(clients)))
        for each in clients:
            await each.until(sent)
        [holder] = {node for node, _ in connections(database, "sse") + connections(database, "poll")}
        if proxy != "haproxy-tcp.cfg":  # it does not know what a WebSocket is
            assert {node for node, _ in connections(database, "websocket")} == set(made.nodes), "without stickiness"
        await made.nodes[holder].end(signal.SIGKILL)
        for number, each in enumerate(clients, len(clients)):
            await each.channel.send("sent", number)
        sent += range(len(clients), 2 * len(clients))
        for each in clients:
            await each.until(sent)


@pytest.mark.long
@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_session_stays_on_one_node_which_sees_the_address_of_the_client(
    database: str, authority: Authority, proxy: str
) -> None:
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        behind(proxy, database, authority, **PROXIES[proxy]) as made,
        AsyncExitStack() as stack,
    ):
        sessions = {}
        for address in ADDRESSES:
            http = await stack.enter_async_context(made.client(address))
            http.headers["X-Forwarded-For"] = "192.0.2.1"  # what a client claims is not believed
            http.headers["Connection"] = "close"  # a connection's requests might go one way without any rule
            sessions[address] = http, await opened(http)
        await until(lambda: len(connections(database, "poll")) == len(ADDRESSES))
        rows = connections(database, "poll")
        assert sorted(address for _, address in rows) == ADDRESSES
        assert {node for node, _ in rows} == set(made.nodes)
        for _ in range(3):
            for http, session in sessions.values():
                assert await polled(http, session) == 200
        if proxy == "nginx.conf":
            http, _ = sessions[ADDRESSES[0]]
            for _, session in sessions.values():
                assert await polled(http, session) == 200, "a client whose address has changed"
            assert await polled(http, {"session": "none", "cursor": 1}) == 404


@pytest.mark.long
@pytest.mark.parametrize("proxy", ["nginx.conf", "haproxy.cfg"])
async def test_clients_move_away_from_a_node_that_drains(database: str, authority: Authority, proxy: str) -> None:
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        behind(proxy, database, authority, drain_time=4) as made,
        AsyncExitStack() as stack,
    ):
        clients = await listeners(made, stack, 1)
        [holder] = {node for node, _ in connections(database, "sse") + connections(database, "poll")}
        assert await made.nodes[holder].end() == 0
        for number, each in enumerate(clients):
            await each.channel.send("sent", number)
        for each in clients:
            await each.until(list(range(len(clients))))


@pytest.mark.parametrize("name", ["traefik.yml", "envoy.yml"])
def test_files_for_the_other_proxies_are_yaml_with_both_nodes(name: str) -> None:
    text = (FILES / name).read_text()
    assert yaml.safe_load(text)
    assert "10.0.0.1" in text
    assert "10.0.0.2" in text


def test_idle_connections_are_ended_by_proxies_and_not_under_a_request_of_theirs() -> None:
    [cluster] = [
        each
        for each in yaml.safe_load((FILES / "envoy.yml").read_text())["static_resources"]["clusters"]
        if each["name"] == "sessions"
    ]
    [options] = cluster["typed_extension_protocol_options"].values()
    envoy = int(options["common_http_protocol_options"]["idle_timeout"].removesuffix("s"))
    traefik, nginx = 90, 60  # their defaults
    assert _config(Starlette(), "h11").timeout_keep_alive > max(envoy, traefik, nginx)
