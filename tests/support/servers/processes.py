"""The server as a process of its own, with ways to wait for it: its first line, its health, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers.preloaded import NAMESPACE, ROOT, Forked, fork

__all__ = ["GIVE_UP_AFTER", "ROOT", "ServerProcess", "serving", "start"]

GIVE_UP_AFTER = 60  # seconds after which a test gives up; nothing is expected to take that much time


class ServerProcess:
    """``realtime COMMAND …`` on a port of its own. With ``tls`` its clients trust the file that SSL_CERT_FILE names.

    ``host``: its address here, which is another one if it is in another network.
    """

    host = "127.0.0.1"

    def __init__(self, process: Process | Forked, port: int, *, tls: bool = False) -> None:
        self.process = process
        self.port = port
        self._tls = "s" if tls else ""
        self.lines: list[str] = []
        self._drain = asyncio.create_task(self._read())

    @property
    def url(self) -> str:
        return f"http{self._tls}://{self.host}:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws{self._tls}://{self.host}:{self.port}/realtime"

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    async def health(self, key: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(timeout=GIVE_UP_AFTER / 2) as http:
            answer = await http.get(f"{self.url}/health", headers=headers)
        return answer.status_code, answer.json()

    async def healthy(self, code: int = 200) -> dict[str, Any]:
        """Wait until ``/health`` answers with ``code``."""
        pause = 0.02
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                try:
                    status, body = await (self.health() if self._tls else self._asked_plainly())
                except (httpx.TransportError, OSError, EOFError):
                    status, body = 0, {}
                if status == code:
                    return body
                assert self.process.returncode is None, f"the server has ended: {''.join(self.lines)}"
                await asyncio.sleep(pause)
                pause = min(1.25 * pause, 0.1)

    async def _asked_plainly(self) -> tuple[int, dict[str, Any]]:
        """The same as ``health()`` without a client of HTTP, which takes ten times as much of a processor; most starts of
        servers are waited for with dozens of questions.
        """
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            return int(head.split(maxsplit=2)[1]), json.loads(await reader.read())
        finally:
            writer.close()

    async def connections(self, count: int) -> None:
        """Wait until so many clients are connected."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while (await self.health())[1]["connections"] != count:  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.02)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the process to end; returns its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(GIVE_UP_AFTER):
            code = await self.process.wait()
            await self._drain
        return code


async def start(
    *arguments: str,
    port: int,
    config: dict[str, object] | None = None,
    module: str = "server",
    preloaded: bool = True,
    tree: Path | None = None,
    namespace: Path | None = None,
) -> ServerProcess:
    """Start ``realtime`` (or another ``module`` like it) with ``arguments``; ``config`` goes into its environment.

    ``preloaded``: as a fork of a process that has loaded its modules, which is fast. One that is measured is a process
    of its own: a fork copies the pages of memory that it writes to, and shares the others. ``tree``: of another version.
    ``namespace``: of the network that it is in.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REALTIME_")}
    for name, value in ({"drain_time": "0", "workers": "1"} | (config or {})).items():  # tests of them set them
        environment[f"REALTIME_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    arguments = (*arguments, "--port", str(port))
    tls = "tls_certificate" in (config or {})
    if preloaded and module == "server" and tree is None:
        if namespace is not None:
            environment[NAMESPACE] = str(namespace)
        return ServerProcess(await fork(arguments, environment), port, tls=tls)
    if tree is not None:
        environment["PYTHONPATH"] = str(tree)
    within = () if namespace is None else ("nsenter", f"--net={namespace}")
    process = await asyncio.create_subprocess_exec(
        *within,
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=tree or ROOT,
        env=environment,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    return ServerProcess(process, port, tls=tls)


@asynccontextmanager
async def serving(dsn: str, port: int, **config: object) -> AsyncIterator[ServerProcess]:
    """``realtime serve`` over ``dsn``, ready to be used."""
    async with _ending(await start("serve", "--dsn", dsn, port=port, config=config)) as server:
        yield server


@asynccontextmanager
async def serving_measured(dsn: str, port: int, **config: object) -> AsyncIterator[ServerProcess]:
    """The same for benchmarks: a process as a user starts it."""
    async with _ending(await start("serve", "--dsn", dsn, port=port, config=config, preloaded=False)) as server:
        yield server


@asynccontextmanager
async def _ending(server: ServerProcess) -> AsyncIterator[ServerProcess]:
    try:
        await server.healthy()
        yield server
    finally:
        await server.end()
