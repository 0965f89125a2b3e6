"""The settings in force for each channel, as of the stream: its row of ``realtime.channels``, else the longest matching
pattern of ``realtime.channel_defaults``. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from engine.channels.core.delivery.events import PlainEvent, iso_time
from engine.channels.core.messages.decode import RowChange
from engine.channels.core.messages.model import ChannelClosedError, UnknownChannelError
from engine.channels.core.routing import matches_pattern
from engine.transaction import Kind

__all__ = ["Rooms"]

Row = Mapping[str, str | None]

_MAX_FOUND = 10_000


class Rooms:
    """The rooms by name and the defaults by pattern: the one that is the channel's name counts, else the longest that
    matches, as in ``realtime.channel_rules()``.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, Row] = {}
        self._defaults: dict[str, Row] = {}
        self._found: dict[str, Row | None] = {}  # what holds for a channel, until something changes

    def load(self, rooms: Iterable[Row], defaults: Iterable[Row]) -> Mapping[str, Row]:
        """Start from the tables' rows; returns the rooms of before, for :meth:`differences`."""
        before, self._rooms = self._rooms, {row["name"] or "": row for row in rooms}
        self._defaults = {row["pattern"] or "": row for row in defaults}
        self._found.clear()
        return before

    def differences(self, before: Mapping[str, Row]) -> list[PlainEvent]:
        """What subscribers that have received the rooms ``before`` have to know."""
        events = [_change(before.get(name), row) for name, row in self._rooms.items()]
        events += [_closed(row) for name, row in before.items() if name not in self._rooms]
        return [event for event in events if event is not None]

    def row(self, channel: str) -> Row | None:
        """The channel's row; None: it has none. The same object until it changes."""
        return self._rooms.get(channel)

    def is_open(self, channel: str) -> bool:
        """Whether the channel can be subscribed to and published to."""
        room = self._rooms.get(channel)
        if room is not None:
            return room.get("closed_at") is None
        return self._default(channel, "dynamic") == "t"

    def check(self, channel: str) -> None:
        """Raises ``UnknownChannelError`` or ``ChannelClosedError`` if the channel cannot be subscribed to or published
        to.
        """
        if not self.is_open(channel):
            if channel in self._rooms:
                raise ChannelClosedError(f"channel {channel!r} is closed")
            raise UnknownChannelError(f"there is no channel {channel!r}, and it may not be created by using it")

    def closed(self, channel: str) -> bool:
        """Whether it is a room that has been closed."""
        room = self._rooms.get(channel)
        return room is not None and room.get("closed_at") is not None

    def history(self, channel: str) -> bool:
        """Whether messages are stored."""
        room = self._rooms.get(channel)
        value = room.get("history") if room is not None else self._default(channel, "history")
        return value != "f"

    def limited(self, channel: str) -> bool:
        """Whether the room takes a limited number of members."""
        room = self._rooms.get(channel)
        return room is not None and room.get("capacity") is not None

    def apply(self, change: RowChange) -> list[PlainEvent]:
        """A row changed. Returns the event for the subscribers of its channel."""
        self._found.clear()
        if change.table == "channel_defaults":
            self._default_changed(change)
            return []
        if change.kind is Kind.TRUNCATE:
            closed, self._rooms = list(self._rooms.values()), {}
            return [event for row in closed if (event := _closed(row)) is not None]
        events: list[PlainEvent | None] = []
        row = change.merged
        name = (row or change.row)["name"] or ""
        former = name if change.old is None else change.old.get("name") or name
        if row is None or former != name:  # with another name it is another room
            events.append(_closed(self._rooms.pop(former, None)))
        if row is not None:
            events.append(_change(self._rooms.get(name), row))
            self._rooms[name] = row
        return [event for event in events if event is not None]

    def _default_changed(self, change: RowChange) -> None:
        if change.kind is Kind.TRUNCATE:
            self._defaults.clear()
        if change.old is not None:
            self._defaults.pop(change.old["pattern"] or "", None)
        if change.new is not None:
            self._defaults[change.new["pattern"] or ""] = change.new

    def _default(self, channel: str, setting: str) -> str | None:
        if channel not in self._found:
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            matching = [pattern for pattern in self._defaults if matches_pattern(pattern, channel)]
            best = max(matching, key=lambda pattern: (pattern == channel, len(pattern)), default=None)
            self._found[channel] = None if best is None else self._defaults[best]
        found = self._found[channel]
        return None if found is None else found.get(setting)


def _closed(before: Row | None) -> PlainEvent | None:
    return _event("room:closed", before) if before is not None and before.get("closed_at") is None else None


def _change(before: Row | None, row: Row) -> PlainEvent | None:
    was_open = before is not None and before.get("closed_at") is None
    if row.get("closed_at") is not None:
        return _event("room:closed", row) if was_open else None
    if not was_open:
        return _event("room:created", row)
    return _event("room:updated", row) if dict(before or {}) != dict(row) else None


def _event(kind: str, row: Row) -> PlainEvent:
    body = {"type": kind, "channel": row["name"], "room": room_json(row)}
    return PlainEvent(body, ends=kind == "room:closed")


def room_json(row: Row) -> dict[str, Any]:
    """A room as clients see it."""
    capacity = row.get("capacity")
    times = {
        shown: iso_time(value) if (value := row.get(column)) else None
        for shown, column in (("createdAt", "created_at"), ("updatedAt", "updated_at"), ("closedAt", "closed_at"))
    }
    return {
        "name": row["name"],
        "metadata": orjson.Fragment(row.get("metadata") or "{}"),
        "capacity": int(capacity) if capacity else None,
        "history": row.get("history") != "f",
        "createdBy": row.get("created_by"),
        **times,
    }
