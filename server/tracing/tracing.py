"""What is traced: publishes of clients, and deliveries of transactions; see docs/operations/tracing.md.

Theory of operation. A client's publish that is recorded gets a span, whose context travels with the message through the
WAL; each node that delivers it makes a span of its own below that. Deliveries are noted in
:class:`engine.metrics.deliveries.Deliveries`, and become spans when they are done. Everything is called in the event loop;
spans are sent by a thread.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

from engine.errors import RealtimeError
from engine.metrics.deliveries import Deliveries, Delivery, Parent, threshold
from engine.tracing.context import TraceContext
from engine.tracing.messages import MessageTrace
from server.ports.channels import Member
from server.tracing.settings import TracingSettings

__all__ = ["Spans", "Tracing", "TracingUnavailableError"]

_SWEEP: Final = 0.5
"""Seconds between two looks at which deliveries are done."""

_FLUSH: Final = 2.0
"""Seconds for which a stop waits until the last spans were sent."""

_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02  # of level 2: the trace id is random


class TracingUnavailableError(RealtimeError):
    """Traces cannot be recorded; the message names what to do."""


class Spans(Protocol):
    """Makes spans: see :class:`server.tracing.spans.SpanMaker`."""

    def published(
        self,
        parent: TraceContext | None,
        began_at: int,
        member: Member,
        channel: str,
        size: int,
        trace: MessageTrace,
        error: BaseException | None,
    ) -> None:
        """A message has its answer."""

    def delivered(self, delivery: Delivery, parent: Parent, span_id: int) -> None:
        """A transaction was delivered."""


class Tracing:
    """See the module. ``deliveries``: what is noted of transactions. ``flush`` sends what waits, within so many seconds.

    ``bits``: so many random bits.
    """

    def __init__(
        self,
        settings: TracingSettings,
        spans: Spans,
        flush: Callable[[float], Awaitable[None]],
        bits: Callable[[int], int] = random.getrandbits,
    ) -> None:
        self._below = threshold(settings.trace_sample_ratio)
        self._trusts_clients = settings.trace_trusted_parents == "all"
        self._spans = spans
        self._flush = flush
        self._bits = bits
        trusted = settings.trace_trusted_parents != "none"
        self.deliveries = Deliveries(
            self._delivered, settings.trace_sample_ratio, trusted=trusted, kept=self._sweep_later
        )
        self._timer: asyncio.TimerHandle | None = None

    async def stop(self) -> None:
        """Send what is left; returns after two seconds at most."""
        if self._timer is not None:
            self._timer.cancel()
        self.deliveries.close()
        await self._flush(_FLUSH)

    def _sweep_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self.deliveries.sweep()
        if self.deliveries.open:
            self._sweep_later()

    def publishing(self, parent: TraceContext | None, member: Member, channel: str, size: int) -> MessageTrace | None:
        """A client publishes a message of ``size`` bytes. ``parent``: what it gave."""
        trusted = parent is not None and self._trusts_clients
        # Chance decides, not the trace id, which a client chooses.
        if not (parent.sampled if trusted and parent else self._bits(64) < self._below):
            return None if parent is None else MessageTrace(parent)
        trace_id = self._bits(128) or 1 if parent is None else parent.trace_id
        flags = _SAMPLED | (_RANDOM if parent is None else parent.flags & _RANDOM)
        context = TraceContext(trace_id, self._bits(64) or 1, flags, "" if parent is None else parent.state)
        ended = partial(self._spans.published, parent, time.time_ns() // 1000, member, channel, size)
        return MessageTrace(context, sampled=True, ended=ended)

    def _delivered(self, delivery: Delivery) -> None:
        for parent in delivery.parents:
            self._spans.delivered(delivery, parent, self._bits(64) or 1)
