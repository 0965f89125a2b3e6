"""Subscriptions and connections by the kind of their channels: the part of a name before its first colon.

Clients choose names, so the number of kinds is bounded: those that come after ``MAX_KINDS`` others count as ``other``, as do
names without a colon. A kind without subscriptions gives its place to a new one that needs it. A name counts as the same
kind while it has subscriptions: one that came when there was no place is ``other`` until its last one has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

__all__ = ["MAX_KINDS", "OTHER", "ChannelKinds"]

MAX_KINDS: Final = 20
OTHER: Final = "other"


_KEPT: Final = ("public", "presence", "private", OTHER)  # have a place always


class ChannelKinds:
    """``subscriptions``: by kind; ``connections``: those with a subscription of the kind."""

    def __init__(self) -> None:
        self.subscriptions: Counter[str] = Counter(dict.fromkeys(_KEPT, 0))
        self.connections: Counter[str] = Counter(self.subscriptions)
        self._without_place: Counter[str] = Counter()  # subscriptions by the name that would be their kind

    def kind(self, channel: str) -> str:
        """The kind that a channel with subscriptions is counted as."""
        name = _name(channel)
        return name if name in self.subscriptions else OTHER

    def count(self, channel: str, others: Iterable[str], by: int) -> None:
        """A subscription has begun (``by`` 1) or ended (-1). ``others``: the other channels of the same connection."""
        name = _name(channel)
        if name not in self.subscriptions and name not in self._without_place:
            self._give_place(name)
        kind = self.kind(channel)
        self.subscriptions[kind] += by
        if not any(self.kind(other) == kind for other in others):
            self.connections[kind] += by
        if kind != name:
            self._without_place[name] += by
            if not self._without_place[name]:
                del self._without_place[name]

    def _give_place(self, name: str) -> None:
        if len(self.subscriptions) > MAX_KINDS:
            unused = (kind for kind, count in self.subscriptions.items() if not count and kind not in _KEPT)
            left = next(unused, None)
            if left is None:
                return
            del self.subscriptions[left], self.connections[left]
        self.subscriptions[name] = self.connections[name] = 0


def _name(channel: str) -> str:
    name, colon, _ = channel.partition(":")
    return name if colon else OTHER
