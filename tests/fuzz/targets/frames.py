"""WebSocket frames as they are put together to messages: each input frame is a head of two bytes and its payload.

The first byte of a head is that of RFC 6455 (FIN and opcode), the second the length. picows reads the rest of a head, and
`tests/unit/websocket` has what it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from picows import WSFrame, WSMsgType

from server.protocol.close_codes import CloseCode
from server.transports.websocket.assembler import Assembler, InvalidFrameError

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b"\x81\x01a", b"\x01\x01a", b"\x00\x01b", b"\x80\x01c", b"\x82\x02\xff\xfe", b"\x02\x01\xff", b"\x01\x01\xf0",
    b"\x80\x03\x9f\x98\x80", b"\x00\x00", b"\x80\x00", b"\x81\x03\xed\xa0\x80", b"\x81\xff" + b"x" * 255,
)  # fmt: skip

_SIZE, _CAP = 300, 1000  # bytes of a message that is kept, and of one that is read at all


class _Frame(NamedTuple):
    """The part of picows' frame that the assembler uses."""

    fin: bool
    msg_type: WSMsgType
    payload: bytes

    @property
    def payload_size(self) -> int:
        return len(self.payload)

    def get_payload_as_bytes(self) -> bytes:
        return self.payload


def _frames(data: bytes) -> Iterator[_Frame]:
    at = 0
    while at + 2 <= len(data):
        opcode, length = data[at] & 0x0F, data[at + 1]
        if opcode in (0, 1, 2):
            kind = {0: WSMsgType.CONTINUATION, 1: WSMsgType.TEXT, 2: WSMsgType.BINARY}[opcode]
            yield _Frame(bool(data[at] & 0x80), kind, data[at + 2 : at + 2 + length])
        at += 2 + length


def target(data: bytes) -> None:
    """Messages are what their fragments make; memory stays within the cap; a violation has its close code."""
    assembler = Assembler(_SIZE, _CAP, binary=len(data) % 2 == 0)
    whole: list[bytes] = []
    for frame in _frames(data):
        whole.append(frame.payload)
        try:
            message = assembler.add(cast("WSFrame", cast("Any", frame)))
        except InvalidFrameError as broken:
            if broken.code not in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_TEXT, CloseCode.MESSAGE_TOO_BIG):
                raise
            return
        assert sum(map(len, whole)) <= _CAP
        if message is None:
            continue
        if message.data:
            assert message.data == b"".join(whole)
        if not message.binary:
            b"".join(whole).decode()
        assert message.too_large == (sum(map(len, whole)) > _SIZE)
        whole.clear()
