"""The way from a single node to a cluster, as docs/operations/cluster.md has it: clients lose and double nothing."""

from __future__ import annotations

import pytest

from tests.integration.cluster.conftest import Cluster
from tests.support.clients.transports import TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import connect, read
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving


async def _next(client: TransportClient) -> tuple[int, str]:
    """The next message's data and position."""
    message = await client.receive("message")
    return message["data"], message["position"]


def _slots(dsn: str) -> list[str]:
    found = read(dsn, "select slot_name from pg_replication_slots where database = current_database()")
    return [name for (name,) in found]


@pytest.mark.long
async def test_clients_of_a_single_node_go_on_in_the_cluster(cluster: Cluster) -> None:
    single = f"single_{cluster.slot}"
    config = {"nats_url": cluster.nats.url, "slot_name": cluster.slot, "ephemeral": "true"}
    with connect(cluster.dsn) as sql:

        def broadcast(data: int) -> None:
            sql.execute("select realtime.broadcast('room', 'sent', to_jsonb(%s::int))", [data])

        async with (
            serving(cluster.dsn, free_port(), slot_name=single) as alone,
            transport_client(alone.url, "websocket") as client,
        ):
            joined = await client.join("room")
            broadcast(1)
            assert (await _next(client))[0] == 1
            await cluster.relay()
            await cluster.leading()
            async with serving(cluster.dsn, free_port(), **config) as node:
                broadcast(2)
                data, position = await _next(client)
                assert data == 2
                await alone.end()
                broadcast(3)
                async with transport_client(node.url, "websocket") as again:
                    resumed = await again.join("room", since=position, epoch=joined["epoch"])
                    assert resumed["type"] == "subscribed", resumed
                    broadcast(4)
                    assert [(await _next(again))[0] for _ in range(2)] == [3, 4]
                dropped = realtime("slots", "drop", single, "--dsn", cluster.dsn)
                assert dropped.returncode == 0, dropped.stderr
                assert _slots(cluster.dsn) == [cluster.slot]
