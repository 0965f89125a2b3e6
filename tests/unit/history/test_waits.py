"""What waits for the stream is done again, or refused, when that does not go on; and no wait is for another server's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.store import Store
from engine.channels.history import missed
from engine.channels.publish import deadlines
from engine.lsn import Lsn
from engine.postgres.errors import OtherServerError

TIMEOUT = 20


async def never(position: Lsn) -> None:
    await asyncio.Event().wait()


class Database:
    """Of which everything has an answer at once."""

    def __init__(self) -> None:
        self.asked = 0
        self.asked_again = asyncio.Event()

    async def committed(self) -> Lsn:
        self.asked += 1
        if self.asked > 1:
            self.asked_again.set()
        return Lsn(100)

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        return [{"channel": "room", "xid": "7"}]


async def test_the_recording_of_missed_messages_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "WAITS", 0.05)
    stream = SimpleNamespace(reached=never)
    part = missed.MissedMessages(*cast("Any", (None, stream, Database(), None, None, None, None)))
    async with asyncio.timeout(TIMEOUT):
        with pytest.raises(UnavailableError):
            await part.record(Lsn(100))


async def test_overdue_messages_are_looked_for_again_where_the_stream_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "WAITS", 0.05)
    monkeypatch.setattr(deadlines, "_OVERDUE", 0.01)
    database = Database()
    queue = SimpleNamespace(open=lambda: [SimpleNamespace(written=0.0)])
    part = deadlines.Deadlines(*cast("Any", (queue, None, database, never, 1.0)))
    watching = asyncio.create_task(part.watch())
    async with asyncio.timeout(TIMEOUT):
        await database.asked_again.wait()
    watching.cancel()


@pytest.mark.parametrize("whole", [True, False])
async def test_a_position_of_another_server_is_waited_for_by_no_one(
    monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    async def rows(name: str, **parameters: object) -> list[dict[str, Any]]:
        return [{"position": "0/64", "timeline": "0000000A", "whole": whole}]

    seen: list[tuple[Lsn, int]] = []

    def saw(position: Lsn, timeline: int) -> None:
        seen.append((position, timeline))
        if len(seen) > 1:
            raise OtherServerError("the stream is of another one")

    store = Store("", "n", 1, 1.0, saw)
    monkeypatch.setattr(store, "rows", rows)
    assert await store.committed() == 100
    with pytest.raises(UnavailableError, match="the stream is of another one"):
        await store.committed()
    assert seen == [(0, 10)] * 2
