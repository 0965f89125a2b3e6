"""The feed: PostgreSQL's WAL in, ordered events out.

Four tasks run while the feed is open. The first runs streaming sessions (:mod:`engine.feed.streaming_session`), one after
the other, through restarts, terminated walsenders and lost slots. The second writes heartbeats, so that the slot can advance
in an idle database. The third renews the node's lease (:mod:`engine.feed.leases`). The fourth looks at the slot
(:mod:`engine.feed.slot_watch`). ``state`` describes the current session.

Theory of operation
-------------------

``state.status`` goes through these states::

    starting → streaming ⇄ reconnecting → stopped

starting
    No session has streamed yet. An error that does not pass by itself (:meth:`Feed._passes_by_itself`) stops the feed:
    the operator has to remove it.
streaming
    The session has received a message and no obstacle is left. ``reason`` is set while the session doubts its connection
    or waits for a lock; the status stays.
reconnecting
    A session that had streamed has ended. Each error is retried, with growing pauses, forever.
stopped
    The feed was closed or could not start. The iterator ends, or raises why. The final state, from any other.

Invariants: one session at a time. Events come in commit order, each transaction once, also across sessions: a
session drops what ``Positions.delivered`` includes. What may be missing is announced by a ``Discontinuity`` before the
next event. The slot advances by confirmations only, in this order: :meth:`engine.stream.driver.StreamDriver.confirm` decides
on the position, :meth:`Feed.confirm` takes it, :mod:`engine.feed.positions` bounds and keeps it, and
``StreamingSession._report`` sends it to the server. (:mod:`engine.feed.slots` makes and drops slots.)

Callers: the stream driver iterates and confirms; the snapshot reader reports what it has seen (:meth:`Feed.saw`);
sessions report through :meth:`Feed._report_state`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Self

import psycopg
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from engine.errors import FeedError
from engine.feed.buffer import EventBuffer
from engine.feed.consumed import ConsumedFeed, FeedState, FeedStatus
from engine.feed.decoders.base import HEARTBEAT_PREFIX, UndecodableError
from engine.feed.diagnostics import SlotUnusableError, explain
from engine.feed.leases import NodeLease
from engine.feed.replication_stream import StreamEndedError
from engine.feed.settings import FeedSettings
from engine.feed.slot_watch import SlotWatch
from engine.feed.slots import SlotBusyError, drop_left_slot, find_slot
from engine.feed.startup import FeedParts, Processes, SessionMemory
from engine.feed.streaming_session import StreamingSession
from engine.lsn import Lsn
from engine.postgres.errors import OtherServerError
from engine.postgres.reconnecting import Database
from engine.postgres.retry import error_of, until_done
from engine.tasks import end, every

__all__ = ["Feed", "FeedSettings", "FeedState", "ServerIdentity"]

_log = structlog.get_logger(__name__)

_HEALTHY_AFTER: Final = 10.0  # seconds of streaming after which a failure is not counted with earlier ones
_PAUSE: Final = wait_exponential(multiplier=0.1, max=10.0) + wait_random(0, 0.3)  # seconds between two attempts
_LEAVING: Final = AsyncRetrying(  # the connection may have been terminated meanwhile: retry once with a new one
    stop=stop_after_attempt(2), retry=retry_if_exception_type(psycopg.OperationalError), reraise=True
)


class ServerIdentity(NamedTuple):
    """What distinguishes histories of a server; ``flushed``: its WAL up to there was on disk when a session began."""

    system: str
    timeline: int
    flushed: Lsn
    processes: Processes


class Feed(ConsumedFeed):
    """An async context manager and iterator over :data:`engine.transaction.FeedEvent`.

    Iterating raises ``FeedError`` if the feed cannot start for a reason that the operator has to remove. Once it has
    streamed it retries forever. Each transaction comes once; after a ``Discontinuity`` some may be missing.
    """

    leads_recording = True
    """See :class:`engine.stream.change_feed.ChangeFeed`: the slot has no other consumer."""

    def __init__(self, dsn: str, settings: FeedSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or FeedSettings()
        self._database = Database(dsn, f"realtime node {self.settings.node}", self.settings.lease / 3, self.doubt)
        self.lease = NodeLease(self._database, self.settings)
        self.slot = SlotWatch(self._database, self.settings.slot_name, self.settings.heartbeat_interval)
        self._memory = SessionMemory()
        self._session: StreamingSession | None = None
        self._abandoned = False
        self._well = False  # it has streamed since the last failure
        self._tasks: list[asyncio.Task[None]] = []
        self._state_callbacks: list[Callable[[FeedState], None]] = []

    @property
    def sessions(self) -> int:
        """How many sessions have streamed. Attempts that failed before do not count."""
        return self._memory.sessions

    @property
    def plugin(self) -> str | None:
        """The output plugin in use, None before the first connection."""
        return self._memory.decoder.plugin if self._memory.decoder else None

    @property
    def walsender(self) -> int | None:
        """The process id of the server's end of the stream, the last one if it broke; None before the first."""
        return self._memory.walsender

    @property
    def server(self) -> ServerIdentity | None:
        """The server that the last session streamed from; None before the first."""
        memory = self._memory
        if memory.system is None or memory.timeline is None or memory.processes is None:
            return None
        return ServerIdentity(memory.system, memory.timeline, memory.flushed, memory.processes)

    def confirm(self, end: Lsn) -> None:
        """Confirm that everything up to ``end`` (a transaction's ``end`` or a Progress' ``position``) was processed.

        The slot never advances beyond it. A later position includes the earlier ones.
        """
        if self._positions.confirm(end) and self._session is not None:
            self._session.confirmed()

    def saw(self, position: Lsn, timeline: int) -> None:
        """A snapshot was read that may show commits up to ``position``, including commits not yet on the server's disk.

        If the server crashes before they are on disk, these commits are lost, and the feed yields a ``Discontinuity``.

        Raises ``OtherServerError`` for a snapshot of another ``timeline`` than the stream's: a standby was promoted,
        and either the stream or the snapshot is of the previous server. If it is the stream, the session is replaced.
        """
        ours = self._memory.timeline
        if ours not in (None, timeline):
            reason = f"connections reach two servers, on timelines {timeline} and {ours} (the stream's)"
            if self._session is not None and timeline > ours:
                self._session.end(reason)
            raise OtherServerError(reason)
        self._memory.seen = max(self._memory.seen, position)

    def doubt(self) -> None:
        """Another connection to the server was found dead: check the stream's connection soon."""
        if self._session is not None:
            self._session.doubt()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each reconnect, before the first event of the new stream: other connections may be dead
        without an error, or lead to another server.
        """
        self._memory.reconnected.append(callback)

    def on_state(self, callback: Callable[[FeedState], None]) -> None:
        """Call ``callback`` with each new state."""
        self._state_callbacks.append(callback)

    def abandon(self) -> None:
        """The node could not start: on closing, the feed drops its row, and the slot if this process created it.

        A slot that existed before stays.
        """
        self._abandoned = True

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Event()
        self._buffer = EventBuffer(self.settings.buffer_bytes)
        self._parts = FeedParts(self.settings, self._database, self.lease, self._buffer, self._positions, self._memory)
        heartbeats = every(self.settings.heartbeat_interval, self._heartbeat, self._note, (psycopg.Error, OSError))
        parts = (self._stream(), self.lease.run(), heartbeats, self.slot.run())
        self._tasks = [asyncio.create_task(part) for part in parts]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end(self._tasks)
        try:
            await _LEAVING.copy()(self._leave)
        except (psycopg.Error, OSError, FeedError) as failure:
            _log.warning("slot_not_released", slot=self.settings.slot_name, error=str(failure).strip())
        await self._database.close()
        self._become("stopped", self.state.reason)
        self._buffer.close()

    def _become(self, status: FeedStatus, reason: str | None) -> None:
        if status == "streaming":
            self._well = True
        if FeedState(status, reason) != self.state:
            self.state = FeedState(status, reason)
            _log.info("feed_state", slot=self.settings.slot_name, status=status, reason=reason)
            for callback in self._state_callbacks:
                callback(self.state)
        self._changed.set()

    def _report_state(self, reason: str | None) -> None:
        """Take the session's report: None while it streams, else the reason why it waits."""
        self._become("streaming" if reason is None else self.state.status, reason)

    async def _stream(self) -> None:
        """Run sessions one after the other, with growing pauses while they fail."""
        try:
            while True:
                await until_done(
                    self._run_session, on=self._passes_by_itself, failed=self._note_failure, pause=self._pause
                )
                self._become("reconnecting", self.state.reason)
        except Exception as error:
            self._become("stopped", str(error))
            self._buffer.close(error)
            raise

    async def _run_session(self) -> None:
        """One session. Returns if it was healthy before it ended, so that the next attempt is made at once."""
        loop = asyncio.get_running_loop()
        self._session = StreamingSession(self._parts, self._report_state)
        started = loop.time()
        try:
            await self._session.run()
        except UndecodableError as error:
            self._note_obstacle(error)
            raise
        except SlotUnusableError as error:
            self._memory.lost = str(error)
            raise
        except psycopg.Error as error:
            if loop.time() - started < _HEALTHY_AFTER:
                raise explain(error) or error from error
            self._become("reconnecting", _first_line(error))
        finally:
            self._session = None

    def _note_obstacle(self, error: UndecodableError) -> None:
        obstacle = self._memory.obstacle
        if obstacle.hit(error, self._positions.received):
            self._memory.lost = obstacle.reason
            _log.error("wal_skipped", slot=self.settings.slot_name, reason=obstacle.reason)

    def _pause(self, attempt: RetryCallState) -> float:
        """Seconds until the next attempt: growing with each failure, reset once the feed has streamed."""
        if self._well:
            self._well, attempt.attempt_number = False, 1
        return _PAUSE(attempt)

    def _passes_by_itself(self, error: BaseException) -> bool:
        """Whether to retry: outages always; every error of the server once the feed has streamed."""
        if isinstance(
            error, SlotBusyError | SlotUnusableError | StreamEndedError | UndecodableError | OSError | psycopg.Error
        ):
            return True
        return isinstance(error, FeedError) and self._memory.streamed

    def _note_failure(self, attempt: RetryCallState) -> None:
        error = error_of(attempt)
        obstacle = self._memory.obstacle.reason if isinstance(error, UndecodableError) else None
        reason = obstacle or _first_line(error)
        self._become("reconnecting" if self._memory.streamed else "starting", reason)

    def _note(self, error: Exception) -> None:
        _log.warning("heartbeat_failed", slot=self.settings.slot_name, error=_first_line(error))

    async def _heartbeat(self) -> None:
        if self.state.status != "streaming":
            return
        position = (await self._database.rows("feed_position"))[0]["position"]
        if position - self._positions.confirmed > self.settings.heartbeat_bytes:
            await self._database.rows("feed_heartbeat", prefix=HEARTBEAT_PREFIX)

    async def _leave(self) -> None:
        """Drop the slot, or keep it for ``keep_slot``. A slot that this feed neither made nor streamed from stays."""
        memory, slot = self._memory, self.settings.slot_name
        if (memory.streamed and self.settings.ephemeral) or (
            memory.made_slot and (self._abandoned or not memory.streamed)
        ):
            await drop_left_slot(self._database, slot, memory.walsender)
            await self.lease.leave(for_good=True)
        elif memory.streamed:
            await self.lease.leave(for_good=False)
        elif self.lease.registered and (self.lease.made or await find_slot(self._database, slot) is None):
            # An existing slot belongs to another node; with a row of this node it would be dropped when the lease expires.
            await self.lease.leave(for_good=True)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0] if error is not None else "unknown"
