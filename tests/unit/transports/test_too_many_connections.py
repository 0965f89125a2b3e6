"""A user with too many connections: refused with a typed error that names when to come again, on every transport."""

from __future__ import annotations

import asyncio

import pytest

from engine.identity.principal import Principal
from server.auth.identity import HandshakeRequest
from server.limits.connection_limiter import ArrivalLimits, ConnectionLimiter
from server.protocol.close_codes import CloseCode
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.unit.transports.test_authentication import FakeAuthenticator, answer_of

CLIENT_TRANSPORTS = pytest.mark.parametrize("transport", TRANSPORTS)


class Ada(FakeAuthenticator):
    """Every client turns out to be the same user, after a while."""

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        principal = await super().authenticate(handshake)
        principal.user_id = "ada"
        return principal


@CLIENT_TRANSPORTS
async def test_one_connection_too_many_is_refused_once_its_user_is_known(transport: str) -> None:
    authenticator = Ada()
    authenticator.gate.set()
    limiter = ConnectionLimiter(ArrivalLimits(per_user=1))
    async with fake_server(authenticator=authenticator, limiter=limiter) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with transport_client(server.url, transport):
            code, problem = await answer_of(server, transport)
            assert code == (CloseCode.POLICY_VIOLATION if transport in ("websocket", "msgpack") else 429)
            assert (problem["code"], problem["retryAfter"]) == ("RT_006", 10)
            assert "user has 1 connections" in problem["message" if "message" in problem else "detail"]
        if transport == "poll":
            return  # its session goes on
        await server.left_alone()
        async with transport_client(server.url, transport):
            assert len(limiter) == 1


@CLIENT_TRANSPORTS
async def test_a_connection_that_turns_out_to_be_one_too_many_is_closed_with_the_reason(transport: str) -> None:
    class Elsewhere:
        def of_user(self, user_id: str) -> int:
            return 1

        def of_network(self, network: str) -> int:
            return 0

    limiter = ConnectionLimiter(ArrivalLimits(per_user=1))
    async with fake_server(limiter=limiter) as server, transport_client(server.url, transport, user="ada") as client:
        limiter.follow(Elsewhere())
        limiter.shown("test")
        error = await client.receive("error")
        assert (error["code"], error["retryAfter"]) == ("RT_006", 10)
        assert (await client.receive("close"))["code"] == CloseCode.POLICY_VIOLATION
        assert len(limiter) == 0
