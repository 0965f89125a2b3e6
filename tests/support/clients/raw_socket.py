"""WebSocket clients without a library, to send what one would not and to read when the test asks for it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from typing import cast

from websockets.frames import Opcode

from tests.support.fakes.server import FakeServer


async def handshake(server: FakeServer, query: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection without a WebSocket library, to send what one would not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(
        f"GET /realtime{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    await read_frame(reader)
    return reader, writer


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(2)
    size = head[1]
    if size == 126:
        size = struct.unpack("!H", await reader.readexactly(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", await reader.readexactly(8))[0]
    return head[0] & 0x0F, await reader.readexactly(size)


def masked(opcode: Opcode, data: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    """A client's frame; the mask is all zeros, so the payload stands there as it is."""
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    size = bytes((0x80 | len(data),)) if len(data) < 126 else _long(len(data))
    return bytes((first,)) + size + bytes(4) + data


def _long(size: int) -> bytes:
    return struct.pack("!BH", 0x80 | 126, size) if size < 1 << 16 else struct.pack("!BQ", 0x80 | 127, size)


def reading(writer: asyncio.StreamWriter) -> asyncio.ReadTransport:
    """The same transport, as one that can stop reading."""
    return cast("asyncio.ReadTransport", writer.transport)


async def slow_client(
    server: FakeServer, queries: int = 1, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]:
    """A client with small socket buffers that has subscribed and now stops reading."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(
        sock=plain, limit=8192, ssl=tls, server_hostname=None if tls is None else "localhost"
    )
    writer.write(
        b"GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    await read_frame(reader)
    for number in range(queries):
        message = {"type": "subscribe", "channel": "db:collection:list", "id": str(number)}
        writer.write(masked(Opcode.TEXT, json.dumps(message).encode()))
        await read_frame(reader)
        await read_frame(reader)
    reading(writer).pause_reading()
    return reader, writer, plain
