"""The annotation of a change reaches those who asked for it, on every transport, and no one else."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_only_subscriptions_that_ask_get_the_annotation(transport: str) -> None:
    async with (
        fake_server() as server,
        transport_client(server.url, transport) as client,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await client.join("db:collection:list", id="asks", meta=True)
        await client.join("db:collection:list", id="not")
        for _ in range(2):
            await client.receive("snapshot")
        server.lists.change(["a"], b'{"user":"ada"}')
        server.lists.change(["b"])
        found = [await client.receive("snapshot") for _ in range(4)]
        assert {(each["id"], each["changes"][0], (each.get("meta") or {}).get("user")) for each in found} == {
            ("asks", "a", "ada"),
            ("not", "a", None),
            ("asks", "b", None),
            ("not", "b", None),
        }
        assert sum("meta" in each for each in found) == 1
