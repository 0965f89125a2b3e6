"""What subscribers are told: one object per event, encoded once however many subscribers there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from engine.channels.filter import read_json
from engine.channels.model import format_position
from engine.channels.records import MessageRow
from engine.errors import RealtimeError
from engine.lsn import format_lsn

__all__ = ["DirectEvent", "EndEvent", "MessageEvent", "PlainEvent", "iso_time"]

_UNREAD: Final = object()


def iso_time(text: str) -> str:
    """PostgreSQL's timestamptz text, in UTC, as ISO 8601 with ``Z``."""
    return text.replace(" ", "T", 1).removesuffix("+00") + "Z"


class MessageEvent:
    """A published message as it reaches the subscribers of ``channel`` (its own, or one it was routed to).

    ``key`` is its position as numbers; it grows along a channel.
    """

    __slots__ = ("_data", "_json", "channel", "key", "row")

    error: RealtimeError | None = None

    def __init__(self, row: MessageRow, channel: str | None = None) -> None:
        self.row = row
        self.channel = channel or row.channel
        self.key = (row.lsn, row.seq)
        self._json: bytes | None = None
        self._data: object = _UNREAD

    @property
    def position(self) -> str:
        """Its position as clients see it."""
        return format_position(self.row.lsn, self.row.seq)

    @property
    def data(self) -> Any:
        """The payload with exact numbers, parsed when a filter first asks."""
        if self._data is _UNREAD:
            self._data = read_json(self.row.payload)
        return self._data

    @property
    def json(self) -> bytes:
        """The message as the protocol writes it."""
        if self._json is None:
            row = self.row
            sender = b"null" if row.sender is None else orjson.dumps(row.sender)
            self._json = (
                b'{"type":"message","channel":%b,"event":%b,"data":%b,"timestamp":"%b","sender":%b,"id":%b,"position":"%b/%d"}'
                % (
                    orjson.dumps(self.channel),
                    orjson.dumps(row.event),
                    row.payload,
                    iso_time(row.inserted_at).encode(),
                    sender,
                    orjson.dumps(row.id),
                    format_lsn(row.lsn).encode(),
                    row.seq,
                )
            )
        return self._json


class PlainEvent:
    """Any other event: ``presence:join``, ``room:updated`` and so on."""

    __slots__ = ("_json", "body")

    error: RealtimeError | None = None

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The event as the protocol writes it."""
        if self._json is None:
            self._json = orjson.dumps(self.body)
        return self._json


class DirectEvent(PlainEvent):
    """A message to connections rather than to a channel's subscribers; the channel is null."""

    __slots__ = ()


class EndEvent:
    """A subscription, or the connection, has ended; nothing follows."""

    __slots__ = ("_body", "error")

    def __init__(self, error: RealtimeError, channel: str | None = None) -> None:
        self.error: RealtimeError | None = error
        self._body = {"type": "error", "code": error.code, "message": str(error)}
        if channel is not None:
            self._body["channel"] = channel

    @property
    def json(self) -> bytes:
        """The error as the protocol writes it."""
        return orjson.dumps(self._body)
