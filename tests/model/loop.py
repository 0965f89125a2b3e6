"""An event loop in a thread of its own, for those who drive it from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Loop"]

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.failures: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self.failures.append(str(context)))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(180)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
