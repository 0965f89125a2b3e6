"""A connection that falls behind is sent what matters first."""

from __future__ import annotations

import asyncio
import json

from server.limits.connection_limits import ConnectionLimits
from tests.support.clients.raw_socket import read_frame, reading, slow_client
from tests.support.fakes.channels import Event
from tests.support.fakes.server import fake_server


async def test_a_high_message_overtakes_a_backlog_of_low_ones_and_each_channel_keeps_its_order() -> None:
    limits = ConnectionLimits(buffer_size=64 * 1024, backlog=64 * 1024 * 1024)
    async with asyncio.timeout(60), fake_server(connection_limits=limits) as server:
        reader, writer, _ = await slow_client(server, queries=0)
        deliver = server.rooms.members["test"]
        count = 0

        def low() -> None:
            nonlocal count
            count += 1
            deliver(Event({"type": "message", "channel": "low", "data": count, "filler": "x" * 1000}))

        (connection,) = server.connections
        while not connection.congested:
            low()
            await asyncio.sleep(0)
        already = count
        for _ in range(1000):
            low()
        deliver(Event({"type": "message", "channel": "high", "data": 1}, priority=1))
        deliver(Event({"type": "message", "channel": "high", "data": 2}, priority=5))
        deliver(Event({"type": "message", "channel": "low", "data": count + 1}))
        reading(writer).resume_reading()
        received: list[tuple[str, int]] = []
        while len(received) < count + 3:
            message = json.loads((await read_frame(reader))[1])
            if message["type"] == "message":
                received.append((message["channel"], message["data"]))
        assert [data for channel, data in received if channel == "low"] == list(range(1, count + 2))
        assert [data for channel, data in received if channel == "high"] == [1, 2]
        assert received.index(("high", 2)) <= already + 2
        writer.close()
        await server.left_alone()
