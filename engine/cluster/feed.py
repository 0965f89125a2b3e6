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
  at the slot's position, or at the stream's end, with a discontinuity: all is read again, and clients get the difference.

In another region a node reads a mirror of the stream (:mod:`engine.cluster.mirror`), which a session waits for first.

Each message names the position of the event before it. One that does not follow ends the session, so a hole is never passed
over; signs of life have the position too, so a hole at the end of the stream is seen within a second or two.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from nats.errors import Error as NatsError

from engine.cluster.identity import check_same, identity_of
from engine.cluster.messages import RECORD, Assembler, Pulse, Sent, pulse_of
from engine.cluster.mirror import Mirror
from engine.cluster.nats_stream import Message, NatsFailedError, NatsStream, connected
from engine.cluster.place import StreamPlace, end_of, find
from engine.cluster.settings import ClusterSettings
from engine.errors import FeedError
from engine.feed.decoders.base import UndecodableError
from engine.feed.decoders.frames import FramesError
from engine.feed.feed import FeedSettings, ServerIdentity
from engine.feed.slots import find_slot
from engine.lsn import Lsn, format_lsn
from engine.relay.followed import FollowedFeed, StreamLag
from engine.relay.messages import Break, Part, Passed, RelayProtocolError, Welcome
from engine.tasks import end

__all__ = ["ClusterFeed", "NoRelayError", "StreamBrokenError"]

_GATHER: Final = 1.0  # seconds for which a full buffer is waited for at a time
_SILENT_NATS: Final = 5.0  # seconds


class NoRelayError(FeedError):
    """No relay has published to this stream."""


class StreamBrokenError(FeedError):
    """A message does not follow the one before it."""


