"""Who is present in each channel, as the stream shows: rows in, joins, leaves and updates out. No I/O.

Several connections of one user are one user: ``join`` with the first row, ``leave`` with the last. Invariant: after
each transaction a channel's users are exactly those with a row in ``realtime.presence``, and the events since any
moment turn the list of that moment into the list now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from engine.channels.core.delivery.events import PlainEvent, iso_time
from engine.channels.core.messages.decode import RowChange, commit_text
from engine.transaction import Kind

__all__ = ["PresenceRow", "PresenceState", "presence_row"]


class _NameOnly(msgspec.Struct):
    name: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_named = msgspec.json.Decoder(_NameOnly).decode
_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class PresenceRow:
    """One connection's presence in one channel. ``left_at``: it dropped, and its timeout runs."""

    channel: str
    connection_id: str
    user_id: str
    metadata: str
    state: str
    left_at: str | None
    updated_at: str = ""  # PostgreSQL's text in one time zone sorts as the times do


def presence_row(row: Mapping[str, str | None]) -> PresenceRow:
    """A row by column name, from the stream or from a query."""
    return PresenceRow(
        row["channel"] or "",
        row["connection_id"] or "",
        row["user_id"] or "",
        row.get("metadata") or "{}",
        row.get("state") or "{}",
        row.get("left_at"),
        row.get("updated_at") or "",
    )


def _name_in(metadata: str) -> str | None:
    """The name in a member's metadata, if there is a text; SQL may have put anything there."""
    try:
        name = _named(metadata).name
        return None if name is msgspec.UNSET else _text(name)
    except (msgspec.MsgspecError, RecursionError):
        return None


class _User:
    """One user's connections in a channel; the one that changed last speaks for the user."""

    __slots__ = ("removed", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, PresenceRow] = {}  # by connection
        self.removed: list[PresenceRow] = []  # by this transaction

    def speaks(self) -> PresenceRow:
        """The row that is shown: of the connections that are there, the one that was changed last.

        By the rows alone, as ``realtime.presence_now`` does: the order in which they came is lost when they are read.
        """
        return max(self.rows.values(), key=lambda row: (row.left_at is None, row.updated_at, row.connection_id))

    def shown(self) -> dict[str, Any]:
        """The user as clients see it; ``lastSeen`` is null while a connection is there."""
        row = self.speaks()
        return _shown(row.user_id, row.metadata, row.state, row.left_at)

    def last_seen(self, now: str) -> str:
        """When a user who has just left was there last: now, or when the last connection broke."""
        return max((row.left_at or now for row in self.removed), default=now)


