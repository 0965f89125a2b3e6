"""A server with a certificate of its own: every transport, the Python SDK, REST, and clients that speak no TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bunbase import Realtime
from bunbase.transports import posting

from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.clients.users import running_server
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess
from tests.support.values.certificates import Authority

LARGE = "".join(f"{number:08}" for number in range(10_000))


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """The only authority that clients of this test trust."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    posting._default_certificates.cache_clear()
    yield authority
    posting._default_certificates.cache_clear()


async def test_every_transport_the_sdk_and_rest_work_over_tls_and_over_nothing_else(
    database: str, authority: Authority
) -> None:
    chain, key = authority.certify()
    async with running_server(database, tls_certificate=str(chain), tls_key=str(key)) as server:
        assert server.url.startswith("https:")
        for transport in TRANSPORTS:
            async with transport_client(server.url, transport, user="ada") as ada:
                assert (await ada.join("chat:1"))["type"] == "subscribed"
                assert (await ada.ask(type="message", channel="chat:1", event="sent", data=LARGE, ref="r"))[
                    "ref"
                ] == "r"
                assert (await ada.receive("message"))["data"] == LARGE
                await ada.leave()
        for way in ("websocket", "sse", "polling"):
            async with (
                asyncio.timeout(GIVE_UP_AFTER),
                Realtime(server.url, transports=(way,)) as client,
                client.channel("chat:2") as channel,
            ):
                messages = channel.messages("sent")
                await channel.send("sent", {"large": LARGE})
                assert (await anext(messages)).data == {"large": LARGE}
        async with httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http:
            answer = await http.post("/realtime/channels/chat:1/broadcast", json={"event": "e", "data": 1})
            assert answer.status_code == 201, answer.text
        await _speaks_no_tls(server)
        assert (await server.healthy())["status"] == "ok"
        assert not any("Traceback" in line or '"error"' in line for line in server.lines), server.lines


async def _speaks_no_tls(server: ServerProcess) -> None:
    """Clients that begin with anything but a handshake get nothing of the server."""
    for sent in (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70_000, b"\x80" * 64):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                answered = await reader.read()
        except ConnectionError:
            answered = b""
        assert b"HTTP" not in answered
        writer.close()
    async with httpx.AsyncClient(verify=False, timeout=GIVE_UP_AFTER) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://127.0.0.1:{server.port}/health")
