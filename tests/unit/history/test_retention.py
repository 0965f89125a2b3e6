"""What is done now and then: one part that fails stops no other."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import psycopg
import pytest

from engine.channels.core.messages.model import UnavailableError
from engine.channels.core.settings import ChannelSettings
from engine.channels.history.retention import Retention

PARTS = ("engine_make_partitions", "engine_drop_partitions", "engine_expire_messages", "engine_expire_kicks")


class Refusing:
    """A store in which one statement fails; the second round is not begun."""

    def __init__(self, refused: str, error: Exception) -> None:
        self.refused = refused
        self.error = error
        self.asked: list[str] = []
        self.again = asyncio.Event()

    async def rows(self, name: str, **_: object) -> list[dict[str, Any]]:
        if name in self.asked:
            self.again.set()
            await asyncio.Event().wait()
        self.asked.append(name)
        if name == self.refused:
            raise self.error
        return [{"dropped": 0, "removed": 0}]


@pytest.mark.parametrize("error", [psycopg.errors.InsufficientPrivilege("no"), UnavailableError("it took too long")])
@pytest.mark.parametrize("refused", PARTS)
async def test_a_part_that_fails_stops_no_other(refused: str, error: Exception) -> None:
    store = Refusing(refused, error)
    retention = Retention(cast("Any", store), ChannelSettings(node_id="n", maintenance_interval=0))
    async with asyncio.timeout(60):
        task = asyncio.create_task(retention.run())
        await store.again.wait()
        task.cancel()
    assert tuple(store.asked) == PARTS
