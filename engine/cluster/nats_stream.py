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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from engine.cluster.messages import Sent, sent_of
from engine.cluster.nats_errors import NatsFailedError, explained, in_words
from engine.cluster.settings import ClusterSettings

__all__ = ["Message", "NatsFailedError", "NatsStream", "StreamState", "connected", "without_password"]

_TIMEOUT: Final = 2.0  # seconds for a connection, and for an answer
_HEARTBEAT: Final = 1.0  # seconds between two signs of life of a consumer
_BATCH: Final = 512  # messages of one request
_BATCH_BYTES: Final = 8 << 20
_EXPIRES: Final = 30.0  # seconds for which a request waits
_UNUSED: Final = 60.0  # seconds after which NATS removes a consumer that asks for nothing
_DUPLICATES: Final = 1.0  # seconds; ids of messages are not used
_ACK_TOKENS: Final = 9
_AGAIN: Final = ("404", "408")  # a request has ended without more
_ENDS: Final = ("deleted", "shutdown", "leadership", "not found")  # of those with 409, which end the consumer


class StreamState(NamedTuple):
    """``created``: distinguishes streams of one name; ``first`` and ``last``: sequences; ``messages``: how many."""

    created: datetime | None
    first: int
    last: int
    messages: int
    size: int


class _Client(Client):
    """NATS' client, which goes on without TLS with a server that does not offer it, whatever the scheme of its address."""

    secure = False
    """TLS or nothing."""

    def _connect_command(self) -> bytes:
        """What proves who the client is: made after TLS was begun, if it is."""
        if self.secure and not self._server_info.get("tls_required"):
            raise NatsError("it does not speak TLS, which its address (tls://) demands; no password was sent")
        command: bytes = super()._connect_command()
        return command


class Message(NamedTuple):
    """``pulse``: it is a sign of life; ``sent`` None: NATS has shown that it is there, and brings nothing.

    ``sequence``: its number in the stream; ``pending``: messages of the stream behind it, when NATS sent it; ``stored_at``:
    when NATS has stored it, in seconds of its clock.
    """

    pulse: bool
    sent: Sent | None
    sequence: int = 0
    pending: int = 0
    stored_at: float = 0.0


def without_password(url: str) -> str:
    """``url`` as it may be shown."""
    parts = urlsplit(url if "//" in url else f"nats://{url}")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}"


class NatsStream:
    """The stream over one connection. Every method raises ``NatsFailedError``, also once the connection has ended."""

    def __init__(self, client: Client, settings: ClusterSettings) -> None:
        self.client = client
        self.closed = asyncio.Event()
        self._settings = settings
        self._jetstream: JetStreamContext = client.jetstream(timeout=_TIMEOUT)

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
        with explained():
            subscription = await self.client.subscribe(">", cb=_pass_over)
            await self.state()  # a refusal arrives before the answer; a flush would send its PING first
            allowed = self.client.last_error is None
            await subscription.unsubscribe()
        return allowed

    async def state(self) -> StreamState | None:
        """None: there is no such stream."""
        with explained():
            try:
                return _state_of(await self._jetstream.stream_info(self._settings.stream))
            except NotFoundError:
                return None

    async def make(self) -> StreamState:
        """Make the stream, empty."""
        settings = self._settings
        config = StreamConfig(
            name=settings.stream,
            subjects=[settings.events, settings.pulses],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_bytes=settings.max_bytes,
            max_age=settings.max_age,
            num_replicas=settings.replicas,
            duplicate_window=min(_DUPLICATES, settings.max_age),
            allow_direct=True,
        )
        with explained():
            return _state_of(await self._jetstream.add_stream(config))

    async def purge(self) -> None:
        """Remove every message."""
        with explained():
            await self._jetstream.purge_stream(self._settings.stream)

    async def message(self, sequence: int) -> Sent | None:
        """The message of this number; None: it is not there."""
        with explained():
            try:
                found = await self._jetstream.get_msg(self._settings.stream, seq=sequence)
            except NotFoundError:
                return None
        return sent_of(found.data)

    async def last_pulse(self) -> Sent | None:
        """The last sign of life; None: there is none, or no stream."""
        with explained():
            try:
                found = await self._jetstream.get_last_msg(self._settings.stream, self._settings.pulses)
            except NotFoundError:
                return None
        return sent_of(found.data)

    async def consume(self, sequence: int, silence: float) -> AsyncIterator[Message]:
        """The messages from ``sequence`` on, in order, without end. ``silence``: seconds without a sign of life of NATS
        after which the connection counts as dead.

        As many are asked for as are taken soon: what the caller does not take holds back NATS, and no one else.
        """
        settings, client = self._settings, self.client
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_UNUSED,
        )
        with explained():
            info = await self._jetstream.add_consumer(settings.stream, config)
            inbox = client.new_inbox()
            subscription = await client.subscribe(inbox)
        request = f"$JS.API.CONSUMER.MSG.NEXT.{settings.stream}.{info.name}"
        largest = max(_BATCH_BYTES, 2 * self.max_payload)
        asked = json.dumps(
            {
                "batch": _BATCH,
                "max_bytes": largest,
                "expires": int(_EXPIRES * 1e9),
                "idle_heartbeat": int(_HEARTBEAT * 1e9),
            }
        ).encode()
        left = 0
        try:
            while True:
                if left <= 0:
                    left = _BATCH
                    with explained():
                        await client.publish(request, asked, reply=inbox)
                message = await self._next(subscription, silence)
                if message.reply and message.reply.startswith("$JS.ACK"):
                    left -= 1
                    yield Message(message.subject == settings.pulses, sent_of(message.data), *_facts(message.reply))
                else:
                    left = _left(message, left)
                    yield Message(False, None)
        finally:
            with contextlib.suppress(NatsError, OSError, asyncio.TimeoutError):
                await subscription.unsubscribe()
                await self._jetstream.delete_consumer(settings.stream, info.name)

    async def _next(self, subscription: Subscription, silence: float) -> Msg:
        began = time.monotonic()
        while True:
            if self.closed.is_set():
                raise NatsFailedError("the connection to NATS was closed")
            try:
                return await subscription.next_msg(timeout=min(silence, 0.5))
            except TimeoutError:
                if time.monotonic() - began > silence:
                    raise NatsFailedError(f"NATS has sent nothing for {silence:g} s") from None
            except NatsError as error:
                raise NatsFailedError(in_words(error)) from error


