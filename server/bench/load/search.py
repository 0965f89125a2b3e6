"""Looks for the highest rate that a system sustains, in as few rounds as it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import sqrt

__all__ = ["Sustained", "highest_sustained"]

_CLOSE = 1.08  # between the highest rate that was sustained and the lowest that was not, when the search ends


@dataclass(frozen=True)
class Sustained:
    """A round. ``followed``: the load came up to the rate. ``line``: what is reported of it."""

    sustained: bool
    followed: bool
    line: dict[str, object]


async def highest_sustained(play: Callable[[float], Awaitable[Sustained]], first: float, rounds: int) -> Sustained:
    """The round of the highest rate that was sustained, or of the last one if none was.

    Doubles (or halves) the rate from ``first`` on until one is sustained and another is not, then takes the geometric mean
    of the two. Where the load does not come up to a rate that is sustained, that is the answer.
    """
    rate, below, above = first, 0.0, 0.0
    best: Sustained | None = None
    for _ in range(rounds):
        played = await play(rate)
        if played.sustained:
            best, below = played, rate
            if not played.followed:
                break
        else:
            above = rate
        if below and above and above < _CLOSE * below:
            break
        rate = sqrt(below * above) if below and above else rate * 2 if below else rate / 2
    return best or played
