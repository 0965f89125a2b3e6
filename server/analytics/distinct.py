"""How many different users there were, from a sample of bounded size that can be united with those of other nodes.

The sample is the smallest of the users' hashes (k minimum values: Bar-Yossef et al., "Counting distinct elements in a data
stream", 2002). Below its size it is exact; above, its standard error is 1 / sqrt(size - 2), which is 3.1 %.
``realtime.smallest_hashes`` and ``realtime.distinct_users`` do the same in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["HASHES", "SAMPLE", "DistinctUsers"]

SAMPLE: Final = 1024
"""Hashes that are kept."""

HASHES: Final = 1 << 63
"""A hash is below this, so that PostgreSQL's ``bigint`` has it."""


class DistinctUsers:
    """A set of hashes. Holds twice ``SAMPLE`` of them at most."""

    __slots__ = ("_bound", "_kept")

    def __init__(self) -> None:
        self._kept: set[int] = set()
        self._bound = HASHES  # the largest that the sample can still take, and one

    def add(self, hashes: Iterable[int]) -> None:
        """These users are among them."""
        for each in hashes:
            if each < self._bound:
                self._kept.add(each)
                if len(self._kept) >= 2 * SAMPLE:
                    self._prune()

    def _prune(self) -> None:
        smallest = sorted(self._kept)[:SAMPLE]
        self._kept, self._bound = set(smallest), smallest[-1]

    @property
    def sample(self) -> list[int]:
        """The smallest hashes, ascending."""
        return sorted(self._kept)[:SAMPLE]

    @property
    def count(self) -> int:
        """How many different users there were."""
        sample = self.sample
        return len(sample) if len(sample) < SAMPLE else round((SAMPLE - 1) / ((sample[-1] + 1) / HASHES))
