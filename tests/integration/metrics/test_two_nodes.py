"""With several nodes each exposes its own figures: their sum is what clients counted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.integration.metrics.scrape import until
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving

KEY = "k" * 32
TRANSPORTS = ("websocket", "msgpack", "sse", "poll")
MESSAGES = 20


async def test_the_sums_over_nodes_are_what_clients_counted(database: str) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(3 * GIVE_UP_AFTER):
        nodes = [
            await stack.enter_async_context(
                serving(database, free_port(), slot_name=slot_name(), ephemeral=True, rest_key=KEY)
            )
            for _ in range(2)
        ]
        clients = [
            await stack.enter_async_context(transport_client(node.url, transport))
            for node in nodes
            for transport in TRANSPORTS
        ]
        asked, got = 0, len(clients)  # what they were sent: connected
        for client in clients:
            assert (await client.join("chat:1"))["type"] == "subscribed"
            asked, got = asked + 1, got + 1
        for number in range(MESSAGES):
            sender = clients[number % len(clients)]
            await sender.ask(type="message", channel="chat:1", event="sent", data={"n": number})
            asked, got = asked + 1, got + 1
        for client in clients:
            received = [(await client.receive("message"))["data"]["n"] for _ in range(MESSAGES)]
            assert received == list(range(MESSAGES))
            got += MESSAGES
        found = [
            await until(node, KEY, lambda now: now.value("realtime_delivery_latency_seconds") >= 4 * MESSAGES)
            for node in nodes
        ]

        def total(name: str, **labels: str) -> float:
            return sum(each.value(name, **labels) for each in found)

        assert [each.value("realtime_connections") for each in found] == [4, 4]
        assert total("realtime_connections_opened_total") == len(clients)
        assert total("realtime_channel_subscriptions", kind="chat") == len(clients)
        assert total("realtime_messages_received_total") == asked
        assert total("realtime_messages_sent_total") == got
        assert total("realtime_delivery_latency_seconds") == len(clients) * MESSAGES
        assert total("realtime_stage_latency_seconds", stage="write") == len(clients) * MESSAGES
        sums = [
            each for scraped in found for each in scraped.samples if each[0] == "realtime_publish_batch_messages_sum"
        ]
        assert sum(value for _, _, value in sums) == MESSAGES
