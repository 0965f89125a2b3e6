"""Clients without a WebSocket: what comes to them takes one connection, what they send others.

In a load such clients subscribe, and others publish. So they send seldom, and what they send in one turn of the event loop
has a request on a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from server.bench.load.clients.connection import Connection
from server.bench.load.clients.responses import NotHttpError, ResponseReader, refusal
from server.bench.load.clients.tally import Tally

__all__ = ["Endpoint", "HttpConnection"]

_TIMEOUT: Final = 60.0  # seconds for a request that is answered at once
_AT_ONCE: Final = asyncio.Semaphore(500)  # such requests of this process: a server's backlog of connections is finite


class _Connected(msgspec.Struct):
    session: str


class _Close(msgspec.Struct):
    code: int
    reason: str = ""


_connected = msgspec.json.Decoder(_Connected).decode
_close = msgspec.json.Decoder(_Close).decode


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, with which headers, and from which local address."""

    secure: bool
    host: str
    port: int
    authority: str
    path: str
    headers: Mapping[str, str]
    local: tuple[str, int] | None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str], local: tuple[str, int] | None) -> Endpoint:
        """``url``: that of the WebSocket, below which the addresses of the other transports are."""
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        port = parts.port or (443 if secure else 80)
        return cls(secure, parts.hostname or "", port, parts.netloc, parts.path, headers, local)

    def request(self, method: str, name: str, content: bytes | None = None, **headers: str) -> bytes:
        """The bytes of a request to ``PATH/name``."""
        named = {"Host": self.authority, **self.headers, **headers}
        if content is not None:
            named |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{method} {self.path}/{name} HTTP/1.1", *(f"{key}: {value}" for key, value in named.items())]
        return "\r\n".join([*lines, "", ""]).encode() + (content or b"")

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Open a connection. Raises ``OSError``."""
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, self.host, self.port, ssl=True if self.secure else None, local_addr=self.local
        )


class HttpConnection(Connection, asyncio.Protocol):
    """A client whose messages come in the bodies of responses; a transport asks for them, and reads them."""

    __slots__ = ("_sending", "_session", "_tasks", "_unsent", "endpoint", "responses", "tcp")
    endpoint: Endpoint

    def __init__(self, tally: Tally, number: int) -> None:
        super().__init__(tally, number)
        self.tcp: asyncio.Transport | None = None
        self.responses = ResponseReader(self.took, self.response_ended)
        self._session = ""
        self._unsent: list[bytes] = []
        self._sending = False
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what a transport does

    def ask(self) -> None:
        """The connection is open: ask for messages."""
        raise NotImplementedError

    def took(self, data: bytes) -> None:
        """A part of the body of a response has come."""
        raise NotImplementedError

    def response_ended(self) -> None:
        """A response has ended."""
        raise NotImplementedError

    # -- what a client does

    @property
    def ended(self) -> bool:
        """See the base."""
        return self.tcp is None and not self._tasks

    async def open(self, url: str, headers: dict[str, str], local: tuple[str, int] | None) -> None:
        """See the base."""
        self.endpoint = Endpoint.of(url, headers, local)
        await self.endpoint.connect(self)

    def send(self, message: bytes) -> None:
        """Send a message, in order; what is sent in one turn of the event loop, or during a request, goes together."""
        self._unsent.append(message)
        if not self._sending:
            self._sending = True
            self.begin(self._send_all())

    async def _send_all(self) -> None:
        while self._unsent:
            content = b'{"session":"%b","messages":[%b]}' % (self._session.encode(), b",".join(self._unsent))
            self._unsent = []
            await self.request("POST", "send", content, HTTPStatus.ACCEPTED)
        self._sending = False

    def close(self, *, clean: bool) -> None:
        """End the connection."""
        self.closing = True
        if self.tcp is not None:
            self.tcp.abort()

    def end(self, reason: str) -> None:
        """The server has ended it, or what it sends cannot be read."""
        self._closed(reason)
        self.close(clean=False)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something be done meanwhile."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def request(self, method: str, name: str, content: bytes, wanted: HTTPStatus) -> None:
        """A request on a connection of its own; another answer than ``wanted`` is counted as an error."""
        exchange = _Exchange(self.endpoint.request(method, name, content, Connection="close"))
        try:
            async with _AT_ONCE, asyncio.timeout(_TIMEOUT):
                await self.endpoint.connect(exchange)
                status, body = await exchange.answer
        except TimeoutError:
            self.failed(f"no answer to {method} {name} within {_TIMEOUT:g} s")
        except (OSError, NotHttpError) as wrong:
            self.failed(getattr(wrong, "strerror", None) or str(wrong))
        else:
            if status != wanted:
                self.failed(refusal(status, body))

    def event(self, body: bytes) -> None:
        """A message that is none of a channel."""
        if body.startswith(b'{"type":"connected"'):
            self._session = _connected(body).session
        elif body.startswith(b'{"type":"close"'):
            about = _close(body)
            return self.end(f"closed by the server: {about.code} {about.reason}".rstrip())
        return self._other(body)

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.tcp = cast("asyncio.Transport", transport)
        self.ask()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        try:
            self.responses.feed(data)
        except NotHttpError as wrong:
            self.end(str(wrong))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.tcp = None
        self.responses.closed()
        self._closed("connection lost")


class _Exchange(asyncio.Protocol):
    """One request and its ``answer``, which are the status and the body, on a connection that ends with it."""

    def __init__(self, request: bytes) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._request = request
        self._parts: list[bytes] = []
        self._responses = ResponseReader(self._parts.append, self._answered)
        self._tcp: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast("asyncio.Transport", transport)
        self._tcp.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._responses.feed(data)
        except NotHttpError as wrong:
            self._fail(wrong)

    def connection_lost(self, exc: Exception | None) -> None:
        self._responses.closed()
        self._fail(ConnectionError("connection lost"))

    def _answered(self) -> None:
        if not self.answer.done():
            self.answer.set_result((self._responses.status, b"".join(self._parts)))
        if self._tcp is not None:
            self._tcp.close()

    def _fail(self, wrong: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(wrong)
        if self._tcp is not None:
            self._tcp.abort()
