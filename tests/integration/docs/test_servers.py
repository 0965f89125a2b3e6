"""Commands of pages that start a server for good, or speak to one: run by bash as their reader runs them, in a session of
their own, until the server has done what the page states.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import transport_client
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port
from tests.support.servers.collector import collecting
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

TRACING, WORKERS = "docs/operations/tracing.md", "docs/operations/workers.md"


@asynccontextmanager
async def typed(command: str, dsn: str, **settings: str) -> AsyncIterator[ServerProcess]:
    """The server that ``command`` starts, once it is healthy."""
    port = free_port()
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REALTIME_", "OTEL_"))}
    given = {"DSN": dsn, "PORT": str(port), "SLOT_NAME": slot_name(), "EPHEMERAL": "true", "LOG_FORMAT": "json"}
    given |= {"DRAIN_TIME": "0", "TRUST_USER_PARAMETER": "true"}
    environment |= {f"REALTIME_{name}": value for name, value in given.items()} | settings
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    shell = ("env", "--default-signal=HUP", "bash", "-c", command)  # the tests may run under nohup(1)
    process = await asyncio.create_subprocess_exec(
        *shell, env=environment, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    server = ServerProcess(process, port)
    try:
        await server.healthy()
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await server.end()


def events(server: ServerProcess, name: str) -> list[dict[str, object]]:
    found = (json.loads(line) for line in server.lines if f'"{name}"' in line)
    return [event for event in found if event["event"] == name]


async def logged(server: ServerProcess, name: str, count: int = 1) -> None:
    async with asyncio.timeout(4 * GIVE_UP_AFTER):  # four processes start, one after the other
        while len(events(server, name)) < count:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [0, 1], ids=["a_part_of_all", "all_to_jaeger"])
async def test_a_server_sends_traces(number: int, database: str) -> None:
    """Packages and the container of the page are there already: the collector of the tests stands for it."""
    shown = [
        line for block in blocks("sh", page=TRACING) for line in block.text.splitlines() if "realtime serve" in line
    ]
    assert len(shown) == 2
    async with collecting() as collector:
        command = shown[number].replace("http://localhost:4318", collector.url)
        assert command != shown[number]
        async with (
            typed(command, database, OTEL_BSP_SCHEDULE_DELAY="50") as server,
            transport_client(server.url, "websocket", user="ada") as ada,
        ):
            await ada.join("chat:1")
            for each in range(100):
                await ada.ask(type="message", channel="chat:1", event="e", data=each, id=f"m-{each}")
            wanted = 1 if number == 0 else 100
            spans = await collector.until(lambda spans: sum(span.name == "publish" for span in spans) >= wanted)
        published = sum(span.name == "publish" for span in spans)
        assert published == 100 if number == 1 else 0 < published < 40
        assert {span.resource["service.name"] for span in spans} == {"bunbase-realtime"}


async def test_workers_are_started_and_restarted_one_after_the_other(database: str, tmp_path: Path) -> None:
    start, restart = [block.text for block in blocks("sh", page=WORKERS)]
    async with typed(start, database) as server:
        await logged(server, "worker_ready", 4)
        # On this machine other servers may run, which the page's command would find: it looks at this session alone.
        session = os.getsid(server.process.pid)
        (tmp_path / "pgrep").write_text(f'#!/bin/sh\nexec /usr/bin/pgrep -s {session} "$@"\n')
        (tmp_path / "pgrep").chmod(0o755)
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        sent = await asyncio.create_subprocess_exec("bash", "-c", restart, env=environment)
        assert await sent.wait() == 0
        await logged(server, "workers_restarted")
        assert len({each["pid"] for each in events(server, "worker_ready")}) == 8
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from realtime.nodes").fetchall() == [(0,)]
