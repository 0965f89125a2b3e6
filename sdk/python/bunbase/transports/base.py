"""The interface of transports: messages out, messages in, and the time of the last received data."""

from __future__ import annotations

import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

from bunbase.protocol.codec import Format
from bunbase.protocol.expected import expect_header

__all__ = ["KEY_VARIABLE", "URL_VARIABLE", "Address", "Transport", "given_or_set", "retry_after_of"]

Message = dict[str, Any]

URL_VARIABLE = "BUNBASE_REALTIME_URL"
"""The variable of the environment with the server's address, for clients that are not given one."""
KEY_VARIABLE = "BUNBASE_REALTIME_KEY"
"""That with the key: of the application, or of the REST API on servers."""


@dataclass(frozen=True, slots=True)
class Address:
    """The server's address, and the parameters of every opening request.

    ``url`` may be ``http``, ``https``, ``ws`` or ``wss``, with or without ``/realtime`` at its end.
    """

    url: str = field(repr=False)  # it may have a password in it
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    format: Format = "json"
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (problem := _problem_of(self.url)) is not None:
            raise ValueError(
                f"url: {self.url!r} {problem}; give an address such as 'https://realtime.example.com', "
                f"or set {URL_VARIABLE}"
            )
        for name, value in self.headers.items():
            expect_header(f"headers.{name}", value)
        if self.format not in get_args(Format):
            raise ValueError(f"format: {self.format!r}; known are {', '.join(get_args(Format))}")

    @property
    def http(self) -> str:
        """The address of the HTTP endpoints, up to ``/realtime``."""
        parts = urlsplit(self.url)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        return f"{scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/realtime')}/realtime"

    @property
    def shown(self) -> str:
        """``http`` for logs and messages: without a password."""
        return re.sub("//[^/]*@", "//", self.http)

    @property
    def authorization(self) -> dict[str, str]:
        """The header of the opening request that carries the token."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    @property
    def websocket(self) -> str:
        """The address of the WebSocket, parameters included."""
        parameters = dict(self.parameters)
        if self.format == "msgpack":
            parameters["format"] = "msgpack"
        return "ws" + self.http.removeprefix("http") + (f"?{urlencode(parameters)}" if parameters else "")


def given_or_set(url: str | None, api_key: str | None) -> tuple[str, str | None]:
    """The address and the key: as given, or of the environment; without one, the address is that of ``realtime dev``.

    Raises:
        TypeError: one of them is no string. The message does not repeat it: it may be a key.
    """
    for name, value in (("url", url), ("api_key", api_key)):
        if not isinstance(value, str | None):
            raise TypeError(f"{name}: give a string, not {type(value).__name__}")
    return (
        os.environ.get(URL_VARIABLE) or "http://localhost:8000" if url is None else url,
        os.environ.get(KEY_VARIABLE) or None if api_key is None else api_key,
    )


def _problem_of(url: str) -> str | None:
    """Why ``url`` is no address of a server."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or "//" not in url:
            return "does not begin with http://, https://, ws:// or wss://"
        if not parts.hostname or re.search(r"\s", url):
            return "has no host" if not parts.hostname else "has a space in it"
        if parts.port == 0:
            return "has no port that can be connected to"
    except ValueError as error:  # of the port, or of brackets of an IPv6 address
        return f"cannot be read ({error})"
    return None


def retry_after_of(headers: Mapping[str, str]) -> float:
    """The seconds in ``Retry-After``; 0 without it. Dates, which this server never sends, are ignored."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


class Transport(ABC):
    """One connection. All methods raise ``ConnectionEndedError`` when it cannot be opened, or has ended."""

    name: str

    def __init__(self, address: Address, timeout: float) -> None:
        """``timeout``: seconds without any sign of life after which a single request is given up."""
        self._address = address
        self._timeout = timeout
        self._silence = timeout
        self.received_at = time.monotonic()

    @abstractmethod
    async def open(self) -> None:
        """Connect. The server's first message is ``connected``."""

    @abstractmethod
    async def send(self, messages: list[Message]) -> None:
        """Send messages in this order; returns when they have been written."""

    @abstractmethod
    async def receive(self) -> list[Message]:
        """Wait for the next messages."""

    async def leave(self) -> None:  # noqa: B027 - closing does it for most
        """Ask the server to end the connection for good, where closing it does not do that. ``close`` follows."""

    @abstractmethod
    async def close(self, *, leave: bool) -> None:
        """End the connection; never raises, and does not wait for a dead peer.

        ``leave``: for good, so that other clients see it at once; ``leave`` was called before. Else as if it had broken.
        """

    def configure(self, connected: Message, silence: float) -> None:
        """The ``connected`` message arrived. ``silence``: seconds without a sign of life that mean a dead connection."""
        self._silence = silence

    def _received(self) -> None:
        self.received_at = time.monotonic()
