"""What counts as a session of the stream."""

from __future__ import annotations

from engine.feed.feed import Feed
from tests.support.ports import free_port
from tests.support.postgres.sql import until


async def test_an_attempt_that_reaches_no_server_is_no_session_of_the_stream() -> None:
    async with Feed(f"host=127.0.0.1 port={free_port()} dbname=none") as feed:
        await until(lambda: feed.state.reason is not None)
        assert feed.state.status == "starting"
        assert feed.sessions == 0
