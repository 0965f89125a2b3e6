"""The WebSocket tests run on both event loops (their transports differ where it hurts); ``table`` has rows to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.server.listener import TABLE, write


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Called by pytest-asyncio for each test in this folder."""
    if item.path.name.startswith("test_ws"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def table(database: str) -> str:
    write(database, TABLE)
    return database
