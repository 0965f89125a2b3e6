"""Each event of a channel carries the time of the commit that caused it; a message of the past carries none."""

from __future__ import annotations

import json

from engine.channels.core.messages.model import ChannelEvent, Member
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import read, run_each

NOW = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint"


class Watcher(ChannelSubscriber):
    """A listener that keeps the commit times by type."""

    def __init__(self, node: ChannelNode, member: Member) -> None:
        super().__init__(node, member)
        self.times: list[tuple[str, int | None]] = []

    def deliver(self, event: ChannelEvent) -> None:
        self.times.append((json.loads(event.json)["type"], event.committed_at))
        super().deliver(event)


async def test_messages_presence_rooms_and_direct_messages_carry_the_time_of_their_commit(source: Source) -> None:
    dsn = source.dsn
    run_each(dsn, "select realtime.create_channel('chat:1')", "select realtime.broadcast('chat:1', 'sent', '1')")
    async with channel_node(dsn, decoder=source.decoder) as one:
        watcher = Watcher(one, Member("watcher", "ann"))
        await one.channels.connect(watcher.member, watcher.deliver)
        await one.listen("chat:1", watcher, presence={}, history=1)
        assert watcher.times == [("message", None)]
        before = read(dsn, NOW)[0][0]
        run_each(
            dsn,
            "select realtime.broadcast('chat:1', 'sent', '2')",
            'select realtime.update_channel(\'chat:1\', \'{"metadata": {"name": "n"}}\')',
            "select realtime.broadcast_all('sent', '3')",
        )
        await one.listen("chat:1", user="bob", presence={})
        await watcher.until(lambda: watcher.of("presence:join"))
        after = read(dsn, NOW)[0][0]
        assert sorted(kind for kind, _ in watcher.times[1:]) == ["message", "message", "presence:join", "room:updated"]
        assert all(before <= (at or 0) <= after for _, at in watcher.times[1:])
