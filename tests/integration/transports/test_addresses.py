"""A client whose address is not allowed reaches nothing but the health of the server."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving

ALLOWED, DENIED = "127.0.0.3", "127.0.0.2"


def client_from(address: str, url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, timeout=GIVE_UP_AFTER, transport=httpx.AsyncHTTPTransport(local_address=address)
    )


async def test_a_denied_address_gets_403_over_every_transport_and_is_counted(database: str) -> None:
    lists = {"allowed_ips": ["127.0.0.0/8"], "denied_ips": [DENIED]}
    async with (
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **lists) as server,
        asyncio.timeout(2 * GIVE_UP_AFTER),
        client_from(DENIED, server.url) as denied,
        client_from(ALLOWED, server.url) as allowed,
    ):
        refused = (
            await denied.get("/realtime/sse"),
            await denied.post("/realtime/poll", json={}),
            await denied.get("/realtime/channels"),
            await denied.get("/realtime"),
        )
        for answer in refused:
            assert answer.status_code == 403
            assert answer.json()["detail"] == "this server accepts no connections from your address"
            assert answer.headers["x-content-type-options"] == "nosniff"
        with pytest.raises(InvalidStatus) as rejected:
            async with connect(server.websocket, local_addr=(DENIED, 0)):
                pass
        assert rejected.value.response.status_code == 403
        health = (await denied.get("/health")).json()
        assert health["refusedAddresses"] == 5
        assert (await allowed.post("/realtime/poll", json={})).status_code == 200
        async with connect(server.websocket, local_addr=(ALLOWED, 0)) as socket:
            assert b"connected" in (await socket.recv(decode=False))
