"""What a transaction is about as a whole, so that a process which does not look at that can leave it out. No I/O.

A row of ``realtime.messages`` has the topic of its channel, and so have the logical messages that stand for one or belong to
one: messages of channels without history, and traces. A transaction of one topic has it; one of several is common. A large
one, which was written to a file, is common without a look at its rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from engine.annotations import ANNOTATION_PREFIX
from engine.feed.decoders.base import CHANNEL_MESSAGE_PREFIX
from engine.feed.decoders.change_log import Entry
from engine.feed.decoders.frames import log_of
from engine.feed.decoders.pgoutput_messages import Insert
from engine.feed.table_interest import channel_topic
from engine.relay.codec import relation_reader
from engine.tracing.messages import TRACE_PREFIX
from engine.transaction import Change, Kind, Message, Relation, Transaction

__all__ = ["COMMON", "topic_of"]

COMMON: Final = 0
"""The topic of what every process takes. For others see :mod:`engine.feed.table_interest`."""

_SCHEMA: Final = "realtime"
_MESSAGES: Final = "messages"
_CHANNEL: Final = "channel"


class _Note(msgspec.Struct):
    """What logical messages about one channel have."""

    channel: str


_note: Final = msgspec.json.Decoder(_Note).decode


def topic_of(plugin: str, transaction: Transaction) -> int:
    """The topic of a ``transaction`` of ``plugin``: the oid of the one table that it changes, that of channels
    (:func:`channel_topic`), or ``COMMON``.
    """
    log, read = log_of(transaction), relation_reader(plugin)
    table, messages = COMMON, False
    for make in log.makers():
        relation = read(make)
        if relation is None or (relation.schema, relation.name) == (_SCHEMA, _MESSAGES):
            messages = True
        elif relation.schema == _SCHEMA or table not in (COMMON, relation.oid):
            return COMMON
        else:
            table = relation.oid
    if not messages:
        return table
    return COMMON if table or log.spilled else _of_channels(log.entries())


def _of_channels(entries: Iterable[Entry]) -> int:
    topic, before = COMMON, None
    for make, raw in entries:
        change = make(raw)
        if isinstance(change, Message) and change.prefix == ANNOTATION_PREFIX:
            continue
        channel = _channel_of(change)
        if channel is None:
            return COMMON
        if channel == before:
            continue
        found, before = channel_topic(channel), channel
        if topic not in (COMMON, found):
            return COMMON
        topic = found
    return topic


def _channel_of(change: Change | Message) -> str | None:
    """The channel that ``change`` is about; None: it is about more."""
    if isinstance(change, Message):
        if change.prefix not in (CHANNEL_MESSAGE_PREFIX, TRACE_PREFIX):
            return None
        try:
            return _note(change.content).channel
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # any role may emit one; what takes it in counts it
    if isinstance(change, Insert):
        value = change.value(_place(change.relation))
    else:
        row = change.new() if change.kind is Kind.INSERT else None
        value = None if row is None else row[_place(change.relation)]
    return None if value is None else value.decode()


@lru_cache(maxsize=16)
def _place(relation: Relation) -> int:
    return [column.name for column in relation.columns].index(_CHANNEL)
