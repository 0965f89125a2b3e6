"""Programs that do not close their client and fail: they show their own failure once, and nothing else."""

from __future__ import annotations

import asyncio
import signal
import sys
from textwrap import indent

import pytest

from tests.support.fakes.server import fake_server
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER

PROGRAM = """
import asyncio
import os
import signal
from bunbase import Realtime

async def main():
    realtime = Realtime("{url}", transports=["{transport}"])
{body}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without
asyncio.run(main())
"""

IN_USER_CODE = """
await realtime.connect()
raise ZeroDivisionError("mine")
"""
REFUSED = """
async for snapshot in realtime.database().collection("none").snapshots():
    pass
"""
REFUSED_ONCE = """
await realtime.database().collection("none").get()
"""
BESIDE_A_LISTENER = """
channel = realtime.channel("chat:1")
at_work = asyncio.Event()

async def listener():
    at_work.set()
    await asyncio.sleep(60)

channel.on("subscribed", listener)
channel.on("subscribed", listener)
await channel.subscribe()
await at_work.wait()
raise ZeroDivisionError("mine")
"""
BEFORE_A_LISTENER_BEGINS = """
async def listener():
    await asyncio.sleep(60)

channel = realtime.channel("chat:1")
channel.on("subscribed", listener)
await channel.subscribe()
raise ZeroDivisionError("mine")
"""
WHILE_IT_CONNECTS = """
connecting = asyncio.create_task(realtime.connect())
while realtime.status.reason is None:
    await asyncio.sleep(0)
raise ZeroDivisionError("mine")
"""
GIVEN_UP = """
await Realtime("{url}", max_reconnect_attempts=0).connect()
"""
INTERRUPTED = """
channel = await realtime.channel("chat:1").subscribe()
asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
async for message in channel.messages():
    pass
"""
ENDS = """
await realtime.channel("chat:1").subscribe()
"""


async def run(url: str, transport: str, body: str) -> tuple[int, str]:
    """How the program ends, and what it writes to standard error."""
    program = PROGRAM.format(url=url, transport=transport, body=indent(body.format(url=url), "    "))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "always", "-c", program, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(GIVE_UP_AFTER):
        _, shown = await process.communicate()
    assert process.returncode is not None
    return process.returncode, shown.decode()


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
@pytest.mark.parametrize(
    ("body", "last"),
    [
        (IN_USER_CODE, "ZeroDivisionError: mine"),
        (REFUSED, "RT_007: there is none"),
        (REFUSED_ONCE, "RT_007: there is none"),
        (BESIDE_A_LISTENER, "ZeroDivisionError: mine"),
        (BEFORE_A_LISTENER_BEGINS, "ZeroDivisionError: mine"),
    ],
    ids=["in user code", "refused", "refused get", "beside a listener", "before a listener begins"],
)
async def test_a_failure_is_shown_once_and_nothing_of_the_client(transport: str, body: str, last: str) -> None:
    async with fake_server() as server:
        code, shown = await run(server.url, transport, body)
        assert shown.startswith("Traceback (most recent call last):\n"), shown
        assert shown.count("Traceback") == 1, shown
        assert last in shown.splitlines()[-1], shown
        assert code == 1
        await server.left_alone()


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_an_interrupted_program_shows_where_it_was_and_nothing_of_the_client(transport: str) -> None:
    async with fake_server() as server:
        code, shown = await run(server.url, transport, INTERRUPTED)
        assert shown.startswith("Traceback (most recent call last):\n"), shown
        assert "Task" not in shown
        assert shown.splitlines()[-1] == "KeyboardInterrupt", shown
        assert code == -signal.SIGINT
        await server.left_alone()


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_a_program_that_just_ends_shows_nothing(transport: str) -> None:
    async with fake_server() as server:
        assert await run(server.url, transport, ENDS) == (0, "")
        await server.left_alone()


@pytest.mark.parametrize(
    ("body", "last"),
    [(WHILE_IT_CONNECTS, "ZeroDivisionError: mine"), (GIVEN_UP, "RT_001: no connection to ")],
    ids=["while it connects", "given up"],
)
async def test_without_a_server_the_failure_is_shown_once(body: str, last: str) -> None:
    code, shown = await run(f"http://127.0.0.1:{free_port()}", "websocket", body)
    assert shown.count("Traceback") == 1, shown
    assert "Task" not in shown
    assert last in shown.splitlines()[-1], shown
    assert code == 1
