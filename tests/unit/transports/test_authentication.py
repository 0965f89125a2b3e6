"""Authentication on every transport: it may take time, refuse the client, fail or be abandoned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from bunbase import Realtime
from bunbase import RealtimeError as ClientError
from websockets.asyncio.client import connect

from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.authenticator import AddressAuthenticator, AuthenticationError
from server.auth.identity import HandshakeRequest
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State
from tests.support.clients.transports import (
    TRANSPORTS,
    EventStreamClient,
    PollingClient,
    SocketClient,
    TransportClient,
    transport_client,
)
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

CLIENT_TRANSPORTS = pytest.mark.parametrize("transport", TRANSPORTS)
SOCKETS = ("websocket", "msgpack")


class FakeAuthenticator(AddressAuthenticator):
    """An authenticator whose answer waits for ``gate``. ``refusal`` is raised instead of an answer."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__(trust_user_parameter=True)
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()
        self.abandoned = asyncio.Event()
        self.refusal = refusal

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        super().identify(handshake)
        return None

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        self.asked.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.abandoned.set()
            raise
        if self.refusal is not None:
            raise self.refusal
        return await super().authenticate(handshake)


def refusing(refusal: Exception) -> FakeAuthenticator:
    authenticator = FakeAuthenticator(refusal)
    authenticator.gate.set()
    return authenticator


class KeyServerError(RealtimeError):
    """The keys cannot be read now."""


