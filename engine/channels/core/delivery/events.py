"""Events for subscribers: one object per event, encoded once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from engine.channels.core.filters.document import Document, Path
from engine.channels.core.filters.filter import Test, UnreadableFilterError, read_json
from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import format_position
from engine.errors import RealtimeError
from engine.lsn import Lsn, format_lsn
from engine.tracing.context import with_context

__all__ = ["EndEvent", "MessageEvent", "PlainEvent", "gap_event", "iso_time", "meta_of"]

_WHOLE: Final = 64  # bytes of a lane that is its value: values may be as long as messages, and lanes are remembered
_FRACTION: Final = 30  # steps of reading a number with a fraction, as a Decimal; a text with points counts as well


def iso_time(text: str) -> str:
    """PostgreSQL's timestamptz text, in UTC, as ISO 8601 with ``Z``."""
    return text.replace(" ", "T", 1).removesuffix("+00") + "Z"


def meta_of(row: MessageRow, annotation: bytes | None) -> bytes | None:
    """The annotation of its transaction, a JSON object, with its publisher's trace context in it; None without both."""
    context = None if row.trace is None else row.trace.context
    return annotation if context is None else with_context(annotation, context)


class MessageEvent:
    """A published message as it reaches the subscribers of its channel.

    ``key`` is its position as numbers; it grows along a channel. ``committed_at``: when it was committed, in microseconds
    since 1970 by the clock of the database; None for a message of the past. ``meta``: as of :func:`meta_of`, for those who
    ask (:attr:`annotated`); None if it has none, or is of the past.
    """

    __slots__ = (
        "_annotated",
        "_document",
        "_envelope",
        "_json",
        "_lanes",
        "_unread",
        "_verdicts",
        "channel",
        "committed_at",
        "key",
        "meta",
        "row",
    )

    error: RealtimeError | None = None
    ends = False

    def __init__(self, row: MessageRow, committed_at: int | None = None, meta: bytes | None = None) -> None:
        self.row = row
        self.meta = meta
        self._annotated: MessageEvent | None = None
        self.committed_at = committed_at
        self.channel = row.channel
        self.key = (row.lsn, row.seq)
        self._json: bytes | None = None
        self._document: Document | None = None
        self._envelope: Document | None = None
        self._unread = True
        self._verdicts: dict[Test, bool] | None = None  # as of most messages
        self._lanes: dict[Path, bytes | None] | None = None

    @property
    def priority(self) -> int:
        """Higher is not queued behind lower."""
        return self.row.priority

    @property
    def annotated(self) -> MessageEvent:
        """The message with ``meta``, encoded once for all who ask; itself if there is none."""
        if self.meta is None:
            return self
        if self._annotated is None:
            self._annotated = MessageEvent(self.row, self.committed_at)
            self._annotated._json = b'%b,"meta":%b}' % (self.json[:-1], self.meta)
        return self._annotated

    @property
    def position(self) -> str:
        """Its position as clients see it."""
        return format_position(self.row.lsn, self.row.seq)

    @property
    def steps(self) -> int:
        """The work done for filters since the event was made, or let go of; see ``Document``."""
        return sum(document.steps for document in (self._document, self._envelope) if document is not None)

    def meets(self, test: Test) -> bool:
        """Whether the payload meets the conditions of a filter. One that cannot be read meets none."""
        if self._verdicts is None:
            self._verdicts = {}
        verdict = self._verdicts.get(test)
        if verdict is None:
            document = self._read()
            verdict = self._verdicts[test] = document is not None and test(document) is True
        return verdict

    def meets_whole(self, test: Test) -> bool:
        """The same with ``{"event", "sender", "data"}`` instead of the payload alone."""
        document = self._read()
        if document is None:
            return False
        if self._envelope is None:
            row = self.row
            self._envelope = Document({"event": row.event, "sender": row.sender, "data": document.data})
        return test(self._envelope) is True

    def selected(self, events: Collection[str] | None, test: Test | None) -> bool:
        """Whether it has one of the names ``events`` and meets ``test``, as far as they are given."""
        return (events is None or self.row.event in events) and (test is None or self.meets(test))

    def lane(self, path: Path) -> bytes | None:
        """What stands for the string, number or boolean at ``path`` of the payload, the same for equal ones; None: there is
        none. Of a long one a digest, which is no JSON.
        """
        if self._lanes is None:
            self._lanes = {}
        if path not in self._lanes:
            document = self._read()
            value = None if document is None else document.at(path)
            key = None if value is None or value.kind in ("array", "object") else value.key
            self._lanes[path] = key if key is None or len(key) <= _WHOLE else b"#" + blake2b(key).digest()
        return self._lanes[path]

    def let_go(self) -> None:
        """Keep the verdicts of filters and the lanes, but not the documents they read: it is several times as large as the
        message.
        """
        self._document = self._envelope = None
        self._unread = True

    def delivered(self) -> None:
        """No filter will be asked any more, or only late ones."""
        self.let_go()
        self._verdicts = self._lanes = None

    def _read(self) -> Document | None:
        """The payload, parsed when a filter first asks; None if it cannot be read."""
        if self._unread:
            self._unread = False
            try:
                self._document = Document(read_json(self.row.payload))
            except UnreadableFilterError:
                return None
            self._document.spend(len(self.row.payload) + _FRACTION * self.row.payload.count(b"."))
        return self._document

    @property
    def json(self) -> bytes:
        """The message as the protocol writes it."""
        if self._json is None:
            row = self.row
            sender = b"null" if row.sender is None else orjson.dumps(row.sender)
            self._json = (
                b'{"type":"message","channel":%b,"event":%b,"data":%b,"timestamp":"%b","sender":%b,%b"id":%b,"position":"%b/%d"}'
                % (
                    orjson.dumps(self.channel),
                    orjson.dumps(row.event),
                    row.payload,
                    iso_time(row.inserted_at).encode(),
                    sender,
                    b'"server":true,' if row.names_sender else b"",
                    orjson.dumps(row.id),
                    format_lsn(row.lsn).encode(),
                    row.seq,
                )
            )
        return self._json


