"""Blocks of an event stream (WHATWG HTML, 9.2), built once for all their receivers.

A block is built without its end, because each stream decides whether it may carry an id: ``END`` or ``mark`` completes it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from engine.metrics.stages import Stages
from server.wire.encoder import ChannelFrames, EventFrames, Wire

__all__ = ["END", "block", "block_wire", "comment", "mark", "plain_wire", "retry"]

END: Final = b"\n"
"""Ends a block that carries no id."""

_TYPE = re.compile(rb'\{"type":"([a-z:]+)"')


class _Typed(msgspec.Struct):
    type: str


_types: msgspec.json.Decoder[_Typed] = msgspec.json.Decoder(_Typed)


def block(payload: bytes) -> bytes:
    """The block of one message, to be ended by ``END`` or ``mark``."""
    # A line break can only be white space between the parts of JSON (a column of type json keeps it as it was written).
    if b"\n" in payload or b"\r" in payload:
        payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %b\ndata: %b\n" % (_type_of(payload), payload)


def _type_of(payload: bytes) -> bytes:
    found = _TYPE.match(payload)
    return found[1] if found is not None else _types.decode(payload).type.encode()


def mark(id: str) -> bytes:
    """Ends a block, or is one of its own, with an id: the client returns it when it reconnects."""
    return f"id: {id}\n\n".encode()


def comment(text: str) -> bytes:
    """A line that clients do not see, with the end of its block."""
    return f": {text}\n\n".encode()


def retry(delay: float) -> bytes:
    """The seconds for which a client shall wait before it reconnects."""
    return f"retry: {round(delay * 1000)}\n\n".encode()


def block_wire(stages: Stages | None = None) -> Wire:
    """Blocks without their ends."""
    return Wire(
        block, EventFrames(lambda head, tail: block(head + tail), stages=stages), ChannelFrames(block, stages=stages)
    )


def plain_wire(stages: Stages | None = None) -> Wire:
    """Messages as they are, for answers that hold many of them."""
    return Wire(_same, EventFrames(lambda head, tail: head + tail, stages=stages), ChannelFrames(_same, stages=stages))


def _same(payload: bytes) -> bytes:
    return payload
