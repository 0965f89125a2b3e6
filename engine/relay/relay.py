"""The relay: one process of a machine reads the replication slot for all workers.

Theory of operation
-------------------
One task takes the events of an ordinary :class:`engine.feed.feed.Feed`, encodes each once and adds it to the backlog; each
worker's link sends them from its place there. While the backlog is full the task waits (back-pressure), the feed's buffer
fills up, and the walsender is held back by TCP.

A worker that keeps the others waiting for ``hold_time`` is cut off: it connects again, and starts over with a discontinuity.
So is one that leaves too much WAL unconfirmed. A single worker is waited for as the consumer of an own slot is, until the
slot itself is lost.

The slot is confirmed at the minimum of what the workers have confirmed in the present generation of the stream. Without any
worker it stays where it is for ``grace``, so that workers resume after a restart of the relay; then it advances with the
stream. One of the workers is appointed to lead the recording of commits, and another one once its connection has ended;
none if the feed reports what the relay of a cluster has recorded, which the workers are sent then.
A worker that comes begins where the slot stands, as a node does that starts with its slot: no snapshot misses what
the slot was confirmed for. It begins at the end of the stream where the backlog does not reach back so far, and after it was
cut off.

Invariant: a worker has every event after the position it was welcomed with, until its connection ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Final

import structlog

from engine.errors import FeedError
from engine.feed.feed import Feed, ServerIdentity
from engine.lsn import Lsn
from engine.postgres.errors import OtherServerError
from engine.relay.backlog import Backlog
from engine.relay.codec import parts_of
from engine.relay.followed import FollowedFeed
from engine.relay.link import Link
from engine.relay.messages import (
    Appointed,
    Break,
    Confirmed,
    Doubt,
    FromWorker,
    Hello,
    OtherServer,
    Part,
    Passed,
    Reconnected,
    RecordingWanted,
    RelayProtocolError,
    Status,
    ToWorker,
    Welcome,
    encode,
    new_generation,
)
from engine.relay.settings import RelaySettings
from engine.tasks import end
from engine.transaction import FeedEvent, Progress, Transaction

__all__ = ["Relay"]

_log = structlog.get_logger(__name__)

_OTHER_HISTORY: Final = "the server has another history, or has lost transactions that it had sent"
_TURN: Final = 0.005  # seconds of work between two turns of the links


class Relay:
    """The slot's end. :class:`engine.relay.listener.Listener` brings the workers.

    Args:
        feed: of the slot, not open yet; its settings have it as shared. Its node is the relay itself.
        tuning: bounds of the backlog, and of what a worker may hold back.

    ``ready``: set once workers can be welcomed. ``took``: set when a link has taken something, came, or went.
    """

    def __init__(self, feed: Feed | FollowedFeed, tuning: RelaySettings | None = None) -> None:
        self.feed = feed
        self.tuning = tuning or RelaySettings()
        self.ready = asyncio.Event()
        self._backlog = Backlog(self.tuning.backlog, 0, new_generation())
        self._former: set[int] = set()  # generations of this relay that have ended
        self._connected: set[Link] = set()
        self._links: set[Link] = set()  # of them, those that were welcomed
        self._recorder: Link | None = None  # the one that leads the recording of commits
        self.took = asyncio.Event()
        self._cut: set[str] = set()  # workers that were cut off and have not come back
        self._alone_since = time.monotonic()  # without a worker
        self.feed.on_state(lambda _: self._post(self.status))
        self.feed.on_reconnect(lambda: self._post(Reconnected()))

    async def run(self) -> None:
        """Relay until the feed ends. Raises ``FeedError`` if it cannot start, or ends, for a reason that lasts."""
        async with self.feed:
            try:
                await self.feed.streaming()
            except FeedError:
                self.feed.abandon()
                raise
            self._backlog = Backlog(self.tuning.backlog, self.feed.confirmed, new_generation())
            self._alone_since = time.monotonic()
            self.ready.set()
            looks = asyncio.create_task(self._look())
            try:
                await self._fill()
            finally:
                await end([looks])

    @property
    def status(self) -> Status:
        """What workers are sent about the feed."""
        server, state = self.feed.server, self.feed.state
        return Status(state.status, state.reason, 0 if server is None else server.timeline)

    @property
    def workers(self) -> list[str]:
        """The names of the workers that are connected."""
        return sorted(link.node for link in self._links)

    # -- workers ---------------------------------------------------------------------------------------------------

    def welcome(self, hello: Hello, link: Link) -> None:
        """Give ``link`` its place in the stream, and send the worker where that is. Call it once the relay is ready."""
        for other in [other for other in self._links if other.node == link.node]:
            self._leave(other)
        backlog = self._backlog
        reason = self._why_not(hello)
        found = None
        if not reason:  # a new worker begins where the slot stands, as a node does that starts with its slot
            found = backlog.resume(hello.delivered if hello.generation else self.feed.confirmed)
            if hello.generation and found is None:
                reason = "the relay does not have any more what has happened since"
        cursor, position = found or backlog.join()
        resumed = found is not None and hello.generation != 0
        link.begin(backlog, cursor, self.feed.confirmed if resumed else position)
        self._cut.discard(link.node)
        self._links.add(link)
        elsewhere = reason == _OTHER_HISTORY
        link.post(
            Welcome(
                backlog.generation,
                position,
                resumed,
                reason,
                elsewhere,
                self.feed.plugin or "",
                self._server,
                self.feed.reports_recorded,
            )
        )
        _log.info("worker_joined", node=link.node, resumed=resumed, reason=reason or None)
        self._appoint()
        self._confirm()
        self.took.set()

    def _why_not(self, hello: Hello) -> str:
        """Why the stream of a worker cannot go on, as far as that is known without the backlog; "" if it may."""
        before, server = hello.server, self._server
        if not hello.generation or before is None:
            return ""
        if hello.node in self._cut:
            return "the worker was cut off, because it was too slow"
        if hello.generation in self._former:
            return "the slot was made again"
        if (before.system, before.timeline) != (server.system, server.timeline):
            return _OTHER_HISTORY
        if hello.delivered > max(server.flushed, self._backlog.position):
            return _OTHER_HISTORY
        return ""

    def _appoint(self) -> None:
        """Have one of the workers lead the recording of commits, and another one once that has left; none where another
        process records for all.
        """
        if self._recorder not in self._links and not self.feed.reports_recorded:
            self._recorder = min(self._links, key=lambda link: link.node, default=None)
            if self._recorder is not None:
                self._recorder.post(Appointed())

    @contextlib.contextmanager
    def connected(self, link: Link) -> Iterator[None]:
        """``link`` is connected; it is sent the state of the feed, before it is welcomed too."""
        self._connected.add(link)
        link.post(self.status)
        try:
            yield
        finally:
            self._connected.discard(link)
            self._leave(link)

    def _leave(self, link: Link) -> None:
        if link not in self._links:
            return
        link.cut()
        self._links.discard(link)
        self._backlog.leave(link.cursor)
        self._alone_since = time.monotonic()
        _log.info("worker_left", node=link.node)
        self._appoint()
        self._confirm()
        self.took.set()

    def take(self, link: Link, message: FromWorker) -> None:
        """``link`` has sent ``message``."""
        if isinstance(message, Confirmed):
            link.confirm(message.generation, message.position)
            self._confirm()
        elif isinstance(message, OtherServer):
            with contextlib.suppress(OtherServerError):
                self.feed.saw(0, message.timeline)
        elif isinstance(message, Doubt):
            self.feed.doubt()
        elif isinstance(message, RecordingWanted):
            self.feed.request_recording()
        else:
            raise RelayProtocolError(f"worker {link.node} introduced itself twice")

    def _post(self, message: ToWorker) -> None:
        for link in self._connected:
            link.post(message)

    def _confirm(self) -> None:
        """Confirm what no worker needs any more."""
        if not self._links:
            return
        generation = self._backlog.generation
        if all(link.generation == generation for link in self._links):
            self.feed.confirm(min(link.confirmed for link in self._links))

    # -- events ----------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Add the events of the feed to the backlog, as there is room for them."""
        began = time.monotonic()
        async for event in self.feed:
            for message, position, last in self._messages(event):
                data = encode(message)
                while not self._has_room:
                    await self._wait_for_room()
                self._backlog.add(data, position, last=last)
                if isinstance(message, Break) and message.missing:
                    self._former.add(self._backlog.generation)
                    self._backlog.begin_generation(message.generation, position)
                self._wake()
                if time.monotonic() - began > _TURN:
                    await asyncio.sleep(0)
                    began = time.monotonic()
            if self._unwatched:
                self.feed.confirm(self._backlog.position)

    def _messages(self, event: FeedEvent) -> Iterator[tuple[ToWorker, Lsn, bool]]:
        """The messages of ``event``, the position behind it, and whether the message is its last one."""
        previous = self._backlog.position
        if isinstance(event, Transaction):
            for frames in parts_of(self.feed.plugin or "", event, self.tuning.part):
                yield Part(previous, frames), event.end, not frames.more
        elif isinstance(event, Progress):
            yield Passed(previous, event.position, event.recorded), event.position, True
        else:
            position = self.feed.confirmed if event.missing else previous
            generation = new_generation() if event.missing else self._backlog.generation
            what = event.reason, event.missing, event.other_history, event.safe
            yield Break(previous, position, generation, *what, self._server), position, True

    def _wake(self) -> None:
        for link in self._links:
            link.wake()

    @property
    def _unwatched(self) -> bool:
        """No worker is expected to come back any more."""
        return not self._links and time.monotonic() - self._alone_since > self.tuning.grace

    @property
    def _has_room(self) -> bool:
        if self._links or self._unwatched:
            return not self._backlog.full
        return len(self._backlog) * 2 < self.tuning.backlog  # more would be dropped before a worker has come back

    async def _wait_for_room(self) -> None:
        """Wait until a worker has taken something, or a moment. The slowest is cut off when it has held the others."""
        self.took.clear()
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.tuning.look):
                await self.took.wait()
        slowest = next((link for link in self._links if link.cursor is self._backlog.slowest), None)
        if slowest is None or not any(self._backlog.waits(link.cursor) for link in self._links):
            return
        slowest.held += min(time.monotonic() - began, self.tuning.look)  # beyond it this process did not run
        if slowest.held > self.tuning.hold_time:
            self._cut_off(slowest, f"the others have waited for it for {slowest.held:.0f} s")

    async def _look(self) -> None:
        """Look at what the workers have confirmed, and keep silent connections alive; forever."""
        beat = time.monotonic()
        while True:
            await asyncio.sleep(self.tuning.look)
            if self._unwatched:
                self.feed.confirm(self._backlog.position)
            if time.monotonic() - beat > self.tuning.beat:
                beat = time.monotonic()
                self._post(self.status)
            for link in list(self._links):
                self._check_confirmations(link)

    def _check_confirmations(self, link: Link) -> None:
        """Cut ``link`` off if it holds much more WAL than another one, and does not go on."""
        most = max(self._needs(other) for other in self._links)
        held = most - self._needs(link)
        if held > self.tuning.unconfirmed and time.monotonic() - link.confirmed_at > self.tuning.hold_time:
            self._cut_off(link, f"it has confirmed nothing, and holds {held} bytes of WAL more than another worker")

    def _needs(self, link: Link) -> Lsn:
        """From where on ``link`` needs the WAL; a worker that is behind a break has not confirmed anything since."""
        return link.confirmed if link.generation == self._backlog.generation else self.feed.confirmed

    def _cut_off(self, link: Link, reason: str) -> None:
        _log.warning("worker_cut_off", node=link.node, reason=reason)
        self._cut.add(link.node)
        self._leave(link)

    @property
    def _server(self) -> ServerIdentity:
        server = self.feed.server
        assert server is not None, "the feed has streamed"
        return server
