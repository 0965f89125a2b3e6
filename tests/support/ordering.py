"""The order of tests that run in several processes: each process begins with its share of those marked ``long``.

pytest-xdist gives each process an equal, contiguous part and lets idle ones take from the ends of the others' parts. A
long test at such an end would be begun when everything else is done, and several in one part would wait for each other.
"""

from __future__ import annotations

from typing import TypeVar

Test = TypeVar("Test")


def dealt(long: list[Test], rest: list[Test], processes: int) -> list[Test]:
    """All tests, so that each process' part (as pytest-xdist's ``worksteal`` cuts them) begins with its long ones."""
    order: list[Test] = []
    long, rest = list(long), list(rest)
    for sharers in range(processes, 0, -1):
        longs = len(long) // sharers
        others = (len(long) + len(rest)) // sharers - longs
        order += long[:longs] + rest[:others]
        del long[:longs], rest[:others]
    return order
