"""The opening handshake over a raw socket: every legal one is taken, and whatever else gets a status and a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from websockets.frames import Opcode

from server.auth.identity import HandshakeRequest
from server.http.h11_connection import ServerConnection
from server.transports.websocket.websocket_connection import WebSocketConnection
from tests.support.clients.raw_socket import masked, read_frame
from tests.support.fakes.server import FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes


def request(*lines: str, line: str = "GET /realtime HTTP/1.1", without: Sequence[str] = ()) -> bytes:
    """A handshake with more ``lines``, ``without`` some of those every handshake has."""
    usual = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    kept = [f"{name}: {value}" for name, value in usual.items() if name not in without]
    return "\r\n".join([line, *kept, *lines, "", ""]).encode("latin-1")


async def ask(server: FakeServer, sent: bytes) -> tuple[Answered, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    async with asyncio.timeout(GIVE_UP_AFTER):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answered(int(first.split()[1]), headers, body), reader, writer


WITHOUT = ("Upgrade", "Connection")


@pytest.mark.parametrize(
    "lines",
    [
        ["Connection: keep-alive, Upgrade", "Upgrade: websocket"],
        ["Connection: Upgrade, keep-alive", "Upgrade: websocket"],
        ["Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"],
        ["Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket"],
        ["CONNECTION:  ,\tuPGRADE\t, , close", "UPGRADE:\tWebSocket  "],
        ["Connection: upgrade", "Upgrade: websocket, foo"],
        ["Connection: upgrade", "Upgrade: foo/2, WebSocket"],
        ["Connection: upgrade", "Upgrade: foo", "Upgrade: websocket"],
        ["Connection: upgrade", "Upgrade: websocket", "Upgrade: foo"],
        ["Connection: Upgrade, Sec-WebSocket-Key", "Upgrade: websocket", "Content-Length: 0"],
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: \xe9, \xff"],
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Extensions: x; y=\xff", "Origin: \xff"],
        ["Connection: Upgrade", "Upgrade: websocket", *(f"X-{number}: {'x' * 200}" for number in range(250))],
        ["Connection: Upgrade", "Upgrade: websocket", f"Cookie: {'x' * 60_000}"],
    ],
    ids=lambda lines: " | ".join(lines)[:60],
)  # fmt: skip
async def test_every_legal_handshake_is_taken(lines: list[str]) -> None:
    async with fake_server() as server:
        answered, reader, writer = await ask(server, request(*lines, without=WITHOUT))
        assert (answered.status, answered.headers["sec-websocket-accept"]) == (101, ACCEPT)
        assert json.loads((await read_frame(reader))[1])["type"] == "connected"
        writer.close()


@pytest.mark.parametrize(
    "line",
    [
        "GET http://example.org/realtime HTTP/1.1",
        "GET HTTP://example.org:80/realtime?connection=test HTTP/1.1",
        "GET /%72ealtime HTTP/1.1",
        "GET /realtime HTTP/1.7",
    ],
)
async def test_every_form_of_the_target_is_taken(line: str) -> None:
    async with fake_server() as server:
        answered, _, writer = await ask(server, request(line=line))
        assert answered.status == 101
        writer.close()


async def test_empty_lines_before_a_request_are_ignored() -> None:
    async with fake_server() as server:
        answered, _, writer = await ask(server, b"\r\n\r\n" + request())
        assert answered.status == 101
        writer.close()


async def test_frames_that_come_with_the_handshake_are_read() -> None:
    async with fake_server() as server:
        pings = masked(Opcode.TEXT, b'{"type":"ping"}') * 600  # more than one buffer
        answered, reader, writer = await ask(server, request() + pings[:-5])
        assert answered.status == 101
        assert json.loads((await read_frame(reader))[1])["type"] == "connected"
        writer.write(pings[-5:])
        for _ in range(600):
            assert json.loads((await read_frame(reader))[1])["type"] in ("pong", "error")
        writer.close()


VERSION = "Sec-WebSocket-Version"


def name(value: object) -> str:
    """What is not as usual in a request."""
    usual = request().split(b"\r\n")
    lines = value.split(b"\r\n") if isinstance(value, bytes) else []
    return " ".join(line.decode("latin-1") for line in lines if line not in usual)[:50]


@pytest.mark.parametrize(
    ("sent", "status", "headers"),
    [
        (request(f"{VERSION}: 8", without=[VERSION]), 426, {"sec-websocket-version": "13", "upgrade": "websocket"}),
        (request(f"{VERSION}: 14", without=[VERSION]), 426, {"sec-websocket-version": "13"}),
        (request(f"{VERSION}: \xb9\xb3", without=[VERSION]), 426, {"sec-websocket-version": "13"}),
        (request(without=[VERSION]), 426, {"sec-websocket-version": "13"}),
        (request(f"{VERSION}: 8"), 426, {"sec-websocket-version": "13"}),
        (request(line="GET /realtime HTTP/1.0"), 426, {"upgrade": "websocket"}),
        (request("Upgrade: h2c", without=["Upgrade"]), 426, {"upgrade": "websocket"}),
        (request(without=["Upgrade"]), 426, {"upgrade": "websocket"}),
        (request("Connection: close", without=["Connection"]), 426, {"upgrade": "websocket"}),
        (request(without=WITHOUT), 426, {"upgrade": "websocket"}),
        (request(without=["Sec-WebSocket-Key"]), 400, {}),
        (request("Sec-WebSocket-Key: ", without=["Sec-WebSocket-Key"]), 400, {}),
        (request("Sec-WebSocket-Key: AAAA", without=["Sec-WebSocket-Key"]), 400, {}),
        (request("Sec-WebSocket-Key: \xe9", without=["Sec-WebSocket-Key"]), 400, {}),
        (request(f"Sec-WebSocket-Key: {KEY}!", without=["Sec-WebSocket-Key"]), 400, {}),
        (request(f"Sec-WebSocket-Key: {'A' * 44}", without=["Sec-WebSocket-Key"]), 400, {}),
        (request(f"Sec-WebSocket-Key: {KEY}"), 400, {}),
        (request("Content-Length: 2") + b"{}", 400, {}),
        (request("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, {}),
        (request("Origin: http://a", "Origin: http://b"), 400, {}),
        (request(without=["Host"]), 400, {}),
        (request(line="POST /realtime HTTP/1.1"), 405, {}),
        (request(line="BREW /realtime HTTP/1.1"), 405, {}),
        (request(line="GET /elsewhere HTTP/1.1"), 404, {}),
        (request(line="GET http://example.org HTTP/1.1"), 404, {}),
        (request(line="GET /realtime?a=%ff HTTP/1.1"), 400, {}),
        (request(line=f"GET /realtime?a={'x' * 9000} HTTP/1.1"), 414, {}),
        (request("Bad header"), 400, {}),
        (b"not http\r\n\r\n", 400, {}),
        (request(f"Cookie: {'x' * 70_000}"), 431, {}),
        (request(f"Cookie: {'x' * 700_000}"), 431, {}),
        (request(*(f"X-{number}: x" for number in range(1000))), 431, {}),
        (request(line="GET /realtime HTTP/2.0"), 505, {}),
        (request(*(f"X-{number}: {'x' * 200}" for number in range(10_000))), 431, {}),
    ],
    ids=name,
)  # fmt: skip
async def test_an_invalid_handshake_is_refused_with_a_status_and_a_reason(
    sent: bytes, status: int, headers: dict[str, str]
) -> None:
    async with fake_server() as server:
        answered, _, writer = await ask(server, sent)
        assert answered.status == status
        assert headers.items() <= answered.headers.items()
        assert answered.headers["content-type"] == "application/problem+json"
        problem = json.loads(answered.body)
        assert (problem["status"], problem.keys()) == (status, {"type", "title", "status", "detail", "code"})
        assert not server.connections
        writer.close()


async def test_a_handshake_that_comes_whole_is_read_without_h11(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: ServerConnection, data: bytes) -> None:
        raise AssertionError(f"h11 was given {data!r}")

    async with fake_server() as server:
        with monkeypatch.context() as patched:
            patched.setattr(ServerConnection, "receive_data", read)
            answered, _, writer = await ask(server, request("User-Agent: x", "Origin: http://a", "Cookie: a=b"))
            assert (answered.status, answered.headers["sec-websocket-accept"]) == (101, ACCEPT)
            writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(), 101),
        (request("Sec-WebSocket-Protocol: other, bunbase", line="GET /realtime?user=a&connection=b HTTP/1.1"), 101),
        (request("Authorization: Bearer a", line="GET /realtime?token=b HTTP/1.1"), 400),
        (request("Sec-WebSocket-Version: 8", without=["Sec-WebSocket-Version"]), 426),
        (request("Origin: http://a", "Origin: http://b"), 400),
        (request(line="GET /realtime?format=xml HTTP/1.1"), 400),
        (request(line="GET /realtime?user= HTTP/1.1"), 400),
    ],
    ids=["legal", "subprotocol and parameters", "two tokens", "version", "two origins", "format", "user"],
)
async def test_a_handshake_that_h11_reads_is_judged_as_a_plain_one_and_each_once(sent: bytes, status: int) -> None:
    async with fake_server() as server, asyncio.timeout(GIVE_UP_AFTER):
        judged: list[HandshakeRequest] = []
        accept = server.accept

        def counted(handshake: HandshakeRequest) -> WebSocketConnection:
            judged.append(handshake)
            return accept(handshake)

        server.accept = counted  # type: ignore[method-assign]
        whole, _, writer = await ask(server, sent)
        writer.close()
        await server.left_alone()
        assert whole.status == status
        other, _, writer = await ask(server, b"\r\n" + sent)  # no plain form: an empty line comes first
        assert (other.status, other.body) == (whole.status, whole.body)
        assert len(judged) in (0, 2), "each is judged once, or refused before"
        assert len(set(map(repr, judged))) <= 1
        writer.close()


async def test_a_refused_client_can_ask_again_on_the_same_connection() -> None:
    async with fake_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(GIVE_UP_AFTER):
            writer.write(request("Sec-WebSocket-Key: x"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 400 " in head
            await reader.readuntil(b"}")
            writer.write(request())
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_a_body_that_breaks_after_its_answer_ends_the_connection_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fake_server() as server:
        answered, reader, writer = await ask(
            server, b"POST /realtime HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
        )
        assert answered.status == 405
        writer.write(b"no chunk\r\n")
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert await reader.read() == b""
        writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
