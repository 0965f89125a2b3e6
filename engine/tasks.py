"""Periodic actions, work in batches, and task cancellation that is repeated until the tasks have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from time import thread_time
from typing import Any, TypeVar

__all__ = ["end", "every", "in_turns"]

_Result = TypeVar("_Result")

_AGAIN = 0.5  # seconds


async def every(
    interval: float,
    action: Callable[[], Awaitable[None]],
    failed: Callable[[Exception], None],
    passing: tuple[type[Exception], ...],
) -> None:
    """Run ``action`` every ``interval`` seconds, forever. Errors in ``passing`` go to ``failed``; others are raised."""
    while True:
        await asyncio.sleep(interval)
        try:
            await action()
        except passing as error:
            failed(error)


async def in_turns(steps: Generator[None, None, _Result]) -> tuple[_Result, float]:
    """What ``steps`` returns, with a turn of the event loop for others at each of its yields; and how many seconds the
    processor worked at it.
    """
    seconds = 0.0
    while True:
        began = thread_time()
        try:
            next(steps)
        except StopIteration as done:
            return done.value, seconds + thread_time() - began
        seconds += thread_time() - began
        await asyncio.sleep(0)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and return when all have ended, with whatever result.

    A cancellation can get lost: a database driver that is cancelled while its query fails may raise the query's error,
    and a loop that retries after errors continues. So tasks that are still running after a moment are cancelled again.
    One that ends others in turn is so, too: a cancellation of this call is raised once its tasks have ended, none of which
    may go on by itself.
    """
    left, cancelled = set(tasks), None
    while left:
        for task in left:
            task.cancel()
        try:
            done, left = await asyncio.wait(left, timeout=_AGAIN)
        except asyncio.CancelledError as error:
            cancelled, done = error, {task for task in left if task.done()}
            left -= done
        for task in done:
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not log it
    if cancelled is not None:
        raise cancelled