def _facts(reply: str) -> tuple[int, int, float]:
    """The number of a message, how many follow, and when this one was stored: the last tokens of the subject for
    acknowledgements (https://docs.nats.io/reference/reference-protocols/nats_api_reference, "$JS.ACK").
    """
    tokens = reply.split(".")
    if len(tokens) != _ACK_TOKENS:
        tokens.pop()  # a newer form has another one behind
    sequence, _, stored_at, pending = tokens[-4:]
    return int(sequence), int(pending), int(stored_at) / 1e9


def _left(message: Msg, left: int) -> int:
    """How many messages are still to come of a request after a message about it. Raises ``NatsFailedError``."""
    headers = message.headers or {}
    status, description = headers.get("Status", ""), headers.get("Description", "")
    if status == "100":
        return left
    if status in _AGAIN or (status == "409" and not any(end in description.lower() for end in _ENDS)):
        return 0
    raise NatsFailedError(f"the consumer has ended: {status} {description}".strip())


@asynccontextmanager
async def connected(settings: ClusterSettings, name: str) -> AsyncIterator[NatsStream]:
    """A connection to one of the servers, the first that answers. ``name``: of the client, as NATS shows it.

    Raises ``NatsFailedError``.
    """
    client, found = await _connect(settings, name)
    try:
        yield found
    finally:
        with contextlib.suppress(NatsError, OSError, asyncio.TimeoutError):
            async with asyncio.timeout(_TIMEOUT):
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
            async with asyncio.timeout(2 * _TIMEOUT):
                await client.connect(
                    url,
                    name=name,
                    error_cb=_ignore,
                    closed_cb=ended,
                    disconnected_cb=ended,
                    allow_reconnect=False,
                    connect_timeout=int(_TIMEOUT),
                    ping_interval=2,
                    max_outstanding_pings=2,
                    tls=tls,
                )
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            failures.append(f"{without_password(url)}: {in_words(error)}")
            with contextlib.suppress(NatsError, OSError, asyncio.TimeoutError):
                await client.close()
            continue
        found.append(NatsStream(client, settings))
        return client, found[0]
    raise NatsFailedError(f"NATS cannot be reached: {'; '.join(failures)}")


async def _pass_over(message: Msg) -> None:
    """A message that is not looked at."""


async def _ignore(error: Exception) -> None:
    """What goes wrong in the connection ends it, and is reported by who uses it."""


def _state_of(info: StreamInfo) -> StreamState:
    state = info.state
    return StreamState(info.created, state.first_seq, state.last_seq, state.messages, state.bytes)
