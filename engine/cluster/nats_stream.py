"""The stream of a slot in NATS JetStream: connections to it, its making, what it holds, and its consumption in order.

A connection of NATS is used for one session of a relay or a node: it is never reconnected by the client library. What begins
after an outage compares the stream with what it knows, which a silent reconnect would leave out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    RawStreamMsg,
    RetentionPolicy,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import APIError, NotFoundError

from engine.cluster.consumer import Consumer, Meter
from engine.cluster.messages import Sent, sent_of
from engine.cluster.nats_errors import NatsFailedError, NatsRefusedError, described, explained, in_words, refusal_of
from engine.cluster.settings import ClusterSettings

__all__ = ["Found", "NatsFailedError", "NatsStream", "StreamState", "connected", "sequence_of", "without_password"]

_log = structlog.get_logger(__name__)

_REPLICAS: Final = 30.0  # seconds between two attempts to have all replicas
_DUPLICATES: Final = 1.0  # seconds; ids of messages are not used
_NO_PEERS: Final = (
    10005  # JSClusterNoPeersErrF: fewer servers of the cluster are there (nats-server, server/errors.json)
)


class StreamState(NamedTuple):
    """``created``: distinguishes streams of one name; ``first`` and ``last``: sequences; ``messages``: how many;
    ``replicas``: servers that have it.
    """

    created: datetime | None
    first: int
    last: int
    messages: int
    size: int
    replicas: int = 1


class _Client(Client):
    """NATS' client, with two differences: it goes on without TLS with a server that does not offer it, whatever the scheme
    of its address; and it tries an address that refuses again, every two seconds without end, and gives no reason.
    """

    secure = False
    """TLS or nothing."""

    async def _select_next_server(self) -> None:
        """Connect to the one address that it was given, or raise why not."""
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    def _connect_command(self) -> bytes:
        """What proves who the client is: made after TLS was begun, if it is."""
        if self.secure and not self._server_info.get("tls_required"):
            raise NatsError("it does not speak TLS, which its address (tls://) demands; no password was sent")
        command: bytes = super()._connect_command()
        return command


class Found(NamedTuple):
    """A message of the stream, its number and its subject."""

    sent: Sent
    sequence: int
    subject: str


def without_password(url: str) -> str:
    """``url`` as it may be shown."""
    parts = urlsplit(url if "//" in url else f"nats://{url}")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}"


class NatsStream:
    """The stream over one connection. Every method raises ``NatsFailedError``, also once the connection has ended.

    ``lacks_replicas``: fewer servers than are wanted had it when it was made, or looked at by :meth:`complete`.
    """

    def __init__(self, client: Client, settings: ClusterSettings) -> None:
        self.client = client
        self.closed = asyncio.Event()
        self.lacks_replicas = False
        self._counted_at = 0.0
        self.meter = Meter()
        self._settings = settings
        self._jetstream: JetStreamContext = client.jetstream(timeout=settings.answer)

    @property
    def max_payload(self) -> int:
        """Bytes of the largest message that the server accepts, which its greeting names."""
        return self.client.max_payload

    @property
    def encrypted(self) -> bool:
        """The server demands TLS. (Of its greeting, which the library has as a private attribute.)"""
        return bool(self.client._server_info.get("tls_required"))

    async def sees_everything(self) -> bool:
        """Whether this user may read every subject."""
        self.client._err = None
        with self._explained():
            subscription = await self.client.subscribe(">", cb=_pass_over)
            await self.state()  # a refusal arrives before the answer; a flush would send its PING first
            allowed = self.client.last_error is None
            await subscription.unsubscribe()
        self.client._err = None
        return allowed

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """As :func:`explained`, of requests; ``NatsRefusedError`` if no answer came since the user has no right to ask."""
        try:
            with explained():
                yield
        except NatsFailedError as error:
            if isinstance(error.__cause__, TimeoutError) and (refusal := refusal_of(self.client)) is not None:
                raise NatsRefusedError(
                    f"NATS does not let this user use the stream {self._settings.stream} ({refusal}): "
                    "check slot_name, and the user in nats_url"
                ) from error
            raise

    async def state(self) -> StreamState | None:
        """None: there is no such stream."""
        with self._explained():
            try:
                return _state_of(await self._jetstream.stream_info(self._settings.stream))
            except NotFoundError:
                return None

    async def complete(self) -> None:
        """Let a stream that a relay of an earlier version has made have the subjects of this one, and one that was made
        while servers were away as many replicas as are wanted, if these are there now.
        """
        with self._explained():
            config = (await self._jetstream.stream_info(self._settings.stream)).config
            if set(config.subjects or ()) != set(self._subjects):
                config = (await self._jetstream.update_stream(config, subjects=self._subjects)).config
            if (config.num_replicas or 1) < self._settings.replicas:
                with contextlib.suppress(APIError):
                    config = (await self._jetstream.update_stream(config, num_replicas=self._settings.replicas)).config
        self._count(config)

    async def try_replicas(self, now: float) -> None:
        """:meth:`complete` a stream that lacks replicas, from time to time. ``now``: monotonic."""
        if self.lacks_replicas and now - self._counted_at >= _REPLICAS:
            await self.complete()

    def _count(self, config: StreamConfig) -> None:
        wanted, replicas = self._settings.replicas, config.num_replicas or 1
        self._counted_at = time.monotonic()
        self.lacks_replicas = replicas < wanted
        if self.lacks_replicas:
            _log.warning("stream_lacks_replicas", stream=self._settings.stream, replicas=replicas, wanted=wanted)

    @property
    def _subjects(self) -> list[str]:
        return [self._settings.events, self._settings.tables, self._settings.channels, self._settings.pulses]

    async def make(self) -> StreamState:
        """Make the stream, empty. It is a cache: where servers are away, it has as many replicas as there are servers."""
        settings = self._settings
        config = StreamConfig(
            name=settings.stream,
            subjects=self._subjects,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_bytes=settings.max_bytes,
            max_age=settings.max_age,
            num_replicas=settings.replicas,
            duplicate_window=min(_DUPLICATES, settings.max_age),
            allow_direct=True,
        )
        with self._explained():
            info = await self._add(config)
        self._count(info.config)
        return _state_of(info)

    async def _add(self, config: StreamConfig) -> StreamInfo:
        while True:
            try:
                return await self._jetstream.add_stream(config)
            except APIError as error:
                fewer = (config.num_replicas or 1) - 1
                if error.err_code != _NO_PEERS or not fewer:
                    raise
                config = replace(config, num_replicas=fewer)

    async def purge(self) -> None:
        """Remove every message."""
        with self._explained():
            await self._jetstream.purge_stream(self._settings.stream)

    async def publish(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        """Send a message. The answer to ``reply`` is for :func:`sequence_of`."""
        with explained():
            await self.client.publish(subject, data, reply=reply, headers=headers)

    async def ask(self, what: bytes) -> None:
        """Send a node's request to the relay that leads."""
        with explained():
            await self.client.publish(self._settings.control, what)

    async def message(self, sequence: int) -> Sent | None:
        """The message of this number; None: it is not there."""
        found = await self.find(sequence)
        return None if found is None else found.sent

    async def find(self, sequence: int) -> Found | None:
        """As :meth:`message`, with its subject."""
        with self._explained():
            try:
                found = await self._jetstream.get_msg(self._settings.stream, seq=sequence)
            except NotFoundError:
                return None
        return _found(found)

    async def last_pulse(self) -> Sent | None:
        """The last sign of life; None: there is none, or no stream."""
        found = await self.last_pulse_at()
        return None if found is None else found.sent

    async def last_pulse_at(self) -> Found | None:
        """As :meth:`last_pulse`, with its number."""
        with self._explained():
            try:
                found = await self._jetstream.get_last_msg(self._settings.stream, self._settings.pulses)
            except NotFoundError:
                return None
        return _found(found)

    def consumer(self, sequence: int, subjects: Collection[str] | None = None) -> Consumer:
        """The messages from ``sequence`` on, in order, without end. ``subjects``: of which; None: of all."""
        return Consumer(self.client, self._jetstream, self._settings, self.closed, sequence, subjects, self.meter)


