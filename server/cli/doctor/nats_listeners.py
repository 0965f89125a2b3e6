"""``realtime doctor``: the other listeners of a NATS server, as far as they are reached from here at their usual ports.

Rule: the first line of a listener for servers or leaf nodes names its terms (``INFO``, docs.nats.io, "Client protocol").
One for servers that demands TLS sends nothing before it, and always asks for a certificate. One for leaf nodes always claims
to ask for a password, so it is tried whether that is so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final

from server.cli.doctor.finding import Finding

__all__ = ["CLUSTER", "LEAF", "MONITORING", "listener_findings"]

CLUSTER: Final = 6222
LEAF: Final = 7422
MONITORING: Final = 8222
_TIMEOUT: Final = 1.0  # seconds for a connection, and for its first line
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


async def listener_findings(
    name: str, host: str, ports: tuple[int, int, int] = (CLUSTER, LEAF, MONITORING)
) -> list[Finding]:
    """Of the listeners for servers, leaf nodes and monitoring. One that is not reached is none."""
    cluster, leaf, monitoring = ports
    return [
        *_of_cluster(f"{name}: its listener for servers (port {cluster})", await _info(host, cluster)),
        *await _of_leaf(f"{name}: its listener for leaf nodes (port {leaf})", host, leaf),
        *await _of_monitoring(f"{name}: its monitoring (port {monitoring})", host, monitoring),
    ]


def _of_cluster(name: str, info: Mapping[str, Any] | None) -> Iterator[Finding]:
    if info is None or info.get("tls_required"):
        return
    remedy = "Add tls and authorization to its cluster block; `realtime nats-config` writes one."
    yield Finding("problem", f"{name} does not demand TLS, so rows travel in clear text", remedy)
    if not info.get("auth_required"):
        yield Finding("problem", f"{name} lets in any server, which may then read every row", remedy)


async def _of_leaf(name: str, host: str, port: int) -> list[Finding]:
    info = await _info(host, port)
    if info is None:
        return []
    if not info.get("tls_required"):
        return [Finding("problem", f"{name} does not demand TLS", "Add tls to its leafnodes block, or remove that.")]
    if not await _lets_in_any_leaf(host, port):
        return []
    remedy = "Give it users with passwords (authorization in its configuration); `realtime nats-config` writes them."
    return [Finding("problem", f"{name} lets in any server, which may then read every row", remedy)]


async def _lets_in_any_leaf(host: str, port: int) -> bool:
    """Whether one without a password is accepted. It is closed at once, and has asked for no subject."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE  # nothing is sent that has to be hidden
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(3 * _TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await reader.readline()
                await writer.start_tls(unchecked)
                writer.write(b'CONNECT {"name":"realtime doctor"}\r\nPING\r\n')
                while line := await reader.readline():
                    if line.startswith((b"PONG", b"-ERR")):
                        return line.startswith(b"PONG")
            finally:
                writer.transport.abort()
    return False


async def _of_monitoring(name: str, host: str, port: int) -> list[Finding]:
    if host in _LOOPBACK:
        return []  # for programs of this machine, as it should be
    first = await _first_line(host, port, b"GET /varz HTTP/1.0\r\n\r\n")
    if not first.startswith(b"HTTP/"):
        return []
    remedy = 'Let it listen on the machine alone: https: "127.0.0.1:8222". NATS has no password for it.'
    return [Finding("warn", f"{name} answers anyone who reaches it", remedy)]


async def _info(host: str, port: int) -> Mapping[str, Any] | None:
    """The terms of a listener; None: there is none, or it begins with TLS."""
    line = await _first_line(host, port)
    if line.startswith(b"INFO "):
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(line[5:])
            return found
    return None


async def _first_line(host: str, port: int, request: bytes = b"") -> bytes:
    """Empty: nothing came."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return b""
    try:
        writer.write(request)
        async with asyncio.timeout(_TIMEOUT):
            return await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return b""
    finally:
        writer.close()
