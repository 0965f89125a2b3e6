"""The transactions that are traced on their way to this node's clients: which they are, and when they passed each stage.

Times of a transaction are noted while it is applied, since its parents are known only when it has been read. Most have none,
so a note is as cheap as can be, and a :class:`Delivery` is made of those that are traced alone. These stay until ``sweep``,
which is called twice a second, has found nothing new written of them ``_IDLE`` times, or found them ``_LONGEST`` times: what
slow clients are sent later is not seen. A parent of which this node has sent nothing is not traced here. Times are
microseconds since 1970. As in :mod:`engine.metrics.stages` the time of the commit identifies a transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from struct import pack
from typing import Final, NamedTuple, Protocol

from engine.tracing.context import TraceContext, context_in
from engine.transaction import Transaction

__all__ = ["Deliveries", "Delivery", "Parent", "StageTimes", "TracedFrame", "threshold"]

_IDLE: Final = 3
_LONGEST: Final = 20
_OPEN: Final = 1024
"""Transactions that are traced at a time at most; with one more, the oldest is done."""

_LOW: Final = (1 << 64) - 1


def threshold(ratio: float) -> int:
    """A new trace is recorded if the lower half of its id is below this, as OpenTelemetry's ``TraceIdRatioBased`` does."""
    return round(ratio * (_LOW + 1))


class TracedFrame(Protocol):
    """A frame: see :class:`server.wire.frame.Frame`."""

    @property
    def committed_at(self) -> int | None:
        """When its messages were committed, in microseconds since 1970."""

    @property
    def channel(self) -> str | None:
        """The channel they belong to; None: they are of a live query, or one client's own."""

    @property
    def count(self) -> int:
        """How many messages it holds."""


class StageTimes:
    """When the frames of one channel, or of all live queries, passed. 0: they did not. ``messages``: written to clients."""

    __slots__ = ("encoded_at", "encoding_at", "first_write", "last_write", "messages")

    def __init__(self) -> None:
        self.encoding_at = self.encoded_at = self.first_write = self.last_write = self.messages = 0

    def encoded(self, began: int, ended: int) -> None:
        """A frame was made."""
        self.encoding_at = self.encoding_at or began
        self.encoded_at = ended

    def wrote(self, messages: int, now: int) -> None:
        """So many messages were written."""
        self.first_write = self.first_write or now
        self.last_write = now
        self.messages += messages

    def add(self, other: StageTimes) -> None:
        """Those of other frames, too."""
        self.encoding_at = _first(self.encoding_at, other.encoding_at)
        self.first_write = _first(self.first_write, other.first_write)
        self.encoded_at = max(self.encoded_at, other.encoded_at)
        self.last_write = max(self.last_write, other.last_write)
        self.messages += other.messages


