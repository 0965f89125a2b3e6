"""What a node counts in one minute, as it is added to the database."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any, Final

from server.analytics.distinct import DistinctUsers
from server.analytics.frequent import FrequentChannels

__all__ = ["Minute"]

_FEW: Final = 256  # counters of a minute that is past, and waits to be written


@dataclass(slots=True)
class Minute:
    """Sums since the last write; of ``connections`` and ``subscribers`` the most. ``number``: minutes since 1970.

    ``users_of_minute``, ``users_of_hour`` and ``users_of_day`` are for nodes that only count users; ``users`` for others.
    """

    number: int
    sessions: int = 0
    sessions_ended: int = 0
    session_seconds: float = 0.0
    connections: int = 0
    messages_in: int = 0
    messages_out: int = 0
    users_of_minute: int = 0
    users_of_hour: int = 0
    users_of_day: int = 0
    users: DistinctUsers = field(default_factory=DistinctUsers)
    published: FrequentChannels = field(default_factory=FrequentChannels)
    subscribers: dict[str, int] = field(default_factory=dict)
    countries: dict[str, int] = field(default_factory=dict)

    def past(self) -> None:
        """Little is added any more: keep what takes less memory."""
        self.published.shrink(_FEW)

    def row(self, most: int) -> dict[str, Any] | None:
        """The minute as ``realtime.add_usage`` takes it, with the ``most`` busiest channels by messages, and by subscribers.

        None: nothing happened.
        """
        hashes, published = self.users.sample, self.published.top(most)
        listed = published.keys() | heapq.nlargest(
            most, self.subscribers, key=lambda name: (self.subscribers[name], name)
        )
        row = {
            "users": self.users_of_minute,
            "users_of_hour": self.users_of_hour,
            "users_of_day": self.users_of_day,
            "sessions": self.sessions,
            "sessions_ended": self.sessions_ended,
            "session_seconds": round(self.session_seconds, 3),
            "connections": self.connections,
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "published": self.published.total,
            "active_channels": self.published.channels,
            "hashes": hashes,
            "channels": {name: [self.published.of(name), self.subscribers.get(name, 0)] for name in sorted(listed)},
            "countries": self.countries,
        }
        return {"minute": self.number, **row} if any(row.values()) else None
