"""Who of a channel's subscribers a message is for: ``audience`` of a message.

``{"users": […], "connections": […], "exclude": {"users": […], "connections": […], "sender": true}, "where": […]}``:
named users or connections (both missing: all), minus the excluded ones, minus those whose attributes ``where``
does not hold for.
"""

from __future__ import annotations

import msgspec

from engine.channels.core.filters.document import Document
from engine.channels.core.filters.filter import Test, compile_filter, read_json
from engine.channels.core.messages.model import Member
from engine.errors import InvalidQueryError
from engine.fair_cache import FairCache
from engine.values.exact_json import write_exact

__all__ = ["Audience", "attributes_of", "audience_of"]


class _Exclude(msgspec.Struct):
    users: list[str] = []
    connections: list[str] = []
    sender: bool = False


class _Audience(msgspec.Struct):
    users: list[str] | None = None
    connections: list[str] | None = None
    exclude: _Exclude | None = None
    where: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Audience).decode


class Audience:
    """A compiled audience. Invariant: one that cannot be read is for no member, never for all."""

    __slots__ = ("_connections", "_empty", "_exclude", "_users", "_where")

    def __init__(self, text: bytes) -> None:
        self._empty = False
        self._where: Test | None = None
        try:
            spec = _decode(text)
            if bytes(spec.where) != b"null":
                self._where = compile_filter(read_json(bytes(spec.where)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidQueryError):
            spec, self._empty = _Audience(), True
        named = spec.users is not None or spec.connections is not None
        self._users = frozenset(spec.users or ()) if named else None
        self._connections = frozenset(spec.connections or ())
        self._exclude = spec.exclude

    def includes(self, member: Member, attributes: Document, sender: str | None, connection_id: str | None) -> bool:
        """Whether ``member`` (with these ``attributes``) gets the message; ``sender`` and ``connection_id`` are the
        message's.
        """
        if self._empty:
            return False
        if (
            self._users is not None
            and member.user_id not in self._users
            and member.connection_id not in self._connections
        ):
            return False
        out = self._exclude
        if out is not None:
            if member.connection_id in out.connections or member.user_id in out.users:
                return False
            if out.sender and _is_sender(member, sender, connection_id):
                return False
        return self._where is None or self._where(attributes) is True


def _is_sender(member: Member, sender: str | None, connection_id: str | None) -> bool:
    """A message from a connection is that connection's; one from SQL or REST all its user's."""
    if connection_id is not None:
        return member.connection_id == connection_id
    return sender is not None and member.user_id == sender


_compiled: FairCache[bytes, Audience] = FairCache(8 << 20)


def audience_of(text: bytes) -> Audience:
    """The compiled form; the same text is compiled once."""
    found = _compiled.get(text)
    if found is None:
        found = Audience(text)
        _compiled.put(text, found, 2_048 + 16 * len(text))
    return found


def attributes_of(member: Member) -> Document:
    """A member's attributes as ``where`` sees them: exact numbers."""
    return Document(read_json(write_exact(dict(member.attributes))))
