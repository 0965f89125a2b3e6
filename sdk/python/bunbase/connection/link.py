"""One connection: a transport with its reader, its writer and its heartbeat. Independent of channels.

Messages that concern the connection itself (``pong``, ``close``, ``reconnect``, about tokens) end here; the handler gets
the other ones.
The messages to send come from ``post`` (requests of this connection) and, if the link is the active one, from the handler.

Theory of operation
-------------------

A link goes through these states, and never back::

    NEW → OPENING → OPEN → ENDED

OPENING
    ``open`` connects and waits for ``connected``, at most ``connect_timeout`` seconds. If it
    raises, the transport is closed.
OPEN
    Three tasks run. The reader processes messages; the writer sends what the pacer allows, requests of this connection
    first; the heartbeat pings after a time of silence. ``moving`` is done once the server has asked the client to
    reconnect; the link goes on until it ends.
ENDED
    ``ended`` has the reason, of which the first one counts. No message is passed to the handler any more.

Invariants: the first message that the handler gets follows ``connected``. ``ended`` is set once, by the task that found
the end or by ``close``, and is never an exception. Pongs arrive in the order of the pings.

Callers: the connection manager opens, probes and closes; the subscription manager posts requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Protocol

from bunbase.connection.token_source import TokenSource
from bunbase.core.pacing import Pacer
from bunbase.protocol import codec
from bunbase.protocol.codes import CloseCode, ErrorCode
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports import Transport

__all__ = ["RETRY_LIMITED", "Heartbeat", "Link", "LinkHandler"]

Message = dict[str, Any]

_ANSWERS = frozenset(("ack", "authenticated", "error", "subscribed", "unsubscribed", "pong", "seen", "history"))
_OWN = frozenset(("pong", "close", "reconnect", "authenticated", "auth:expiring"))
_MAX_BATCH = 50
_DEFAULT_RATE = 100.0
_DEFAULT_SIZE = 128 * 1024  # bytes of one message
RETRY_LIMITED = 1.0  # seconds after which a server's bucket is full again


class LinkHandler(Protocol):
    """The owner of a link."""

    def received(self, link: Link, message: Message) -> None:
        """A message came."""

    def next_message(self, link: Link) -> Message | None:
        """The next message to send, if there is one."""


class Heartbeat(Protocol):
    """Seconds: ping after ``heartbeat_interval`` of silence, end the link after ``heartbeat_timeout`` more."""

    @property
    def heartbeat_interval(self) -> float:
        """See the class."""

    @property
    def heartbeat_timeout(self) -> float:
        """See the class."""

    @property
    def connect_timeout(self) -> float:
        """Seconds in which ``connected`` must arrive."""


class Link:
    """See the module. ``ended`` is done, with the reason, when the connection has ended."""

    def __init__(self, transport: Transport, times: Heartbeat, handler: LinkHandler, tokens: TokenSource) -> None:
        self.transport = transport
        self.connected: Message = {}
        self.pacer = Pacer(_DEFAULT_RATE)
        self.ended: asyncio.Future[ConnectionEndedError] = asyncio.get_running_loop().create_future()
        self.moving: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._message_size = _DEFAULT_SIZE
        self._times = times
        self._handler = handler
        self._tokens = tokens
        self._renewing: asyncio.Task[None] | None = None
        self._control: deque[Message] = deque()
        self._wake = asyncio.Event()
        self._pongs: deque[asyncio.Future[None]] = deque()
        self._probe = asyncio.Event()
        self._retry_after = (
            0.0  # seconds to wait before the next connection, as the server's error about this one has them
        )
        self._asking: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        """The transport's name."""
        return self.transport.name

    async def open(self) -> None:
        """Connect, and wait for ``connected``. Raises ``ConnectionEndedError``. If it fails, ``close`` must follow."""
        try:
            async with asyncio.timeout(self._times.connect_timeout):
                await self.transport.open()
                first = await self._first()
            self._greeted(first[0])
        except TimeoutError as error:
            raise self._failed(f"{self.name}: no answer in {self._times.connect_timeout:g} s") from error
        except BaseException:
            self._failed("it was not opened")
            raise
        for message in first[1:]:
            self._process(message)
        self._tasks = [asyncio.create_task(part()) for part in (self._read, self._write, self._beat)]

    def _failed(self, reason: str) -> ConnectionEndedError:
        """It has ended before it began: to close it is not to leave."""
        ended = ConnectionEndedError(reason)
        self._end(ended)
        return ended

    async def _first(self) -> list[Message]:
        """The first messages. An error, or the end, in place of ``connected`` is the reason why there is no connection."""
        error: Message = {}
        try:
            while True:
                first = await self.transport.receive()
                if not error and first[0].get("type") == "error":
                    error = first.pop(0)
                if first and first[0].get("type") == "close":
                    raise _ending(first[0])
                if first:
                    return first
        except ConnectionEndedError as ended:
            text, wait = str(error.get("message", ended)), error.get("retryAfter", ended.retry_after)
            raise ConnectionEndedError(text, ended.code, wait) from ended

    def post(self, *messages: Message) -> None:
        """Send a message on this connection, before those of the send queue."""
        self._control.extend(messages)
        self._wake.set()

    def wake(self) -> None:
        """The handler has messages to send."""
        self._wake.set()

    def probe(self) -> None:
        """Find out now whether the connection is alive."""
        self._probe.set()

    async def barrier(self, timeout: float) -> bool:
        """Wait until every message sent by the server so far is received; False on a timeout."""
        pong = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self.post({"type": "ping"})
        done, _ = await asyncio.wait({pong, self.ended}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return pong in done

    async def close(self) -> None:
        """End the connection. Unless it has ended by itself, other clients see this client leave."""
        leave = not self.ended.done()
        self._end(ConnectionEndedError("closed by this side", CloseCode.NORMAL))
        try:
            if leave:
                await self.transport.leave()  # before the reader is cancelled: an event stream ends by that, as if lost
            tasks = [*self._tasks, *(task for task in (self._asking, self._renewing) if task is not None)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self.transport.close(leave=leave)

    def _greeted(self, message: Message) -> None:
        if message.get("type") != "connected":
            raise ConnectionEndedError(
                f"{self.name}: the server began with {message.get('type')!r}, not with connected"
            )
        self.connected = message
        interval = float(message.get("pingInterval", 25_000)) / 1000
        self.silence = interval + self._times.heartbeat_timeout
        self.transport.configure(message, self.silence)
        limits = message.get("limits", {})
        self._message_size = int(limits.get("messageSize", _DEFAULT_SIZE))
        rate = float(limits.get("messagesPerSecond", _DEFAULT_RATE))
        self.pacer = Pacer(rate)

    async def _read(self) -> None:
        try:
            while True:
                for message in await self.transport.receive():
                    self._process(message)
        except ConnectionEndedError as ended:
            self._end(ended)
        except Exception as error:  # noqa: BLE001 - reported; a connection with an invalid server message ends
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a message of the server could not be handled", "exception": error}
            )
            self._end(ConnectionEndedError(f"a message of the server could not be handled: {error!r}"))

    def _process(self, message: Message) -> None:
        kind = message.get("type")
        if kind in _ANSWERS:
            self.pacer.answered()
            self._wake.set()
        if kind in _OWN:
            self._process_own(message)
        elif not self.ended.done():
            if kind == "error" and message.get("code") == ErrorCode.RATE_LIMITED:
                self._limited(message)
            self._handler.received(self, message)

    def _limited(self, message: Message) -> None:
        """A limit was exceeded: of a rate, for which a token comes within a second, of the number of something or for one
        message, which stops no other request, or by this connection itself, which the server ends then.
        """
        wait = float(message.get("retryAfter", RETRY_LIMITED))
        if not message.keys() & {"ref", "id", "channel"}:
            self._retry_after = wait
        elif wait <= RETRY_LIMITED:
            self.pacer.block(time.monotonic() + wait)

    def _process_own(self, message: Message) -> None:
        """A message that concerns the connection itself."""
        match message["type"]:
            case "pong":
                if self._pongs and not (pong := self._pongs.popleft()).done():
                    pong.set_result(None)
            case "close":
                self._end(_ending(message))
            case "reconnect":
                if not self.moving.done():
                    self.moving.set_result(float(message.get("delay", 0)) / 1000)
            case "auth:expiring":
                if self._renewing is None or self._renewing.done():
                    self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        """Send a new token. Without one the server ends the connection when the old one expires."""
        try:
            token = await self._tokens.fresh()
        except ConnectionEndedError as failed:
            error = {"type": "error", "code": ErrorCode.AUTHENTICATION_FAILED, "message": str(failed)}
            self._handler.received(self, error)
            return
        if token is not None:
            self.post({"type": "auth", "token": token})

    async def _write(self) -> None:
        try:
            while True:
                self._wake.clear()
                delay = await self._write_what_may_go()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._wake.wait()
        except ConnectionEndedError as ended:
            self._end(ended)

    async def _write_what_may_go(self) -> float | None:
        """Send until the queue is empty (returns None), or return the seconds until the next send is allowed."""
        while True:
            batch: list[Message] = []
            while len(batch) < _MAX_BATCH and (wait := self.pacer.wait(time.monotonic())) == 0:
                message = self._next_control() if self._control else self._handler.next_message(self)
                if message is None:
                    if self._control:
                        continue
                    break
                self.pacer.sent(time.monotonic())
                batch.append(message)
            if not batch:
                return None if wait in (0, float("inf")) else wait
            await self.transport.send(batch)

    def _next_control(self) -> Message | None:
        """The next request of this connection. None if it is larger than the server takes: that is answered here, as a
        server ends the connection over it, and the next connection would begin with the same request.
        """
        message = self._control.popleft()
        size = len(codec.encode_text(message).encode())
        if size <= self._message_size:
            return message
        text = f"the message has {size} bytes; at most {self._message_size} are allowed"
        error = {
            "type": "error",
            "code": ErrorCode.MESSAGE_TOO_LARGE,
            "message": text,
            "channel": message.get("channel"),
        }
        self._handler.received(self, error | ({"id": message["id"]} if "id" in message else {}))
        return None

    async def _beat(self) -> None:
        """Ping after a time of silence; end the connection if no answer arrives."""
        while True:
            interval = min(self._times.heartbeat_interval, self.silence)
            quiet = self.transport.received_at + interval - time.monotonic()
            if quiet > 0 and not self._probe.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(quiet):
                        await self._probe.wait()
                continue
            self._probe.clear()
            sent = time.monotonic()
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.sleep(self._times.heartbeat_timeout)
            if self.transport.received_at < sent:
                self._end(ConnectionEndedError(f"no data for {time.monotonic() - self.transport.received_at:.1f} s"))
                return

    async def _ask(self) -> None:
        self.pacer.sent(time.monotonic())
        self._pongs.append(asyncio.get_running_loop().create_future())
        try:
            await self.transport.send([{"type": "ping"}])
        except ConnectionEndedError as ended:
            self._end(ended)

    def _end(self, ended: ConnectionEndedError) -> None:
        if not self.ended.done():
            ended.retry_after = ended.retry_after or self._retry_after
            self.ended.set_result(ended)


def _ending(close: Message) -> ConnectionEndedError:
    """The end that the server sends over HTTP, as a WebSocket has it."""
    return ConnectionEndedError(str(close.get("reason", "")), int(close.get("code", CloseCode.ABNORMAL)))
