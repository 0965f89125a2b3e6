"""The WebSocket protocol: messages of one client, one a line, as JSON or (after a byte 0xC1) as MessagePack."""

from __future__ import annotations

import json
from typing import Final

from server.limits.connection_limits import SessionLimits
from server.session.session import Session

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b'"type":"subscribe"', b'"type":"unsubscribe"', b'"type":"message"', b'"type":"presence:update"',
    b'"type":"auth"', b'"type":"ping"', b'"channel":"chat:1"', b'"channel":"db:collection:items"',
    b'"channel":"presence:1"', b'"id":"1"', b'"ref":"r"', b'"event":"e"', b'"data":', b'"presence":true',
    b'"history":5', b'"since":"0/1/1"', b'"epoch":"e"', b'"filter":{"events":["e"]}', b'"query":{}', b'"token":"t"',
    b'"auth":"t"', b'"__proto__":{}', b'"\\ud800"', b'"\\u0000"', b"9223372036854775808", b"1e400", b"1e99999", b"-0",
    b"NaN", b"null", b"true", b"[" * 70, b'{"a":' * 70, b"\xed\xa0\x80", b"\xff", b"\n", b"\n\xc1", b"\\", b'"', b",",
    b":", b"{", b"}",
)  # fmt: skip

_LIMITS: Final = SessionLimits(subscriptions=4, message_rate=1e9, message_size=16 * 1024, presence_rate=1e9)


def target(data: bytes) -> None:
    """Every message has an answer, or is to be carried out; answers are JSON objects with a type."""
    session = Session("c", _LIMITS)
    for line in data.split(b"\n"):
        outputs = session.receive_packed(line[1:], 0.0) if line[:1] == b"\xc1" else session.receive(line, 0.0)
        assert outputs, line
        for output in outputs:
            if isinstance(output, bytes):
                answer = json.loads(output)
                assert isinstance(answer, dict)
                assert isinstance(answer["type"], str)
    assert session.subscriptions <= _LIMITS.subscriptions
    assert len(session.finish()) <= _LIMITS.subscriptions
