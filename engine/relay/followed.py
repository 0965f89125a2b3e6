"""What the feeds of nodes without a slot of their own have in common: the lease, sessions one after the other, the state.

Theory of operation
-------------------
Sessions follow each other forever, with growing pauses after those that were short. ``state.status`` is the relay's, with
two exceptions: without a session it is ``reconnecting`` (``starting`` before the first), and what the operator has to remove
stops a node only if that has not streamed yet.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psycopg
import structlog
from tenacity import RetryCallState, wait_exponential, wait_random

from engine.errors import FeedError
from engine.feed.buffer import EventBuffer
from engine.feed.consumed import ConsumedFeed, FeedState, FeedStatus
from engine.feed.feed import FeedSettings, ServerIdentity
from engine.feed.leases import NodeLease
from engine.feed.slot_watch import SlotWatch
from engine.lsn import Lsn
from engine.postgres.errors import OtherServerError
from engine.postgres.reconnecting import Database
from engine.postgres.retry import error_of, until_done
from engine.relay.worker_stream import WorkerStream
from engine.tasks import end

__all__ = ["BREAKS", "FollowedFeed", "RelayFailedError", "StreamLag"]

_log = structlog.get_logger(__name__)

_PAUSE: Final = wait_exponential(multiplier=0.05, max=2.0) + wait_random(0, 0.2)  # seconds between two attempts
_HEALTHY_AFTER: Final = 10.0  # seconds of a session after which its end is not counted with earlier ones

BREAKS: Final = ("hole", "begun_anew", "left_behind", "other_history", "undecodable")
"""Kinds of reasons for which a stream does not go on for a node.

