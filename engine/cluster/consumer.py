"""A consumer of the stream in NATS: its messages from one on, in order, of some subjects or of all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from engine.cluster.messages import Sent, sent_of
from engine.cluster.nats_errors import NatsFailedError, explained
from engine.cluster.settings import ClusterSettings

__all__ = ["Consumer", "Message", "Meter"]

_HEARTBEAT: Final = 1.0  # seconds between two signs of life of a consumer
_BATCH: Final = 512  # messages of one request
_BATCH_BYTES: Final = 8 << 20
_EXPIRES: Final = 30.0  # seconds for which a request waits
_UNUSED: Final = 60.0  # seconds after which NATS removes a consumer that asks for nothing
_LOOK: Final = 0.5  # seconds between two looks whether the connection was closed
_ACK_TOKENS: Final = 9
_AGAIN: Final = ("404", "408")  # a request has ended without more
_ENDS: Final = ("deleted", "shutdown", "leadership", "not found")  # of those with 409, which end the consumer


class Message(NamedTuple):
    """``pulse``: it is a sign of life; ``sent`` None: NATS has shown that it is there, and brings nothing.

    ``sequence``: its number in the stream; ``pending``: messages of the consumer behind it, when NATS sent it;
    ``stored_at``: when NATS has stored it, in seconds of its clock.
    """

    pulse: bool
    sent: Sent | None
    sequence: int = 0
    pending: int = 0
    stored_at: float = 0.0
    subject: str = ""


@dataclass(slots=True)
class Meter:
    """What NATS has sent of the stream: messages, and bytes of their contents."""

    messages: int = 0
    bytes: int = 0


class Consumer:
    """An async context manager. ``subjects``: None: all of the stream. ``closed``: is set when the connection has ended.

    As many messages are asked for as are taken soon: what the caller does not take holds back NATS, and no one else.
    Everything raises ``NatsFailedError``.
    """

    def __init__(
        self,
        client: Client,
        jetstream: JetStreamContext,
        settings: ClusterSettings,
        closed: asyncio.Event,
        sequence: int,
        subjects: Collection[str] | None,
        meter: Meter,
    ) -> None:
        self._meter = meter
        self._client = client
        self._jetstream = jetstream
        self._settings = settings
        self._closed = closed
        self._config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_UNUSED,
            filter_subjects=None if subjects is None else sorted(subjects),
        )
        self._name = ""
        self._left = 0  # messages still to come of the last request
        self._arrived: deque[Msg] = deque()
        self._more = asyncio.Event()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        with explained():
            info = await self._jetstream.add_consumer(self._settings.stream, self._config)
            self._name = info.name
            self._inbox = self._client.new_inbox()
            self._subscription = await self._client.subscribe(self._inbox, cb=self._arrive)
        self._request = f"$JS.API.CONSUMER.MSG.NEXT.{self._settings.stream}.{self._name}"
        most = max(_BATCH_BYTES, 2 * self._client.max_payload)
        times = {"expires": int(_EXPIRES * 1e9), "idle_heartbeat": int(_HEARTBEAT * 1e9)}
        self._asked = json.dumps({"batch": _BATCH, "max_bytes": most, **times}).encode()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(NatsError, OSError, asyncio.TimeoutError):
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._settings.stream}.{self._name}")

    async def _arrive(self, message: Msg) -> None:
        self._arrived.append(message)
        self._more.set()

    def wake(self) -> None:
        """Let :meth:`next` return."""
        self._more.set()

    async def next(self, silence: float) -> Message | None:
        """The next message; None after :meth:`wake`, if none is here.

        ``silence``: seconds without a sign of life of NATS after which the connection counts as dead.
        """
        if self._left <= 0:
            self._left = _BATCH
            with explained():
                await self._client.publish(self._request, self._asked, reply=self._inbox)
        if not self._arrived and not await self._wait(silence):
            return None
        message = self._arrived.popleft()
        if message.reply and message.reply.startswith("$JS.ACK"):
            self._left -= 1
            self._meter.messages += 1
            self._meter.bytes += len(message.data)
            pulse = message.subject == self._settings.pulses
            return Message(pulse, sent_of(message.data), *_facts(message.reply), message.subject)
        self._left = _left(message, self._left)
        return Message(False, None)

    async def _wait(self, silence: float) -> bool:
        """Wait for a message; returns whether one is here."""
        began = time.monotonic()
        while not self._arrived:
            if self._closed.is_set():
                raise NatsFailedError("the connection to NATS was closed")
            if self._more.is_set():
                self._more.clear()
                return False
            try:
                async with asyncio.timeout(min(silence, _LOOK)):
                    await self._more.wait()
            except TimeoutError:
                if time.monotonic() - began > silence:
                    raise NatsFailedError(f"NATS has sent nothing for {silence:g} s") from None
        self._more.clear()
        return True


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
