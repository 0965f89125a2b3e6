"""What a transaction is about as a whole, so that a process which does not look at that can leave it out. No I/O.

A row of ``realtime.messages`` has the topic of its channel, and so have the logical messages that stand for one or belong to
one: messages of channels without history, and traces. A transaction of one topic has it; one of several is common. A large
one, which was written to a file, is common without a look at its rows.

A common one *touches* topics: of the tables that it changes, and of the channels whose subscribers get something of it,
messages or an end. What came before on these topics has to be there first (:mod:`engine.cluster.topics`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from engine.annotations import ANNOTATION_PREFIX
from engine.feed.decoders.base import CHANNEL_MESSAGE_PREFIX, COMMAND_PREFIX
from engine.feed.decoders.change_log import Entry
from engine.feed.decoders.frames import log_of
from engine.feed.decoders.pgoutput_messages import Insert
from engine.feed.table_interest import channel_topic
from engine.relay.codec import relation_reader
from engine.tracing.messages import TRACE_PREFIX
from engine.transaction import Change, Kind, Message, Relation, Transaction

__all__ = ["COMMON", "UNTOUCHED", "Topics", "topics_of"]

COMMON: Final = 0
"""The topic of what every process takes. For others see :mod:`engine.feed.table_interest`."""

_SCHEMA: Final = "realtime"
_MESSAGES: Final = "messages"
_NAMES: Final = {_MESSAGES: "channel", "presence": "channel", "channels": "name"}
"""The tables about channels, and the column that has the name of each."""

_PATTERNS: Final = frozenset(("rules", "channel_defaults"))
"""The tables that are about any channels."""


class Topics(NamedTuple):
    """What a transaction is about. ``own``: its topic, or ``COMMON``; ``touched``: by one that is common; None: any."""

    own: int
    touched: frozenset[int] | None = frozenset()


UNTOUCHED: Final = Topics(COMMON)
"""Of what is about no table and no channel."""


class _Note(msgspec.Struct):
    """What logical messages about one channel have."""

    channel: str


class _ControlMessage(msgspec.Struct):
    """A command; with a channel, it is about that."""

    channel: str | None = None


_note: Final = msgspec.json.Decoder(_Note).decode
_command: Final = msgspec.json.Decoder(_ControlMessage).decode


def topics_of(plugin: str, transaction: Transaction) -> Topics:
    """The topic of a ``transaction`` of ``plugin``: the oid of the one table that it changes, that of channels
    (:func:`channel_topic`), or ``COMMON`` with the topics that it touches.
    """
    log, read = log_of(transaction), relation_reader(plugin)
    tables, own = set[int](), set[int]()  # tables, by their oids; makers of what is ours
    for make in log.makers():
        relation = read(make)
        if relation is not None and relation.schema != _SCHEMA:
            tables.add(relation.oid)
        else:
            own.add(id(make))
    if not own:
        return Topics(tables.pop()) if len(tables) == 1 else Topics(COMMON, frozenset(tables))
    if log.spilled:
        return Topics(COMMON, None)
    found = _of_ours(each for each in log.entries() if id(each[0]) in own)
    if not tables or found.touched is None:
        return found
    return Topics(COMMON, (found.touched | tables | {found.own}) - {COMMON})


def _of_ours(entries: Iterable[Entry]) -> Topics:
    """Of rows of the schema ``realtime`` and of logical messages: a topic of its own only if all are messages of that."""
    touched: set[int] = set()
    messages, before = True, None
    for make, raw in entries:
        change = make(raw)
        if isinstance(change, Message) and change.prefix == ANNOTATION_PREFIX:
            continue
        channel = _channel_of(change)
        if channel is None:
            messages = False
            about = _about(change)
            if about is None:
                return Topics(COMMON, None)
            touched.update(map(channel_topic, about))
        elif channel != before:
            touched.add(channel_topic(channel))
            before = channel
    if messages and len(touched) == 1:
        return Topics(touched.pop())
    return Topics(COMMON, frozenset(touched))


def _channel_of(change: Change | Message) -> str | None:
    """The channel that ``change`` is a message of, or goes with one; None: it is something else."""
    if isinstance(change, Message):
        if change.prefix not in (CHANNEL_MESSAGE_PREFIX, TRACE_PREFIX):
            return None
        try:
            return _note(change.content).channel
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # any role may emit one; what takes it in counts it
    if change.relation.name != _MESSAGES:
        return None
    if isinstance(change, Insert):
        value = change.value(_place(change.relation))
    else:
        row = change.new() if change.kind is Kind.INSERT else None
        value = None if row is None else row[_place(change.relation)]
    return None if value is None else value.decode()


def _about(change: Change | Message) -> set[str] | None:
    """The channels whose subscribers get something of ``change``, which is no message of a channel; None: any."""
    if isinstance(change, Message):
        if change.prefix != COMMAND_PREFIX:
            return set()
        try:
            channel = _command(change.content).channel
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return set()  # no command, for no node
        return set() if channel is None else {channel}
    relation = change.relation
    if change.kind is Kind.TRUNCATE or relation.name in _PATTERNS:
        return None
    if relation.name not in _NAMES or relation.name == _MESSAGES:  # those that are removed are of the past
        return set()
    place = _place(relation)
    rows = (row[place] for row in (change.old(), change.new()) if row is not None)
    return {value.decode() for value in rows if isinstance(value, bytes)}


@lru_cache(maxsize=16)
def _place(relation: Relation) -> int:
    return [column.name for column in relation.columns].index(_NAMES[relation.name])
