"""Who is present in each channel, as the stream tells: rows in, joins, leaves and updates out. No I/O.

Several connections of one user are one user: ``join`` with the first row, ``leave`` with the last. Invariant: after
each transaction a channel's users are exactly those with a row in ``realtime.presence``, and the events since any
moment turn the list of that moment into the list now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from engine.channels.events import PlainEvent, iso_time
from engine.channels.records import RowChange, commit_text
from engine.types import Kind

__all__ = ["PresenceRow", "PresenceState", "is_typing", "presence_row"]


@dataclass(frozen=True, slots=True)
class PresenceRow:
    """One connection's presence in one channel. ``left_at``: it dropped, and its timeout runs."""

    channel: str
    connection_id: str
    user_id: str
    metadata: str
    state: str
    joined_at: str
    left_at: str | None


def presence_row(row: Mapping[str, str | None]) -> PresenceRow:
    """A row by column name, from the stream or from a query."""
    return PresenceRow(
        row["channel"] or "",
        row["connection_id"] or "",
        row["user_id"] or "",
        row.get("metadata") or "{}",
        row.get("state") or "{}",
        row.get("joined_at") or "",
        row.get("left_at"),
    )


def is_typing(state: str) -> bool:
    """Whether a state says that somebody is typing."""
    value = orjson.loads(state)
    return isinstance(value, dict) and (value.get("typing") is True or value.get("status") == "typing")


class _User:
    """One user's connections in a channel; the one that changed last speaks for the user."""

    __slots__ = ("last_seen", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, PresenceRow] = {}  # by connection, the last changed last
        self.last_seen = ""

    def speaks(self) -> PresenceRow:
        """The row that is shown: of the connections that are there, the last changed."""
        rows = list(self.rows.values())
        return next((row for row in reversed(rows) if row.left_at is None), rows[-1])

    def shown(self, row: PresenceRow | None = None) -> dict[str, Any]:
        """The user as clients see it."""
        row = row or self.speaks()
        metadata = orjson.loads(row.metadata)
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return {
            "id": row.user_id,
            "name": name,
            "metadata": metadata,
            "state": orjson.loads(row.state),
            "lastSeen": iso_time(self.last_seen) if self.last_seen else None,
        }


class PresenceState:
    """Every channel's members. Until :meth:`load` it knows nothing and changes are dropped."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, _User]] = {}
        self._encoded: dict[str, bytes] = {}
        self.loaded = False

    def users(self, channel: str) -> list[dict[str, Any]]:
        """The users present, in the order in which they came."""
        return [user.shown() for user in self._channels.get(channel, {}).values()]

    def count(self, channel: str) -> int:
        """How many users are present."""
        return len(self._channels.get(channel, ()))

    def rows_of(self, connection_id: str, channel: str, user_id: str) -> PresenceRow | None:
        """A connection's own row in a channel."""
        user = self._channels.get(channel, {}).get(user_id)
        return user.rows.get(connection_id) if user is not None else None

    def json(self, channel: str) -> bytes:
        """``{"users":[…],"count":n}``, encoded once until somebody comes, goes or changes."""
        encoded = self._encoded.get(channel)
        if encoded is None:
            users = self.users(channel)
            encoded = self._encoded[channel] = orjson.dumps({"users": users, "count": len(users)})
            if not users:
                del self._encoded[channel]
        return encoded

    def load(self, rows: Iterable[PresenceRow], now: str = "") -> list[PlainEvent]:
        """Start from ``rows``, a snapshot of the table; returns what is different from before."""
        before, self._channels, self._encoded, self.loaded = self._channels, {}, {}, True
        for row in rows:
            user = self._channels.setdefault(row.channel, {}).setdefault(row.user_id, _User())
            user.rows[row.connection_id] = row
            user.last_seen = max(user.last_seen, row.joined_at)
        return list(self._differences(before))

    def _differences(self, before: dict[str, dict[str, _User]]) -> Iterable[PlainEvent]:
        for channel, users in before.items():
            now = self._channels.get(channel, {})
            for name, user in users.items():
                if name not in now:
                    yield _event("presence:leave", channel, user.shown(), len(now))
                else:
                    now[name].last_seen = max(user.last_seen, now[name].last_seen)
                    if _visible(now[name]) != _visible(user):
                        yield _event("presence:update", channel, now[name].shown(), len(now))
        for channel, users in self._channels.items():
            for name in users.keys() - before.get(channel, {}).keys():
                yield _event("presence:join", channel, users[name].shown(), len(users))

    def apply(self, changes: Iterable[RowChange], commit_time: int) -> list[PlainEvent]:
        """One transaction's changes of ``realtime.presence``; what it means, one event per user at most."""
        if not self.loaded:
            return []
        touched: dict[tuple[str, str], tuple[bool, tuple[str, str] | None, _User]] = {}
        for change in changes:
            if change.kind is Kind.TRUNCATE:
                for channel, users in list(self._channels.items()):
                    for name in list(users):
                        self._touch(channel, name, touched).rows.clear()
                continue
            if change.kind is not Kind.INSERT and change.old is not None:
                self._remove(change.old, touched)
            if change.new is not None:
                self._put(change, touched)
        now = commit_text(commit_time)
        return [
            event
            for (channel, name), (was, looked, user) in touched.items()
            if (event := self._settle(channel, name, was, looked, user, now)) is not None
        ]

    def _touch(
        self, channel: str, name: str, touched: dict[tuple[str, str], tuple[bool, tuple[str, str] | None, _User]]
    ) -> _User:
        users = self._channels.setdefault(channel, {})
        user = users.get(name)
        if user is None:
            user = users[name] = _User()
        if (channel, name) not in touched:
            touched[channel, name] = (bool(user.rows), _visible(user), user)
        return user

    def _remove(
        self,
        old: Mapping[str, str | None],
        touched: dict[tuple[str, str], tuple[bool, tuple[str, str] | None, _User]],
    ) -> None:
        self._touch(old["channel"] or "", old["user_id"] or "", touched).rows.pop(old["connection_id"] or "", None)

    def _put(
        self, change: RowChange, touched: dict[tuple[str, str], tuple[bool, tuple[str, str] | None, _User]]
    ) -> None:
        # Replica identity is full: what an UPDATE left alone is in the old row.
        row = presence_row({**(change.old or {}), **(change.new or {})})
        user = self._touch(row.channel, row.user_id, touched)
        user.rows.pop(row.connection_id, None)
        user.rows[row.connection_id] = row

    def _settle(
        self, channel: str, name: str, was: bool, looked: tuple[str, str] | None, user: _User, now: str
    ) -> PlainEvent | None:
        self._encoded.pop(channel, None)
        users = self._channels[channel]
        if not user.rows:
            users.pop(name, None)
            if not users:
                del self._channels[channel]
            if not was or looked is None:
                return None
            return _event("presence:leave", channel, _gone(name, looked, now), len(users))
        looks = _visible(user)
        if was and looks == looked:
            return None
        user.last_seen = now
        return _event("presence:update" if was else "presence:join", channel, user.shown(), len(users))


def _visible(user: _User) -> tuple[str, str] | None:
    if not user.rows:
        return None
    row = user.speaks()
    return row.metadata, row.state


def _gone(name: str, looked: tuple[str, str], now: str) -> dict[str, Any]:
    user = _User()
    user.last_seen = now
    return user.shown(PresenceRow("", "", name, looked[0], looked[1], "", None))


def _event(kind: str, channel: str, user: dict[str, Any], count: int) -> PlainEvent:
    return PlainEvent({"type": kind, "channel": channel, "user": user, "count": count})
