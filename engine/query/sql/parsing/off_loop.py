"""Runs long work on a client's SQL in a thread, so that the event loop stays responsive.

Parsing 20,000 characters of SQL takes some tenths of a second. One thread does it for all connections, so many such queries
compete with the event loop for the interpreter as a single thread. Each time the loop wants the interpreter back it waits
half a millisecond, so the thread's time counts as work for the user whose SQL it is (:mod:`engine.work_turns`), also if that
user no longer waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from engine.work_turns import counting_aside

__all__ = ["SHORT", "aside"]

T = TypeVar("T")

SHORT: Final = 1_000
"""Characters that are read faster than a thread is woken."""

_THREAD = ThreadPoolExecutor(1, "sql")


async def aside(work: Callable[[], T], length: int) -> T:
    """The result of ``work`` over text of ``length`` characters, which must not touch what the loop's tasks change."""
    if length <= SHORT:
        return work()
    count, took = counting_aside(), 0.0

    def timed() -> T:
        nonlocal took
        began = time.thread_time()
        try:
            return work()
        finally:
            took = time.thread_time() - began

    loop = asyncio.get_running_loop()

    def ended(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(count, took)

    running = _THREAD.submit(timed)
    running.add_done_callback(ended)  # a thread that works is not stopped where the caller is cancelled
    try:
        return await asyncio.wrap_future(running)
    finally:
        del running  # the traceback of its error has this frame: only the garbage collector would free them
