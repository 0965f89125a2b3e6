"""What the address of an event stream asks for: its subscriptions, and from where on after a reconnect.

An ``EventSource`` cannot send anything, so all it wants is in its address, and always the same; where it was before is in
the ``Last-Event-ID`` that the browser adds. So that id goes before whatever the address says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from server.protocol import COLLECTION_PREFIX
from server.rest.problems import Problem

__all__ = ["first_messages"]

_objects: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def first_messages(pairs: Sequence[tuple[str, str]], last_id: str | None) -> list[bytes]:
    """The ``subscribe`` messages that the query parameters stand for. Raises ``Problem`` for what cannot be one.

    Args:
        pairs: the parameters; ``channel`` (with ``history``, which counts for all) and ``subscribe`` are looked at.
        last_id: ``POSITION;EPOCH`` or ``POSITION``, from where the channels go on; None or empty: from now.
    """
    wanted = [*_channels(pairs), *(_subscribe(text) for name, text in pairs if name == "subscribe")]
    if last_id:
        position, _, epoch = last_id.partition(";")
        for message in wanted:
            if not str(message.get("channel", "")).startswith(COLLECTION_PREFIX):
                message["since"] = position
                message.pop("epoch", None)
                if epoch:
                    message["epoch"] = epoch
    return [_encode(message) for message in wanted]


def _channels(pairs: Iterable[tuple[str, str]]) -> Iterable[dict[str, Any]]:
    history = dict(pairs).get("history")
    if history is not None and not (history.isascii() and history.isdigit() and len(history) < 9):
        raise Problem("RT_007", f"history: a number of messages, not {history!r}")
    for name, channel in pairs:
        if name == "channel":
            message: dict[str, Any] = {"type": "subscribe", "channel": channel}
            yield message if history is None else message | {"history": int(history)}


def _subscribe(text: str) -> dict[str, Any]:
    try:
        message = _objects.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as wrong:
        raise Problem("RT_007", f"subscribe: a JSON object, percent-encoded ({wrong})") from wrong
    if message.setdefault("type", "subscribe") != "subscribe":
        raise Problem("RT_007", "subscribe: only messages of the type subscribe can be in the address")
    return message
