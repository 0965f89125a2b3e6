"""Bodies without end: a request is answered after a bounded part of them."""

from __future__ import annotations

import asyncio

from tests.integration.access.conftest import Judged
from tests.support.servers.processes import GIVE_UP_AFTER

CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
ENOUGH = 64 << 20
"""Bytes: far more than the buffers of both ends, and far less than what a form of a hostile client has."""

MULTIPART = "multipart/form-data; boundary=x"
JSON = "application/json"


async def status_of(port: int, method: str, path: str, kind: str, *lines: str) -> int:
    """The status of the answer to a request whose body does not end; fails if there is none after ``ENOUGH`` bytes. 0: the
    server closed the connection, and bytes that it had not read destroyed its answer.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Transfer-Encoding: chunked",
        f"Content-Type: {kind}",
        *lines,
    )
    writer.write("\r\n".join((*head, "", "")).encode())
    answer = asyncio.create_task(reader.readline())
    sent = 0
    try:
        while not answer.done() and sent < ENOUGH:
            writer.write(CHUNK)
            sent += len(CHUNK)
            drained = asyncio.create_task(writer.drain())
            await asyncio.wait({answer, drained}, return_when=asyncio.FIRST_COMPLETED)
            if drained.done():
                drained.result()
            else:
                drained.cancel()
        assert sent < ENOUGH, path
        return int((await answer).split()[1])
    except ConnectionError:
        return 0
    finally:
        answer.cancel()
        await asyncio.wait({answer})
        writer.transport.abort()


async def test_a_body_without_end_is_refused_before_it_is_kept(judged: Judged) -> None:
    key = f"Authorization: Bearer {judged.credentials['secret key'].key}"
    token = f"Authorization: Bearer {judged.credentials['ada'].token}"
    async with asyncio.timeout(2 * GIVE_UP_AFTER):
        for method, path, kind, status, *lines in (
            ("POST", "/realtime/poll", JSON, 413),
            ("POST", "/realtime/poll", MULTIPART, 413),
            ("POST", "/realtime/send", MULTIPART, 413),
            ("DELETE", "/realtime/session", JSON, 413),
            ("POST", "/realtime/channels/chat:1/broadcast", JSON, 413, key),
            ("POST", "/realtime/channels/chat:1/broadcast", JSON, 413, token),
            ("POST", "/realtime/channels/chat:1/broadcast", MULTIPART, 415, key),
            ("POST", "/realtime/channels/chat:1/broadcast", MULTIPART, 401),
            ("POST", "/realtime/nowhere", MULTIPART, 404),
            ("GET", "/health", MULTIPART, 200),
        ):
            assert await status_of(judged.server.port, method, path, kind, *lines) in (status, 0), (path, kind)
