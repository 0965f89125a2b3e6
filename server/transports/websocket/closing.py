"""The answer to a peer's close frame (RFC 6455, 5.5.1)."""

from __future__ import annotations

from typing import Final, cast

from picows import WSCloseCode, WSFrame, WSTransport

from server.protocol.close_codes import may_be_sent

__all__ = ["answer_close"]

_NO_CODE: Final = 1005  # RFC 6455, 7.1.5: the close frame had none


def answer_close(transport: WSTransport, frame: WSFrame) -> int:
    """Send it, with the code of ``frame`` if that is one that can be sent. Returns the code that the peer closed with."""
    code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
    if not frame.payload_size:
        transport.send_close(WSCloseCode.OK)
        return _NO_CODE
    if may_be_sent(code):
        transport.send_close(cast("WSCloseCode", code))
    else:
        transport.send_close(WSCloseCode.PROTOCOL_ERROR, f"{code} is no close code that can be sent")
    return code
