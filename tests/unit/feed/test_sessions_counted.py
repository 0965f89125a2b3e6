"""What counts as a session of the stream."""

from __future__ import annotations

import asyncio

from engine.feed.feed import Feed
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER


async def test_an_attempt_that_reaches_no_server_is_no_session_of_the_stream() -> None:
    async with Feed(f"host=127.0.0.1 port={free_port()} dbname=none") as feed, asyncio.timeout(GIVE_UP_AFTER):
        while feed.state.reason is None:
            await asyncio.sleep(0)
        assert feed.state.status == "starting"
        assert feed.sessions == 0
