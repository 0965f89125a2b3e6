"""A subscriber that a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.postgres.sql import GIVE_UP_AFTER

__all__ = ["WaitingSubscriber"]


class WaitingSubscriber:
    """Base of subscribers that set ``_received`` with each event."""

    def __init__(self) -> None:
        self._received = asyncio.Event()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until ``condition`` holds; it is looked at after every event."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not condition():
                self._received.clear()
                await self._received.wait()
