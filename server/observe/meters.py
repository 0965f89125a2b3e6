"""What the connections of one node count: how many there are, messages, bytes, and the time from a commit to its delivery.

A connection has the meter of its transport, and calls it once per message that arrives and once per write. Both are on the
hot path of every delivery, so the meter only adds to attributes; the registry reads them when it is asked. What was written
is kept until the turn of the event loop ends, or ``_WRITES`` writes long, and then counted by frame: the receivers of one
frame cost one addition, and their latencies are measured up to so many writes too late. A few answers alone are counted at
once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from time import time_ns
from typing import Final, Protocol

from engine.metrics.deliveries import TracedFrame
from engine.metrics.instruments import LATENCIES
from engine.metrics.registry import OTHER, Registry
from engine.metrics.stages import Stages
from server.protocol.close_codes import CloseCode
from server.protocol.error_codes import ErrorCode

__all__ = ["HTTP", "TRANSPORTS", "Meters", "TransportMeter", "WrittenFrame"]

TRANSPORTS: Final = ("websocket", "sse", "poll")

HTTP: Final = "http"
"""The transport of answers to requests that belong to no connection: REST, handshakes."""

_DURATIONS: Final = (1, 5, 15, 60, 300, 900, 3_600, 4 * 3_600, 86_400, 7 * 86_400)
_CODES: Final = frozenset(CloseCode)
_WRITES: Final = 64
_FEW: Final = 4


class WrittenFrame(TracedFrame, Protocol):
    """A frame as it is counted: see :class:`server.wire.frame.Frame`."""

    @property
    def encoded_at(self) -> int:
        """When it was made, as ``committed_at``; 0: that is not observed."""


class Meters:
    """The meters of all transports, made once per registry."""

    def __init__(self, registry: Registry) -> None:
        self.open = registry.gauges("realtime_connections", "Open connections of authenticated clients.", "transport")
        self.opened = registry.counters(
            "realtime_connections_opened_total", "Connections that were opened.", "transport"
        )
        self.closed = registry.counters(
            "realtime_connections_closed_total",
            "Connections that were closed, by their close code.",
            "transport",
            "code",
        )
        self.durations = registry.histograms(
            "realtime_connection_duration_seconds", "How long closed connections were open.", _DURATIONS, "transport"
        )
        self.messages_received = registry.counters(
            "realtime_messages_received_total", "Messages from clients, whatever became of them.", "transport"
        )
        self.messages_sent = registry.counters(
            "realtime_messages_sent_total", "Messages written to clients: events, answers and errors.", "transport"
        )
        self.bytes_received = registry.counters(
            "realtime_received_bytes_total", "Bytes of messages from clients, without framing.", "transport"
        )
        self.bytes_sent = registry.counters(
            "realtime_sent_bytes_total",
            "Bytes written to clients in the form of the transport, before TLS.",
            "transport",
        )
        self.latencies = registry.histograms(
            "realtime_delivery_latency_seconds",
            "Time from a commit until its message was written to a client, by the clocks of database and server.",
            LATENCIES,
            "transport",
            scale=1e-6,
        )
        self.errors = registry.counters(
            "realtime_errors_total", "Errors that clients were answered with, by their code.", "transport", "code"
        )
        for transport in (*TRANSPORTS, HTTP):
            for code in ErrorCode:
                self.errors.of(transport, code)
        self.limits = registry.counters(
            "realtime_limits_hit_total",
            "Requests that were refused because of a limit, by its setting.",
            "limit",
        )
        self._reconnections = registry.counters(
            "realtime_reconnections_total",
            "Connections whose client resumed subscriptions of an earlier one.",
            "transport",
        )
        self._resumptions = registry.counters(
            "realtime_resumptions_total",
            "Subscriptions that were resumed; recovered: the client got all that it had missed.",
            "type",
            "recovered",
        )
        for transport in TRANSPORTS:
            self._reconnections.of(transport)
        self.stages = Stages(registry)
        self._meters = {name: TransportMeter(self, name) for name in TRANSPORTS}
        for meter in self._meters.values():
            registry.before_reading(meter.count)

    def of(self, transport: str) -> TransportMeter:
        """The meter of one of ``TRANSPORTS``."""
        return self._meters[transport]

    def error(self, transport: str, code: ErrorCode, limit: str = "") -> None:
        """A client was answered with an error; ``transport``: one of ``TRANSPORTS`` or ``HTTP``. ``limit``: as of
        :class:`engine.errors.RealtimeError`.
        """
        self.errors.of(transport, code).value += 1
        if limit:
            self.limits.of(limit).value += 1

    def resumed(self, transport: str, what: str, *, recovered: bool, first: bool) -> None:
        """A client has resumed a subscription to ``what`` (``channel`` or ``query``): so it was connected before. ``first``:
        of its connection. ``recovered``: it got everything that it had missed.
        """
        self._resumptions.of(what, "true" if recovered else "false").value += 1
        if first:
            self._reconnections.of(transport).value += 1


class TransportMeter:
    """Counts for the connections of one transport."""

    __slots__ = (
        "_bytes_received",
        "_bytes_sent",
        "_closed",
        "_durations",
        "_latencies",
        "_messages_received",
        "_messages_sent",
        "_open",
        "_opened",
        "_stages",
        "_transport",
        "_writes",
        "_written",
    )

    def __init__(self, meters: Meters, transport: str) -> None:
        self._transport = transport
        self._open = meters.open.of(transport)
        self._opened = meters.opened.of(transport)
        self._closed = meters.closed
        self._durations = meters.durations.of(transport)
        self._messages_received = meters.messages_received.of(transport)
        self._messages_sent = meters.messages_sent.of(transport)
        self._bytes_received = meters.bytes_received.of(transport)
        self._bytes_sent = meters.bytes_sent.of(transport)
        self._latencies = meters.latencies.of(transport)
        self._stages = meters.stages
        self._writes = meters.stages.write
        self._written: list[Sequence[WrittenFrame]] = []

    def opened(self) -> None:
        """A client was authenticated and greeted."""
        self._open.value += 1
        self._opened.value += 1

    def closed(self, code: int, seconds: float) -> None:
        """Its connection has ended after ``seconds``; ``code``: with which close code, on whichever side."""
        self._open.value -= 1
        self._closed.of(self._transport, str(int(code)) if code in _CODES else OTHER).value += 1
        self._durations.observe(seconds)

    def received(self, size: int) -> None:
        """A message of ``size`` bytes arrived."""
        self._messages_received.value += 1
        self._bytes_received.value += size

    def wrote(self, frames: Sequence[WrittenFrame], size: int) -> None:
        """``frames`` were written as ``size`` bytes."""
        self._bytes_sent.value += size
        if len(frames) <= _FEW:  # answers are no commit's effect: what is written to a client that arrives
            count = 0
            for frame in frames:
                if frame.committed_at is not None:
                    break
                count += frame.count
            else:
                self._messages_sent.value += count
                return
        written = self._written
        written.append(frames)
        if len(written) == 1:
            asyncio.get_running_loop().call_soon(self.count)
        elif len(written) == _WRITES:
            self.count()

    def count(self) -> None:
        """Count what was written since the last call: frames that many connections got are looked at once."""
        if not self._written:
            return
        written, self._written = self._written, []
        alone = len(written) == 1 and len(written[0]) == 1  # a Counter takes longer
        counts = {written[0][0]: 1} if alone else Counter(chain.from_iterable(written))
        now, messages = time_ns() // 1000, 0
        for frame, times in counts.items():
            count = frame.count * times
            messages += count
            if frame.committed_at is not None:
                self._latencies.observe(now - frame.committed_at, count)
                if frame.encoded_at:
                    self._writes.observe(now - frame.encoded_at, count)
        self._messages_sent.value += messages
        traced = self._stages.traced
        if traced is not None and traced.awaits_writes:
            traced.wrote(counts.items(), now)
