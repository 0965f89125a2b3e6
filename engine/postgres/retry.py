"""Attempts that are repeated until one succeeds, with growing, random pauses.

The random part keeps servers that failed together from coming back together (AWS Architecture Blog, "Exponential Backoff And
Jitter": full jitter).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

__all__ = ["SOON", "Pause", "error_of", "growing_pause", "until_done"]

T = TypeVar("T")

_MAX_DOUBLINGS: Final = 62  # more are beyond every bound, and beyond the range of a float in the end

Pause = Callable[[RetryCallState], float]
"""Seconds until the next attempt. tenacity's wait strategies are such functions."""

SOON: Final[Pause] = wait_random_exponential(multiplier=0.5, max=2)
"""For work that others wait for: it goes on within 2 s after the end of an outage of any length."""


async def until_done(
    work: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[BaseException], ...] | Callable[[BaseException], bool],
    failed: Callable[[RetryCallState], None],
    pause: Pause = SOON,
) -> T:
    """Await ``work()``, again after each error that ``on`` names. Raises every other error.

    ``failed``: called after each failed attempt, before the pause.
    """

    def passes(error: BaseException) -> bool:
        return isinstance(error, on) if isinstance(on, tuple) else on(error)

    retrying = AsyncRetrying(retry=retry_if_exception(passes), wait=pause, before_sleep=failed)
    return await retrying(work)


def growing_pause(failures: int, first: float, most: float) -> float:
    """Seconds until the next attempt, for work that no loop of its own repeats: twice as many after each of ``failures``,
    beginning with ``first``, at most ``most``; at random between half of that and the whole.
    """
    longest = min(first * 2.0 ** min(failures, _MAX_DOUBLINGS), most)
    return random.uniform(longest / 2, longest)


def error_of(attempt: RetryCallState) -> BaseException | None:
    """Why the attempt failed; None: it did not."""
    return None if attempt.outcome is None else attempt.outcome.exception()
