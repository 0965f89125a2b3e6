"""An ``EventSource`` over several channels has one id for all of them, and yet comes back to each where it was."""

from __future__ import annotations

import asyncio

from tests.server.listener import write
from tests.server.people import rest, running
from tests.server.processes import PATIENCE
from tests.server.test_sse import CHANNELS, Source

EVERYTHING = "&".join(f"channel={name}" for name in CHANNELS)


async def test_a_message_of_one_channel_is_no_gap_in_the_others(database: str) -> None:
    last_id = ""
    async with running(database) as server, rest(server) as http, asyncio.timeout(PATIENCE):
        source = Source(http, EVERYTHING)
        async with source.open() as stream:
            for _ in CHANNELS:
                await stream.hear("subscribed")
            write(database, "select realtime.broadcast('chat:1', 'said', '1')")
            message = await stream.hear("message")
            assert stream.last_id.startswith(message["position"])
        last_id = source.last_id
    write(database, "select realtime.broadcast('chat:2', 'said', '2')")
    async with running(database) as server, rest(server) as http, asyncio.timeout(PATIENCE):
        source = Source(http, EVERYTHING)
        source.last_id = last_id
        async with source.open() as stream:
            assert [(await stream.hear("subscribed"))["recovered"] for _ in CHANNELS] == [True] * len(CHANNELS)
            assert (await stream.hear("message"))["data"] == 2