``hole``: a message did not follow the one before it, counted when that is met.
``begun_anew``: the relay has begun another generation.
``left_behind``: the stream has let go of what the node lacked. ``other_history``: the server was restored or failed over.
``undecodable``: a message could not be read.
"""


class RelayFailedError(FeedError):
    """The relay has ended for a reason that the operator has to remove."""


class StreamLag(NamedTuple):
    """How far a node is behind the stream in NATS: messages that it has not taken, and the age of the last one that it has;
    both 0 where it has all.
    """

    messages: int
    seconds: float


class FollowedFeed(ConsumedFeed, ABC):
    """An async context manager and iterator over :data:`engine.transaction.FeedEvent`, as :class:`engine.feed.feed.Feed`.

    Args:
        dsn: of the database, for the lease of this node.
        settings: the slot's name, which is the relay's, and the name of this node (``node_id``).
        silence: seconds without a message after which the relay counts as stuck.

    ``sessions``: how many sessions have brought a stream. ``breaks``: how often the stream did not go on, by the kind of
    reason (see :data:`BREAKS`).
    """

    leads_recording = False
    """See :class:`engine.stream.change_feed.ChangeFeed`."""

    def __init__(self, dsn: str, settings: FeedSettings, silence: float) -> None:
        super().__init__()
        self.settings = settings
        self.sessions = 0
        self.breaks: Counter[str] = Counter()
        self._database = Database(dsn, f"realtime node {settings.node}", settings.lease / 3, self.doubt)
        self.lease = NodeLease(self._database, settings, has_slot=False)
        self.slot = SlotWatch(self._database, settings.slot_name, settings.heartbeat_interval)
        self._silence = silence
        self._welcomed = False
        self._received_at = time.monotonic()
        self._callbacks: list[Callable[[], None]] = []
        self._state_callbacks: list[Callable[[FeedState], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def behind(self) -> StreamLag | None:
        """How far this node is behind the stream in NATS; None without one."""
        return None

    @property
    def stream_bytes(self) -> int | None:
        """Bytes of the stream that NATS has sent to this node; None without one."""
        return None

    @property
    def leader(self) -> str | None:
        """The name of the relay that leads the cluster, as far as it is known; None without a cluster."""
        return None

    @property
    def generation(self) -> int:
        """Of the stream that this node follows; 0: none that could go on."""
        return self._stream.generation

    @property
    def plugin(self) -> str | None:
        """The output plugin of the slot, None before the first session."""
        return self._stream.plugin

    @property
    def server(self) -> ServerIdentity | None:
        """The server that the stream is of; None before the first session."""
        return self._stream.server

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """See :meth:`engine.feed.feed.Feed.on_reconnect`; also after each reconnect to the relay."""
        self._callbacks.append(callback)

    def on_state(self, callback: Callable[[FeedState], None]) -> None:
        """Call ``callback`` with each new state."""
        self._state_callbacks.append(callback)

    def abandon(self) -> None:
        """The node could not start. It leaves nothing in the database in any case."""

    @abstractmethod
    def confirm(self, position: Lsn) -> None:
        """See :meth:`engine.feed.feed.Feed.confirm`."""

    @abstractmethod
    def doubt(self) -> None:
        """Another connection to the server was found dead: the relay checks its own soon."""

    def saw(self, position: Lsn, timeline: int) -> None:
        """See :meth:`engine.feed.feed.Feed.saw`. Raises ``OtherServerError``."""
        ours = self._timeline
        if ours not in (0, timeline):
            if timeline > ours:
                self._report_server(timeline)
            raise OtherServerError(f"connections reach two servers, on timelines {timeline} and {ours} (the stream's)")
        self._stream.seen = max(self._stream.seen, position)

    @property
    @abstractmethod
    def _timeline(self) -> int:
        """The stream's; 0: not known."""

    @abstractmethod
    def _report_server(self, timeline: int) -> None:
        """A connection leads to a server on a later ``timeline``: the relay has to know."""

    @abstractmethod
    async def _session(self) -> None:
        """Take what the relay sends. Returns when a stream that it has brought has ended."""

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Event()
        self._buffer = EventBuffer(self.settings.buffer_bytes)
        self._stream = WorkerStream(self.settings, self._buffer, self._positions)
        parts: tuple[Coroutine[Any, Any, None], ...] = (
            self._run(),
            self.lease.run(),
            self.slot.run(),
            self._watch_silence(),
        )
        self._tasks = [asyncio.create_task(part) for part in parts]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end(self._tasks)
        if self.lease.registered:
            try:
                await self.lease.leave(for_good=True)
            except (psycopg.Error, OSError, FeedError) as failure:
                _log.warning("node_not_removed", node=self.settings.node, error=str(failure).strip())
        await self._database.close()
        self._become("stopped", self.state.reason)
        self._buffer.close()

    async def _run(self) -> None:
        """Run sessions one after the other, with growing pauses while they fail."""
        try:
            while True:
                await until_done(self._run_session, on=self._passes_by_itself, failed=self._note_failure, pause=_PAUSE)
        except Exception as error:
            self._become("stopped", str(error))
            self._buffer.close(error)
            raise

    async def _run_session(self) -> None:
        """One session. Returns if it was healthy before it ended, so that the next attempt is made at once."""
        began = time.monotonic()
        try:
            await self._session()
        except Exception as error:
            if time.monotonic() - began < _HEALTHY_AFTER or not self._passes_by_itself(error):
                raise
            self._note_end(error)
        else:
            self._become_away("the relay has closed the connection")

    def _passes_by_itself(self, error: BaseException) -> bool:
        if isinstance(error, RelayFailedError) and not self.sessions:
            return False
        return isinstance(error, FeedError | OSError | psycopg.Error)

    def _note_failure(self, attempt: RetryCallState) -> None:
        self._note_end(error_of(attempt))

    def _note_end(self, error: BaseException | None) -> None:
        self._become_away(f"the relay of slot {self.settings.slot_name} is not there: {error}")

    def _reconnected(self) -> None:
        for callback in self._callbacks:
            callback()

    def _show(self, status: FeedStatus, reason: str | None) -> None:
        """Take over the state of the relay's feed. Raises ``RelayFailedError``."""
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
            for callback in self._state_callbacks:
                callback(self.state)
        self._changed.set()

    async def _watch_silence(self) -> None:
        """Show a relay that is stuck: it sends something every few seconds."""
        while True:
            await asyncio.sleep(self._silence / 10)
            silent = time.monotonic() - self._received_at
            if self._welcomed and silent > self._silence:
                self._become_away(f"the relay has sent nothing for more than {self._silence:g} s")
