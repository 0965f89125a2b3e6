"""An ``EventSource`` over several channels has one id for all of them, and yet comes back to each where it was."""

from __future__ import annotations

import asyncio

from tests.server.listener import write
from tests.server.people import rest, running
from tests.server.processes import PATIENCE
from tests.server.test_sse import CHANNELS, Source, positions

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


async def test_who_has_missed_more_than_the_server_holds_for_it_gets_it_bit_by_bit(database: str) -> None:
    async with (
        running(database, max_buffer_size=65_536, max_backlog=262_144) as server,
        rest(server) as http,
        asyncio.timeout(2 * PATIENCE),
    ):
        source = Source(http, EVERYTHING)
        async with source.open() as stream:
            for _ in CHANNELS:
                await stream.hear("subscribed")
            write(database, "select realtime.broadcast('chat:1', 'said', '1')")
            await stream.hear("message")
            assert stream.last_id
        for name in CHANNELS:
            write(
                database,
                f"select realtime.broadcast('{name}', 'said', to_jsonb(n || repeat('x', 20000)))"
                " from generate_series(10, 49) n",
            )
        visits = 0
        while len(source.heard) < 40 * len(CHANNELS):
            visits += 1
            assert visits <= 40, f"{len(source.heard)} messages after {visits} visits"
            async with source.open() as stream:
                while (message := await stream.next())["type"] not in ("close", "end"):
                    source.take(message)
                    if len(source.heard) == 40 * len(CHANNELS):
                        break
        assert visits > 1
        for name in CHANNELS:
            mine = sorted((m for m in source.heard.values() if m["channel"] == name), key=positions)
            assert [int(message["data"][:2]) for message in mine] == list(range(10, 50))
