"""The messages of the protocol as typed structs, and nothing about connections.

A client's message is a JSON object whose ``type`` says which struct it is; unknown types, unknown fields and wrong
value types are refused with ``RT_007``, never ignored. The server's messages are built here too, always as complete
JSON payloads (bytes), so WebSocket frames, SSE events and long-poll answers can carry the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from engine.lsn import Lsn, format_lsn
from server.payload import MAX_DEPTH, BadMessage, check_payload, deeper_than

__all__ = [
    "COLLECTION_PREFIX",
    "PONG",
    "Auth",
    "BadMessage",
    "ClientMessage",
    "Filter",
    "Named",
    "Ping",
    "PresenceUpdate",
    "Publish",
    "Subscribe",
    "Unsubscribe",
    "ack",
    "close",
    "connected",
    "decode",
    "error",
    "joined",
    "names_in",
    "reconnect",
    "snapshot_head",
    "snapshot_tail",
    "subscribed",
    "unsubscribed",
]

COLLECTION_PREFIX: Final = "db:collection:"
PONG: Final = b'{"type":"pong"}'

_MAX_NAME = 255
_MAX_HISTORY = 1000
_MAX_FILTER_EVENTS = 100

# No control characters: PostgreSQL's text cannot hold NUL, and the others only serve to make names look alike.
_Name = Annotated[str, Meta(min_length=1, max_length=_MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Object = dict[str, Any]


class Filter(Struct, forbid_unknown_fields=True, frozen=True):
    """Which messages of a channel are wanted: those with one of ``events`` and whose data meets ``where``."""

    events: Annotated[tuple[_Name, ...], Meta(max_length=_MAX_FILTER_EVENTS)] | UnsetType = UNSET
    where: tuple[Any, ...] | UnsetType = UNSET


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True, frozen=True):
    """Start a subscription. ``id`` tells it from others on the connection; the channel's name if it is not given."""

    channel: _Name
    id: _Name | UnsetType = UNSET
    query: _Object | UnsetType = UNSET
    auth: str | UnsetType = UNSET
    presence: bool | _Object | UnsetType = UNSET
    history: Annotated[int, Meta(ge=0, le=_MAX_HISTORY)] | UnsetType = UNSET
    since: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    epoch: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    filter: Filter | UnsetType = UNSET


class Unsubscribe(Struct, tag="unsubscribe", forbid_unknown_fields=True, frozen=True):
    """End the subscription of that ``id`` (the channel's name if it is not given)."""

    channel: _Name
    id: _Name | UnsetType = UNSET


class Publish(Struct, tag="message", forbid_unknown_fields=True, frozen=True):
    """Publish to a channel. ``data`` is any JSON value, kept as it came; ``id`` makes repeating the message harmless."""

    channel: _Name
    event: _Name
    data: msgspec.Raw = msgspec.Raw(b"null")
    ref: _Name | UnsetType = UNSET
    id: _Name | UnsetType = UNSET


class PresenceUpdate(Struct, tag="presence:update", forbid_unknown_fields=True, frozen=True):
    """Change one's own state in a channel."""

    channel: _Name
    data: Any = None
    ref: _Name | UnsetType = UNSET


class Auth(Struct, tag="auth", forbid_unknown_fields=True, frozen=True):
    """A new token before the old one expires."""

    token: str
    ref: _Name | UnsetType = UNSET


class Ping(Struct, tag="ping", forbid_unknown_fields=True, frozen=True):
    """Is anybody there? Answered by ``pong``."""


ClientMessage = Subscribe | Unsubscribe | Publish | PresenceUpdate | Auth | Ping


class Named(Struct, frozen=True):
    """What an error frame says about the request it answers; ``UNSET`` where the request did not say it."""

    channel: _Name | UnsetType = UNSET
    id: _Name | UnsetType = UNSET
    ref: _Name | UnsetType = UNSET


_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name: msgspec.json.Decoder[str] = msgspec.json.Decoder(_Name)
_encode = msgspec.json.Encoder().encode


def decode(data: bytes) -> ClientMessage:
    """Read one client message. Raises ``BadMessage``, and nothing else, if it is not one."""
    try:
        message = _decoder.decode(data)
    except UnicodeDecodeError as wrong:
        raise BadMessage("the message is not valid UTF-8") from wrong
    except RecursionError as wrong:
        raise BadMessage("the message is nested too deeply") from wrong
    except msgspec.MsgspecError as wrong:
        raise BadMessage(_in_words(str(wrong))) from wrong
    if isinstance(message, Subscribe) and message.query is not UNSET and deeper_than(message.query, MAX_DEPTH):
        raise BadMessage(f"the query is nested more than {MAX_DEPTH} levels deep")
    if isinstance(message, Subscribe) and message.filter is not UNSET and deeper_than(message.filter.where, MAX_DEPTH):
        raise BadMessage(f"the filter is nested more than {MAX_DEPTH} levels deep")
    if isinstance(message, Publish):
        check_payload(bytes(message.data))
    return message


def _in_words(problem: str) -> str:
    """What msgspec says, without its regular expression: only names have one."""
    if "matching regex" not in problem:
        return problem
    _, at, where = problem.partition(" - at ")
    return f"Expected a name without control characters{at}{where}"


