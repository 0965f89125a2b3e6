"""Each of the nine error codes, raised by a server over each transport where a client can cause it."""

from __future__ import annotations

from typing import Any

from websockets.asyncio.client import connect

from server.protocol.close_codes import CloseCode
from server.protocol.error_codes import ErrorCode
from tests.support.clients.list_client import write
from tests.support.clients.transports import TRANSPORTS, SocketClient, TransportClient, transport_client
from tests.support.clients.users import running_server
from tests.support.servers.processes import ServerProcess

TOO_LARGE = "x" * (128 * 1024)


async def _refused(client: TransportClient, **message: object) -> Any:
    await client.send(**message)
    return (await client.receive("error"))["code"]


async def _codes_of(server: ServerProcess, transport: str, database: str) -> list[str]:
    """Cause one error after the other; in the order of the codes."""
    async with transport_client(server.url, transport, user="ada") as ada:
        codes = [
            await _refused(ada, type="subscribe", channel="private:of-others"),
            await _refused(ada, type="subscribe", channel="db:nothing"),
            await _refused(ada, type="message", channel="chat:1", event="sent", data=TOO_LARGE, ref="r"),
        ]
        await ada.join("chat:1")
        codes += [
            await _refused(ada, type="subscribe", channel="chat:2"),  # one more than max_subscriptions
            await _refused(ada, type="no such message"),
        ]
        await ada.send(type="unsubscribe", channel="chat:1")
        codes += [
            await _refused(ada, type="subscribe", channel="room:full", presence=True),
            await _refused(ada, type="presence:update", channel="chat:1", data={}, ref="p"),
        ]
        write(database, "select realtime.disconnect(user_id => 'ada')")
        failed = (await ada.receive("error"))["code"]
        assert (await ada.receive("close"))["code"] == CloseCode.DISCONNECTED
    return [failed, *codes]


async def test_a_client_can_get_every_error_code_by_what_the_code_means(database: str) -> None:
    write(database, "select realtime.create_channel('room:full', capacity => 1)")
    async with running_server(database, max_subscriptions=1) as server:
        async with transport_client(server.url, "websocket", user="bob") as bob:
            await bob.join("room:full", presence=True)
            expected = [code.value for code in ErrorCode if code is not ErrorCode.AUTHENTICATION_FAILED]
            for transport in TRANSPORTS:
                assert await _codes_of(server, transport, database) == expected, transport
        async with connect(f"{server.websocket}?token=no.token.atall") as socket:
            client = SocketClient(socket, packed=False)
            assert (await client.next())["code"] == ErrorCode.AUTHENTICATION_FAILED
            assert (await client.next())["code"] == CloseCode.AUTHENTICATION_FAILED
