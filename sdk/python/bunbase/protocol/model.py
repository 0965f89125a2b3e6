"""The values that an application gets to see. All of them are immutable; ``data`` is decoded JSON."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict

from bunbase.protocol.type_variables import D_co, N_co, S_co, T_co

__all__ = ["Ack", "Change", "Count", "Doc", "HistoryPage", "Message", "Presence", "Snapshot", "User"]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_MAX_SHOWN = 300  # characters


def _short(data: object) -> str:
    text = _SHORT.repr(data)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


@dataclass(frozen=True, slots=True, repr=False)
class Message(Generic[T_co, N_co]):
    """A message of a channel. In brackets the type of its data, for type checkers: ``Message[NewMessage]``; without, any.
    Then that of its event, for ``Channel[Events]``: ``Message[NewMessage, Literal["new-message"]]``.

    Attributes:
        channel: where it was published; ``*`` if it was sent to this connection itself.
        event: its event's name.
        data: any JSON value.
        timestamp: when it was published, ISO 8601 in UTC.
        sender: the publisher's user id, or None.
        id: unique within the channel.
        position: its place in the database's history; only grows within a channel.
        meta: the annotation of its transaction, if the channel was made with ``meta=True`` and there is one.
    """

    if not TYPE_CHECKING:  # brackets with one type alone, for there are no defaults before Python 3.13
        __class_getitem__ = classmethod(GenericAlias)

    channel: str
    event: N_co
    data: T_co
    timestamp: str | None = None
    sender: str | None = None
    id: str | None = None
    position: str | None = None
    meta: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Message:
        """From the protocol's form."""
        data: Any = raw.get("data")
        return cls(
            raw["channel"],
            raw["event"],
            data,
            raw.get("timestamp"),
            raw.get("sender"),
            raw.get("id"),
            raw.get("position"),
            raw.get("meta"),
        )

    def __repr__(self) -> str:
        return f"<Message {self.event!r} in {self.channel!r}, {self.id}: {_short(self.data)}>"


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of messages, oldest first. ``before`` gets the page before it; None: this is the oldest."""

    messages: tuple[Message, ...]
    before: str | None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> HistoryPage:
        """From the API's form."""
        return cls(tuple(map(Message.of, raw["messages"])), raw["before"])


@dataclass(frozen=True, slots=True)
class Ack:
    """The message is committed. ``position`` is None where the server has no record of it."""

    id: str | None
    position: str | None


@dataclass(frozen=True, slots=True)
class User(Generic[S_co]):
    """A present user. In brackets the type of its state, for type checkers.

    Attributes:
        id: the user's id; anonymous ones have one too.
        name: from its metadata.
        metadata: name, avatar and the like.
        state: status, typing and other fields that the client set.
        last_seen: the end of its last presence before, ISO 8601.
    """

    id: str
    name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: S_co = field(default_factory=dict)  # type: ignore[assignment]
    last_seen: str | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> User:
        """From the protocol's form."""
        state: Any = raw.get("state") or {}
        return cls(raw["id"], raw.get("name"), raw.get("metadata") or {}, state, raw.get("lastSeen"))


@dataclass(frozen=True, slots=True)
class Presence(Generic[S_co]):
    """The users in a channel. Several connections of a user count once. In brackets the type of their state."""

    users: tuple[User[S_co], ...]
    count: int


@dataclass(frozen=True, slots=True, repr=False)
class Doc(Generic[D_co]):
    """A document of a live query: its ``id`` is unique in the list, ``data`` a JSON object.

    In brackets the type of ``data``, for type checkers, as ``Database.collection`` was given it.
    """

    id: str
    data: D_co

    def __repr__(self) -> str:
        return f"<Doc {self.id!r}: {_short(self.data)}>"


@dataclass(frozen=True, slots=True)
class Change(Generic[D_co]):
    """One step from the list before to the list after: remove at ``old_index``, then insert at ``new_index``.

    -1: it was not in the list (``old_index``), or leaves it (``new_index``). Indexes refer to the list after the
    earlier changes of the same snapshot.
    """

    type: Literal["added", "modified", "removed"]
    doc: Doc[D_co]
    old_index: int
    new_index: int


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot(Generic[D_co]):
    """A live query's list, and how it came about: ``changes`` applied in order to the list before give ``docs``.

    ``meta``: the annotation of the transaction that made the changes, with the option ``meta``; None if it has none, or
    the changes may be of several. ``strategy``: how the server keeps the query, ``incremental`` (row by row) or ``re-read``;
    ``reason``: why it is read again, in words.
    """

    docs: tuple[Doc[D_co], ...]
    changes: tuple[Change[D_co], ...]
    position: str
    meta: Mapping[str, Any] | None = None
    strategy: str | None = None
    reason: str | None = None

    @property
    def doc(self) -> Doc[D_co] | None:
        """The first document, of ``Query.doc`` the only one; None: there is none, or none that the user may see."""
        return self.docs[0] if self.docs else None

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.docs)} documents at {self.position}, {len(self.changes)} changes>"


class Count(TypedDict):
    """The document of ``Query.live_count``."""

    count: int


def _refuse(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to {name!r} of {self!r}")


# What `dataclass` writes for frozen classes with slots raises TypeError for a name that is no field. `Doc[Todo](…)` sets
# one, and expects an AttributeError (Python 3.11, `_BaseGenericAlias.__call__` of typing.py).
for _each in (Message, User, Presence, Doc, Change, Snapshot):
    _each.__setattr__ = _refuse  # type: ignore[method-assign]
