"""The worker's change feed: the events of a slot that the relay of this machine reads.

It does for a worker what :class:`engine.feed.feed.Feed` does for a node with a slot of its own, with the same states and the
same promises: events in commit order, each transaction once, what may be missing announced by a ``Discontinuity`` before the
next event. The worker has a row of its own in ``realtime.nodes`` and no slot.

Theory of operation
-------------------
A session connects to the relay, introduces the worker and takes what the relay sends (:mod:`engine.relay.worker_stream`).
Sessions follow each other forever, with growing pauses. Confirmations are gathered for some milliseconds. While the buffer
is full nothing is read, which holds the relay back.

``state.status`` is the relay's, with two exceptions: without a session it is ``reconnecting`` (``starting`` before the
first), and a relay that ends for good stops a worker only if that has not streamed yet. The supervisor starts another relay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
import structlog
from tenacity import RetryCallState, wait_exponential, wait_random

from engine.errors import FeedError
from engine.feed.buffer import EventBuffer
from engine.feed.consumed import ConsumedFeed, FeedState, FeedStatus
from engine.feed.feed import FeedSettings
from engine.feed.leases import NodeLease
from engine.feed.slot_watch import SlotWatch
from engine.lsn import Lsn
from engine.postgres.errors import OtherServerError
from engine.postgres.reconnecting import Database
from engine.postgres.retry import error_of, until_done
from engine.relay.messages import (
    Doubt,
    FromWorker,
    OtherServer,
    Reconnected,
    Splitter,
    Status,
    ToWorker,
    Welcome,
    encode,
    to_worker,
)
from engine.relay.worker_stream import WorkerStream
from engine.tasks import end

__all__ = ["SILENCE", "RelayFailedError", "RelayFeed"]

_log = structlog.get_logger(__name__)

SILENCE: Final = 12.0
"""Seconds; the relay sends something every ``RelaySettings.beat`` seconds, give or take a look."""

_PAUSE: Final = wait_exponential(multiplier=0.05, max=2.0) + wait_random(0, 0.2)  # seconds between two attempts
_GATHER: Final = 0.02  # seconds for which confirmations are gathered
_READ: Final = 256 << 10  # bytes


class RelayFailedError(FeedError):
    """The relay has ended for a reason that the operator has to remove."""


class RelayFeed(ConsumedFeed):
    """An async context manager and iterator over :data:`engine.transaction.FeedEvent`, as :class:`engine.feed.feed.Feed`.

    Args:
        dsn: of the database, for the lease of this worker.
        settings: the slot's name, which is the relay's, and the name of this worker (``node_id``).
        path: the relay's socket.
        version: of the package.
        silence: seconds without a message after which the relay counts as stuck.

    ``sessions``: how many sessions have brought a stream.
    """

    def __init__(self, dsn: str, settings: FeedSettings, path: Path, version: str, *, silence: float = SILENCE) -> None:
        super().__init__()
        self.settings = settings
        self.sessions = 0
        self._database = Database(dsn, f"realtime node {settings.node}", settings.lease / 3, self.doubt)
        self.lease = NodeLease(self._database, settings, has_slot=False)
        self.slot = SlotWatch(self._database, settings.slot_name, settings.heartbeat_interval)
        self._path = path
        self._version = version
        self._silence = silence
        self._status = Status("starting", None, 0)  # the relay's
        self._writer: asyncio.StreamWriter | None = None
        self._welcomed = False
        self._received_at = time.monotonic()
        self._gathering: asyncio.TimerHandle | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def plugin(self) -> str | None:
        """The output plugin of the slot, None before the first session."""
        return self._stream.plugin

    def confirm(self, position: Lsn) -> None:
        """See :meth:`engine.feed.feed.Feed.confirm`. The relay confirms the slot when all workers have."""
        if self._positions.confirm(position) and self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER, self._send_confirmed)

    def saw(self, position: Lsn, timeline: int) -> None:
        """See :meth:`engine.feed.feed.Feed.saw`. Raises ``OtherServerError``."""
        ours = self._status.timeline
        if ours not in (0, timeline):
            if timeline > ours:
                self._send(OtherServer(timeline))
            raise OtherServerError(f"connections reach two servers, on timelines {timeline} and {ours} (the stream's)")
        self._stream.seen = max(self._stream.seen, position)

    def doubt(self) -> None:
        """Another connection to the server was found dead: the relay checks its own soon."""
        self._send(Doubt())

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """See :meth:`engine.feed.feed.Feed.on_reconnect`; also after each reconnect to the relay."""
        self._callbacks.append(callback)

    def abandon(self) -> None:
        """The node could not start. A worker leaves nothing in the database in any case."""

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Event()
        self._buffer = EventBuffer(self.settings.buffer_bytes)
        self._stream = WorkerStream(self.settings, self._buffer, self._positions)
        parts = (self._run(), self.lease.run(), self.slot.run(), self._watch_silence())
        self._tasks = [asyncio.create_task(part) for part in parts]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end(self._tasks)
        if self._gathering is not None:
            self._gathering.cancel()
        if self.lease.registered:
            try:
                await self.lease.leave(for_good=True)
            except (psycopg.Error, OSError, FeedError) as failure:
                _log.warning("node_not_removed", node=self.settings.node, error=str(failure).strip())
        await self._database.close()
        self._become("stopped", self.state.reason)
        self._buffer.close()

    # -- sessions --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Run sessions one after the other, with growing pauses while they fail."""
        try:
            while True:
                await until_done(self._session, on=self._passes_by_itself, failed=self._note_failure, pause=_PAUSE)
                self._become_away("the relay has closed the connection")
        except Exception as error:
            self._become("stopped", str(error))
            self._buffer.close(error)
            raise

    def _passes_by_itself(self, error: BaseException) -> bool:
        if isinstance(error, RelayFailedError) and not self.sessions:
            return False
        return isinstance(error, FeedError | OSError | psycopg.Error)

    def _note_failure(self, attempt: RetryCallState) -> None:
        self._become_away(f"the relay of slot {self.settings.slot_name} is not there: {error_of(attempt)}")

    async def _session(self) -> None:
        """One connection to the relay. Returns when a stream that it has brought has ended."""
        await self.lease.register()
        self.lease.hold()
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_READ)
        self._writer = writer
        splitter = Splitter()
        self._send(self._stream.hello(self._version))
        try:
            while data := await reader.read(_READ):
                self._received_at = time.monotonic()
                for message in splitter.feed(data):
                    self._take(to_worker(message))
                while self._buffer.full:
                    await self._buffer.drained(_GATHER * 50)
                    self._received_at = time.monotonic()
        finally:
            self._send_confirmed()
            welcomed, self._welcomed, self._writer = self._welcomed, False, None
            writer.transport.abort()
        if not welcomed:
            raise ConnectionResetError("the relay has closed the connection")

    def _take(self, message: ToWorker) -> None:
        if isinstance(message, Status):
            self._status = message
            self._show()
        elif isinstance(message, Reconnected):
            self._reconnected()
        elif isinstance(message, Welcome):
            self._stream.welcome(message)
            self._welcomed = True
            self.sessions += 1
            if self.sessions > 1:
                self._reconnected()
            self._send_confirmed()
            self._show()
        else:
            self._stream.take(message)

    def _reconnected(self) -> None:
        for callback in self._callbacks:
            callback()

    def _show(self) -> None:
        """Take over the state of the relay's feed. Raises ``RelayFailedError``."""
        status, reason = self._status.status, self._status.reason
        if status == "stopped":
            raise RelayFailedError(reason or "the relay stops")
        if self._welcomed and status == "streaming":
            self._become("streaming", reason)
        else:
            self._become_away(reason)

    def _become_away(self, reason: str | None) -> None:
        self._become("reconnecting" if self.sessions else "starting", reason)

    def _become(self, status: FeedStatus, reason: str | None) -> None:
        if FeedState(status, reason) != self.state:
            self.state = FeedState(status, reason)
            _log.info("feed_state", slot=self.settings.slot_name, status=status, reason=reason)
        self._changed.set()

    def _send(self, message: FromWorker) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def _send_confirmed(self) -> None:
        self._gathering = None
        if self._welcomed:
            self._send(self._stream.confirmed)

    async def _watch_silence(self) -> None:
        """Show a relay that is stuck: it sends something every few seconds."""
        while True:
            await asyncio.sleep(self._silence / 10)
            silent = time.monotonic() - self._received_at
            if self._welcomed and silent > self._silence:
                self._become_away(f"the relay has sent nothing for {silent:.0f} s")
