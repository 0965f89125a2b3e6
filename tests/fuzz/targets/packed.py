"""MessagePack: what can be written in JSON means the same there and back, and all else is refused."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from server.protocol.client_messages import names_in
from server.protocol.msgpack import json_of, names_text, packed
from server.protocol.validation import InvalidMessageError

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b"\x80", b"\x90", b"\xa0", b"\x81\xa1a", b"\x92", b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xc4\x01\x00",
    b"\xc7\x0c\xff", b"\xca\x7f\xc0\x00\x00", b"\xcb\x7f\xf8" + bytes(6), b"\xcb\xff\xf0" + bytes(6),
    b"\xcb\x3f\xf0" + bytes(6), b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xd6\xff" + bytes(4), b"\xd9\x01a",
    b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xde\xff\xff",
    b"\xdf\xff\xff\xff\xff", b"\xa3\xed\xa0\x80", b"\xa1\xff", b"\xa1\x00", b"\x91" * 80, b"\xa4type", b"\xa7channel",
    b"\xa9subscribe", b"\xa3ref",
)  # fmt: skip


def target(data: bytes) -> None:
    """Raises for a value that is another one in JSON, and for any error but ``InvalidMessageError``."""
    names_in(names_text(data))
    try:
        text = json_of(data)
    except InvalidMessageError:
        return
    value = msgspec.msgpack.decode(data)
    assert json.loads(text) == value
    assert msgspec.msgpack.decode(packed(text)) == value
