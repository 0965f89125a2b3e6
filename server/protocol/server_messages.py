"""The messages of the server, always as complete JSON payloads (bytes).

So WebSocket frames, SSE events and long-poll answers can carry the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import ceil
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from engine.errors import RealtimeError
from engine.lsn import Lsn, format_lsn
from server.limits.connection_limits import SessionLimits
from server.protocol.client_messages import RequestReference
from server.protocol.close_codes import CloseCode
from server.protocol.error_codes import ErrorCode

__all__ = [
    "PONG",
    "ErrorPayload",
    "ack",
    "authenticated",
    "close",
    "connected",
    "error",
    "expiring",
    "failed",
    "history",
    "joined",
    "reconnect",
    "seen",
    "snapshot_head",
    "snapshot_tail",
    "subscribed",
    "unsubscribed",
]

PONG: Final = b'{"type":"pong"}'

_encode = msgspec.json.Encoder().encode
_ID: Final = "0"  # in place of the id of a connection


class _Limits(Struct):
    messagesPerSecond: float
    messageSize: int
    subscriptions: int
    presencePerSecond: float


class _Connected(Struct, tag="connected"):
    connectionId: str
    epoch: str | UnsetType
    pingInterval: int
    limits: _Limits
    session: str | UnsetType


class _Reconnect(Struct, tag="reconnect"):
    delay: int


class _Close(Struct, tag="close"):
    code: CloseCode
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
    since: str | UnsetType
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


class _Authenticated(Struct, tag="authenticated"):
    expiresIn: int | UnsetType
    ref: str | UnsetType


class _Seen(Struct, tag="seen"):
    position: str
    ref: str | UnsetType


class _History(Struct, tag="history"):
    channel: str
    ref: str | UnsetType
    messages: msgspec.Raw
    before: str | None


class _Expiring(Struct, tag="auth:expiring"):
    seconds: int


class _Error(Struct, tag="error"):
    code: ErrorCode
    message: str
    channel: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    ref: str | UnsetType = UNSET
    retryAfter: float | UnsetType = UNSET


class ErrorPayload(bytes):
    """The message of an error, with its ``code``, its text, the channel that it is ``about`` ("" if it names none), the
    ``limit`` that was reached and in how many seconds the request may be repeated (``retry_after``; None: not known, or it
    will not help): so what writes messages can count and log errors without reading them.
    """

    code: ErrorCode
    message: str
    about: str
    limit: str
    retry_after: float | None


def connected(
    connection_id: str,
    epoch: str,
    ping_interval: float,
    limits: SessionLimits,
    secret: str | None,
) -> bytes:
    """The first message on every connection. ``ping_interval`` in seconds; ``secret``: how requests name the session."""
    if secret is not None:
        return _connected(connection_id, epoch, ping_interval, limits, secret)
    before, behind = _around_id(epoch, ping_interval, limits)
    return b"%b%b%b" % (before, _encode(connection_id), behind)


@lru_cache(maxsize=16)
def _around_id(epoch: str, ping_interval: float, limits: SessionLimits) -> tuple[bytes, bytes]:
    """The first message, before the id of the connection and behind it: the same for all connections of a server."""
    before, _, behind = _connected(_ID, epoch, ping_interval, limits, None).partition(_encode(_ID))
    return before, behind


def _connected(
    connection_id: str, epoch: str, ping_interval: float, limits: SessionLimits, secret: str | None
) -> bytes:
    return _encode(
        _Connected(
            connection_id,
            epoch or UNSET,
            round(ping_interval * 1000),
            _Limits(
                _short(limits.message_rate), limits.message_size, limits.subscriptions, _short(limits.presence_rate)
            ),
            UNSET if secret is None else secret,
        )
    )


def _short(number: float) -> float:
    """Without ``.0``."""
    return int(number) if float(number).is_integer() else number


def reconnect(delay: float) -> bytes:
    """The server is about to go: connect again after ``delay`` seconds."""
    return _encode(_Reconnect(round(delay * 1000)))


def close(code: CloseCode, reason: str) -> bytes:
    """The last message where there are no close frames; ``code`` as in WebSocket close frames."""
    return _encode(_Close(code, reason))


def seen(position: Lsn, ref: str | UnsetType) -> bytes:
    """Everything up to ``position`` is before this message."""
    return _encode(_Seen(format_lsn(position), ref))


def history(channel: str, ref: str | UnsetType, messages: Iterable[bytes], before: str | None) -> bytes:
    """A page of a channel's past, oldest first. ``before``: where the next page begins; None: there is none."""
    return _encode(_History(channel, ref, msgspec.Raw(b"[%b]" % b",".join(messages)), before))


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
    since: str | None,
    presence_json: bytes | None,
    epoch: str,
) -> bytes:
    """The subscription to a channel is open. ``since``: every wanted message after it follows, if the past was requested;
    ``presence_json``: the present users, if requested.
    """
    return _encode(
        _Joined(
            channel,
            id,
            position,
            epoch,
            UNSET if recovered is None else recovered,
            UNSET if since is None else since,
            UNSET if presence_json is None else msgspec.Raw(presence_json),
        )
    )


