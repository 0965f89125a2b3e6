"""The leading relay's end of the stream: publishes events in order, each once, and knows up to where NATS has them.

Theory of operation
-------------------
Messages are published without waiting for the acknowledgement of those before. Each names the sequence number that the
stream must have reached (``Nats-Expected-Last-Sequence``), so where one is refused or lost, those behind it are refused:
what is in the stream has no holes, and what a relay publishes whose place was taken is refused.

A session is one connection to NATS. It begins with a look at the stream's end (:meth:`Publisher._resume`): what is waiting
and has arrived is not sent again, whatever had become of its acknowledgement. A last message of another term means that
another relay leads: ``FencedError``. The sequence number does not fence a relay whose stream was made anew meanwhile, so
each session proves after that look, and before its first message, that this relay still leads. A stream that is missing is
made again, and what was waiting is published there; nodes that lack what was lost with the former one see it by the
positions. The first message of a stream that is empty is a sign of life, without which nodes cannot begin.

A term begins with the last message of the stream, too: events up to its position are not published again. If the stream is
empty, or of another history than the server's, it begins another *generation*, after which every node reads again.

Invariant: ``reached`` is a position up to which NATS has acknowledged every event of this generation.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from tenacity import wait_exponential, wait_random

from engine.cluster.identity import DatabaseIdentity
from engine.cluster.messages import OVERHEAD, RECORD, Index, Pulse, Sent, cut, sign_of_life
from engine.cluster.nats_errors import NatsFailedError, explained
from engine.cluster.nats_stream import NatsStream, StreamState, connected, sequence_of
from engine.cluster.place import Adopted, FencedError, adopt, check_term
from engine.cluster.send_queue import SendQueue
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import COMMON, TopicIndex
from engine.feed.feed import ServerIdentity
from engine.lsn import Lsn
from engine.postgres.retry import error_of, until_done
from engine.relay.messages import ToWorker, new_generation
from engine.relay.topic import UNTOUCHED, Topics

__all__ = ["FencedError", "Publisher"]

_log = structlog.get_logger(__name__)

_PAUSE: Final = wait_exponential(multiplier=0.05, max=1.0) + wait_random(0, 0.05)  # seconds between two attempts
_HEALTHY_AFTER: Final = 10.0  # seconds of a session after which its end is not counted with earlier ones
_ASKED: Final = 0.01  # seconds between two signs of life that nodes ask for
_EXPECTED: Final = "Nats-Expected-Last-Sequence"


class Publisher:
    """One term of a leading relay. :meth:`run` publishes what :meth:`publish` has taken.

    Args:
        settings: of the cluster.
        relay: this relay's name.
        database: whose transactions are published. A stream of another one is refused.
        pulse: what is sent as a sign of life.
        acknowledged: called when ``reached`` has advanced.
        recording: called when a node waits for the recording of commits.
        leads: proves that this relay leads. Raises ``FeedError`` if it does not.

    Attributes:
        generation: of the stream; 0 before :meth:`begin`.
        position: the stream's, with what waits to be published.
        reached: see the module.
        queue: what NATS has not acknowledged, and how much it has.
        stored: the sequence number of the last message that NATS has, as far as it is known.
        adopted: what the term has begun with; None before :meth:`begin`. ``problem``: why nothing can be published, or None.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        relay: str,
        database: DatabaseIdentity,
        pulse: Callable[[], Pulse | None],
        acknowledged: Callable[[], None] = lambda: None,
        leads: Callable[[], Awaitable[None]] | None = None,
        recording: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._relay = relay
        self._database = database
        self._pulse = pulse
        self._acknowledged = acknowledged
        self._leads = leads
        self._recording = recording
        self._term = secrets.randbits(62) + 1
        self.generation = 0
        self.position: Lsn = 0
        self.reached: Lsn = 0
        self.queue = SendQueue()
        self.stored = 0
        self.adopted: Adopted | None = None
        self.problem: str | None = None
        self._chunk = 0  # bytes of a chunk; 0: not known yet
        self._created: object = None  # distinguishes streams of one name
        self._sequence = 0  # of the last message that was sent
        self._adopted = 0  # of the last message of the term before
        self._stored_at = time.monotonic()  # when NATS acknowledged last, or nothing was waiting
        self._purge = False
        self._index = TopicIndex()
        self._open: Lsn = 0  # where the event ends that was published in part
        self._pulsed: Pulse | None = None  # the last sign of life
        self._beaten = 0.0  # when that was
        self._wanted = self._due = False  # a node waits for one; another one follows once the event is complete
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._begun = asyncio.Event()
        self._started = asyncio.Event()
        self._failure: NatsFailedError | FencedError | None = None
        self._start: tuple[Lsn, ServerIdentity] | None = None

    async def begin(self, position: Lsn, server: ServerIdentity) -> None:
        """The slot of ``server`` stands at ``position``: wait until it is known from where on the stream lacks events."""
        self._start = position, server
        self._stored_at = time.monotonic()
        self._started.set()
        await self._begun.wait()

    async def publish(
        self, message: ToWorker, position: Lsn, topics: Topics = UNTOUCHED, *, first: bool = True, last: bool = True
    ) -> None:
        """Publish an event that ends at ``position``, or a message of it (``first``, ``last``). Waits for room."""
        topic, previous = topics.own, self.position
        prior, others = self._index.prior(topic), self._index.others(*topics)
        for number, more, data in cut(message, self._chunk):
            while self.queue.size >= self._settings.window:
                self._room.clear()
                await self._room.wait()
            ends = last and not more
            begins = first and number == 0
            place = self.generation, self._term, previous, position, begins, ends, number, more
            sent = Sent(*place, data, prior, others=others if begins else None)
            self._add(self._settings.subject(topic), sent, topic)
            self._open = 0 if ends else position
        if last:
            self.position = position
            self._index.note(topic, position)
            if self._due or self._index.full:
                self.beat()

    def start_over(self, position: Lsn) -> None:
        """Transactions may be missing between what was published and ``position``: begin another generation."""
        self.generation = new_generation()
        self.position = self.reached = position
        self._open = 0
        self._index, self.queue.stored = TopicIndex(position), TopicIndex(position)
        self.queue.clear()
        self._purge = True
        self._fail(NatsFailedError("the stream is begun anew"))
        self._room.set()

    async def run(self) -> None:
        """Publish until another relay has taken over. Raises ``FencedError`` and what ``leads`` raises,
        ``OtherDatabaseError`` if the stream is of another database, and ``NatsFailedError`` if nothing could be published
        for ``publish_timeout``.
        """
        await self._started.wait()
        while True:
            await until_done(
                self._session, on=self._passes, failed=lambda tried: self._fails(error_of(tried)), pause=_PAUSE
            )

    def _passes(self, error: BaseException) -> bool:
        soon_enough = time.monotonic() - self._stored_at < self._settings.publish_timeout
        return soon_enough and isinstance(error, NatsFailedError | OSError)

    def _fails(self, error: BaseException | None) -> None:
        if str(error) != self.problem:
            self.problem = str(error)
            _log.warning("relay_not_publishing", slot=self._settings.slot, error=self.problem)

    # -- a session -------------------------------------------------------------------------------------------------

    async def _session(self) -> None:
        """One connection. Returns if it was healthy before it ended, so that the next attempt is made at once."""
        began = time.monotonic()
        try:
            await self._connected_session()
        except NatsFailedError as error:
            if time.monotonic() - began < _HEALTHY_AFTER:
                raise
            self._fails(error)

    async def _connected_session(self) -> None:
        async with connected(self._settings, f"realtime relay {self._relay}") as stream:
            self._failure = None
            self._chunk = stream.max_payload - OVERHEAD
            await self._resume(stream)
            self._stored_at = time.monotonic()
            inbox = stream.client.new_inbox()
            with explained():
                subscription = await stream.client.subscribe(f"{inbox}.*", cb=self._take)
                control = await stream.client.subscribe(self._settings.control, cb=self._asked)
            self._begun.set()
            self.problem = None
            self.beat()
            try:
                await self._send(stream, inbox)
            finally:
                for each in (subscription, control):
                    with contextlib.suppress(NatsError, OSError):  # the connection may be closed
                        await each.unsubscribe()

    async def _asked(self, message: Msg) -> None:
        """A node asks for a sign of life, or for the recording of commits, which one follows."""
        if message.data == RECORD:
            self._recording()
        else:
            self._wanted = True
            self._more.set()

    async def _send(self, stream: NatsStream, inbox: str) -> None:
        self._beaten = time.monotonic()
        while True:
            now = time.monotonic()
            self._check(stream, now)
            await stream.try_replicas(now)
            self._beat_in_time(now)
            while self.queue.unsent:
                self._beat_in_time(time.monotonic())  # there may always be more
                headers = {_EXPECTED: str(self._sequence)}
                self._sequence += 1
                each = self.queue.next(self._sequence)
                await stream.publish(each.subject, each.data, f"{inbox}.{each.sequence}", headers)
                if self._failure is not None:
                    raise self._failure
            self._more.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._settings.beat / 4, self._pause)):
                    await self._more.wait()

    def _beat_in_time(self, now: float) -> None:
        if now - self._beaten >= self._pause:
            self._beaten, self._wanted = now, False
            self.beat()

    @property
    def _pause(self) -> float:
        """Seconds between two signs of life, as things are now."""
        if self._wanted:
            return _ASKED
        return self._settings.index if self._index.pending else self._settings.beat

    def _check(self, stream: NatsStream, now: float) -> None:
        """Raise if this session cannot go on."""
        if self._failure is not None:
            raise self._failure
        if stream.closed.is_set():
            raise NatsFailedError("the connection to NATS was closed")
        if not self.queue:
            self._stored_at = now
        elif now - self._stored_at > self._settings.answer:
            raise NatsFailedError(f"NATS has acknowledged nothing for {self._settings.answer:g} s")

    async def _take(self, message: Msg) -> None:
        """An acknowledgement."""
        try:
            self._store(sequence_of(message))
        except NatsFailedError as error:
            self._fail(error)

    def _store(self, sequence: int) -> None:
        """NATS has everything up to this sequence number."""
        reached = self.queue.store(sequence)
        self.stored = max(self.stored, sequence)
        self._stored_at = time.monotonic()
        self._room.set()
        if reached > self.reached:
            self.reached = reached
            self._acknowledged()

    def _fail(self, error: NatsFailedError | FencedError) -> None:
        self._failure = self._failure or error
        self._more.set()

    def beat(self) -> None:
        """Publish a sign of life, unless the same one waits already. One within an event is followed by one behind it."""
        self._due = bool(self._open)
        if not self._begun.is_set():
            return
        before, sent = self._pulsed, self._sign_of_life(self.position, self._index.now, self._open)
        if sent is not None and (self.queue.last_subject != self._settings.pulses or self._pulsed != before):
            self._add(self._settings.pulses, sent)
            if sent.last:
                self._index.begin(self.position)

    def _sign_of_life(self, at: Lsn, index: Index, within: Lsn = 0) -> Sent | None:
        pulse = self._pulse()
        if pulse is None:
            return None
        self._pulsed = pulse
        return sign_of_life(self.generation, self._term, at, index, pulse, within)

    def _add(self, subject: str, sent: Sent, topic: int = COMMON) -> None:
        self.queue.add(subject, sent, topic)
        self._more.set()

    # -- where the stream stands -----------------------------------------------------------------------------------

    async def _resume(self, stream: NatsStream) -> None:
        """Compare the stream with what was published. Raises ``FencedError`` if another relay has published since."""
        state = await stream.state()
        if self._leads is not None:
            await self._leads()
        if state is None:
            state = await stream.make()
            _log.info("stream_made", stream=self._settings.stream)
        else:
            await stream.complete()
        if self.generation == 0:
            await self._adopt(stream, state)
        else:
            same = state.created == self._created
            if not same or state.last > self._adopted:  # else nothing was published since the stream was adopted
                await check_term(stream, state, self._term, self._sequence if same else 0)
            if same:
                self._store(state.last)
            else:
                self._adopted = 0
        self._created, self._sequence = state.created, state.last
        self.stored = state.last
        empty = self._purge or not state.messages
        if self._purge:
            await stream.purge()
            self._purge = False
        self.queue.resend()
        before = self.queue.before
        if empty and before is not None and (sent := self._sign_of_life(before, self.queue.stored.lately)) is not None:
            self.queue.put_first(self._settings.pulses, sent)

    async def _adopt(self, stream: NatsStream, state: StreamState) -> None:
        """Begin where the stream ends, or another generation."""
        assert self._start is not None, "begin was called"
        position, server = self._start
        self._adopted = state.last
        found = self.adopted = await adopt(stream, state, self._settings, self._database, position, server)
        self.generation, self._purge = found.generation, found.purge
        self.position = self.reached = found.position
        self._index, self.queue.stored = found.topics, found.topics.copy()
