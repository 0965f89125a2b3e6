"""The transport of a WebSocket as picows is given it."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["QuietTransport", "may_be_quiet"]


def may_be_quiet(transport: asyncio.Transport) -> bool:
    """Whether the event loop has set ``TCP_NODELAY`` already, as uvloop does for each connection. asyncio does not for those
    of a listener that names no protocol.
    """
    return type(transport).__module__.startswith("uvloop")


class QuietTransport:
    """A transport whose socket is not asked for its options and addresses: it is in the place of that, too.

    picows reads eight of them for a line of its log, each through a socket object that uvloop makes for it: a twentieth of
    the processor time that a client takes to arrive. What is used with each write is looked up once.
    """

    __slots__ = ("_transport", "get_write_buffer_size", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size

    def get_extra_info(self, name: str) -> Any:
        """As of ``asyncio.BaseTransport``, but for the socket and its addresses."""
        if name == "socket":
            return self
        return None if name in ("peername", "sockname") else self._transport.get_extra_info(name)

    def fileno(self) -> int:
        """As of ``socket``."""
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def setsockopt(self, *_: object) -> None:
        """Sets nothing: see ``may_be_quiet``."""

    def getsockopt(self, *_: object) -> int:
        """Unknown."""
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
