"""Runs long work on a client's SQL in a thread, so that the event loop stays responsive.

Parsing 20,000 characters of SQL takes some tenths of a second. One thread does it for all connections, so many such queries
compete with the event loop for the interpreter as a single thread.
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
