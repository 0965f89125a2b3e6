"""Requests that never end: heads and bodies have a time, whatever trickles in."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from server.app.uvicorn_http import HttpProtocol
from server.http.bodies import read_body
from server.http.problems import ProblemError
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "later"])
@pytest.mark.parametrize("head", [b"G", b"GET /realtime HTTP/1.1\r\nUpgrade: websocket\r\nX: "], ids=["line", "header"])
async def test_a_head_that_does_not_end_is_cut_however_steadily_it_trickles(
    monkeypatch: pytest.MonkeyPatch, before: bytes, head: bytes
) -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        if not before:
            monkeypatch.setattr(HttpProtocol, "head_timeout", 0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if before:
            writer.write(before)
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            monkeypatch.setattr(HttpProtocol, "head_timeout", 0.2)
        writer.write(head)

        async def trickle() -> None:
            while not reader.at_eof():
                writer.write(b"x")
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass  # a reset, because bytes were under way
        finally:
            trickling.cancel()
            writer.close()


async def test_a_client_that_sends_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpProtocol, "head_timeout", 0.2)
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()


async def test_an_open_websocket_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_server() as server, server.connect() as socket, asyncio.timeout(GIVE_UP_AFTER):
        monkeypatch.setattr(HttpProtocol, "head_timeout", 0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""  # a later one has been cut
        await (await socket.ping())
        writer.close()


async def test_a_body_that_does_not_end_is_answered_by_408() -> None:
    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(ProblemError) as late:
        await read_body(request, limit=1 << 40, timeout=0.01)
    assert late.value.status == 408
    with pytest.raises(ProblemError) as large:
        await read_body(request, limit=1000, timeout=GIVE_UP_AFTER)
    assert large.value.status == 413


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/realtime/send"), ("POST", "/realtime/poll"), ("DELETE", "/realtime/session")]
)
@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
async def test_a_gigabyte_that_is_announced_is_refused_before_any_of_it_is_sent(
    method: str, path: str, kind: str
) -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n".encode())
        writer.write(b"Content-Length: 1073741824\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413")
        await reader.read()  # the server ends the connection, since what follows is the body
        writer.close()
