"""What goes in and out of the channel service: plain values, and the errors a client may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from engine.errors import ErrorCode, RealtimeError
from engine.identity.networks import network_of
from engine.lsn import Lsn, format_lsn, parse_lsn
from engine.tracing.messages import MessageTrace

__all__ = [
    "Ack",
    "Answer",
    "ChannelClosedError",
    "ChannelEvent",
    "ChannelFullError",
    "ChannelOptions",
    "Conflate",
    "Deliver",
    "DisconnectedError",
    "EventBatch",
    "KickedError",
    "Member",
    "MessageTooLargeError",
    "NodeRemovedError",
    "OlderMessages",
    "Position",
    "PresenceRefusedError",
    "Publication",
    "Receiver",
    "UnavailableError",
    "UnknownChannelError",
    "format_position",
    "just_before",
    "parse_position",
    "position_text",
]

_WHOLE = 1 << 63  # larger than every sequence number: "everything of that transaction"


class Position(NamedTuple):
    """A message's place: commit LSN of its transaction, then its number in it (``seq``, which only grows)."""

    lsn: Lsn
    seq: int = _WHOLE


def format_position(lsn: Lsn, seq: int | None = None) -> str:
    """``0/16B3790/42``; without ``seq`` the end of that transaction."""
    return format_lsn(lsn) if seq is None else f"{format_lsn(lsn)}/{seq}"


def parse_position(text: str) -> Position:
    """Read what :func:`format_position` wrote. Raises ``ValueError`` for anything else."""
    high, slash, rest = text.partition("/")
    low, more, seq = rest.partition("/")
    if more and not (seq.isascii() and seq.isdigit() and len(seq) < 19):
        raise ValueError(f"not a position: {text!r}")
    return Position(parse_lsn(high + slash + low), int(seq) if more else _WHOLE)


def position_text(position: tuple[Lsn, int]) -> str:
    """The position as clients send it in ``since``; see :func:`format_position`."""
    lsn, seq = position
    return format_position(lsn, None if seq == _WHOLE else seq)


def just_before(position: tuple[Lsn, int]) -> Position:
    """The last position before a message's own: everything after it begins with that message."""
    lsn, seq = position
    return Position(lsn, seq - 1) if seq else Position(lsn - 1)


@dataclass(frozen=True, slots=True)
class Member:
    """A connection as the channels see it. ``attributes`` are what audiences can ask for; ``proven_user_id``: the user that
    limits count by, None for a client without a proof of its identity.
    """

    connection_id: str
    user_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    ip: str | None = None
    transport: str = "websocket"
    proven_user_id: str | None = None

    @property
    def presence_id(self) -> str:
        """The user that others see; a connection without a user is one of its own."""
        return self.user_id or self.connection_id

    @property
    def counted_as(self) -> str | None:
        """Whom the requests of a client count for: its user, or without a proof of who that is the network of its address.
        None: it has none, as clients on this machine.
        """
        return _counted_as(self.proven_user_id, self.ip)


@lru_cache(maxsize=4096)  # asked twice for each message
def _counted_as(proven_user_id: str | None, ip: str | None) -> str | None:
    if proven_user_id is not None:
        return f"user {proven_user_id}"
    network = network_of(ip)
    return None if network is None else f"address {network}"


def id_scope(sender: str | None, connection_id: str | None) -> str:
    """Among whose ids that of a message counts, as ``realtime.id_scope()`` has it."""
    if sender is not None:
        return f">{sender}" if connection_id is None else f"={sender}"
    return "" if connection_id is None else "?"