Before = Mapping[str, Mapping[str, _User]]
"""Lists that were loaded and changed no more: users by channel and name."""


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

    def rows(self) -> Iterator[PresenceRow]:
        """All rows."""
        for users in self._channels.values():
            for user in users.values():
                yield from user.rows.values()

    def rows_of(self, connection_id: str, channel: str, user_id: str) -> PresenceRow | None:
        """A connection's own row in a channel."""
        user = self._channels.get(channel, {}).get(user_id)
        return user.rows.get(connection_id) if user is not None else None

    def json(self, channel: str) -> bytes:
        """``{"users":[…],"count":n}``, encoded once until a member joins, leaves or changes."""
        encoded = self._encoded.get(channel)
        if encoded is None:
            users = self.users(channel)
            encoded = self._encoded[channel] = orjson.dumps({"users": users, "count": len(users)})
            if not users:
                del self._encoded[channel]
        return encoded

    def load(self, rows: Iterable[PresenceRow]) -> Before:
        """Start from ``rows``, a snapshot of the table; returns the lists of before, for :meth:`differences`."""
        before, self._channels, self._encoded, self.loaded = self._channels, {}, {}, True
        for row in rows:
            user = self._channels.setdefault(row.channel, {}).setdefault(row.user_id, _User())
            user.rows[row.connection_id] = row
        return before

    def differences(self, before: Before) -> list[PlainEvent]:
        """What subscribers that have received the lists ``before`` have to know."""
        return self._counted(list(self._different(before)))

    def _different(self, before: Before) -> Iterable[PlainEvent]:
        for channel, users in before.items():
            now = self._channels.get(channel, {})
            for name, user in users.items():
                if name not in now:
                    yield _event("presence:leave", channel, user.shown(), len(now))
                elif _visible(now[name]) != _visible(user):
                    yield _event("presence:update", channel, now[name].shown(), len(now))
        for channel, users in self._channels.items():
            for name in users.keys() - before.get(channel, {}).keys():
                yield _event("presence:join", channel, users[name].shown(), len(users))

    def apply(
        self,
        changes: Iterable[RowChange],
        commit_time: int,
        alone: Callable[[], AbstractContextManager[bool | None]] = nullcontext,
    ) -> list[PlainEvent]:
        """One transaction's changes of ``realtime.presence``; what it means, one event per user at most.

        Each row is taken within ``alone()``, which knows what to do about one that makes no sense.
        """
        if not self.loaded:
            return []
        touched: dict[tuple[str, str], tuple[bool, tuple[str, str] | None, _User]] = {}
        for change in changes:
            if change.kind is Kind.TRUNCATE:
                for channel, users in list(self._channels.items()):
                    for name in list(users):
                        self._touch(channel, name, touched).rows.clear()
                continue
            with alone():
                if change.kind is not Kind.INSERT and change.old is not None:
                    self._remove(change.old, touched)
                if change.new is not None:
                    self._put(change, touched)
        now = commit_text(commit_time)
        events = [
            event
            for (channel, name), (was, looked, user) in touched.items()
            if (event := self._presence_event(channel, name, was, looked, user, now)) is not None
        ]
        # A user who came and went within the transaction was there while others were counted.
        return self._counted(events) if len(touched) > 1 else events

    def _counted(self, events: list[PlainEvent]) -> list[PlainEvent]:
        """Several in one go: each event's count is that of the list it leads to, and the last one's is the count now."""
        after: dict[str, int] = {}
        counted = []
        for body in (event.body for event in reversed(events)):
            kind, channel = body["type"], body["channel"]
            count = after.get(channel, self.count(channel))
            counted.append(_event(kind, channel, body["user"], count))
            after[channel] = count + {"presence:join": -1, "presence:leave": 1}.get(kind, 0)
        return counted[::-1]

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
        user = self._touch(old["channel"] or "", old["user_id"] or "", touched)
        row = user.rows.pop(old["connection_id"] or "", None)
        if row is not None:
            user.removed.append(row)

    def _put(
        self, change: RowChange, touched: dict[tuple[str, str], tuple[bool, tuple[str, str] | None, _User]]
    ) -> None:
        row = presence_row(change.merged or change.row)
        user = self._touch(row.channel, row.user_id, touched)
        user.rows.pop(row.connection_id, None)
        user.rows[row.connection_id] = row

    def _presence_event(
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
            left = _shown(name, *looked, user.last_seen(now))
            return _event("presence:leave", channel, left, len(users))
        user.removed.clear()
        looks = _visible(user)
        if was and looks == looked:
            return None
        return _event("presence:update" if was else "presence:join", channel, user.shown(), len(users))


def _visible(user: _User) -> tuple[str, str] | None:
    if not user.rows:
        return None
    row = user.speaks()
    return row.metadata, row.state


def _shown(name: str, metadata: str, state: str, last_seen: str | None) -> dict[str, Any]:
    # As PostgreSQL prints it: there is JSON that it can keep and Python cannot read.
    return {
        "id": name,
        "name": _name_in(metadata),
        "metadata": orjson.Fragment(metadata),
        "state": orjson.Fragment(state),
        "lastSeen": iso_time(last_seen) if last_seen else None,
    }


def _event(kind: str, channel: str, user: dict[str, Any], count: int) -> PlainEvent:
    return PlainEvent({"type": kind, "channel": channel, "user": user, "count": count})