def names_in(data: bytes) -> Named:
    """The ``channel``, ``id`` and ``ref`` of a message that may be broken, as far as they can be read."""
    try:
        fields = _fields.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Named()
    return Named(*(_readable(fields.get(name)) for name in ("channel", "id", "ref")))


def _readable(raw: msgspec.Raw | None) -> str | UnsetType:
    if raw is None:
        return UNSET
    try:
        return _name.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNSET


class _Limits(Struct):
    messagesPerSecond: float
    messageSize: int
    subscriptions: int


class _Connected(Struct, tag="connected"):
    connectionId: str
    epoch: str | UnsetType
    pingInterval: int
    limits: _Limits
    session: str | UnsetType


class _Reconnect(Struct, tag="reconnect"):
    delay: int


class _Close(Struct, tag="close"):
    code: int
    reason: str


class _Subscribed(Struct, tag="subscribed"):
    channel: str
    id: str
    position: str
    strategy: str
    epoch: str
    recovered: bool | UnsetType
    reason: str | UnsetType


class _Joined(Struct, tag="subscribed"):
    channel: str
    id: str | UnsetType
    position: str
    epoch: str
    recovered: bool | UnsetType
    presence: msgspec.Raw | UnsetType


class _Ack(Struct, tag="ack"):
    channel: str
    ref: str | UnsetType
    id: str | UnsetType
    position: str | UnsetType


class _Unsubscribed(Struct, tag="unsubscribed"):
    channel: str
    id: str | UnsetType


class _SnapshotHead(Struct, tag="snapshot"):
    channel: str
    id: str


class _Error(Struct, tag="error"):
    code: str
    message: str
    channel: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    ref: str | UnsetType = UNSET


def connected(
    connection_id: str,
    epoch: str,
    ping_interval: float,
    message_rate: float,
    message_size: int,
    subscriptions: int,
    secret: str | None,
) -> bytes:
    """The first message on every connection. ``ping_interval`` in seconds; ``secret``: how requests name the session."""
    rate = int(message_rate) if float(message_rate).is_integer() else message_rate
    return _encode(
        _Connected(
            connection_id,
            epoch or UNSET,
            round(ping_interval * 1000),
            _Limits(rate, message_size, subscriptions),
            UNSET if secret is None else secret,
        )
    )


def reconnect(delay: float) -> bytes:
    """The server is about to go: connect again after ``delay`` seconds."""
    return _encode(_Reconnect(round(delay * 1000)))


def close(code: int, reason: str) -> bytes:
    """The last message where there are no close frames; ``code`` as in WebSocket close frames."""
    return _encode(_Close(code, reason))


def subscribed(
    channel: str, id: str, position: Lsn, strategy: str, reason: str | None, epoch: str, recovered: bool | None
) -> bytes:
    """From here on no later commit can be missed. ``reason``: why the query is not followed incrementally."""
    return _encode(
        _Subscribed(
            channel,
            id,
            format_lsn(position),
            strategy,
            epoch,
            UNSET if recovered is None else recovered,
            UNSET if reason is None else reason,
        )
    )


def joined(
    channel: str,
    id: str | UnsetType,
    position: str,
    recovered: bool | None,
    presence_json: bytes | None,
    epoch: str,
) -> bytes:
    """The subscription to a channel is open. ``presence_json``: who is there, if that was asked for."""
    presence = UNSET if presence_json is None else msgspec.Raw(presence_json)
    return _encode(_Joined(channel, id, position, epoch, UNSET if recovered is None else recovered, presence))


def ack(channel: str, ref: str | UnsetType, id: str | None, position: str | None) -> bytes:
    """What was asked for is committed."""
    return _encode(_Ack(channel, ref, UNSET if id is None else id, UNSET if position is None else position))


def unsubscribed(channel: str, id: str | UnsetType) -> bytes:
    """Nothing more comes for that subscription."""
    return _encode(_Unsubscribed(channel, id))


def snapshot_head(channel: str, id: str) -> bytes:
    """The part of a snapshot message that is one subscription's own; ``snapshot_tail`` completes it."""
    return _encode(_SnapshotHead(channel, id))[:-1] + b","


def snapshot_tail(position: Lsn, reset: bool, changes_json: bytes) -> bytes:
    """The part of a snapshot message that all subscribers of a window share."""
    return b'"position":"%b","reset":%b,"changes":%b}' % (
        format_lsn(position).encode(),
        b"true" if reset else b"false",
        changes_json,
    )


def error(code: str, message: str, about: Named) -> bytes:
    """A request failed, or a subscription ended."""
    try:
        return _encode(_Error(code, message, about.channel, about.id, about.ref))
    except UnicodeEncodeError:
        # A driver's message can carry undecodable bytes as lone surrogates; they have no place in JSON.
        safe = message.encode(errors="replace").decode()
        return _encode(_Error(code, safe, about.channel, about.id, about.ref))


def spec_of(message: Subscribe) -> Mapping[str, object]:
    """The query of a subscribe message; an empty one means the whole collection."""
    return {} if message.query is UNSET else message.query