class ClusterFeed(FollowedFeed):
    """See :class:`engine.relay.followed.FollowedFeed`. ``cluster``: how to reach NATS."""

    reports_recorded = True
    """See :class:`engine.stream.change_feed.ChangeFeed`: the leading relay records."""

    def __init__(self, dsn: str, settings: FeedSettings, cluster: ClusterSettings) -> None:
        super().__init__(dsn, settings, cluster.silence)
        self._cluster = cluster
        self._pulse: Pulse | None = None
        self._nats: NatsStream | None = None
        self._mirror: Mirror | None = None  # that is read in place of the stream
        self._requests: set[asyncio.Task[None]] = set()  # for recording, which are being sent
        self._assembler = Assembler()
        self._behind = (0, 0.0)  # messages behind the last one that was taken, and when that was stored

    @property
    def behind(self) -> StreamLag:
        """See :class:`StreamLag`."""
        messages, stored_at = self._behind
        messages += 0 if self._mirror is None else self._mirror.lag
        return StreamLag(messages, max(0.0, time.time() - stored_at) if messages else 0.0)

    @property
    def leader(self) -> str | None:
        """See :class:`FollowedFeed`."""
        return None if self._pulse is None else self._pulse.relay

    def confirm(self, position: Lsn) -> None:
        """See :meth:`engine.feed.feed.Feed.confirm`. The slot does not wait for nodes: the relay records and confirms."""
        self._positions.confirm(position)

    def request_recording(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`. A relay that begins records what it finds anyway."""
        if self._nats is not None and not self._requests:
            task = asyncio.create_task(self._request_recording(self._nats))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)

    async def _request_recording(self, stream: NatsStream) -> None:
        with contextlib.suppress(NatsError, OSError):  # the session ends, and the next relay's signs of life bring it
            await stream.client.publish(self._cluster.control, RECORD)

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
                self._nats = stream
                await self._follow_near(stream)
        finally:
            self._welcomed, self._nats = False, None
            await end(self._requests)

    async def _follow_near(self, stream: NatsStream) -> None:
        """Follow the stream, or the mirror of it in another region."""
        if self._cluster.origin is None:
            await self._follow(stream)
            return
        self._mirror = Mirror(stream, self._cluster)
        await self._mirror.during(lambda: self._follow(stream), lambda: time.monotonic() - self._received_at)

    async def _follow(self, stream: NatsStream) -> None:
        last = await stream.last_pulse()
        if last is None:
            raise NoRelayError("no relay has published anything: start one (`realtime relay`)")
        pulse = pulse_of(last)
        check_same(self._cluster, pulse, await identity_of(self._database))
        place = await self._welcome(stream, last, pulse)
        await stream.client.publish(self._cluster.control)  # for a sign of life
        self._received_at = time.monotonic()
        async for message in stream.consume(place.sequence, _SILENT_NATS):
            if message.sent is None:
                continue
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

    async def _welcome(self, stream: NatsStream, last: Sent, pulse: Pulse) -> StreamPlace:
        """Find the place from where this session takes the stream. Raises ``NatsFailedError``."""
        generation = last.generation
        reason, elsewhere = self._why_not(last, pulse, await end_of(stream, generation))
        delivered = self._positions.delivered
        following = self._stream.generation != 0 and not reason
        place = await find(stream, delivered, generation) if following else None
        resumed = place is not None
        if self.sessions and not resumed:
            self.breaks["other_history" if elsewhere else "begun_anew" if reason else "left_behind"] += 1
        if place is None:
            reason = reason or "the stream in NATS does not have any more what has happened since"
            slot = await find_slot(self._database, self.settings.slot_name)
            place = None if slot is None else await find(stream, slot.confirmed, generation)
            place = place or await end_of(stream, generation)
            if place is None:
                raise NatsFailedError("the stream in NATS has changed; it is looked at again")
        self._assembler = Assembler()
        self._stream.welcome(Welcome(generation, place.chain, resumed, reason, elsewhere, pulse.plugin, pulse.server))
        before, self._pulse = self._pulse, pulse
        self.sessions += 1
        if before is not None and (before.relay, before.sessions) != (pulse.relay, pulse.sessions):
            self._reconnected()
        return place

    def _why_not(self, last: Sent, pulse: Pulse, behind: StreamPlace | None) -> tuple[str, bool]:
        """Why this node's stream cannot go on, as far as that is known without its messages; "" if it may. And whether the
        server has another history.
        """
        before, server = self._stream.server, pulse.server
        if before is None:
            return "", False
        if other := self._why_other(server):
            return other, True
        if behind is not None and self._positions.delivered > max(server.flushed, behind.chain):
            return "the server has lost transactions that it had sent", True
        if self._stream.generation != last.generation:
            return "the stream was begun anew", False
        return "", False

    def _why_other(self, server: ServerIdentity) -> str:
        before = self._stream.server
        known = before is None or (before.system, before.timeline) == (server.system, server.timeline)
        return "" if known else "the server has another history"

    def _take(self, sent: Sent, *, is_pulse: bool) -> None:
        """Raises ``FeedError``: the session ends then."""
        if sent.generation != self._stream.generation:
            raise StreamBrokenError("the stream was begun anew")
        if sent.previous != self._stream.chain:
            self.breaks["hole"] += 1
            found, expected = format_lsn(sent.previous), format_lsn(self._stream.chain)
            raise StreamBrokenError(f"what follows {found} came where {expected} was reached")
        if is_pulse:
            self._take_pulse(pulse_of(sent))
            return
        self._welcome_once()
        try:
            message = self._assembler.feed(sent)
            if message is None:
                return
            if not isinstance(message, Part | Passed | Break):
                raise RelayProtocolError(f"NATS brought a {type(message).__name__}")
            self._stream.take(message)
        except (FramesError, UndecodableError, RelayProtocolError):
            self._stream.distrust()  # it would come again
            self.breaks["undecodable"] += 1
            raise

    def _take_pulse(self, pulse: Pulse) -> None:
        if self._why_other(pulse.server):
            raise StreamBrokenError(self._why_other(pulse.server))
        self._stream.check_survival(pulse.server)
        before, self._pulse = self._pulse, pulse
        self._welcome_once()
        if pulse.recorded:
            self._stream.take(Passed(self._stream.chain, self._stream.chain, pulse.recorded))
        if before is not None and (before.relay, before.sessions) != (pulse.relay, pulse.sessions):
            self._reconnected()
        self._show(pulse.status, pulse.reason)

    def _welcome_once(self) -> None:
        """The stream is alive: something has come."""
        if not self._welcomed:
            self._welcomed = True
            assert self._pulse is not None, "the session has begun"
            self._show(self._pulse.status, self._pulse.reason)
