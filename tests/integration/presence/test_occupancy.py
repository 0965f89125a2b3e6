"""Rooms that announce when they become occupied and vacated, on several nodes, one of which dies."""

from __future__ import annotations

from typing import Any

from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.postgres.sql import run

ROOM = "game:7"


def announced(watcher: ChannelSubscriber) -> list[tuple[str, dict[str, Any]]]:
    return [(message["event"], message["data"]) for message in watcher.of("message")]


OCCUPIED = ("room:occupied", {"channel": ROOM, "count": 1})
VACATED = ("room:vacated", {"channel": ROOM, "count": 0})


async def test_the_first_member_on_any_node_and_the_last_one_are_announced(source: Source) -> None:
    run(source.dsn, "select realtime.announce_occupancy('game:*')")
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        watcher = await one.listen("occupancy")
        ann = await one.listen(ROOM, user="ann", presence={})
        bob = await two.listen(ROOM, user="bob", presence={})
        await two.listen(ROOM, user="eve")  # without presence
        ann.cancel()
        bob.cancel()
        await watcher.until(lambda: len(watcher.of("message")) >= 2)
        assert announced(watcher) == [OCCUPIED, VACATED]
        await two.listen(ROOM, user="ann", presence={})
        await watcher.until(lambda: len(watcher.of("message")) >= 3)
        run(
            source.dsn,
            "delete from realtime.nodes where id in (select node_id from realtime.connections where user_id = 'ann')",
        )
        await watcher.until(lambda: len(watcher.of("message")) >= 4)
        assert announced(watcher) == [OCCUPIED, VACATED, OCCUPIED, VACATED]