def ack(channel: str, ref: str | UnsetType, id: str | None, position: str | None) -> bytes:
    """The request is committed."""
    return _encode(_Ack(channel, ref, UNSET if id is None else id, UNSET if position is None else position))


def unsubscribed(channel: str, id: str | UnsetType) -> bytes:
    """The last message of a subscription."""
    return _encode(_Unsubscribed(channel, id))


@lru_cache(maxsize=1024)
def snapshot_head(channel: str, id: str) -> bytes:
    """The part of a snapshot message that is one subscription's own; ``snapshot_tail`` completes it.

    Clients of one program give the same ids: their subscriptions share it.
    """
    return _encode(_SnapshotHead(channel, id))[:-1] + b","


def snapshot_tail(position: Lsn, reset: bool, changes_json: bytes, meta: bytes | None = None) -> bytes:
    """The part of a snapshot message that all subscribers of a window share; with ``meta``, all those who ask for it."""
    annotation = b"" if meta is None else b'"meta":%b,' % meta
    return annotation + b'"position":"%X/%X","reset":%b,"changes":%b}' % (  # as format_lsn
        position >> 32,
        position & 0xFFFFFFFF,
        b"true" if reset else b"false",
        changes_json,
    )


def authenticated(expires_in: float | None, ref: str | UnsetType) -> bytes:
    """A new token was accepted. ``expires_in``: seconds until the connection ends without another one."""
    return _encode(_Authenticated(UNSET if expires_in is None else max(0, int(expires_in)), ref))


def expiring(seconds: float) -> bytes:
    """The token expires in ``seconds``."""
    return _encode(_Expiring(max(0, round(seconds))))


def failed(problem: RealtimeError, about: RequestReference) -> ErrorPayload:
    """A request failed, or a subscription ended."""
    return error(problem.code, str(problem), about, problem.retry_after, problem.limit)


def error(
    code: ErrorCode, message: str, about: RequestReference, retry_after: float | None = None, limit: str = ""
) -> ErrorPayload:
    """A request failed, or a subscription ended. ``retry_after``: in how many seconds it may be repeated, rounded up to
    milliseconds. ``limit``: the setting whose limit was reached; clients do not get it.
    """
    wait = UNSET if retry_after is None else _short(ceil(retry_after * 1000) / 1000)
    try:
        payload = ErrorPayload(_encode(_Error(code, message, about.channel, about.id, about.ref, wait)))
    except UnicodeEncodeError:
        # A driver's message can carry undecodable bytes as lone surrogates; they have no place in JSON.
        safe = message.encode(errors="replace").decode()
        payload = ErrorPayload(_encode(_Error(code, safe, about.channel, about.id, about.ref, wait)))
    payload.code, payload.limit, payload.message, payload.retry_after = code, limit, message, retry_after
    payload.about = "" if about.channel is UNSET else about.channel
    return payload
