"""The kinds of frames as names of this module: an attribute of an enumeration is slow to find, and each frame is compared
with several.
"""

from __future__ import annotations

from typing import Final

from picows import WSMsgType

__all__ = ["BINARY", "CLOSE", "CONTINUATION", "PING", "PONG", "TEXT"]

TEXT: Final = WSMsgType.TEXT
BINARY: Final = WSMsgType.BINARY
CONTINUATION: Final = WSMsgType.CONTINUATION
PING: Final = WSMsgType.PING
PONG: Final = WSMsgType.PONG
CLOSE: Final = WSMsgType.CLOSE
