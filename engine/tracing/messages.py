"""The trace of one message that a client publishes, from the request to its receivers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from engine.tracing.context import TraceContext, parse_context

__all__ = ["TRACE_PREFIX", "CarriedTrace", "MessageTrace", "PublishedRow", "TraceNote"]

TRACE_PREFIX: Final = "realtime.trace"
"""Of the logical message that carries the trace of a stored message; of others it is in their own logical message."""


@dataclass(slots=True, eq=False)
class MessageTrace:
    """``context``: the parent of what the message causes; its receivers get it. ``sampled``: its delivery is recorded, at
    every node.

    ``sent_at`` and ``committed_at``: when the statement that stores it was sent and when its commit returned, in
    microseconds since 1970; 0: not yet. ``ended`` is called with the error, or None, when the message has its answer.
    """

    context: TraceContext
    sampled: bool = False
    sent_at: int = 0
    committed_at: int = 0
    ended: Callable[[MessageTrace, BaseException | None], None] | None = None

    def end(self, error: BaseException | None) -> None:
        """The message has its answer."""
        if self.ended is not None:
            self.ended(self, error)

    @property
    def fields(self) -> dict[str, object]:
        """What the stream carries of it."""
        return {**self.context.fields, "sampled": self.sampled}


class CarriedTrace(msgspec.Struct):
    """The same as the stream brings it, in a JSON object."""

    traceparent: str = ""
    tracestate: str = ""
    sampled: bool = False

    @property
    def context(self) -> TraceContext | None:
        """None if it is none."""
        return parse_context(self.traceparent, self.tracestate)


class TraceNote(CarriedTrace):
    """The content of a logical message ``realtime.trace``, which names the stored message that it belongs to."""

    key: str = ""
    channel: str = ""
    id: str = ""
    scope: str = ""


class PublishedRow(Protocol):
    """A message as the stream brings it: see :class:`engine.channels.core.messages.decode.MessageRow`."""

    channel: str
    connection_id: str | None
    trace: CarriedTrace | None
