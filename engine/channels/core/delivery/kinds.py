"""Subscriptions and connections by the kind of their channels: the part of a name before its first colon.

Clients choose names, so the number of kinds is bounded: those that come after ``MAX_KINDS`` others count as ``other``, as do
names without a colon. A kind that was counted once keeps its place until the node ends, so each name stays of its kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

__all__ = ["MAX_KINDS", "OTHER", "ChannelKinds"]

MAX_KINDS: Final = 20
OTHER: Final = "other"


class ChannelKinds:
    """``subscriptions``: by kind; ``connections``: those with a subscription of the kind."""

    def __init__(self) -> None:
        self.subscriptions: Counter[str] = Counter(dict.fromkeys(("public", "presence", "private", OTHER), 0))
        self.connections: Counter[str] = Counter(self.subscriptions)

    def kind(self, channel: str) -> str:
        """The kind that a channel is counted as."""
        name, colon, _ = channel.partition(":")
        if not colon or (name not in self.subscriptions and len(self.subscriptions) > MAX_KINDS):
            return OTHER
        return name

    def count(self, channel: str, others: Iterable[str], by: int) -> None:
        """A subscription has begun (``by`` 1) or ended (-1). ``others``: the other channels of the same connection."""
        kind = self.kind(channel)
        self.subscriptions[kind] += by
        if not any(self.kind(other) == kind for other in others):
            self.connections[kind] += by