def _first(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


class Parent(NamedTuple):
    """Why a transaction is traced. ``context``: the request that caused it; None: it begins the trace ``trace_id``.

    ``channel``: of the message that the request published; None: all of the transaction is its effect.
    """

    context: TraceContext | None
    trace_id: int
    channel: str | None = None


class Delivery:
    """One transaction. ``stages``: by channel; None: those of live queries. ``published``: its messages, by channel."""

    __slots__ = (
        "_found",
        "_idle",
        "_written",
        "applied_at",
        "committed_at",
        "parents",
        "position",
        "published",
        "received_at",
        "stages",
    )

    def __init__(self, committed_at: int, received_at: int) -> None:
        self.committed_at = committed_at
        self.received_at = received_at
        self.applied_at = 0
        self.position = 0
        self.parents: list[Parent] = []
        self.published: Counter[str] = Counter()
        self.stages: dict[str | None, StageTimes] = {}
        self._found = self._idle = self._written = 0

    def stage(self, channel: str | None) -> StageTimes:
        """Those of one channel."""
        found = self.stages.get(channel)
        if found is None:
            found = self.stages[channel] = StageTimes()
        return found

    def of(self, parent: Parent) -> StageTimes:
        """Those of what ``parent`` has caused.

        Frames are of a channel, not of a message, and one may hold several: each message of the transaction gets an equal
        share of the channel's ``messages``, rounded. That is exact where all of them have the same receivers.
        """
        merged = StageTimes()
        for times in self._stages_of(parent):
            merged.add(times)
        if parent.channel is not None:
            merged.messages = round(merged.messages / max(1, self.published[parent.channel]))
        return merged

    def has(self, parent: Parent) -> bool:
        """Whether this node made a frame of what ``parent`` has caused: some client gets it."""
        return bool(self._stages_of(parent))

    def _stages_of(self, parent: Parent) -> Collection[StageTimes]:
        if parent.channel is None:
            return self.stages.values()
        found = self.stages.get(parent.channel)
        return () if found is None else (found,)

    def is_done(self) -> bool:
        """Whether nothing is awaited any more; called in each sweep."""
        written = sum(times.messages for times in self.stages.values())
        self._found += 1
        self._idle = 1 if written > self._written else self._idle + 1
        self._written = written
        return self._idle >= _IDLE or self._found >= _LONGEST


class Deliveries:
    """See the module. ``ended`` gets each traced transaction once; ``kept`` is called when there is one more to sweep.

    ``ratio``: of the commits without a parent that are traced. ``trusted``: the ``sampled`` flag of an annotation decides;
    else the ratio.
    """

    def __init__(
        self, ended: Callable[[Delivery], None], ratio: float, *, trusted: bool, kept: Callable[[], None] = lambda: None
    ) -> None:
        self.open: dict[int, Delivery] = {}
        self._ended = ended
        self._below = threshold(ratio)
        self._trusted = trusted
        self._kept = kept
        self._applying = 0  # the transaction that is being applied, with what is noted of it
        self._received_at = 0
        self._encoded: list[tuple[str | None, int, int]] = []
        self._written: list[tuple[str | None, int, int]] = []

    @property
    def awaits_writes(self) -> bool:
        """Whether what is written now may belong to a transaction that is traced."""
        return bool(self.open or self._applying)

    def begin(self, committed_at: int, received_at: int) -> None:
        """A transaction is about to be applied."""
        self._applying, self._received_at = committed_at, received_at
        self._encoded.clear()
        self._written.clear()

    def encoded(self, committed_at: int, channel: str | None, began: int, ended: int) -> None:
        """A frame of a transaction was made."""
        if committed_at == self._applying:
            self._encoded.append((channel, began, ended))
        elif (delivery := self.open.get(committed_at)) is not None:
            delivery.stage(channel).encoded(began, ended)

    def applied(self, transaction: Transaction, now: int) -> None:
        """A transaction was applied: is it traced?"""
        committed_at, self._applying = self._applying, 0
        if not committed_at:  # tracing began meanwhile
            return
        parents = self._parents(transaction, is_seen=bool(self._encoded))
        if not parents and committed_at not in self.open:
            return
        delivery = self.open.get(committed_at)  # of the same microsecond as another one: they are traced as one
        if delivery is None:
            if len(self.open) >= _OPEN:
                self._end(next(iter(self.open)))
            delivery = self.open[committed_at] = Delivery(committed_at, self._received_at)
        delivery.applied_at, delivery.position = now, transaction.position
        delivery.published.update(row.channel for row in transaction.published)
        delivery.parents += parents
        for channel, began, ended in self._encoded:
            delivery.stage(channel).encoded(began, ended)
        for channel, messages, at in self._written:
            delivery.stage(channel).wrote(messages, at)
        self._kept()

    def _parents(self, transaction: Transaction, *, is_seen: bool) -> list[Parent]:
        found: list[Parent] = []
        published, annotation = transaction.published, transaction.annotation
        by_clients = bool(published)  # whether that is traced was decided where clients published it
        for row in published:
            if row.trace is not None and row.trace.sampled and (context := row.trace.context) is not None:
                found.append(Parent(context, context.trace_id, row.channel))
            if row.connection_id is None:
                by_clients = False
        if annotation is None and (by_clients or not is_seen):
            return found
        annotated = context_in(annotation)
        if annotated is not None:
            if annotated.sampled if self._trusted else self._chosen(_derived(transaction)):
                found.append(Parent(annotated, annotated.trace_id))
        elif is_seen and self._below and not by_clients:
            trace_id = _derived(transaction)
            if self._chosen(trace_id):
                found.append(Parent(None, trace_id))
        return found

    def _chosen(self, trace_id: int) -> bool:
        return (trace_id & _LOW) < self._below

    def wrote(self, frames: Iterable[tuple[TracedFrame, int]], now: int) -> None:
        """Frames were written, each to so many clients."""
        for frame, times in frames:
            if frame.committed_at is None:
                continue
            if frame.committed_at == self._applying:
                self._written.append((frame.channel, frame.count * times, now))
            elif (delivery := self.open.get(frame.committed_at)) is not None:
                delivery.stage(frame.channel).wrote(frame.count * times, now)

    def sweep(self) -> None:
        """End those of which nothing has been written for a while."""
        for committed_at, delivery in list(self.open.items()):
            if delivery.is_done():
                self._end(committed_at)

    def close(self) -> None:
        """End them all."""
        for committed_at in list(self.open):
            self._end(committed_at)

    def _end(self, committed_at: int) -> None:
        delivery = self.open.pop(committed_at)
        delivery.parents = [parent for parent in delivery.parents if delivery.has(parent)]
        if delivery.parents:
            self._ended(delivery)


def _derived(transaction: Transaction) -> int:
    """A trace id that all nodes find for a transaction: they decide alike, and their spans are of one trace."""
    text = pack("!QIq", transaction.position, transaction.xid, transaction.commit_time)
    return int.from_bytes(blake2b(text, digest_size=16).digest())
