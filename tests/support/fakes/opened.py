"""A connection that a server has accepted, without a socket."""

from __future__ import annotations

import asyncio


class Opened(asyncio.Transport):
    """From ``ip``: whether it was aborted or closed or is read from, what was written, and the protocol that was set."""

    def __init__(self, ip: str) -> None:
        super().__init__({"peername": (ip, 4711), "sockname": ("192.0.2.2", 80)})
        self.aborted = False
        self.closed = False
        self.reading = True
        self.written = b""
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted
