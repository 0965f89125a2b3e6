"""How soon a commit may follow the last ones, where it is in no haste. No I/O, and no clock.

A few commits in succession go at once, so a client that comes alone waits for none. While they come faster than one in
``interval``, each waits until its turn, and those that come meanwhile share it: a commit costs as much as a dozen rows.
This is the generic cell rate algorithm (ITU-T I.371).
"""

from __future__ import annotations

from typing import Final

__all__ = ["CommitPace"]

_INTERVAL: Final = 0.02  # seconds
_BURST: Final = 10


class CommitPace:
    """``interval``: seconds between commits in the long run; ``burst``: how many may follow one another at once."""

    __slots__ = ("_ahead", "_due", "_interval")

    def __init__(self, interval: float = _INTERVAL, burst: int = _BURST) -> None:
        self._interval = interval
        self._ahead = interval * (burst - 1)
        self._due = float("-inf")  # when the next one would begin at an even pace

    def wait(self, now: float) -> float:
        """Seconds until the next one may begin; at most 0: it may begin now."""
        return self._due - self._ahead - now

    def begin(self, now: float) -> None:
        """One begins."""
        self._due = max(self._due, now) + self._interval
