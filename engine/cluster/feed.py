"""The change feed of a node in a cluster: the events of a slot that the leading relay publishes to NATS.

It does what :class:`engine.feed.feed.Feed` does for a node with a slot of its own, with the same states and promises, so
nothing above it differs. The node has a row of its own in ``realtime.nodes`` and no slot.

Theory of operation
-------------------
A session connects to NATS, reads a relay's last sign of life, finds its place in the stream (:mod:`engine.cluster.place`)
and takes the events in order. It ends with an exception, and the next one finds its place again:

* A node begins where the slot stands, as one does that starts with its slot: what its reads may lack comes.
* One that has followed goes on at the position that it has reached. What it had received already is dropped.
* Where the stream does not go on there (it was begun anew, wiped, or has let go of what the node lacks) the session begins
  at the slot's position, with a discontinuity: all is read again, and clients get the difference. Where events are missing,
  that waits until the slot has passed them (:mod:`engine.cluster.place`).

In another region a node reads a mirror of the stream (:mod:`engine.cluster.mirror`), which a session waits for first.

A node with live queries takes what these look at (:mod:`engine.cluster.selection`), if the relay publishes by topics.
Others, such as the relay of the workers of a machine, take everything. There each message names the position of the event
before it. One that does not follow ends the session, so a hole is never passed over; signs of life have the position too, so
a hole at the end of the stream is seen within a second or two.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from engine.cluster.consumer import Message, Meter
from engine.cluster.identity import check_same, identity_of, messages_oid
from engine.cluster.messages import RECORD, TOPICS, Assembler, Pulse, Sent, pulse_of
from engine.cluster.mirror import Mirror
from engine.cluster.nats_stream import NatsFailedError, NatsStream, connected
from engine.cluster.place import StreamHoles, StreamPlace, end_of, find, why_not, why_other
from engine.cluster.selection import Selection
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import StreamBrokenError, TopicChains, UndecodableEventError
from engine.errors import FeedError
from engine.feed.buffer import EVENT_OVERHEAD, size_of
from engine.feed.decoders.base import UndecodableError
from engine.feed.decoders.frames import FramesError
from engine.feed.feed import FeedSettings
from engine.feed.slots import find_slot
from engine.lsn import Lsn, format_lsn
from engine.postgres.retry import growing_pause
from engine.relay.codec import decoder_for
from engine.relay.followed import FollowedFeed, StreamLag
from engine.relay.messages import Break, Part, Passed, RelayProtocolError, Welcome
from engine.tasks import end
from engine.transaction import Progress, Transaction

__all__ = ["ClusterFeed", "NoRelayError"]

_GATHER: Final = 1.0  # seconds for which a full buffer is waited for at a time
_SILENT_NATS: Final = 5.0  # seconds
_LACKS: Final = "the stream in NATS lacks events"
_LEFT_BEHIND: Final = "the stream in NATS does not have any more what has happened since"
_BEAT: Final = b""  # what asks the relay for a sign of life
_ASKS: Final = 0.02  # seconds between two requests for a sign of life
_LOOKS: Final = (0.05, 1.0)  # seconds between two looks at the slot, at first and at most


class NoRelayError(FeedError):
    """No relay has published to this stream."""


class ClusterFeed(FollowedFeed):
    """See :class:`engine.relay.followed.FollowedFeed`.

    ``cluster``: how to reach NATS; ``selective``: only what ``interest`` has is taken, and what has no topic of its own.
    """

    reports_recorded = True
    """See :class:`engine.stream.change_feed.ChangeFeed`: the leading relay records."""

    def __init__(self, dsn: str, settings: FeedSettings, cluster: ClusterSettings, *, selective: bool = False) -> None:
        super().__init__(dsn, settings, cluster.silence)
        self._cluster = cluster
        self._pulse: Pulse | None = None
        self._nats: NatsStream | None = None
        self._mirror: Mirror | None = None  # that is read in place of the stream
        self._requests: dict[bytes, asyncio.Task[None]] = {}  # which are being sent
        self._assembler = Assembler()
        self.interest.selective = selective
        self._chains: TopicChains | None = None  # of a node that takes a part of the topics
        self._origin: Lsn = 0  # where what this node follows has begun
        self._holes = StreamHoles()
        self._asked_at = 0.0
        self.meter = Meter()
        """What NATS has sent to this node."""
        self._behind = (0, 0.0)  # messages behind the last one that was taken, and when that was stored

    @property
    def behind(self) -> StreamLag:
        """See :class:`StreamLag`."""
        messages, stored_at = self._behind
        messages += 0 if self._mirror is None else self._mirror.lag
        return StreamLag(messages, max(0.0, time.time() - stored_at) if messages else 0.0)

    @property
    def stream_bytes(self) -> int:
        """See :class:`FollowedFeed`."""
        return self.meter.bytes

    @property
    def leader(self) -> str | None:
        """See :class:`FollowedFeed`."""
        return None if self._pulse is None else self._pulse.relay

    def confirm(self, position: Lsn) -> None:
        """See :meth:`engine.feed.feed.Feed.confirm`. The slot does not wait for nodes: the relay records and confirms."""
        self._positions.confirm(position)

    def request_progress(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        now = time.monotonic()
        if self._chains is not None and now - self._asked_at > _ASKS:
            self._asked_at = now
            self._request(_BEAT)

    def request_recording(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`. A relay that begins records what it finds anyway."""
        self._request(RECORD)

    def _request(self, what: bytes) -> None:
        if self._nats is not None and what not in self._requests:
            task = self._requests[what] = asyncio.create_task(self._send_request(self._nats, what))
            task.add_done_callback(lambda _: self._requests.pop(what, None))

    async def _send_request(self, stream: NatsStream, what: bytes) -> None:
        with contextlib.suppress(NatsFailedError):  # the session ends, and the next relay's signs of life bring it
            await stream.ask(what)

    def doubt(self) -> None:
        """Another connection to the server was found dead: the relay finds out by itself whether its own is."""

    @property
    def _timeline(self) -> int:
        return 0 if self._pulse is None else self._pulse.server.timeline

    def _report_server(self, timeline: int) -> None:
        """The relay finds out by itself: it is at the primary, or cannot reach it."""

    # -- sessions --------------------------------------------------------------------------------------------------

    async def _session(self) -> None:
        await self.lease.register()
        self.lease.hold()
        try:
            async with connected(self._cluster, f"realtime node {self.settings.node}") as stream:
                self._nats, stream.meter = stream, self.meter
                await self._follow_near(stream)
        except StreamBrokenError as broken:
            self.breaks["hole"] += self._holes.note(broken)
            raise
        finally:
            self._welcomed, self._nats = False, None
            await end(list(self._requests.values()))

    async def _follow_near(self, stream: NatsStream) -> None:
        """Follow the stream, or the mirror of it in another region."""
        if self._cluster.origin is None:
            await self._follow(stream)
            return
        self._mirror = Mirror(stream, self._cluster)
        await self._mirror.during(lambda: self._follow(stream), lambda: time.monotonic() - self._received_at)

    async def _follow(self, stream: NatsStream) -> None:
        ours, looks = await identity_of(self._database), 0
        self.interest.messages = await messages_oid(self._database)
        while True:
            last = await stream.last_pulse()
            if last is None:
                raise NoRelayError("no relay has published anything: start one (`realtime relay`)")
            pulse = pulse_of(last)
            check_same(self._cluster, pulse, ours)
            place = await self._welcome(stream, last, pulse)
            await stream.ask(_BEAT)
            if place is not None:
                break
            self._received_at = time.monotonic()
            await asyncio.sleep(growing_pause(looks, *_LOOKS))
            looks += 1
        self._received_at = time.monotonic()
        async with aclosing(self._messages(stream, place)) as messages:
            async for message in messages:
                await self._took(stream, message)

    async def _messages(self, stream: NatsStream, place: StreamPlace) -> AsyncGenerator[Message]:
        if self._chains is not None:
            async with aclosing(self._selection(stream, place, self._chains).messages(_SILENT_NATS)) as selected:
                async for message in selected:
                    yield message
        async with stream.consumer(place.sequence) as consumer:
            while True:
                found = await consumer.next(_SILENT_NATS)
                if found is not None and found.sent is not None:
                    yield found

    def _selection(self, stream: NatsStream, place: StreamPlace, chains: TopicChains) -> Selection:
        return Selection(
            stream=stream,
            settings=self._cluster,
            interest=self.interest,
            generation=self._stream.generation,
            place=place,
            chains=chains,
            needed=self._needed,
            late=self._take_late,
            followed=self._show_followed,
            decoder=decoder_for(self._stream.plugin or "", self.settings.transaction_memory, self.settings.spill_dir),
        )

    def _needed(self) -> Lsn:
        return max(self._origin, 0 if self._pulse is None else self._pulse.confirmed)

    def _take_late(self, transaction: Transaction) -> None:
        self._buffer.put(transaction, size_of(transaction))

    def _show_followed(self, number: int) -> None:
        """The tables that were taken under ``number`` are followed once this has been processed."""
        self._buffer.put(Progress(self._positions.delivered, 0, number), EVENT_OVERHEAD)

    async def _took(self, stream: NatsStream, message: Message) -> None:
        assert message.sent is not None, "it brings something"
        self._received_at = time.monotonic()
        self._behind = message.pending, message.stored_at
        self._take(message.sent, is_pulse=message.pulse)
        while self._buffer.full:
            if not await self._buffer.drained(_GATHER):
                await self._look_behind(stream, message)
            self._received_at = time.monotonic()

    async def _look_behind(self, stream: NatsStream, last: Message) -> None:
        """``last`` was taken long ago: others may have come behind it."""
        with contextlib.suppress(NatsFailedError):  # what is consumed next notices it as well
            if (state := await stream.state()) is not None:
                self._behind = max(0, state.last - last.sequence), last.stored_at

    async def _welcome(self, stream: NatsStream, last: Sent, pulse: Pulse) -> StreamPlace | None:
        """Find the place from where this session takes the stream; None: look again, it has to wait. Raises
        ``NatsFailedError``.
        """
        generation = last.generation
        end = await end_of(stream, generation)
        bound = 0 if end is None else end.chain
        server, now = self._stream.server, self._stream.generation
        reason, elsewhere = why_not(server, now, self._positions.delivered, last, pulse.server, bound)
        selective = self.interest.selective and pulse.topics == TOPICS
        if self._chains is not None and not selective:
            reason = reason or "a relay leads whose version does not publish by topics"
        delivered = self._positions.delivered if self._chains is None else self._chains.proven
        by_index, begun = self._chains is not None, server is not None and not reason
        found = await find(stream, delivered, generation, by_index=by_index) if begun else None
        place = None if self._holes.lost else found
        resumed = place is not None
        if place is None:
            slot = await find_slot(self._database, self.settings.slot_name)
            confirmed = max(pulse.confirmed, 0 if slot is None else slot.confirmed)
            barred = not reason and self._holes.bars(generation, confirmed, bound)
            place = None if barred else await find(stream, confirmed, generation)
            if place is None:
                until = format_lsn(self._holes.until if barred else bound)
                self._become_away(f"{_LACKS} before {until}: all is read again once the slot has passed that position")
                return None
            if self.sessions and found is None:  # else it was counted when it was met
                self.breaks["other_history" if elsewhere else "begun_anew" if reason else "left_behind"] += 1
            reason = reason or (_LEFT_BEHIND if found is None else _LACKS)
        self._holes.began(generation, resumed=resumed)
        self._assembler = Assembler()
        whole = None if self._chains is None else self._chains.proven
        welcome = Welcome(generation, place.chain, resumed, reason, elsewhere, pulse.plugin, pulse.server)
        self._stream.welcome(welcome, whole)
        self._begin(place, selective=selective, resumed=resumed)
        before, self._pulse = self._pulse, pulse
        self.sessions += 1
        if before is not None and (before.relay, before.sessions) != (pulse.relay, pulse.sessions):
            self._reconnected()
        return place

    def _begin(self, place: StreamPlace, *, selective: bool, resumed: bool) -> None:
        """A session begins at ``place``, with all topics or some; see :meth:`_welcome`."""
        if not resumed:
            self._origin = place.chain
        if not self.interest.selective or (resumed and selective == (self._chains is not None)):
            return
        self._chains = TopicChains(self._positions.delivered if resumed else place.chain) if selective else None
        self._show_followed(self.interest.begin() if selective else self.interest.take_all())

    def _take(self, sent: Sent, *, is_pulse: bool) -> None:
        """Raises ``FeedError``: the session ends then."""
        if sent.generation != self._stream.generation:
            raise StreamBrokenError("the stream was begun anew")
        if self._chains is not None:
            self._stream.skip_to(sent.previous)
        if sent.previous != self._stream.chain:
            found, expected = format_lsn(sent.previous), format_lsn(self._stream.chain)
            raise StreamBrokenError(f"what follows {found} came where {expected} was reached", sent.previous)
        if is_pulse:
            self._take_pulse(pulse_of(sent), whole=sent.last)
            return
        self._welcome_once()
        try:
            message = self._assembler.feed(sent)
            if message is None:
                return
            if not isinstance(message, Part | Passed | Break):
                raise RelayProtocolError(f"NATS brought a {type(message).__name__}")
            self._stream.take(message)
        except (FramesError, UndecodableError, RelayProtocolError) as error:
            self._stream.distrust()  # it would come again
            self.breaks["undecodable"] += 1
            raise UndecodableEventError(str(error), sent.position) from error

    def _take_pulse(self, pulse: Pulse, *, whole: bool) -> None:
        """``whole``: it is not within an event."""
        if other := why_other(self._stream.server, pulse.server):
            raise StreamBrokenError(other)
        if self.interest.selective and (pulse.topics == TOPICS) != (self._chains is not None):
            raise StreamBrokenError("a relay leads whose version publishes by other topics")
        self._stream.check_survival(pulse.server)
        before, self._pulse = self._pulse, pulse
        self._welcome_once()
        if pulse.recorded or self._chains is not None:
            chain = self._stream.chain
            passed = (
                chain if whole or self._chains is None else self._chains.proven
            )  # topics may be added from there on
            self._stream.take(Passed(chain, passed, pulse.recorded))
        if before is not None and (before.relay, before.sessions) != (pulse.relay, pulse.sessions):
            self._reconnected()
        self._show(pulse.status, pulse.reason)

    def _welcome_once(self) -> None:
        """The stream is alive: something has come."""
        if not self._welcomed:
            self._welcomed = True
            assert self._pulse is not None, "the session has begun"
            self._show(self._pulse.status, self._pulse.reason)
