"""Which server is loaded, and from where."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from server.bench.load.errors import BenchError, BenchUsageError

__all__ = ["Target", "target_of"]

_TIMEOUT: Final = 10.0
_SOURCES: Final = 200  # local addresses: 127.0.1.1 and on
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True)
class Target:
    """``websocket``: the address for clients, ``http`` that of the server. ``address``: what it resolves to, ``loopback``
    if that is this machine by 127.0.0.0/8, so clients can have addresses of their own.
    """

    http: str
    websocket: str
    address: str
    port: int
    tokens: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether it is an address of this machine."""
        if ipaddress.ip_address(self.address).is_loopback:
            return True
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((self.address, 0))
            except OSError:
                return False
        return True

    @property
    def sources(self) -> list[str]:
        """Addresses that clients connect from, of which each has ports of its own; none: the one that the system takes."""
        if not self.address.startswith("127."):
            return []
        return [f"127.0.1.{number}" for number in range(1, _SOURCES + 1)]

    def check(self) -> dict[str, Any]:
        """The health of the server. Raises ``BenchError`` where it cannot be reached or is not ready, or is none."""
        url = f"{self.http}/health"
        try:
            answer = httpx.get(url, timeout=_TIMEOUT, headers=self._all_headers())
        except httpx.TransportError as wrong:
            reason = str(wrong) or type(wrong).__name__
            raise BenchError(f"{self.http} cannot be reached: {reason}. --url is the address of the server") from None
        try:
            health: dict[str, Any] = answer.json()
        except ValueError:
            health = {}
        if not isinstance(health, dict) or "status" not in health:
            if answer.status_code in (401, 403, 429):
                raise BenchError(f"{url} answers with {answer.status_code}: {_detail(health)}")
            raise BenchError(f"{url} answers with {answer.status_code}, and not as a Realtime server does")
        if answer.status_code != httpx.codes.OK:
            raise BenchError(f"the server at {self.http} is not ready: its health is {json.dumps(health['status'])}")
        return health

    def _all_headers(self) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self.tokens[0]}"} if self.tokens else {}
        return {**self.headers, **token}


def _detail(problem: object) -> str:
    return str(problem.get("detail", "refused")) if isinstance(problem, dict) else "refused"


def target_of(url: str, tokens: tuple[str, ...] = (), api_key: str | None = None) -> Target:
    """The target at ``url``, with http, https, ws or wss. Raises ``BenchUsageError`` or ``BenchError``."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BenchUsageError(f"--url {url} is no address of a server: write http://HOST:PORT, or https://HOST")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise BenchUsageError(f"--url {url} has a port that is none") from None
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as wrong:
        raise BenchError(f"{parts.hostname} has no address: {wrong.strerror or wrong}") from None
    # An IPv4 address is taken if there is one: 127.0.0.0/8 has more than one of this machine.
    addresses = sorted((str(each[4][0]) for each in found), key=lambda address: ":" in address)
    secure = parts.scheme in ("https", "wss")
    path = parts.path.rstrip("/").removesuffix("/realtime")
    host = addresses[0] if addresses[0].startswith("127.") and not secure else parts.hostname
    authority = f"{f'[{host}]' if ':' in host else host}:{port}"
    return Target(
        http=f"{'https' if secure else 'http'}://{authority}{path}",
        websocket=f"{'wss' if secure else 'ws'}://{authority}{path}/realtime",
        address=addresses[0],
        port=port,
        tokens=tokens,
        headers={"apikey": api_key} if api_key else {},
    )
