"""Clients that come back at once to the same channel have its history read once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from engine.channels.history.reader import HistoryReader
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import run, until

MESSAGES = 30
CLIENTS = 40


class Reads:
    """The statements that read history; each waits until so many subscribers wait for its result."""

    def __init__(self, users: int) -> None:
        self.names: list[str] = []
        self.users = users
        self.node: ChannelNode | None = None

    async def gathered(self) -> None:
        assert self.node is not None
        pasts = self.node.channels._subscriptions._recovery._pasts
        await until(lambda: sum(read.users for read in pasts._running.values()) == self.users)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads = Reads(CLIENTS)
    read = HistoryReader._read

    async def noted(self: HistoryReader, name: str, channel: str, *parameters: str) -> Any:
        if reads.node is not None:
            reads.names.append(name)
            await reads.gathered()
        return await read(self, name, channel, *parameters)

    monkeypatch.setattr(HistoryReader, "_read", noted)
    return reads


@pytest.mark.parametrize(
    ("options", "statements"),
    [
        ({"since": "BEGIN"}, ["engine_replay_since", "engine_replay_check"]),
        ({"history": 10}, ["engine_replay_last"]),
        ({"since": "0/1/1", "history": 10}, ["engine_replay_since", "engine_replay_check", "engine_replay_last"]),
    ],
    ids=["since", "history", "expired"],
)
async def test_clients_that_come_back_at_once_have_the_past_read_once(
    dsn: str, reads: Reads, options: dict[str, Any], statements: list[str]
) -> None:
    run(dsn, "select realtime.create_channel('room', max_messages => 100)")
    async with channel_node(dsn) as node:
        live = await node.listen("room")
        for number in range(MESSAGES):
            await node.publish("room", {"number": number})
        await live.until(lambda: len(live.messages) == MESSAGES)
        if options.get("since") == "BEGIN":
            options = {"since": live.position}
        reads.node = node
        back = await asyncio.gather(*(node.listen("room", **options) for _ in range(CLIENTS)))
        expected = live.messages[-options.get("history", MESSAGES) :]
        assert all(subscriber.messages == expected for subscriber in back)
        assert reads.names == statements
        await node.publish("room", "after")
        for subscriber in back:
            await subscriber.until(partial(ends_with, subscriber, "after"))
        await until(lambda: not node.channels.core.unrecorded._reads._running)  # no read keeps unrecorded messages


def ends_with(subscriber: ChannelSubscriber, data: str) -> bool:
    return bool(subscriber.data) and subscriber.data[-1] == data


async def test_a_client_that_leaves_while_the_past_is_read_takes_it_from_no_other(dsn: str) -> None:
    run(dsn, "select realtime.create_channel('room', max_messages => 100)")
    async with channel_node(dsn) as node:
        for number in range(MESSAGES):
            await node.publish("room", number)
        coming = [asyncio.create_task(node.listen("room", history=MESSAGES)) for _ in range(CLIENTS)]
        for turn in range(CLIENTS):
            await asyncio.sleep(0)
            if turn % 3 == 0:
                coming[turn].cancel()
        ended = await asyncio.gather(*coming, return_exceptions=True)
        stayed = [one for one in ended if isinstance(one, ChannelSubscriber)]
        assert len(stayed) >= CLIENTS // 2
        assert all(one.data == list(range(MESSAGES)) for one in stayed)
        alone = asyncio.create_task(node.listen("room", history=MESSAGES))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.wait([alone])
        await until(lambda: not node.channels.core.unrecorded._reads._running)
        assert (await node.listen("room", history=1)).data == [MESSAGES - 1]
