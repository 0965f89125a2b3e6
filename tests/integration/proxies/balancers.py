"""nginx and HAProxy with the files of deploy/proxies, filled with the addresses of a test, and two nodes behind them."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.installed import installed
from tests.support.servers.processes import GIVE_UP_AFTER, ROOT, ServerProcess, serving
from tests.support.values.certificates import Authority

__all__ = ["FILES", "PROXY", "Behind", "behind"]

FILES: Final = ROOT / "deploy" / "proxies"
PROXY: Final = "127.0.0.9"
"""The address from which the proxy connects to the nodes; the clients have others."""

_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/answers;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {file};
}}
"""


@dataclass
class Behind:
    """``nodes`` by their ids; ``port`` is the proxy's."""

    port: int
    nodes: Mapping[str, ServerProcess]
    authority: Authority

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def client(self, address: str) -> httpx.AsyncClient:
        """HTTP through the proxy, from an address of this machine (127.0.0.0/8)."""
        transport = httpx.AsyncHTTPTransport(verify=self.authority.client(), local_address=address)
        return httpx.AsyncClient(base_url=self.url, timeout=GIVE_UP_AFTER, transport=transport)


@asynccontextmanager
async def behind(name: str, dsn: str, authority: Authority, **config: Any) -> AsyncIterator[Behind]:
    """Two nodes behind the proxy whose file is ``name``. They have slots of their own."""
    program = installed(name.partition(".")[0].partition("-")[0])
    async with AsyncExitStack() as stack:
        nodes = {}
        for _ in range(2):
            slot = slot_name()
            options = {"slot_name": slot, "node_name": slot, "ephemeral": True, "trusted_proxies": PROXY, **config}
            nodes[slot] = await stack.enter_async_context(serving(dsn, free_port(), **options))
        port = free_port()
        process = _started(program, _filled(name, authority, port, [each.port for each in nodes.values()]))
        stack.callback(_stopped, process)
        made = Behind(port, nodes, authority)
        await _answers(made, process)
        yield made


def _filled(name: str, authority: Authority, port: int, nodes: list[int]) -> Path:
    """The file with other addresses and certificates; what starts the program with it."""
    folder = authority.file.parent
    chain, key = authority.certify()
    text = (FILES / name).read_text()
    for number, node in enumerate(nodes, 1):
        source = f" source {PROXY}" if name.startswith("haproxy") else ""
        text, found = re.subn(rf"\b10\.0\.0\.{number}:8000\b", f"127.0.0.1:{node}{source}", text)
        assert found, f"{name} has no node {number}"
    if name.startswith("haproxy"):
        both = folder / "both.pem"
        both.write_bytes(chain.read_bytes() + key.read_bytes())
        text = text.replace("/etc/haproxy/realtime.pem", str(both)).replace("bind :443", f"bind 127.0.0.1:{port}")
        text = text.replace("maxconn 100000", "maxconn 200")  # as many files as a test may open
    else:
        text = text.replace("/etc/nginx/realtime.pem", str(chain)).replace("/etc/nginx/realtime.key", str(key))
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("proxy_http_version", f"proxy_bind {PROXY};\n  proxy_http_version")
    file = folder / name
    file.write_text(text)
    if name.startswith("haproxy"):
        return file
    main = folder / "main.conf"
    main.write_text(_NGINX.format(folder=folder, file=file))
    return main


def _started(program: str, file: Path) -> subprocess.Popen[bytes]:
    if program.endswith("haproxy"):
        return subprocess.Popen([program, "-db", "-q", "-f", str(file)])
    user = ["-g", "user root;"] if os.geteuid() == 0 else []  # the folder is the test's alone
    return subprocess.Popen([program, "-e", "stderr", "-p", str(file.parent), "-c", str(file), *user])


def _stopped(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(GIVE_UP_AFTER)


async def _answers(made: Behind, process: subprocess.Popen[bytes]) -> None:
    """Wait until the proxy passes requests on."""
    async with asyncio.timeout(GIVE_UP_AFTER), made.client("127.0.0.1") as http:
        while True:
            try:
                if (await http.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                assert process.poll() is None, "the proxy has ended"
            await asyncio.sleep(0.05)
