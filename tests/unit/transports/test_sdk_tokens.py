"""The Python SDK's ``get_token`` on every transport: called for each connection, before expiry, and again when it fails."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from bunbase import Realtime
from bunbase import RealtimeError as ClientError

from engine.identity.principal import Principal
from server.protocol.close_codes import CloseCode
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import token
from tests.unit.transports.test_tokens import gate

SDK_TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])


class Application:
    """Gives tokens. ``failing``: how often it fails first."""

    def __init__(self, failing: int = 0, **claims: Any) -> None:
        self.calls = 0
        self.failing = failing
        self.claims = claims

    async def get_token(self) -> str:
        self.calls += 1
        if self.calls <= self.failing:
            raise ConnectionError("the application is away")
        return token(**self.claims)


def sdk(server: FakeServer, transport: str, **options: Any) -> Realtime:
    return Realtime(server.url, transports=[transport], reconnect_delay=0.001, **options)


@SDK_TRANSPORTS
async def test_a_token_is_fetched_for_each_connection_and_stays_out_of_the_address(transport: str) -> None:
    application = Application()
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with sdk(server, transport, get_token=application.get_token) as ada:
            await ada.channel("private:user-ada").subscribe()
            [connection] = server.connections
            assert "token" not in connection._admission.handshake.query
            again = asyncio.Event()
            ada.on("connected", again.set)
            connection.close(CloseCode.RESUME, "resume")
            await again.wait()
            assert application.calls == 2
        await server.left_alone()


@SDK_TRANSPORTS
async def test_a_new_token_is_sent_before_the_old_one_expires(transport: str) -> None:
    application = Application(exp=int(time.time()) + 3600)
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with sdk(server, transport, get_token=application.get_token) as ada:
            [connection] = server.connections
            principal = connection.client._principal
            application.claims = {"exp": int(time.time()) + 7200}
            renewed = asyncio.Event()
            renew = connection.identity_renewed

            def noted(principal: Principal) -> None:
                renew(principal)
                renewed.set()

            connection.identity_renewed = noted
            connection.warn_of_expiry(60)
            await renewed.wait()
            assert principal.expires_at == application.claims["exp"]
            assert (application.calls, ada.state) == (2, "open")
        await server.left_alone()


@SDK_TRANSPORTS
async def test_a_client_whose_token_has_expired_comes_back_with_a_new_one(transport: str) -> None:
    application = Application()
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with sdk(server, transport, get_token=application.get_token) as ada:
            [connection] = server.connections
            again = asyncio.Event()
            ada.on("connected", again.set)
            connection.expire()
            await again.wait()
            assert (application.calls, ada.state) == (2, "open")
        await server.left_alone()


@SDK_TRANSPORTS
async def test_a_callback_that_fails_is_called_again(transport: str) -> None:
    application = Application(failing=2)
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with sdk(server, transport, get_token=application.get_token) as ada:
            assert (application.calls, ada.state) == (3, "open")
            reported: asyncio.Queue[ClientError] = asyncio.Queue()
            ada.on("error", reported.put_nowait)
            application.failing = 10
            [connection] = server.connections
            connection.warn_of_expiry(60)
            error = await reported.get()
            assert (error.code, error.message) == ("RT_002", "get_token failed: ConnectionError")
            assert ada.state == "open"
        await server.left_alone()


@SDK_TRANSPORTS
async def test_a_refused_token_is_a_typed_error(transport: str) -> None:
    application = Application(aud="billing")
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        ada = sdk(server, transport, get_token=application.get_token)
        with pytest.raises(ClientError, match="wrong audience") as refused:
            await ada.connect()
        assert (refused.value.code, ada.state, application.calls) == ("RT_002", "needs-auth", 1)
        await ada.disconnect()


async def test_a_fixed_token_is_enough_for_a_short_program() -> None:
    async with fake_server(authenticator=gate()) as server, asyncio.timeout(GIVE_UP_AFTER):
        async with sdk(server, "websocket", token=token()) as ada:
            await ada.channel("private:user-ada").subscribe()
        await server.left_alone()
    with pytest.raises(ValueError, match="one of them"):
        Realtime("ws://localhost", token="t", get_token=lambda: "t")
