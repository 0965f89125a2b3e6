"""What the clients of one process have counted and timed since it was last cleared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.bench.load.clients.histogram import Histogram

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """``opened``: from the start of a connection to the server's first message. ``answered``: from a subscription to its
    answer (of a live query: its first rows). ``latency``: from a publication to a subscriber, of one in ``every``.
    ``acked``: to its answer. ``complete``: from a subscription to the last of what was waited for. ``late``: how far behind
    its plan a publisher was.
    """

    every: int = 1
    opened: Histogram = field(default_factory=Histogram)
    answered: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
    acked: Histogram = field(default_factory=Histogram)
    complete: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    answers: int = 0
    acks: int = 0
    events: int = 0
    """Changes of presence that came, updates excepted."""
    last: int = 0
    """When the last delivery that was timed came, by :func:`server.bench.load.clients.stamp.now`."""
    cpu: float = 0.0
    """Processor seconds of the clients."""
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add that of another process."""
        for name in _TIMES:
            getattr(self, name).add(getattr(other, name))
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last = max(self.last, other.last)
        self.errors += other.errors

    def to_json(self) -> dict[str, Any]:
        """For the process of the command."""
        times = {name: getattr(self, name).to_json() for name in _TIMES}
        return times | {name: getattr(self, name) for name in (*_SUMS, "last")} | {"errors": dict(self.errors)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Tally:
        """What ``to_json`` made."""
        tally = cls(errors=Counter(document["errors"]))
        for name in _TIMES:
            setattr(tally, name, Histogram.from_json(document[name]))
        for name in (*_SUMS, "last"):
            setattr(tally, name, document[name])
        return tally


_TIMES = ("opened", "answered", "latency", "acked", "complete", "late")
_SUMS = ("answers", "acks", "events", "cpu")
