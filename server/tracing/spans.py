"""Spans of publishes and deliveries, with OpenTelemetry's conventions for messaging.

What is to be a span is queued when everything of it is known, and made in the thread that sends it, so nothing of
OpenTelemetry runs on the way of a message, or in the event loop at all. The times at which a stage ended are events of the
span: spans of their own would cost several times as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from engine.errors import RealtimeError
from engine.lsn import format_lsn
from engine.metrics.deliveries import Delivery, Parent
from engine.tracing.context import TraceContext
from engine.tracing.messages import MessageTrace
from server.ports.channels import Member

__all__ = ["SpanMaker"]

_SCOPE: Final = InstrumentationScope("bunbase.realtime")
_NANOSECONDS: Final = 1000  # of a microsecond
_OK: Final = Status(StatusCode.UNSET)
_RECORDED: Final = TraceFlags(TraceFlags.SAMPLED)

Attributes = dict[str, str | int]


class SpanMaker:
    """``send`` gets what makes each span, for any thread to call. ``names``: with channels, ids of messages, and users."""

    def __init__(self, send: Callable[[Callable[[], ReadableSpan]], None], resource: Resource, *, names: bool) -> None:
        self._send = send
        self._resource = resource
        self._names = names

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
        """A message has its answer. Times in microseconds since 1970."""
        period = (began_at, time.time_ns() // 1000)
        self._send(partial(self._published, parent, period, member, channel, size, trace, error))

    def delivered(self, delivery: Delivery, parent: Parent, span_id: int) -> None:
        """A transaction was delivered, as far as it is the effect of ``parent``. It changes no more."""
        self._send(partial(self._delivered, delivery, parent, span_id))

    def _published(
        self,
        parent: TraceContext | None,
        period: tuple[int, int],
        member: Member,
        channel: str,
        size: int,
        trace: MessageTrace,
        error: BaseException | None,
    ) -> ReadableSpan:
        attributes: Attributes = {
            "messaging.system": "bunbase_realtime",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.message.body.size": size,
            "realtime.transport": member.transport,
        }
        if self._names:
            attributes["messaging.destination.name"] = channel
            if member.user_id is not None:
                attributes["user.id"] = member.user_id
        status = _OK
        if error is not None:
            attributes["error.type"] = error.code.value if isinstance(error, RealtimeError) else type(error).__name__
            status = Status(StatusCode.ERROR)
        return self._make(
            "publish",
            SpanKind.PRODUCER,
            trace.context,
            parent,
            period,
            {"sent": trace.sent_at, "committed": trace.committed_at},
            attributes,
            status,
        )

    def _delivered(self, delivery: Delivery, parent: Parent, span_id: int) -> ReadableSpan:
        times = delivery.of(parent)
        attributes: Attributes = {
            "messaging.system": "bunbase_realtime",
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "process",
            "realtime.position": format_lsn(delivery.position),
            "realtime.deliveries": times.messages,
        }
        if self._names and parent.channel is not None:
            attributes["messaging.destination.name"] = parent.channel
        began_at = min(delivery.committed_at, delivery.received_at)  # the former is by the clock of the database
        events = {
            "received": delivery.received_at,
            "encoding": times.encoding_at,
            "encoded": times.encoded_at,
            "first_write": times.first_write,
            "last_write": times.last_write,
        }
        state = "" if parent.context is None else parent.context.state
        return self._make(
            "deliver",
            SpanKind.CONSUMER,
            TraceContext(parent.trace_id, span_id, TraceFlags.SAMPLED, state),
            parent.context,
            (began_at, max(delivery.applied_at, times.last_write)),
            events,
            attributes,
            _OK,
        )

    def _make(  # noqa: PLR0913 - the parts of a span
        self,
        name: str,
        kind: SpanKind,
        context: TraceContext,
        parent: TraceContext | None,
        period: tuple[int, int],
        events: Mapping[str, int],
        attributes: Attributes,
        status: Status,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context=_context(context, remote=False),
            parent=None if parent is None else _context(parent, remote=True),
            resource=self._resource,
            attributes=attributes,
            events=[Event(what, timestamp=at * _NANOSECONDS) for what, at in events.items() if at],
            kind=kind,
            status=status,
            start_time=period[0] * _NANOSECONDS,
            end_time=max(period) * _NANOSECONDS,
            instrumentation_scope=_SCOPE,
        )


def _context(context: TraceContext, *, remote: bool) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    flags = TraceFlags(context.flags) if remote else _RECORDED
    return SpanContext(context.trace_id, context.span_id, remote, flags, state)
