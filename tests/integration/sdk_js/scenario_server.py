"""What the scenarios in JavaScript are given: a server, and an address where they can ask for SQL and for accidents."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from asyncio.subprocess import STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.support.browsers import browser_environment, need
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, start

ROOT = Path(__file__).parents[3]
SCENARIOS = Path(__file__).parent / "scenarios"
SDK = ROOT / "sdk" / "js"
KEY = "key-of-the-rest-api"

TABLES = """
create table messages (
  id bigint generated always as identity primary key,
  room_id text not null,
  body text not null,
  created_at timestamptz not null default clock_timestamp()
);
select realtime.expose('messages', camel_case => true);
update realtime.channel_defaults set presence_timeout = '1 hour'
"""
"""A client that loses its connection is back within the presence timeout, however busy the machine is."""


def npm(script: str, package: Path = SDK) -> None:
    """Run a script of a package, the SDK's by default; fails with what it reported if it fails."""
    done = subprocess.run(["npm", "run", "--silent", script], cwd=package, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


class ScenarioServer:
    """A server over ``dsn``, started again whenever a scenario asks."""

    def __init__(self, dsn: str, config: dict[str, object]) -> None:
        self.dsn = dsn
        self.port = free_port()
        self.control = ""
        self._config = {"slot_name": slot_name(), "trust_user_parameter": True, "rest_key": KEY} | config
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def begin(self) -> None:
        """Returns when the server is ready."""
        self._server = await start("serve", "--dsn", self.dsn, port=self.port, config=self._config)
        await self._server.healthy()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Returns when the server is gone."""
        if self._server is not None:
            await self._server.end(how)
            self._server = None

    @property
    def log(self) -> str:
        return "" if self._server is None else "".join(self._server.lines)

    async def obey(self, order: str, body: str) -> Any:
        """What a scenario asks for."""
        if order == "sql":
            return await asyncio.to_thread(self._sql, body)
        orders: dict[str, Callable[[], Awaitable[None]]] = {
            "start": self.begin,
            "stop": self.end,
            "kill": lambda: self.end(signal.SIGKILL),
            "freeze": lambda: self._signal(signal.SIGSTOP),
            "thaw": lambda: self._signal(signal.SIGCONT),
        }
        await orders[order]()
        return None

    async def _signal(self, what: signal.Signals) -> None:
        assert self._server is not None
        self._server.process.send_signal(what)

    def _sql(self, text: str) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return [] if cursor.description is None else [list(map(str, row)) for row in cursor.fetchall()]


@asynccontextmanager
async def scenario_server(dsn: str, **config: object) -> AsyncIterator[ScenarioServer]:
    """A server with the table ``messages``, and the address for orders: ``POST /sql`` and so on."""
    need((SDK / "node_modules" / "esbuild").exists(), "the packages of sdk/js are not installed")
    need(shutil.which("node") is not None, "Node is not installed")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLES)
    one = ScenarioServer(dsn, config)
    orders = await asyncio.start_server(lambda reader, writer: _answer(one, reader, writer), "127.0.0.1", free_port())
    one.control = f"http://127.0.0.1:{orders.sockets[0].getsockname()[1]}"
    try:
        await one.begin()
        yield one
    finally:
        await one.end()
        orders.close()


async def _answer(one: ScenarioServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request of HTTP/1.1, as ``fetch`` sends it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    body = (await reader.readexactly(length)).decode()
    try:
        status, answer = "200 OK", await one.obey(head.split()[1].strip("/"), body)
    except Exception as error:  # noqa: BLE001 - the scenario is notified, and fails
        status, answer = "500 Internal Server Error", repr(error)
    text = json.dumps(answer).encode()
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(text)}",
        "Access-Control-Allow-Origin: *",
        "Connection: close",
    )
    writer.write("\r\n".join((*lines, "", "")).encode() + text)
    await writer.drain()
    writer.close()


async def play(one: ScenarioServer, *command: str, **environment: str) -> None:
    """Run a scenario with Node; fails with all it reported if it fails."""
    given = {"REALTIME_URL": one.url, "CONTROL_URL": one.control, "REST_KEY": KEY} | browser_environment()
    with tempfile.TemporaryFile("w+") as report:
        process = await asyncio.create_subprocess_exec(
            "node",
            "--test",
            "--test-force-exit",
            *command,
            stdout=report,
            stderr=STDOUT,
            cwd=SDK,
            env=os.environ | given | environment,
            start_new_session=True,
        )
        done = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(3 * GIVE_UP_AFTER):
                    await process.wait()
                    done = True
        finally:
            if not done:
                await _end(process)
        report.seek(0)
        assert done, f"given up:\n{report.read()}\n{one.log}"
        assert process.returncode == 0, f"{report.read()}\n{one.log}"


async def _end(scenario: asyncio.subprocess.Process) -> None:
    """A scenario, and its browser in a process group of its own, which Playwright ends upon SIGTERM."""
    group = scenario.pid
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        await scenario.wait()
        deadline = time.monotonic() + GIVE_UP_AFTER
        while time.monotonic() < deadline:
            os.killpg(group, 0)  # raises when no process of the group is left
            await asyncio.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    await scenario.wait()
