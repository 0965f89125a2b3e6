"""The proxy does what it is ordered, also as a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio

from tests.faultproxy.proxy import FaultProxy
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER, ROOT

Ends = tuple[StreamReader, StreamWriter]
Connect = Callable[[int], Awaitable[Ends]]


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = asyncio.Event()
        self.port = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                self.got += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the proxy reset the connection, as it was ordered
        finally:
            self.ended.set()
            writer.close()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(GIVE_UP_AFTER):
        yield echo
    server.close()


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects to a port of this machine; the connections are closed at the end of the test."""
    opened: list[Ends] = []

    async def connect(port: int) -> Ends:
        opened.append(await asyncio.open_connection("127.0.0.1", port))
        return opened[-1]

    yield connect
    for _, writer in opened:
        writer.close()


async def echo_of(ends: Ends, data: bytes) -> bytes:
    """Send something, and return the answer: as long as that, or what came before the end."""
    reader, writer = ends
    writer.write(data)
    try:
        return await reader.readexactly(len(data))
    except asyncio.IncompleteReadError as short:
        return short.partial
    except ConnectionError:
        return b""


async def test_bytes_pass_and_a_cut_ends_the_connection_on_both_sides(echo: Echo, connect: Connect) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        ends = await connect(proxy.port)
        assert await echo_of(ends, b"hello") == b"hello"
        proxy.cut()
        assert await echo_of(ends, b"again") == b""
        await echo.ended.wait()
        assert await echo_of(await connect(proxy.port), b"new") == b"new"


async def test_a_truncated_answer_is_half_of_it(echo: Echo, connect: Connect) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        ends = await connect(proxy.port)
        await echo_of(ends, b"hello")
        proxy.truncate()
        assert len(await echo_of(ends, b"12345678")) < 8


async def test_on_a_half_open_connection_nothing_arrives_and_nothing_ends(echo: Echo, connect: Connect) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        ends = await connect(proxy.port)
        await echo_of(ends, b"hello")
        proxy.half_open()
        ends[1].write(b"lost")
        other = await connect(proxy.port)
        assert await echo_of(other, b"new") == b"new"
        assert echo.got == b"hellonew"
        assert not ends[0].at_eof()
        proxy.heal()
        assert await echo_of(ends, b"over") == b""


async def test_a_lingering_connection_lives_on_towards_the_server(echo: Echo, connect: Connect) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        ends = await connect(proxy.port)
        await echo_of(ends, b"hello")
        proxy.linger(0.2)
        assert await echo_of(ends, b"gone") == b""
        assert not echo.ended.is_set()
        await echo.ended.wait()


async def test_blocked_and_refused_bytes_do_not_reach_the_server(echo: Echo, connect: Connect) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        proxy.blocked = (b"bad",)
        assert await echo_of(await connect(proxy.port), b"very bad") == b""
        assert await echo_of(await connect(proxy.port), b"good") == b"good"
        proxy.refuse = True
        assert await echo_of(await connect(proxy.port), b"good") == b""
        assert echo.got == b"good"


async def test_what_was_held_comes_after_the_release_and_ends_are_held_too(echo: Echo, connect: Connect) -> None:
    async with FaultProxy("127.0.0.1", echo.port) as proxy:
        ends, leaving = await connect(proxy.port), await connect(proxy.port)
        await echo_of(ends, b"hello")
        await echo_of(leaving, b"bye")
        proxy.hold(up=False)
        ends[1].write(b"up")
        await until(lambda: echo.got == b"hellobyeup")
        proxy.hold(down=False)
        ends[1].write(b"late")
        leaving[1].transport.abort()
        new = asyncio.create_task(echo_of(await connect(proxy.port), b"new"))
        await until(lambda: proxy.accepted == 3)
        assert (echo.got, echo.ended.is_set(), new.done()) == (b"hellobyeup", False, False)
        proxy.release()
        assert await ends[0].readexactly(6) == b"uplate"
        assert await new == b"new"
        await echo.ended.wait()


async def test_a_lost_chunk_is_late_by_timeouts_of_tcp_that_double(echo: Echo) -> None:
    proxy = FaultProxy("127.0.0.1", echo.port, seed=1)
    assert {proxy.late() for _ in range(10)} == {0.0}
    proxy.loss = 0.5
    late = {round(1000 * proxy.late()) for _ in range(100)}
    assert {0, 200, 200 + 400} <= late <= {200 * (2**times - 1) for times in range(6)}
    proxy.heal()
    assert {proxy.late() for _ in range(10)} == {0.0}


async def test_a_server_that_refuses_ends_the_connection_and_one_that_greets_is_not_waited_for(
    echo: Echo, connect: Connect
) -> None:
    async with FaultProxy("127.0.0.1", free_port()) as proxy:
        assert await echo_of(await connect(proxy.port), b"hello") == b""

    async def greet(_: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"greeting")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1], greets=True) as proxy:
        reader, _ = await connect(proxy.port)
        assert await reader.readexactly(8) == b"greeting"
    server.close()


async def test_the_process_takes_commands_over_its_control_port(echo: Echo, connect: Connect) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faultproxy", f"127.0.0.1:{echo.port}", cwd=ROOT, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        ports = json.loads(await process.stdout.readline())
        control = await connect(ports["control"])

        async def order_proxy(order: dict[str, Any]) -> dict[str, Any]:
            control[1].write(json.dumps(order).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await control[0].readline())
            return answer

        ends = await connect(ports["port"])
        assert await echo_of(ends, b"hello") == b"hello"
        assert await order_proxy({"do": "cut", "set": {"refuse": True}}) == {"ok": True, "open": 1, "accepted": 1}
        assert await echo_of(ends, b"again") == b""
        assert await echo_of(await connect(ports["port"]), b"new") == b""
        assert (await order_proxy({"set": {"colour": "red"}}))["ok"] is False
    finally:
        process.terminate()
        await process.wait()
