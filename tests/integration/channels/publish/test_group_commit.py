"""Which messages share a commit: those that come while another commit is under way, and, under load, for a moment more."""

from __future__ import annotations

import asyncio

from engine.channels.publish.publisher import _CROWD
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import read

NEVER = 3_600.0  # seconds: what waits for others that long has no answer within the time of a test


async def test_a_message_to_an_idle_publisher_is_written_at_once_and_waits_for_others_only_behind_a_large_batch(
    database: str,
) -> None:
    async with channel_node(database, linger=NEVER, batch=_CROWD) as one, asyncio.timeout(60):
        for number in range(3):  # each by itself
            assert (await one.publish("room", number)).position is not None
        alone = read(database, "select count(distinct xid) from realtime.messages")
        assert alone == [(3,)]
        await asyncio.gather(*(one.publish("room", number) for number in range(_CROWD)))
        late = [asyncio.ensure_future(one.publish("room", number)) for number in range(_CROWD - 1)]
        assert (await one.publish("room", _CROWD)).position is not None  # the batch is full
        await asyncio.gather(*late)
        commits = "select count(*) from realtime.messages group by xid order by min(seq)"
        assert read(database, commits) == [(1,), (1,), (1,), (_CROWD,), (_CROWD,)]
