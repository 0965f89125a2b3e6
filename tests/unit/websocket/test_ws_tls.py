"""WebSockets over TLS: frames of any size in both directions, and clients that are slow or gone."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from server.app.tls import Certificate
from server.limits.connection_limits import ConnectionLimits
from tests.support.clients.raw_socket import masked, read_frame, reading, slow_client
from tests.support.fakes.server import FakeServer, fake_server, receive, subscribe
from tests.support.values.certificates import Authority

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return Certificate(*authority.certify())


def over_tls(server: FakeServer, authority: Authority) -> connect:
    return connect(f"wss://localhost:{server.port}/realtime", ssl=authority.client(), max_size=None)


async def test_large_messages_and_fragments_arrive_whole(authority: Authority, certificate: Certificate) -> None:
    async with fake_server(tls=certificate.context) as server, over_tls(server, authority) as client:
        await receive(client)
        await subscribe(client)
        await receive(client)
        await receive(client)
        big = "".join(f"{number:08}" for number in range(200_000))  # many TLS records of 16 KiB
        server.lists.change([big])
        assert (await receive(client))["changes"] == [big]
        large = json.dumps({"type": "unsubscribe", "channel": f"db:collection:{'x' * 100_000}", "ref": "r"})
        await client.send(large[at : at + 1000] for at in range(0, len(large), 1000))
        in_fragments = await receive(client)
        await client.send(large)
        assert await receive(client) == in_fragments
        assert in_fragments["ref"] == "r"


async def test_a_slow_client_is_held_back_and_then_gets_the_current_rows(
    authority: Authority, certificate: Certificate
) -> None:
    limits = ConnectionLimits(buffer_size=64 * 1024)
    async with fake_server(connection_limits=limits, tls=certificate.context) as server:
        reader, writer, _ = await slow_client(server, tls=authority.client())
        [connection] = server.connections
        changes = 0
        while not connection.congested:
            changes += 1
            server.lists.change([str(changes), "x" * 5000])
            await asyncio.sleep(0)
        sent = changes
        for _ in range(200):
            changes += 1
            server.lists.change([str(changes), "x" * 5000])
        # What waits is bounded: the buffer, and what was on its way when it was full.
        assert connection.queue.size < 2 * limits.buffer_size
        reading(writer).resume_reading()
        latest, received = "", 0
        while latest != str(changes):
            _, payload = await asyncio.wait_for(read_frame(reader), 60)
            latest = json.loads(payload)["changes"][0]
            received += 1
        assert received <= sent + 2
        writer.write(masked(Opcode.CLOSE, b"\x03\xe8"))
        assert (await asyncio.wait_for(read_frame(reader), 60))[0] == Opcode.CLOSE
        await server.left_alone()
        writer.close()


async def test_a_client_that_is_gone_without_a_word_leaves_nothing(
    authority: Authority, certificate: Certificate
) -> None:
    async with fake_server(tls=certificate.context) as server:
        _reader, writer, _ = await slow_client(server, tls=authority.client())
        writer.transport.abort()
        await server.left_alone()
