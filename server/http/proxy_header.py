"""The header of the PROXY protocol, versions 1 and 2: the address of the client, from a proxy in front of the server.

Rules: "The PROXY protocol" (haproxy.org, doc/proxy-protocol.txt). A proxy sends the header before anything
else on a connection. A receiver expects it from proxies that it knows, and never guesses whether there is one. No I/O.
"""

from __future__ import annotations

import struct
from typing import Final

from proxyprotocol import ProxyProtocol
from proxyprotocol.result import is_ipv4, is_ipv6
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from engine.errors import BunbaseError

__all__ = ["InvalidProxyHeaderError", "ProxyHeader"]

_START_1: Final = b"PROXY "
_START_2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LONGEST_1: Final = 107
_HEAD_2: Final = 16
_LONGEST_2: Final = 4096
"""Bytes; the addresses take up to 216, the rest are attributes (the client's certificate), which are not read here."""


class InvalidProxyHeaderError(BunbaseError):
    """A connection of a proxy does not begin with a header: it has to be closed."""


class ProxyHeader:
    """Takes bytes until the header is complete."""

    def __init__(self) -> None:
        self._received = b""
        self.client: tuple[str, int] | None = None
        """Address and port of the client; None: the proxy itself is the client (a health check), or does not know it."""

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes. Returns those behind the header, None while it is incomplete. Raises ``InvalidProxyHeaderError``."""
        self._received += data
        size, reader = self._shape()
        if size is None or len(self._received) < size:
            return None
        header, rest = self._received[:size], self._received[size:]
        self._received = b""
        try:
            found = reader.unpack(header)
        except (ValueError, struct.error) as wrong:
            raise InvalidProxyHeaderError(f"not a header of the PROXY protocol: {wrong}") from wrong
        if is_ipv4(found) or is_ipv6(found):
            address, port = found.source
            self.client = str(address), port
        return rest

    def _shape(self) -> tuple[int | None, ProxyProtocol]:
        """The length of the header, None while it is not known, and what reads it."""
        received = self._received
        if _begins(received, _START_2):
            if len(received) < _HEAD_2:
                return None, ProxyProtocolV2()
            size = _HEAD_2 + int.from_bytes(received[14:16], "big")
            if size > _LONGEST_2:
                raise InvalidProxyHeaderError(f"the header of the PROXY protocol is longer than {_LONGEST_2} bytes")
            return size, ProxyProtocolV2()
        if not _begins(received, _START_1):
            raise InvalidProxyHeaderError(f"a connection begins with {received[:12]!r}, not with the PROXY protocol")
        end = received.find(b"\n", 0, _LONGEST_1) + 1
        if not end and len(received) >= _LONGEST_1:
            raise InvalidProxyHeaderError(f"the line of the PROXY protocol is longer than {_LONGEST_1} bytes")
        return end or None, ProxyProtocolV1()


def _begins(received: bytes, start: bytes) -> bool:
    """Whether the bytes begin with ``start``, as far as they go."""
    return received[: len(start)] == start[: len(received)]
