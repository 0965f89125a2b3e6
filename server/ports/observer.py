"""The interface through which the server reports its writes to metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["WriteObserver"]


class WriteObserver(Protocol):
    """Observes writes to clients. Called in the event loop for every write, so it must be quick and not raise."""

    def wrote(self, transport: str, size: int, latencies: Sequence[tuple[int, int]]) -> None:
        """Messages were written to the socket of a ``transport`` (``websocket``, ``sse`` or ``poll``).

        ``size``: bytes of them in the transport's form. ``latencies``: for those that are the effect of a commit, the
        microseconds from the commit to now and how many messages; below zero where the clock of the database is ahead.
        """
