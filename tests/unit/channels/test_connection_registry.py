"""Connections that come at once share what they need to know of their node."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from engine.channels.core.messages.model import Member
from engine.channels.db.store import Store
from engine.channels.presence.connection_registry import ConnectionRegistry, Follower
from engine.feed.leases import NodeLease


class Rows:
    """What the registry needs of a store. Reads are answered once ``answer`` is set; with ``error``, if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.answer = asyncio.Event()
        self.error = error
        self.asked = 0
        self.written: list[str] = []

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        assert name == "engine_own_connections"
        self.asked += 1
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return [{"incarnation": "2026-01-02", "ids": []}]

    async def connect(self, member: Member) -> None:
        assert self.answer.is_set()
        self.written.append(member.connection_id)


def registry(rows: Rows) -> ConnectionRegistry:
    return ConnectionRegistry(
        cast("Store", rows), cast("Follower", None), cast("NodeLease", None), "node", lambda *_: None
    )


def connect(connections: ConnectionRegistry, *names: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(connections.connect(Member(name), lambda _: None)) for name in names]


async def test_connections_that_come_at_once_read_the_incarnation_of_their_node_once() -> None:
    rows = Rows()
    connections = registry(rows)
    first, *others = connect(connections, "a", "b", "c")
    await asyncio.sleep(0)
    first.cancel()  # its client has gone; the read goes on for the others
    await asyncio.sleep(0)
    rows.answer.set()
    await asyncio.gather(*others)
    await asyncio.gather(*connect(connections, "d"))
    assert first.cancelled()
    assert (rows.asked, rows.written) == (1, ["b", "c", "d"])
    connections.node_removed("node")
    await asyncio.gather(*connect(connections, "e", "f"))
    assert (rows.asked, rows.written[3:]) == (2, ["e", "f"])


async def test_each_connection_gets_the_error_of_a_read_that_they_share() -> None:
    rows = Rows(ConnectionError("away"))
    connections = registry(rows)
    all = connect(connections, "a", "b")
    await asyncio.sleep(0)
    rows.answer.set()
    for each in all:
        with pytest.raises(ConnectionError, match="away"):
            await each
    rows.error = None
    await asyncio.gather(*connect(connections, "c"))
    assert (rows.asked, rows.written) == (2, ["c"])


async def test_a_read_that_began_before_the_removal_of_the_node_counts_for_no_later_connection() -> None:
    rows = Rows()
    connections = registry(rows)
    first = connect(connections, "a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connections.node_removed("node")
    second = connect(connections, "b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rows.asked == 2
    rows.answer.set()
    await asyncio.gather(*first, *second)
