"""The request of an event stream: its subscriptions, and their positions after a reconnect.

An ``EventSource`` cannot send messages, so its subscriptions are in its address, which never changes; the browser adds the
position as ``Last-Event-ID``. So the position of a channel in that id takes precedence over one in the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.values.exact_json import exact_decoder, write_exact
from server.http.problems import ProblemError
from server.protocol.client_messages import COLLECTION_PREFIX
from server.protocol.error_codes import ErrorCode
from server.transports.sse.event_ids import StreamPosition, read_id

__all__ = ["StreamRequest", "read_request"]

_objects: msgspec.json.Decoder[dict[str, Any]] = exact_decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The ``subscribe`` messages of a request, and the position of each of their channels; None: as in the message."""

    messages: list[bytes]
    places: dict[str, StreamPosition | None]


def read_request(pairs: Sequence[tuple[str, str]], last_id: str | None) -> StreamRequest:
    """Parse the query parameters. Raises ``ProblemError`` for an invalid message or id.

    Args:
        pairs: the parameters; ``channel`` (with ``history``, which applies to all) and ``subscribe`` are read.
        last_id: the last id of the client, see :mod:`server.transports.sse.event_ids`; None or empty: it has none.
    """
    wanted = [*_channels(pairs), *(_subscribe(text) for name, text in pairs if name == "subscribe")]
    try:
        was = read_id(last_id or "")
    except ValueError as wrong:
        raise ProblemError(
            ErrorCode.INVALID_MESSAGE, f"Last-Event-ID: not an id of an event stream ({wrong})"
        ) from wrong
    places: dict[str, StreamPosition | None] = {}
    for message in wanted:
        channel = message.get("channel")
        if not isinstance(channel, str) or channel.startswith(COLLECTION_PREFIX):
            continue
        place = places[channel] = was.of(channel)
        if place is not None:
            message["since"] = place.position
            message.pop("epoch", None)
            if place.epoch:
                message["epoch"] = place.epoch
    return StreamRequest([write_exact(message) for message in wanted], places)


def _channels(pairs: Iterable[tuple[str, str]]) -> Iterable[dict[str, Any]]:
    history = dict(pairs).get("history")
    if history is not None and not (history.isascii() and history.isdigit() and len(history) < 9):
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"history: a number of messages, not {history!r}")
    for name, channel in pairs:
        if name == "channel":
            message: dict[str, Any] = {"type": "subscribe", "channel": channel}
            yield message if history is None else message | {"history": int(history)}


def _subscribe(text: str) -> dict[str, Any]:
    try:
        message = _objects.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as wrong:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"subscribe: a JSON object, percent-encoded ({wrong})") from wrong
    if message.setdefault("type", "subscribe") != "subscribe":
        raise ProblemError(
            ErrorCode.INVALID_MESSAGE, "subscribe: only messages of the type subscribe can be in the address"
        )
    return message
