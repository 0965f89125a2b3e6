"""The WebSocket tests run on both event loops (their transports differ where it hurts); ``table`` has rows to look at;
``http`` and ``keyed`` ask a REST API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest
import uvloop

from tests.channels.conftest import place as place
from tests.server.listener import TABLE, write
from tests.server.rest_api import KEY, started_api


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Called by pytest-asyncio for each test in this folder."""
    if item.path.name.startswith("test_ws"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def table(database: str) -> str:
    write(database, TABLE)
    return database


@pytest.fixture
async def http(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asks an API without a key, from this machine."""
    async with started_api(database) as client:
        yield client


@pytest.fixture
async def keyed(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asks an API with a key, from elsewhere; it gives none."""
    async with started_api(database, KEY, address="203.0.113.5") as client:
        yield client
