"""Waits for the stream before a refusal counts: what a query names may be newer than the catalog in use."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from engine.postgres.errors import UNREADABLE
from engine.postgres.snapshot_reader import Reader
from engine.stream.driver import StreamDriver

__all__ = ["CATCH_UP", "catch_up"]

CATCH_UP: Final = 20.0
"""Seconds to wait for the stream, which may be behind."""


async def catch_up(reader: Reader, stream: StreamDriver) -> bool:
    """Wait until the stream is where the database is now, ``CATCH_UP`` seconds at most. Returns whether it is."""
    with contextlib.suppress(TimeoutError, *UNREADABLE):
        async with asyncio.timeout(CATCH_UP):
            position = await reader.flushed()
            while stream.passed < position:
                await stream.changed()
            return True
    return False
