"""A client's messages as typed structs, independent of connections.

Each is a JSON object whose ``type`` names its struct; unknown types, unknown fields and wrong value types are
refused with ``RT_007``, never ignored. The messages of the server are in :mod:`server.protocol.server_messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any, Final, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from engine.values.exact_json import exact_decoder
from engine.values.levels import deeper_than
from server.protocol.half_pairs import without_half_pairs
from server.protocol.validation import MAX_DEPTH, InvalidMessageError, check_payload
from server.protocol.value_words import decoding_in_words

__all__ = [
    "COLLECTION_PREFIX",
    "Auth",
    "ClientMessage",
    "Filter",
    "History",
    "InvalidMessageError",
    "Ping",
    "PresenceUpdate",
    "Publish",
    "RequestReference",
    "Seen",
    "Subscribe",
    "Unsubscribe",
    "decode",
    "names_in",
]

COLLECTION_PREFIX: Final = "db:collection:"

_MAX_NAME = 255
_MAX_HISTORY = 1000
_PAGE = 50  # messages of a history's page, as in the REST API
_MAX_FILTER_EVENTS = 100

# No control characters: PostgreSQL's text cannot hold NUL, and any other only makes two names look alike.
_NO_CONTROL: Final = r"^[^\x00-\x1f\x7f]*$"
_Name = Annotated[str, Meta(min_length=1, max_length=_MAX_NAME, pattern=_NO_CONTROL)]
# Every other text without a check of its own.
_Position = Annotated[str, Meta(max_length=64, pattern=_NO_CONTROL)]
_Epoch = Annotated[str, Meta(max_length=128, pattern=_NO_CONTROL)]
_Token = Annotated[str, Meta(pattern=_NO_CONTROL)]
_Trace = Annotated[str, Meta(max_length=512, pattern=_NO_CONTROL)]  # what is no trace context is ignored
_Object = dict[str, Any]


class Filter(Struct, forbid_unknown_fields=True, frozen=True):
    """The messages of a channel to deliver: those with one of ``events`` and whose data meets ``where``."""

    events: Annotated[tuple[_Name, ...], Meta(max_length=_MAX_FILTER_EVENTS)] | UnsetType = UNSET
    where: tuple[Any, ...] | UnsetType = UNSET


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True, frozen=True):
    """Start a subscription. ``id`` identifies it on the connection; the channel's name if it is not given. ``meta``: changes
    and messages come with the annotation of their transaction. ``fresh``: the first rows have all that is committed by now.
    """

    channel: _Name
    id: _Name | UnsetType = UNSET
    query: _Object | UnsetType = UNSET
    auth: _Token | UnsetType = UNSET
    presence: bool | _Object | UnsetType = UNSET
    history: Annotated[int, Meta(ge=0, le=_MAX_HISTORY)] | UnsetType = UNSET
    since: _Position | UnsetType = UNSET
    epoch: _Epoch | UnsetType = UNSET
    filter: Filter | UnsetType = UNSET
    conflate: _Object | UnsetType = UNSET
    meta: bool = False
    fresh: bool = False


class Unsubscribe(Struct, tag="unsubscribe", forbid_unknown_fields=True, frozen=True):
    """End the subscription of that ``id`` (the channel's name if it is not given)."""

    channel: _Name
    id: _Name | UnsetType = UNSET


class Publish(Struct, tag="message", forbid_unknown_fields=True, frozen=True):
    """Publish to a channel. ``data`` is any JSON value, kept as it came; ``id`` makes repeating the message harmless.
    ``traceparent`` and ``tracestate``: the W3C trace context of the request.
    """

    channel: _Name
    event: _Name
    data: msgspec.Raw = msgspec.Raw(b"null")
    ref: _Name | UnsetType = UNSET
    id: _Name | UnsetType = UNSET
    traceparent: _Trace | UnsetType = UNSET
    tracestate: _Trace | UnsetType = UNSET


class PresenceUpdate(Struct, tag="presence:update", forbid_unknown_fields=True, frozen=True):
    """Change one's own state in a channel."""

    channel: _Name
    data: Any = None
    ref: _Name | UnsetType = UNSET


class Auth(Struct, tag="auth", forbid_unknown_fields=True, frozen=True):
    """A new token of the same user, before the old one expires."""

    token: _Token
    ref: _Name | UnsetType = UNSET


class Seen(Struct, tag="seen", forbid_unknown_fields=True, frozen=True):
    """Answer once everything up to ``position`` was delivered to this connection."""

    position: _Position
    ref: _Name | UnsetType = UNSET


class History(Struct, tag="history", forbid_unknown_fields=True, frozen=True):
    """Read the last ``limit`` messages of a channel before a position; of one that the connection has subscribed to."""

    channel: _Name
    before: _Position | None = None
    limit: Annotated[int, Meta(ge=1, le=_MAX_HISTORY)] = _PAGE
    ref: _Name | UnsetType = UNSET


class Ping(Struct, tag="ping", forbid_unknown_fields=True, frozen=True):
    """A liveness check, answered by ``pong``."""


ClientMessage = Subscribe | Unsubscribe | Publish | PresenceUpdate | Auth | Seen | History | Ping

_KINDS: Final[tuple[type[Struct], ...]] = get_args(ClientMessage)
_TAGS: Final = tuple(str(each.__struct_config__.tag) for each in _KINDS)
_FIELDS: Final = frozenset(chain(Filter.__struct_encode_fields__, *(each.__struct_encode_fields__ for each in _KINDS)))


class RequestReference(Struct, frozen=True):
    """The fields of a request that its error message repeats; ``UNSET`` where the request has none."""

    channel: _Name | UnsetType = UNSET
    id: _Name | UnsetType = UNSET
    ref: _Name | UnsetType = UNSET


_decoder: msgspec.json.Decoder[ClientMessage] = exact_decoder(ClientMessage)
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name: msgspec.json.Decoder[str] = msgspec.json.Decoder(_Name)


def decode(data: bytes) -> ClientMessage:
    """Read one client message. Raises only ``InvalidMessageError``, if it is invalid."""
    try:
        message = _decoder.decode(data)
    except UnicodeDecodeError as wrong:
        raise InvalidMessageError("the message is not valid UTF-8") from wrong
    except RecursionError as wrong:
        raise InvalidMessageError("the message is nested too deeply") from wrong
    except msgspec.MsgspecError as wrong:
        if without_half_pairs(data) is not None:
            raise InvalidMessageError("a text has half of a surrogate pair, which UTF-8 cannot contain") from wrong
        raise InvalidMessageError(decoding_in_words(str(wrong), _FIELDS, _TAGS)) from wrong
    if isinstance(message, Publish):
        check_payload(bytes(message.data))
    elif (
        isinstance(message, Subscribe) and data.count(b"[") + data.count(b"{") > MAX_DEPTH
    ):  # few have, and it takes long
        if message.query is not UNSET and deeper_than(message.query, MAX_DEPTH):
            raise InvalidMessageError(f"the query is nested more than {MAX_DEPTH} levels deep")
        if message.filter is not UNSET and deeper_than(message.filter.where, MAX_DEPTH):
            raise InvalidMessageError(f"the filter is nested more than {MAX_DEPTH} levels deep")
    return message


def names_in(data: bytes) -> RequestReference:
    """The ``channel``, ``id`` and ``ref`` of a message that may be broken, as far as they can be read."""
    try:
        fields = _fields.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        readable = without_half_pairs(data)
        return RequestReference() if readable is None else names_in(readable)
    return RequestReference(*(_readable(fields.get(name)) for name in ("channel", "id", "ref")))


def _readable(raw: msgspec.Raw | None) -> str | UnsetType:
    if raw is None:
        return UNSET
    try:
        return _name.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNSET


def spec_of(message: Subscribe) -> Mapping[str, object]:
    """The query of a subscribe message; an empty one means the whole collection."""
    return {} if message.query is UNSET else message.query
