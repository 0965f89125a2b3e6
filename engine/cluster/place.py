"""Where a node goes on in the stream: the first message behind a position, found by halving the stream.

Within a generation the positions of the stream's messages never go down, so what comes after a position is found in about
twenty questions, wherever the stream begins, and whatever its sequence numbers are: they begin anew in a stream that was
made again.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.cluster.messages import Sent, pulse_of
from engine.cluster.nats_stream import NatsStream, StreamState
from engine.feed.feed import ServerIdentity
from engine.lsn import Lsn

__all__ = ["StreamPlace", "end_of", "find", "why_begun_anew"]


class StreamPlace(NamedTuple):
    """``sequence``: of the first message to read; ``chain``: the position that the stream has before it."""

    sequence: int
    chain: Lsn


async def find(stream: NatsStream, position: Lsn, generation: int) -> StreamPlace | None:
    """The place from which every event after ``position`` comes, perhaps with some before it; None if the stream lacks some.

    Raises ``NatsFailedError``.
    """
    state = await stream.state()
    if state is None or not state.messages:
        return StreamPlace(1 if state is None else state.last + 1, position)
    low, high = state.first, state.last + 1  # the first message behind the position is in [low, high]
    while low < high:
        middle = (low + high) // 2
        sent = await stream.message(middle)
        if sent is None:
            if middle >= high - 1:
                return None  # removed meanwhile
            low = middle + 1
        elif sent.generation != generation or sent.position <= position:
            low = middle + 1
        else:
            high = middle
    if low > state.last:  # the end of what was looked at: more may have come since
        return await _behind(stream, state, generation)
    found = await stream.message(low)
    if found is None or found.generation != generation or found.previous > position or not found.first:
        return None
    return StreamPlace(low, found.previous)


async def end_of(stream: NatsStream, generation: int) -> StreamPlace | None:
    """The place behind the last event; None where that cannot be known now. Raises ``NatsFailedError``."""
    state = await stream.state()
    return None if state is None else await _behind(stream, state, generation)


async def _behind(stream: NatsStream, state: StreamState, generation: int) -> StreamPlace | None:
    last = await stream.message(state.last)
    if last is None or last.generation != generation:
        return None
    return StreamPlace(state.last + 1, last.reached)


def why_begun_anew(last: Sent, pulse: Sent, server: ServerIdentity, position: Lsn) -> str:
    """Why a relay does not continue a stream that ends with ``last``; "" if it does. ``position``: the slot's."""
    before = pulse_of(pulse).server
    if (before.system, before.timeline) != (server.system, server.timeline):
        return "the server has another history"
    if last.reached > max(server.flushed, position):
        return "the server has lost transactions that were published"
    return ""
