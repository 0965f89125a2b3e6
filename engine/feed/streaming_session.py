"""One streaming session: frames from the opened stream, through the decoder, into the buffer.

Theory of operation
-------------------
A session is opened (:class:`engine.feed.startup.Startup`), streams, and ends with an exception; the feed then starts the
next one. It is *streaming* once the stream has brought a message and no obstacle (:mod:`engine.feed.obstacle`) is left;
until then the feed's state has the reason. :meth:`StreamingSession.doubt` resets it to not streaming.

Four tasks run until the first of them raises:

* the pump reads frames in batches, decodes them and puts transactions into the buffer. While the buffer is full it does
  not read (back-pressure) and ends the stream when the server shuts down or is about to invalidate the slot;
* the report sends status updates: after a confirmation, on request, and every ``status_interval``;
* the silence watch ends a stream whose connection is dead without an error;
* the publication watch ends a stream whose publication was dropped.

Transactions up to ``positions.delivered`` are dropped: after a reconnect the server sends again from a confirmed position.
Positions without changes for the buffer are passed on as ``Progress``, at most every 0.1 s or when the server requests a
status update.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import psycopg
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from engine.errors import FeedError
from engine.feed.buffer import EVENT_OVERHEAD, size_of
from engine.feed.decoders.base import PUBLICATION, Decoder, RelationNeededError, TableDescription
from engine.feed.replication_stream import Keepalive, ReplicationStream, StreamEndedError
from engine.feed.slots import SlotBusyError, find_slot
from engine.feed.startup import FeedParts, Startup
from engine.feed.table_lookup import describe_table
from engine.postgres.errors import TableLockedError
from engine.tasks import end
from engine.transaction import Progress, Transaction

__all__ = ["StreamingSession"]

_YIELD_INTERVAL: Final = 0.005  # seconds for which the event loop may be held
_CLOCK_EVERY: Final = 64  # messages between two looks at the clock
_PROGRESS_EVERY: Final = 0.1  # seconds between two Progress events, unless the server asks
_LOOK_WHILE_FULL: Final = 1.0  # seconds between two checks of the server while the buffer is full
_ASK_EVERY: Final = 0.5  # seconds between two requests for a keepalive, until the session is streaming
_STATUS_INTERVAL: Final = 0.02  # seconds between two status updates
_MIN_PING_INTERVAL: Final = 0.1  # seconds; a server that requests replies in shorter intervals than this
_SHUTDOWN_AFTER: Final = 1.0  # for this many seconds is shutting down
_DOUBTED: Final = 5.0  # seconds of silence after which a stream is dead when another connection was found dead
_DOUBT: Final = "another connection to the server died without a word, and the stream has brought nothing since"
_YOUNG: Final = 2.0  # seconds for which a new stream is not replaced by one to another server


class StreamingSession:
    """One connection attempt and its stream. :meth:`run` always ends by raising."""

    def __init__(self, parts: FeedParts, report: Callable[[str | None], None]) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._database = parts.database
        self._buffer = parts.buffer
        self._positions = parts.positions
        self._memory = parts.memory
        self._report_state = report
        self._streams = False  # reported to the feed as streaming
        self._counted = False  # it has streamed
        self._wake = asyncio.Event()
        self._seen = 0  # the server has passed this position without a change for the buffer
        self._reply_wanted = False
        self._pinged = self._pinged_since = 0.0
        self._next_progress = 0.0
        self._received_at = 0.0  # when a message was last received, or reading was suspended
        self._status_interval = parts.settings.status_interval
        self._end: str | None = None
        self._doubt = asyncio.Event()
        self._began = time.monotonic()
        self._stream: ReplicationStream | None = None

    def confirmed(self) -> None:
        """The consumer has confirmed a position: send a status update soon."""
        self._wake.set()

    def end(self, reason: str) -> None:
        """End the stream soon, because another server has to be followed. A stream that has just begun is not ended."""
        if time.monotonic() - self._began > _YOUNG:
            self._end = reason
            self._wake.set()

    def doubt(self) -> None:
        """Another connection to the server was found dead: check this one.

        Until the next message the feed's state is not streaming.
        """
        if self._stream is not None and self._streams:
            self._stream.received = self._streams = False
            self._report_state(_DOUBT)
        self._doubt.set()
        self._wake.set()

    async def run(self) -> None:
        """Stream until one of the tasks raises, and raise that exception: the pump's, if several have ended.

        Once the pump has read the server's error, sending a status update fails too. Only the pump's exception has the
        server's error in its typed form.
        """
        startup = Startup(self._parts, self._report_state)
        stream, decoder = await startup.open()
        self._stream, self._status_interval = stream, startup.status_interval
        try:
            self._received_at = time.monotonic()
            parts = [
                self._pump(stream, decoder),
                self._report(stream),
                self._watch_publication(),
                self._watch_silence(stream),
            ]
            tasks = [asyncio.create_task(part) for part in parts]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:  # in their order: that of the set ``done`` is arbitrary
                    if task in done:
                        task.result()
            finally:
                await end(tasks)
        finally:
            await self._close(stream)

    async def _pump(self, stream: ReplicationStream, decoder: Decoder) -> None:
        while True:
            while self._buffer.full:
                await self._wait_for_room()
                self._received_at = time.monotonic()
            drained = await self._read_batch(stream, decoder)
            if not self._streams and stream.received:
                self._note_streaming()
            wait = self._note_progress()
            if drained:
                await stream.readable(wait)
            else:
                await asyncio.sleep(0)

    def _note_streaming(self) -> None:
        """A message was received: report the session as streaming, unless it may break off at the same obstacle again."""
        if self._memory.obstacle.reason is None:
            self._streams = True
            if not self._counted:
                self._counted = True
                self._memory.sessions += 1
            self._report_state(None)

    async def _wait_for_room(self) -> None:
        """Do not read until the consumer has caught up (back-pressure), or the server has to end the stream.

        A walsender cannot end while its socket is full: it blocks on its last message, and with it a shutdown, or the
        checkpoint that invalidates its slot. So the slot is checked meanwhile, and the connection closed in time.
        """
        if await self._buffer.drained(_LOOK_WHILE_FULL):
            return
        slot = await find_slot(self._database, self._settings.slot_name)  # raises when the server shuts down
        if slot is None or slot.lost is not None or slot.endangered:
            raise SlotBusyError(
                f"slot {self._settings.slot_name} keeps more WAL than the server allows: the consumer is too slow"
            )

    async def _read_batch(self, stream: ReplicationStream, decoder: Decoder) -> bool:
        """Read for _YIELD_INTERVAL at most; returns True if nothing more has arrived."""
        read, feed, clock = stream.read, decoder.feed, time.monotonic
        deadline = clock() + _YIELD_INTERVAL
        while True:
            for number in range(_CLOCK_EVERY):
                message = read()
                if type(message) is bytes:
                    try:
                        transaction = feed(message)
                    except RelationNeededError as need:
                        transaction = await self._look_up(decoder, need, message)
                    if transaction is not None and not self._deliver(transaction):
                        return False
                elif message is None:
                    if number:
                        self._received_at = clock()
                    return True
                elif isinstance(message, Keepalive):
                    self._on_keepalive(message)
            self._received_at = clock()
            if self._received_at > deadline:
                return False

    async def _look_up(self, decoder: Decoder, need: RelationNeededError, message: bytes) -> Transaction | None:
        while True:
            decoder.provide(need, await self._describe(need))
            try:
                return decoder.feed(message)
            except RelationNeededError as another:
                need = another

    async def _describe(self, need: RelationNeededError) -> TableDescription | None:
        """The table's description. While a catalog table is locked, the stream waits for the lock and counts as alive."""
        waiting = AsyncRetrying(retry=retry_if_exception_type(TableLockedError), before_sleep=self._note_lock)
        found: TableDescription | None = await waiting(describe_table, self._database, need.schema, need.table)
        if self._streams and waiting.statistics["attempt_number"] > 1:
            self._report_state(None)
        return found

    def _note_lock(self, attempt: RetryCallState) -> None:
        self._received_at = time.monotonic()
        self._report_state(f"the stream waits for a lock: {attempt.outcome.exception() if attempt.outcome else None}")

    def _deliver(self, transaction: Transaction) -> bool:
        """Put ``transaction`` into the buffer, unless it was delivered before. Returns whether the buffer has room."""
        if transaction.end <= self._positions.delivered:
            return not self._buffer.full  # delivered before a reconnect
        if not transaction.changes:
            self._seen = max(self._seen, transaction.end)
            return not self._buffer.full
        transaction.received_at = time.time_ns() // 1000
        self._positions.deliver(transaction.end, transaction.commit_time)
        self._memory.obstacle.passed()
        if not self._streams:
            self._note_streaming()  # before the consumer can take it
        self._buffer.put(transaction, size_of(transaction))
        return not self._buffer.full

    def _on_keepalive(self, keepalive: Keepalive) -> None:
        self._seen = max(self._seen, keepalive.position)
        self._positions.received = max(self._positions.received, keepalive.position)
        self._memory.obstacle.reached(keepalive.position)
        if keepalive.reply:
            self._reply_wanted = True
            self._wake.set()
            self._notice_shutdown()

    def _notice_shutdown(self) -> None:
        """Raise if the server is shutting down: it requests replies until all WAL is confirmed (WalSndDone).

        Transactions that no snapshot shows are not confirmed, so it would wait forever.
        """
        now = time.monotonic()
        if now - self._pinged > _MIN_PING_INTERVAL:
            self._pinged_since = now
        self._pinged = now
        if now - self._pinged_since > _SHUTDOWN_AFTER:
            raise StreamEndedError("the server is shutting down")

    def _note_progress(self) -> float | None:
        """Buffer a Progress if the stream has advanced; returns the seconds until it is due, None if none is pending."""
        if self._seen <= self._positions.delivered:
            return None
        wait = self._next_progress - time.monotonic()
        if wait > 0 and not self._reply_wanted:
            return wait
        self._reply_wanted = False
        self._next_progress = time.monotonic() + _PROGRESS_EVERY
        self._positions.deliver(self._seen)
        self._buffer.put(Progress(self._seen), EVENT_OVERHEAD)
        return None

    async def _report(self, stream: ReplicationStream) -> None:
        """Send status updates: after a confirmation, when the server requests one, and every ``status_interval``.

        The update requests a keepalive if the server is quiet, or if the session is not streaming yet.
        """
        quiet = False
        while True:
            self._wake.clear()
            if self._end is not None:
                raise StreamEndedError(self._end)
            ask = quiet or not self._streams or self._doubt.is_set()
            await stream.send_status(self._positions.received, self._positions.confirmed, want_reply=ask)
            await asyncio.sleep(_STATUS_INTERVAL)
            try:
                async with asyncio.timeout(self._status_interval if self._streams else _ASK_EVERY):
                    await self._wake.wait()
                quiet = False
            except TimeoutError:
                quiet = True

    async def _watch_silence(self, stream: ReplicationStream) -> None:
        """Detect a connection that is dead without an error.

        With ``wal_sender_timeout = 0`` the server does not check it, and TCP does not if a proxy or an address translation
        on the path has dropped the connection. So a quiet server is requested to reply (:meth:`_report`).
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._status_interval):
                    await self._doubt.wait()
            enough = self._settings.silence
            if self._doubt.is_set():
                await asyncio.sleep(_DOUBTED)
                self._doubt.clear()
                enough = min(enough, _DOUBTED)
            silent = time.monotonic() - self._received_at
            if silent < enough or self._buffer.full:
                continue
            walsender = await self._database.rows("feed_walsender_waits", pid=stream.pid)
            if not walsender or walsender[0]["waits"]:
                raise StreamEndedError(f"the server has sent nothing for {silent:.0f} s: the connection is dead")

    async def _watch_publication(self) -> None:
        """Raise if the publication was dropped: pgoutput then sends nothing and (since PostgreSQL 18) raises no error."""
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            found = await self._database.rows("feed_publication", publication=PUBLICATION)
            if not found or found[0]["oid"] != self._memory.publication:
                self._memory.lost = f"publication {PUBLICATION} was dropped"
                raise FeedError(self._memory.lost)

    async def _close(self, stream: ReplicationStream) -> None:
        with contextlib.suppress(psycopg.Error, OSError):  # the connection may be what broke
            await stream.send_status(self._positions.received, self._positions.confirmed)
        await stream.close()
