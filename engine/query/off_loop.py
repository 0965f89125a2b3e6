"""Work on a client's SQL that takes long, done beside the event loop so that others are served meanwhile.

Reading 20,000 characters of SQL takes some tenths of a second. One thread does it for all connections, so a flood of such
queries takes one place in the interpreter's turns, not as many as there are queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["aside"]

T = TypeVar("T")

_SHORT = 1_000  # characters that are read faster than a thread is woken
_THREAD = ThreadPoolExecutor(1, "sql")


async def aside(work: Callable[[], T], length: int) -> T:
    """The result of ``work`` over text of ``length`` characters, which must not touch what the loop's tasks change."""
    if length <= _SHORT:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_THREAD, work)
