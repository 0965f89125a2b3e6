"""How long to wait before the next attempt: exponential, with full jitter.

Full jitter (any time between zero and the bound) spreads clients that lost their server at the same moment over the
whole interval, so that a restart is not followed by a stampede.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["full_jitter"]


def full_jitter(
    attempt: int, base: float, cap: float, uniform: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds before attempt number ``attempt`` (from 0): at random up to ``base * 2**attempt``, at most ``cap``."""
    return uniform(0.0, min(cap, base * 2.0 ** min(attempt, 62)))
