"""The connection that is opened again when it broke, without a database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.postgres import reconnecting
from engine.postgres.reconnecting import Database


class Opened:
    closed = broken = False

    async def close(self) -> None:
        self.closed = True


async def test_a_connection_that_another_task_is_opening_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, begun, go_on = Opened(), asyncio.Event(), asyncio.Event()

    async def connect(*_: Any, **__: Any) -> Opened:
        begun.set()
        await go_on.wait()
        return opened

    monkeypatch.setattr(reconnecting, "connect", connect)
    database = Database("", "of a test")
    opening = asyncio.create_task(database.connection())
    await begun.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(opening, closing)
    assert opened.closed