@asynccontextmanager
async def judging(
    authenticator: AddressAuthenticator,
    session: SessionLimits | None = None,
    limits: ConnectionLimits | None = None,
) -> AsyncIterator[FakeServer]:
    """A server whose clients ``authenticator`` judges; it has none in the end."""
    async with (
        fake_server(session, limits, authenticator=authenticator) as server,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        yield server


@asynccontextmanager
async def socket_of(server: FakeServer, transport: str) -> AsyncIterator[SocketClient]:
    """A client over one of ``SOCKETS``."""
    query = "?format=msgpack" if transport == "msgpack" else ""
    async with connect(f"ws://127.0.0.1:{server.port}/realtime{query}") as socket:
        yield SocketClient(socket, packed=transport == "msgpack")


async def answer_of(server: FakeServer, transport: str) -> tuple[int, dict[str, Any]]:
    """How a client that is not admitted is answered: a close code and the error before it, or an HTTP status and problem."""
    if transport in SOCKETS:
        async with socket_of(server, transport) as client:
            error = await client.next()
            return (await client.next())["code"], error
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        answer = await (http.get("/sse") if transport == "sse" else http.post("/poll", json={}))
        assert answer.headers["content-type"] == "application/problem+json"
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"]
        return answer.status_code, answer.json()


@CLIENT_TRANSPORTS
async def test_a_client_that_is_authenticated_late_is_greeted_and_loses_nothing(transport: str) -> None:
    authenticator = FakeAuthenticator()
    async with judging(authenticator) as server:
        opening = asyncio.create_task(_ping_early(server, transport))
        await authenticator.asked.wait()
        [connection] = server.connections
        assert connection.state is State.AUTHENTICATING
        assert server.rooms.members == {}
        authenticator.gate.set()
        received = await opening
        assert received[0]["type"] == "connected"
        assert "pong" in [message["type"] for message in received] or transport == "sse"


async def _ping_early(server: FakeServer, transport: str) -> list[dict[str, Any]]:
    """What a client receives that has sent something before it was greeted (SSE: subscribed in its address)."""
    if transport in SOCKETS:
        async with socket_of(server, transport) as client:
            await client.send(type="ping")
            return [await client.next(), await client.next()]
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        if transport == "sse":
            response = await http.send(http.build_request("GET", "/sse?channel=chat:1"), stream=True)
            stream = EventStreamClient(http, response)
            received = [await stream.next(), await stream.next()]
            assert received[1]["type"] == "subscribed"
            await stream.close()
            return received
        answer = (await http.post("/poll", json={"messages": [{"type": "ping"}]})).json()
        poll = PollingClient(http, answer["session"], answer["cursor"])
        poll.waiting = answer["messages"]
        received = [await poll.next(), await poll.next()]
        await poll.leave()
        return received


@CLIENT_TRANSPORTS
async def test_a_refused_client_gets_the_reason(transport: str) -> None:
    refusal = AuthenticationError("the token has expired")
    async with judging(refusing(refusal)) as server:
        code, answer = await answer_of(server, transport)
        assert code == (CloseCode.AUTHENTICATION_FAILED if transport in SOCKETS else 401)
        assert answer["code"] == "RT_002"
        assert "the token has expired" in (answer.get("message"), answer.get("detail"))
        await server.left_alone()
        assert server.rooms.members == {}


@CLIENT_TRANSPORTS
@pytest.mark.parametrize(
    ("failure", "reported"),
    [(KeyServerError("no keys now"), "no keys now"), (ZeroDivisionError("secret"), "the server failed to do this")],
    ids=["expected", "unexpected"],
)
async def test_a_client_that_cannot_be_judged_now_is_to_try_again(
    transport: str, failure: Exception, reported: str
) -> None:
    async with judging(refusing(failure)) as server:
        code, answer = await answer_of(server, transport)
        assert code == (CloseCode.TRY_AGAIN_LATER if transport in SOCKETS else 503)
        assert (answer["code"], answer.get("message") or answer["detail"]) == ("RT_001", reported)


@CLIENT_TRANSPORTS
async def test_authentication_that_takes_too_long_ends_the_connection(transport: str) -> None:
    authenticator, limits = FakeAuthenticator(), ConnectionLimits(authentication_timeout=0.01)
    async with judging(authenticator, limits=limits) as server:
        code, answer = await answer_of(server, transport)
        assert code == (CloseCode.TRY_AGAIN_LATER if transport in SOCKETS else 503)
        assert answer["code"] == "RT_001"
        assert authenticator.abandoned.is_set()


@CLIENT_TRANSPORTS
async def test_authentication_is_abandoned_when_the_client_disconnects(transport: str) -> None:
    authenticator = FakeAuthenticator()
    async with judging(authenticator) as server:
        if transport in SOCKETS:
            socket = await server.connect()
            await authenticator.asked.wait()
            await socket.close()
        else:
            async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
                request = http.get("/sse") if transport == "sse" else http.post("/poll", json={})
                asking = asyncio.ensure_future(request)
                await authenticator.asked.wait()
                asking.cancel()
                await asyncio.wait({asking})
        await authenticator.abandoned.wait()


@CLIENT_TRANSPORTS
async def test_a_server_that_stops_ends_what_is_being_authenticated(transport: str) -> None:
    authenticator = FakeAuthenticator()
    async with judging(authenticator) as server:
        asking = asyncio.create_task(_end_of(server, transport))
        await authenticator.asked.wait()
        [connection] = server.connections
        connection.close(CloseCode.GOING_AWAY, "the server is shutting down")
        assert await asking == (CloseCode.GOING_AWAY if transport in SOCKETS else 503)
        assert authenticator.abandoned.is_set()


async def _end_of(server: FakeServer, transport: str) -> int:
    if transport in SOCKETS:
        async with server.connect() as socket:
            message = await SocketClient(socket, packed=False).next()
            code: int = message["code"]
            return code
    return (await answer_of(server, transport))[0]


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_the_principal_is_the_one_that_the_authenticator_gave(transport: str) -> None:
    class Tokens(AddressAuthenticator):
        def identify(self, handshake: HandshakeRequest) -> Principal | None:
            return Principal("ada", {"team": "red"})

    async with judging(Tokens()) as server:
        client: TransportClient
        async with transport_client(server.url, transport) as client:
            await client.join("chat:1")
            [subscription] = server.rooms.of("chat:1")
            member = subscription.member
            assert (member.user_id, member.attributes, member.transport) == ("ada", {"team": "red"}, transport)
            await client.leave()


async def test_messages_before_authentication_are_kept_within_a_bound() -> None:
    authenticator, limits = FakeAuthenticator(), ConnectionLimits(early_size=64 * 1024)
    async with judging(authenticator, SessionLimits(message_rate=1e6), limits) as server, server.connect() as socket:
        text = json.dumps({"type": "ping"}).ljust(4000)
        sending = asyncio.create_task(_send(socket, text, 4000))
        await authenticator.asked.wait()
        [connection] = server.connections
        while not connection.reading_paused:  # noqa: ASYNC110 - the server reads in this loop
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not sending.done()
        assert connection.early is not None
        assert connection.early.size < limits.early_size + 128 * 1024
        authenticator.gate.set()
        assert json.loads(await socket.recv())["type"] == "connected"
        for _ in range(4000):
            assert json.loads(await socket.recv()) == {"type": "pong"}
        await sending


async def _send(socket: Any, text: str, count: int) -> None:
    for _ in range(count):
        await socket.send(text)


async def test_a_flood_of_pings_is_closed_before_the_client_is_authenticated() -> None:
    authenticator = FakeAuthenticator()
    async with judging(authenticator, SessionLimits(message_rate=1)) as server, server.connect() as socket:
        client = SocketClient(socket, packed=False)
        for _ in range(50):
            await socket.ping()
        assert (await client.next())["code"] == CloseCode.POLICY_VIOLATION


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_an_sdk_client_that_is_refused_does_not_come_back(transport: str) -> None:
    async with judging(refusing(AuthenticationError("the token has expired"))) as server:
        client = Realtime(f"ws://127.0.0.1:{server.port}/realtime", transports=[transport], reconnect_delay=0.001)
        with pytest.raises(ClientError) as refused:
            await client.connect()
        assert (refused.value.code, client.state) == ("RT_002", "needs-auth")
        assert server.admitted == 1
        await client.disconnect()