def _found(message: RawStreamMsg) -> Found:
    return Found(sent_of(message.data), message.seq or 0, message.subject or "")


def sequence_of(answer: Msg) -> int:
    """The number that NATS has given a message that was published. Raises ``NatsFailedError`` if it was refused."""
    if answer.headers and answer.headers.get("Status") == "503":
        raise NatsFailedError("there is no stream in NATS")
    body = json.loads(answer.data)
    if "error" in body:
        error = body["error"]
        raise NatsFailedError(f"NATS has refused: {described(error['description'], error.get('err_code'))}")
    return int(body["seq"])


@asynccontextmanager
async def connected(settings: ClusterSettings, name: str) -> AsyncIterator[NatsStream]:
    """A connection to one of the servers, the first that answers. ``name``: of the client, as NATS shows it.

    Raises ``NatsFailedError``.
    """
    client, found = await _connect(settings, name)
    try:
        yield found
    finally:
        await _close(client, settings)


async def _close(client: Client, settings: ClusterSettings) -> None:
    with contextlib.suppress(NatsError, OSError, asyncio.TimeoutError):
        async with asyncio.timeout(settings.answer):
            await client.close()


async def _connect(settings: ClusterSettings, name: str) -> tuple[Client, NatsStream]:
    failures = []
    tls = None
    if settings.ca is not None or any(url.startswith("tls:") for url in settings.urls):
        tls = ssl.create_default_context(cafile=None if settings.ca is None else str(settings.ca))
    for url in random.sample(settings.urls, len(settings.urls)):
        client = _Client()
        client.secure = url.startswith("tls:")
        found: list[NatsStream] = []

        async def ended(found: list[NatsStream] = found) -> None:
            for each in found:
                each.closed.set()

        try:
            async with asyncio.timeout(2 * settings.answer):
                await client.connect(
                    url,
                    name=name,
                    error_cb=_ignore,
                    closed_cb=ended,
                    disconnected_cb=ended,
                    allow_reconnect=False,
                    connect_timeout=int(settings.answer),
                    ping_interval=2,
                    max_outstanding_pings=2,
                    tls=tls,
                )
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            failures.append(f"{without_password(url)}: {in_words(error)}")
            await _close(client, settings)
            continue
        except BaseException:  # it is given up, and the library leaves the connection open
            await _close(client, settings)
            raise
        found.append(NatsStream(client, settings))
        return client, found[0]
    raise NatsFailedError(f"NATS cannot be reached: {'; '.join(failures)}")


async def _pass_over(message: Msg) -> None:
    """A message that is not looked at."""


async def _ignore(error: Exception) -> None:
    """What goes wrong in the connection ends it, and is reported by who uses it."""


def _state_of(info: StreamInfo) -> StreamState:
    state = info.state
    replicas = info.config.num_replicas or 1
    return StreamState(info.created, state.first_seq, state.last_seq, state.messages, state.bytes, replicas)
