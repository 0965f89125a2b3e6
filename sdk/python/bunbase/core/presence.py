"""The users in a channel, kept from the server's messages; each real change is one event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bunbase.protocol.model import Presence, User

__all__ = ["PresenceState"]

Event = tuple[str, User]


class PresenceState:
    """Begins empty; ``replace`` takes a whole state, ``receive`` one event."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    @property
    def current(self) -> Presence:
        """The users present now."""
        users = tuple(self._users.values())
        return Presence(users, len(users))

    def replace(self, raw: Mapping[str, Any], *, first: bool) -> list[Event]:
        """The state with which a subscription begins. Returns the changes, none if it is the ``first``."""
        before, self._users = self._users, {user.id: user for user in map(User.of, raw["users"])}
        if first:
            return []
        left = [("presence:leave", user) for id, user in before.items() if id not in self._users]
        there = [event for user in self._users.values() if (event := _change(before.get(user.id), user))]
        return [*left, *there]

    def receive(self, message: Mapping[str, Any]) -> list[Event]:
        """A ``presence:…`` message."""
        user = User.of(message["user"])
        if message["type"] == "presence:leave":
            return [("presence:leave", user)] if self._users.pop(user.id, None) is not None else []
        event = _change(self._users.get(user.id), user)
        self._users[user.id] = user
        return [event] if event else []


def _change(before: User | None, now: User) -> Event | None:
    if before is None:
        return "presence:join", now
    # Not by last_seen: that changes while a connection is broken, which is no event.
    changed = (before.metadata, before.state) != (now.metadata, now.state)
    return ("presence:update", now) if changed else None
