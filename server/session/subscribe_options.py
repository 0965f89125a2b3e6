"""Validation of a client's channel options and presence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET

from engine.channels.core.filters.filter import path_of
from engine.channels.core.messages.model import Position, parse_position
from engine.errors import QueryRejectedError
from engine.live.core.resume_log import Resume
from engine.lsn import parse_lsn
from engine.values.exact_json import shown, write_exact
from server.ports.channels import ChannelOptions, Conflate
from server.protocol.client_messages import COLLECTION_PREFIX, History, Subscribe
from server.protocol.error_codes import ErrorCode
from server.protocol.validation import InvalidMessageError, check_storable

__all__ = [
    "PRESENCE_PREFIX",
    "InvalidPresenceError",
    "WrongFieldError",
    "channel_options",
    "check_live",
    "history_position",
    "presence_data",
    "resume_of",
]

PRESENCE_PREFIX: Final = "presence:"
_PRESENCE_SIZE: Final = 4096  # bytes, its numbers written without exponents, as PostgreSQL does
_PLAIN: Final = ChannelOptions()
"""Those of most subscriptions, one object for all of them."""

_MAX_CONFLATE: Final = 60_000
_CONFLATE: Final = 'an object such as {"key": "user.id", "ms": 100}'

_TEXTS: Final = {"status": 64, "name": 128, "avatar": 2048}


class WrongFieldError(QueryRejectedError):
    """A field that this kind of subscription does not have, or with a value it cannot have."""

    code = ErrorCode.INVALID_MESSAGE


class InvalidPresenceError(QueryRejectedError):
    """The presence of the client's request has a form that no member can have, or comes before a subscription to it."""

    code = ErrorCode.PRESENCE_REJECTED


def check_live(message: Subscribe) -> None:
    """Raise ``QueryRejectedError`` if a field is given that a live query does not have."""
    if message.history is not UNSET:
        raise WrongFieldError("history: live queries have none; a new subscription begins with the current rows")
    for field in ("presence", "filter", "conflate"):
        if getattr(message, field) is not UNSET:
            raise WrongFieldError(f"{field}: live queries ({COLLECTION_PREFIX}NAME) have none; it is for channels")


def resume_of(message: Subscribe) -> Resume | None:
    """Where a client that was connected before wants to go on with a live query. Raises ``QueryRejectedError``."""
    if message.since is UNSET:
        if message.epoch is not UNSET:
            raise WrongFieldError("epoch: it is the epoch of since; give both")
        return None
    try:
        position = parse_lsn(message.since)
    except ValueError as wrong:
        raise WrongFieldError(f"since: {wrong}") from wrong
    return Resume(position, "" if message.epoch is UNSET else message.epoch)


def channel_options(message: Subscribe) -> ChannelOptions:
    """The channel options of a subscribe message. Raises ``QueryRejectedError``."""
    if message.query is not UNSET:
        raise WrongFieldError(f"query: only live queries ({COLLECTION_PREFIX}NAME) have one; a channel has filter")
    if message.fresh:
        raise WrongFieldError(f"fresh: it is for live queries ({COLLECTION_PREFIX}NAME); a channel has history")
    if message.epoch is not UNSET and message.since is UNSET:
        raise WrongFieldError("epoch: it is the epoch of since; give both")
    wanted = message.filter
    options = ChannelOptions(
        presence=_presence(message),
        history=0 if message.history is UNSET else message.history,
        since=None if message.since is UNSET else message.since,
        epoch=None if message.epoch is UNSET else message.epoch,
        events=None if wanted is UNSET or wanted.events is UNSET else wanted.events,
        where=None if wanted is UNSET or wanted.where is UNSET else wanted.where,
        meta=message.meta,
        conflate=None if message.conflate is UNSET else _conflate(message.conflate),
    )
    return _PLAIN if options == _PLAIN else options


def history_position(message: History) -> Position | None:
    """The position before which messages are asked for. Raises ``QueryRejectedError``."""
    if message.before is None:
        return None
    try:
        return parse_position(message.before)
    except ValueError as wrong:
        raise WrongFieldError(
            f"before: {message.before!r} is no position; give that of a message, such as '0/16B3790/42'"
        ) from wrong


def _conflate(wanted: Mapping[str, Any]) -> Conflate:
    if unknown := wanted.keys() - {"key", "ms"}:
        raise WrongFieldError(f"conflate has no field {shown(min(unknown))}; give {_CONFLATE}")
    key, ms = wanted.get("key"), wanted.get("ms")
    if not isinstance(key, str):
        raise WrongFieldError(f"conflate.key: a path in the data of messages, such as 'user.id'; give {_CONFLATE}")
    try:
        path_of(key)
    except QueryRejectedError as wrong:
        raise WrongFieldError(f"conflate.key: {wrong}; give {_CONFLATE}") from wrong
    if type(ms) is not int or not 1 <= ms <= _MAX_CONFLATE:
        raise WrongFieldError(
            f"conflate.ms: a whole number of milliseconds from 1 to {_MAX_CONFLATE}; give {_CONFLATE}"
        )
    return Conflate(key, ms)


def presence_data(data: object) -> Mapping[str, Any]:
    """Check the presence that a client sets. Raises ``InvalidPresenceError``."""
    if not isinstance(data, dict):
        raise InvalidPresenceError('presence is a JSON object, such as {"status": "online"}')
    if (size := len(write_exact(data))) > _PRESENCE_SIZE:
        raise InvalidPresenceError(f"presence has {size} bytes of JSON; at most {_PRESENCE_SIZE} are allowed")
    try:
        check_storable(data, max_expansion=_PRESENCE_SIZE - size)
    except InvalidMessageError as bad:
        raise InvalidPresenceError(str(bad)) from bad
    for field, longest in _TEXTS.items():
        value = data.get(field)
        if value is not None and not (isinstance(value, str) and len(value) <= longest):
            raise InvalidPresenceError(f"{field}: a text of at most {longest} characters, or null")
    if not isinstance(data.get("typing", False), bool):
        raise InvalidPresenceError("typing: true or false")
    if not isinstance(metadata := data.get("metadata", {}), dict):
        raise InvalidPresenceError("metadata: a JSON object")
    if not isinstance(metadata.get("name"), str | None):
        raise InvalidPresenceError("metadata.name: a text, or null")
    return data


def _presence(message: Subscribe) -> Mapping[str, Any] | None:
    wanted = message.channel.startswith(PRESENCE_PREFIX) if message.presence is UNSET else message.presence
    if isinstance(wanted, bool):
        return {} if wanted else None
    return presence_data(wanted)
