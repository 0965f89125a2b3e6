"""Connections that come at once share what they need to know of their node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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
        cast("Store", rows), cast("Follower", rows), cast("NodeLease", None), "node", lambda *_: None
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


class Writes(Rows):
    """Rows that are written when the test has it so."""

    def __init__(self) -> None:
        super().__init__()
        self.answer.set()
        self.writes: list[asyncio.Future[list[dict[str, Any]]]] = []

    def connect(self, member: Member) -> asyncio.Future[list[dict[str, Any]]]:  # type: ignore[override]
        self.written.append(member.connection_id)
        self.writes.append(asyncio.get_running_loop().create_future())
        return self.writes[-1]


async def begun(writes: Writes, again: Any) -> tuple[ConnectionRegistry, asyncio.Future[None]]:
    """A connection whose row is being written, of a node that knows its incarnation."""
    connections = registry(writes)
    assert connections.begin(Member("a"), lambda _: None, again) is None  # the incarnation has to be read first
    await connections._note_incarnation()
    done = connections.begin(Member("a"), lambda _: None, again)
    assert done is not None
    return connections, done


async def test_a_row_that_is_written_takes_no_task() -> None:
    writes = Writes()
    connections, done = await begun(writes, None)
    assert connections.find("a") is not None  # from now on it gets what is sent to it
    assert not done.done()
    tasks = asyncio.all_tasks()
    writes.writes[0].set_result([])
    await done
    assert asyncio.all_tasks() == tasks
    assert connections._clients["a"].written


async def test_a_row_that_could_not_be_written_is_tried_again_which_finds_the_reason() -> None:
    async def again(member: Member, _: Any) -> None:
        assert member.connection_id == "a"
        tried.append(member)
        if len(tried) == 1:
            raise ValueError("the reason")

    tried: list[Member] = []
    for expected in (ValueError, None):
        writes = Writes()
        _, done = await begun(writes, again)
        writes.writes[0].set_exception(OSError("of all that were written together"))
        if expected is None:
            await done
        else:
            with pytest.raises(expected, match="the reason"):
                await done
    assert len(tried) == 2


class Table(Rows):
    """Rows that are written at once, and a stream that lacked them: the table has those of ``there``."""

    def __init__(self, *there: str) -> None:
        super().__init__()
        self.answer.set()
        self.there = there
        self.insistence = self

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        return [{"incarnation": "2026-01-02", "ids": list(self.there)}]

    async def done(self, _: str, act: Callable[[], Coroutine[None, None, object]]) -> object:
        return await act()

    async def flushed(self) -> int:
        return 1

    async def reached(self, position: int) -> None:
        assert position == 1


async def test_connections_whose_rows_the_stream_lacked_and_the_table_has_are_named() -> None:
    table = Table("b", "c")
    connections = registry(table)
    await asyncio.gather(*connect(connections, "a", "b", "c"))
    connections.shown("c", "node")
    assert await connections.reconcile() == ["b"]
    assert [member.connection_id for member, _ in connections.connected()] == ["b", "c"], "the row of the first is gone"
    assert await connections.reconcile() == []