class PlainEvent:
    """Any other event: ``presence:join``, ``room:updated`` and so on.

    ``ends``: it is the subscription's last one. ``committed_at``: as of a message; None if it is no commit's.
    """

    __slots__ = ("_json", "body", "committed_at", "ends", "priority")

    error: RealtimeError | None = None
    key: tuple[int, int] | None = None

    def __init__(self, body: Mapping[str, Any], *, ends: bool = False, priority: int = 0) -> None:
        self.body = body
        self.ends = ends
        self.priority = priority
        self.committed_at: int | None = None
        self._json: bytes | None = None

    @property
    def channel(self) -> str:
        """What it is about."""
        channel: str = self.body["channel"]
        return channel

    @property
    def json(self) -> bytes:
        """The event as the protocol writes it."""
        if self._json is None:
            self._json = orjson.dumps(self.body)
        return self._json


class EndEvent:
    """A subscription, or the connection, has ended; nothing follows."""

    __slots__ = ("_body", "channel", "error")

    ends = True
    priority = 0
    committed_at: int | None = None
    key: tuple[int, int] | None = None

    def __init__(self, error: RealtimeError, channel: str | None = None) -> None:
        self.error: RealtimeError | None = error
        self.channel = channel or ""
        self._body = {"type": "error", "code": error.code, "message": str(error)}
        if channel is not None:
            self._body["channel"] = channel

    @property
    def json(self) -> bytes:
        """The error as the protocol writes it."""
        return orjson.dumps(self._body)


def gap_event(channel: str, position: Lsn, epoch: str) -> PlainEvent:
    """For subscribers of ``channel``: messages that committed before ``position`` may be missing, and no table has them."""
    begin = {"position": format_lsn(position), "epoch": epoch, "recovered": False}
    return PlainEvent({"type": "subscribed", "channel": channel, **begin})