class Conflate(NamedTuple):
    """Of the messages with the same value at the path ``key`` of their payload the latest, at most one in ``ms``
    milliseconds.
    """

    key: str
    ms: int


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """How a channel is subscribed to.

    ``presence``: None: not visible to others, and no presence events; else what the others see of this member (``status``,
    ``typing`` and what else is given under ``state``; ``name``, ``avatar`` and the like are metadata). ``history``: so many
    of the last messages first; ``since``: everything after that position first, which belongs to ``epoch`` if one is given.
    ``events`` and ``where`` filter messages. ``meta``: with the annotations of their transactions. ``conflate``: None: every
    message is delivered.
    """

    presence: Mapping[str, Any] | None = None
    history: int = 0
    since: str | None = None
    epoch: str | None = None
    events: tuple[str, ...] | None = None
    where: tuple[Any, ...] | None = None
    meta: bool = False
    conflate: Conflate | None = None


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A message to be published. ``data`` is JSON, as it came. ``id`` makes a repeated publish harmless.

    ``priority``: a message of higher priority is not queued behind lower ones. ``trace``: what receivers get as its trace
    context; None: it has none.
    """

    channel: str
    event: str
    data: bytes
    member: Member
    id: str | None = None
    priority: int = 0
    trace: MessageTrace | None = None


class Ack(msgspec.Struct, frozen=True, gc=False):
    """A message is committed. ``position``: None when it is an earlier one's that is not known any more."""

    id: str
    position: str | None


Answer = Callable[[Ack | Exception], None]
"""Called once, with what became of a message. It does not raise, and does no more than to note it: the stream waits."""


class ChannelEvent(Protocol):
    """One message to a subscriber; ``error`` set: the subscription (or the connection) has ended because of it.

    ``ends``: the subscription ends with it.
    """

    @property
    def key(self) -> tuple[int, int] | None:
        """A message's position; None: an event that is not delivered again on resume."""
        ...

    @property
    def json(self) -> bytes:
        """The message, complete, encoded once."""
        ...

    @property
    def error(self) -> RealtimeError | None:
        """Why it has ended; None: it goes on."""
        ...

    @property
    def channel(self) -> str:
        """What it is about: events of one channel keep their order."""
        ...

    @property
    def priority(self) -> int:
        """Higher is not queued behind lower of another channel."""
        ...

    @property
    def ends(self) -> bool:
        """Whether it is the last one."""
        ...

    @property
    def committed_at(self) -> int | None:
        """When it was committed, in microseconds since 1970 by the clock of the database; None: it is no commit's."""
        ...


class EventBatch(Protocol):
    """Several messages to a subscriber, none of which ends anything. One object for all who get them."""

    @property
    def events(self) -> Sequence[ChannelEvent]:
        """The messages, in order."""
        ...


Deliver = Callable[[ChannelEvent], None]


class OlderMessages(NamedTuple):
    """Messages of a channel's past that a subscriber wants, oldest first. ``before``: the position from which the next
    earlier ones are asked for; None: there are none.
    """

    messages: Sequence[ChannelEvent]
    before: str | None


class Receiver(Protocol):
    """What takes the events of one subscription, in the event loop. Nothing here waits."""

    def deliver(self, event: ChannelEvent) -> None:
        """The next event."""

    def deliver_batch(self, batch: EventBatch) -> None:
        """The next events."""

    def access(self) -> RealtimeError | None:
        """Why the subscriber may not have its channel any more; None: it may. The question comes when the channel's rules
        or metadata have changed. Does not raise.
        """


class UnknownChannelError(RealtimeError):
    """There is no such channel, and it may not be created by subscribing."""

    code = ErrorCode.NOT_FOUND


class ChannelClosedError(UnknownChannelError):
    """The room has been closed."""


class ChannelFullError(RealtimeError):
    """The room has as many members as it may."""

    code = ErrorCode.CHANNEL_FULL


class MessageTooLargeError(RealtimeError):
    """A message beyond the size limit."""

    code = ErrorCode.MESSAGE_TOO_LARGE


class PresenceRefusedError(RealtimeError):
    """A presence update that a content policy or PostgreSQL forbids, or by a member that is not present."""

    code = ErrorCode.PRESENCE_REJECTED


class KickedError(RealtimeError):
    """This member was removed from the channel."""

    code = ErrorCode.PERMISSION_DENIED


class DisconnectedError(RealtimeError):
    """The connection's row was deleted: the client does not reconnect by itself."""

    code = ErrorCode.CONNECTION_FAILED


class NodeRemovedError(RealtimeError):
    """The others took this node for dead and removed its rows: the client is to come back and resume."""

    code = ErrorCode.CONNECTION_FAILED


class UnavailableError(RealtimeError):
    """The database cannot be reached; try again."""

    code = ErrorCode.CONNECTION_FAILED
