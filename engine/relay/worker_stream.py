"""What a worker makes of the relay's messages: the events of its feed, in order and each once. No I/O.

Theory of operation
-------------------
The stream has *begun* with the first ``Welcome``. Each later one either goes on where the last session ended, or does not:
then everything is to be read again, and positions start over (:mod:`engine.feed.positions`). A resumed session may begin
earlier than asked for; what was delivered is dropped. A message whose ``previous`` is not the position of the one before it
shows a hole: the session ends, and the next one asks for nothing.
"""

from __future__ import annotations

import time
from typing import Final

from engine.feed.buffer import EVENT_OVERHEAD, EventBuffer, size_of
from engine.feed.decoders.base import UndecodableError
from engine.feed.decoders.frames import FramesError
from engine.feed.feed import FeedSettings, ServerIdentity
from engine.feed.positions import Positions
from engine.feed.startup import CRASHED
from engine.lsn import Lsn, format_lsn
from engine.relay.codec import PartDecoder, decoder_for
from engine.relay.messages import PROTOCOL, Break, Confirmed, Hello, Part, Passed, RelayProtocolError, Welcome
from engine.transaction import Discontinuity, Progress, Transaction

__all__ = ["StreamHoleError", "WorkerStream"]

_BY_A_HOLE: Final = "the stream from the relay had a hole"


class StreamHoleError(RelayProtocolError):
    """The relay's message does not follow the one before it."""


class WorkerStream:
    """Messages in, events into ``buffer``.

    Attributes:
        positions: of this worker.
        seen: snapshots may have shown commits up to there.
        server: that the stream is of; None before the first session.
        plugin: the output plugin; None before the first session.
    """

    def __init__(self, settings: FeedSettings, buffer: EventBuffer, positions: Positions) -> None:
        self.positions = positions
        self.seen: Lsn = 0
        self.server: ServerIdentity | None = None
        self.plugin: str | None = None
        self._settings = settings
        self._buffer = buffer
        self._generation = 0
        self._begun = False
        self._chain: Lsn = 0  # the position of the last message
        self._decoder: PartDecoder | None = None

    @property
    def generation(self) -> int:
        """Of the stream that it follows; 0: none that could go on."""
        return self._generation

    @property
    def chain(self) -> Lsn:
        """The position of the last event; the next one follows it."""
        return self._chain

    def skip_to(self, position: Lsn) -> None:
        """The events up to ``position`` concern others, and are known to."""
        self._chain = position

    def distrust(self) -> None:
        """What was received last may come again and again: the next session does not go on there."""
        self._generation = 0

    def hello(self, version: str) -> Hello:
        """The first message of a session. ``version``: of the package."""
        return Hello(PROTOCOL, version, self._settings.node, self._generation, self.positions.delivered, self.server)

    @property
    def confirmed(self) -> Confirmed:
        """What the consumer has confirmed."""
        return Confirmed(self._generation, self.positions.confirmed)

    def welcome(self, message: Welcome, whole: Lsn | None = None) -> None:
        """A session has begun. ``whole``: see :class:`Discontinuity`."""
        if not self._begun:
            self.positions.start(message.position)
        elif not message.resumed:
            reason = message.reason or _BY_A_HOLE
            self._start_over(message.position, reason, other_history=message.other_history, whole=whole)
        else:
            self.check_survival(message.server)
        if self.plugin != message.plugin or self._decoder is None:
            self.plugin = message.plugin
            self._decoder = decoder_for(message.plugin, self._settings.transaction_memory, self._settings.spill_dir)
        self._begun, self._generation, self._chain = True, message.generation, message.position
        self.server = message.server

    def check_survival(self, server: ServerIdentity) -> None:
        """The stream goes on from ``server`` without an interruption that was announced."""
        if self.server is not None and not server.processes.survived(self.server.processes):
            self._note_crash(self.positions.delivered, CRASHED)
        self.server = server

    def take(self, message: Part | Passed | Break) -> None:
        """The next message of the stream. Raises ``StreamHoleError``, ``FramesError`` or ``MalformedStreamError``: the
        session has to end then.
        """
        if message.previous != self._chain:
            found, expected = format_lsn(message.previous), format_lsn(self._chain)
            self._generation = 0
            raise StreamHoleError(f"the relay sent what follows {found} where {expected} was reached")
        if isinstance(message, Part):
            self._take_part(message)
        elif isinstance(message, Passed):
            self._chain = message.position
            if message.position > self.positions.delivered or message.recorded:
                self.positions.deliver(message.position)
                self._buffer.put(Progress(self.positions.delivered, message.recorded), EVENT_OVERHEAD)
        else:
            self._take_break(message)

    def _take_part(self, part: Part) -> None:
        assert self._decoder is not None, "the session was welcomed"
        try:
            transaction = self._decoder.feed(part.frames)
        except (FramesError, UndecodableError):
            self._generation = 0  # it would come again
            raise
        if not part.frames.more:
            self._chain = part.frames.end
        if transaction is not None and transaction.end > self.positions.delivered:
            self._deliver(transaction)

    def _deliver(self, transaction: Transaction) -> None:
        transaction.received_at = time.time_ns() // 1000
        self.positions.deliver(transaction.end, transaction.commit_time)
        self._buffer.put(transaction, size_of(transaction))

    def _take_break(self, message: Break) -> None:
        self._chain = message.position
        self.server = message.server
        if message.missing:
            self._generation = message.generation
            self._start_over(message.position, message.reason, other_history=message.other_history)
        else:
            self._note_crash(message.safe, message.reason)

    def _start_over(self, position: Lsn, reason: str, *, other_history: bool, whole: Lsn | None = None) -> None:
        self.seen = 0
        self.positions.start_over(position)
        self._buffer.put(Discontinuity(reason, other_history=other_history, whole=whole), EVENT_OVERHEAD)

    def _note_crash(self, safe: Lsn, reason: str) -> None:
        """The server has lost what was not on its disk, which is nothing up to ``safe``."""
        if self.seen > safe or self._settings.shared:
            self.seen = 0
            self._buffer.put(Discontinuity(reason, missing=False, safe=safe), EVENT_OVERHEAD)
