"""Requests of one connection about one channel are carried out in their order, whatever carries them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from server.auth.authenticator import AddressAuthenticator, TokenAuthenticator
from server.auth.tokens import TokenVerifier
from server.client import opening_channels
from server.limits.connection_limits import SessionLimits
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import issuer, token

CHANNEL = "chat:1"


async def request(client: TransportClient, server: FakeServer, count: int = 3, **options: str) -> None:
    """Subscribe, and publish messages behind it before it can be answered; the server has read all of it in the end."""
    server.rooms.gate.clear()
    await client.send(type="subscribe", channel=CHANNEL, **options)
    for number in range(count):
        await client.send(**message(number))
    await read(client)


async def read(client: TransportClient) -> None:
    """The server has read everything before this."""
    await client.send(type="ping")
    assert (await client.receive())["type"] == "pong"


def message(number: int, channel: str = CHANNEL) -> dict[str, Any]:
    return {"type": "message", "channel": channel, "event": "e", "data": number, "ref": str(number)}


def published(server: FakeServer) -> list[tuple[str, bytes]]:
    return [(message.channel, message.data) for message in server.rooms.published]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_message_behind_a_subscribe_to_its_channel_reaches_that_subscription(transport: str) -> None:
    async with fake_server() as server, transport_client(server.url, transport, user="ada") as client:
        await request(client, server)
        await client.send(**message(9, "chat:2"))
        await read(client)
        assert published(server) == [("chat:2", b"9")], "only what concerns the channel waits"
        server.rooms.gate.set()
        await client.receive("subscribed")
        assert [(await client.receive("message"))["data"] for _ in range(3)] == [0, 1, 2]
        assert {(await client.receive("ack"))["ref"] for _ in range(4)} == {"0", "1", "2", "9"}
        await client.leave()


class SlowRenewal(TokenAuthenticator):
    """A renewal waits for ``gate``."""

    def __init__(self) -> None:
        super().__init__(TokenVerifier([issuer()], 0), AddressAuthenticator(), allow_anonymous=True)
        self.gate = asyncio.Event()

    async def renew(self, token: str) -> Principal:
        await self.gate.wait()
        return await super().renew(token)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_message_behind_a_subscribe_with_a_token_waits_for_the_token_and_the_subscription(
    transport: str,
) -> None:
    authenticator = SlowRenewal()
    later = token(exp=int(time.time()) + 7200)
    async with (
        fake_server(authenticator=authenticator) as server,
        transport_client(server.url, transport, token=token()) as client,
    ):
        await request(client, server, 1, auth=later)
        assert published(server) == []
        authenticator.gate.set()
        await read(client)
        assert published(server) == []
        server.rooms.gate.set()
        await client.receive("subscribed")
        assert (await client.receive("message"))["data"] == 0
        await client.leave()


async def test_a_message_is_published_once_the_subscription_before_it_was_refused() -> None:
    async with fake_server() as server, transport_client(server.url, "websocket", user="ada") as client:
        server.rooms.refuse = UnavailableError("not now")
        await request(client, server)
        server.rooms.gate.set()
        assert (await client.receive("error"))["channel"] == CHANNEL
        assert [(await client.receive("ack"))["ref"] for _ in range(3)] == ["0", "1", "2"]
        await client.leave()


async def test_a_message_is_published_once_the_subscription_before_it_is_cancelled() -> None:
    async with fake_server() as server, transport_client(server.url, "websocket", user="ada") as client:
        await request(client, server)
        assert published(server) == []
        await client.send(type="unsubscribe", channel=CHANNEL)
        await client.receive("unsubscribed")
        assert [data for _, data in published(server)] == [b"0", b"1", b"2"]
        server.rooms.gate.set()
        assert [(await client.receive("ack"))["ref"] for _ in range(3)] == ["0", "1", "2"]
        assert client.received == [], "the cancelled subscription gets nothing"
        await client.leave()


async def test_messages_are_published_also_if_their_sender_leaves_before_the_subscription_is_open() -> None:
    async with (
        fake_server() as server,
        asyncio.timeout(GIVE_UP_AFTER),
        transport_client(server.url, "websocket", user="ada") as client,
    ):
        await request(client, server)
        await client.close()
        await server.left_alone()
        assert [data for _, data in published(server)] == [b"0", b"1", b"2"]
        server.rooms.gate.set()
        await server.services.background.drain(GIVE_UP_AFTER)
        assert len(server.rooms.past[CHANNEL]) == 3


async def test_a_message_is_refused_if_the_subscription_before_it_does_not_open_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening_channels, "_TIMEOUT", 0.05)
    async with fake_server() as server, transport_client(server.url, "websocket", user="ada") as client:
        await request(client, server, 0)
        await client.send(**message(0))
        refused = await client.receive("error")
        assert (refused["code"], refused["channel"], refused["ref"]) == ("RT_001", CHANNEL, "0")
        assert "is not open yet" in refused["message"]
        server.rooms.gate.set()
        await client.receive("subscribed")
        assert published(server) == []
        assert (await client.ask(**message(1)))["ref"] == "1"
        await client.leave()


async def test_reading_stops_while_too_many_messages_wait_for_a_subscription() -> None:
    async with (
        fake_server(SessionLimits(message_rate=10_000)) as server,
        asyncio.timeout(GIVE_UP_AFTER),
        transport_client(server.url, "websocket", user="ada") as client,
    ):
        [connection] = server.connections
        server.rooms.gate.clear()
        await client.send(type="subscribe", channel=CHANNEL)
        for number in range(300):
            await client.send(**message(number))
        while not connection.reading_paused:  # noqa: ASYNC110 - the server reads in this loop
            await asyncio.sleep(0)
        server.rooms.gate.set()
        acknowledged = [(await client.receive("ack"))["ref"] for _ in range(300)]
        assert acknowledged == [str(number) for number in range(300)]
        assert not connection.reading_paused
        await client.leave()
