"""Channels with a past, and a client of an event stream that may be cut off at any byte: how resuming is tried without a
database. The client checks each id that arrives against what it has been told.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message

from engine.channels.model import Position, Unavailable, format_position, parse_position
from engine.errors import RealtimeError
from server.admission import Admission
from server.channels import Ack, ChannelOptions, Deliver, DeliverBlock, Member, Publication
from server.limits import ConnectionLimits
from server.services import Services
from server.session import Greeting, Session, SessionLimits
from server.sse import SseConnection
from server.stream_ids import read_id
from server.stream_request import read_request
from tests.server.serving import Lists

EPOCH = "e"


@dataclass(eq=False)
class Said:
    """A message. ``wanted``: the client's filter lets it pass. ``error``: it is the end of a subscription instead."""

    channel: str
    key: tuple[int, int] | None = None
    priority: int = 0
    wanted: bool = True
    size: int = 0
    error: RealtimeError | None = None
    ends: bool = False

    @property
    def json(self) -> bytes:
        assert self.key is not None
        body = {
            "type": "message",
            "channel": self.channel,
            "position": format_position(*self.key),
            "pad": "x" * self.size,
        }
        return json.dumps(body, separators=(",", ":")).encode()


@dataclass(eq=False)
class Several:
    events: list[Said]


@dataclass(eq=False)
class Hold:
    """A subscription. ``given``: what it was to be told, whether there was room for it or not."""

    archive: Archive
    channel: str
    deliver: Deliver
    deliver_block: DeliverBlock | None
    past: list[Said]
    recovered: bool | None
    waiting: bool = False
    last: tuple[int, int] = (0, 0)
    given: set[tuple[int, int]] = field(default_factory=set)

    @property
    def position(self) -> str:
        return format_position(self.archive.lsn)

    def presence_json(self) -> None:
        return None

    def begin(self) -> None:
        if self.archive.breaks is None or self.archive.opened % 5 != self.archive.breaks:
            self.tell(self.past)
            return
        self.tell(self.past[: len(self.past) // 2])
        self.archive.fail(self.channel)

    def cancel(self) -> None:
        self.archive.holds.remove(self)

    def tell(self, events: list[Said], *, together: bool = False) -> None:
        news = [event for event in events if event.wanted and event.key is not None and event.key > self.last]
        self.given |= {event.key for event in news if event.key is not None}
        if together and len(news) > 1 and self.deliver_block is not None:
            self.deliver_block(Several(news))
        else:
            for event in news:
                self.deliver(event)
        self.last = max([self.last, *(event.key for event in events if event.key is not None)])


@dataclass(eq=False)
class Archive:
    """``delays``: how many turns of the loop each subscribing takes, in turn; None: it fails. ``breaks``: which one of five
    fails when half of its past has been told.
    """

    delays: list[int | None] = field(default_factory=list)
    breaks: int | None = None
    lsn: int = 100
    log: list[Said] = field(default_factory=list)
    ever: list[Said] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    removed: dict[str, tuple[int, int]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    opened: int = 0
    resume: int | None = None

    epoch = EPOCH

    async def connect(self, member: Member, deliver: Deliver) -> None:
        self.members.add(member.connection_id)

    async def disconnect(self, connection_id: str, *, left: bool = False) -> None:
        self.members.discard(connection_id)
        self.holds.clear()

    async def publish(self, message: Publication) -> Ack:
        raise NotImplementedError

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def recorded(self) -> None:
        raise NotImplementedError

    def status(self) -> dict[str, int]:
        return {}

    def of(self, channel: str, *, ever: bool = False) -> list[Said]:
        return [said for said in (self.ever if ever else self.log) if said.channel == channel and said.wanted]

    async def subscribe(
        self,
        channel: str,
        options: ChannelOptions,
        member: Member,
        deliver: Deliver,
        deliver_block: DeliverBlock | None = None,
    ) -> Hold:
        delay = self.delays[self.opened % len(self.delays)] if self.delays else 0
        self.opened += 1
        if delay is None:
            raise Unavailable("not now")
        for _ in range(delay):
            await asyncio.sleep(0)
        while self.resume is not None:  # noqa: ASYNC110 - nobody begins during a gap; time goes by in turns here
            await asyncio.sleep(0)
        past, recovered = self.of(channel)[-options.history :] if options.history else [], None
        if options.since is not None:
            since = parse_position(options.since)
            recovered = since >= self.removed.get(channel, (0, 0))
            if recovered:
                past = [said for said in self.of(channel) if said.key is not None and said.key > since]
        hold = Hold(self, channel, deliver, deliver_block, past, recovered)
        hold.last = (0, 0)
        self.holds.append(hold)
        return hold

    def say(self, said: list[Said], *, together: bool = False) -> None:
        """One transaction: channels of higher priority first, as the router does it."""
        self.lsn += 10
        for number, each in enumerate(said):
            each.key = (self.lsn, number)
        self.log += said
        self.ever += said
        highest: dict[str, int] = {}
        for each in said:
            highest[each.channel] = max(highest.get(each.channel, each.priority), each.priority)
        for channel in sorted(highest, key=lambda channel: -highest[channel]):
            for hold in [hold for hold in self.holds if hold.channel == channel and not hold.waiting]:
                hold.tell([each for each in said if each.channel == channel], together=together)

    def interrupt(self) -> None:
        """The stream has a gap."""
        self.resume = self.lsn if self.resume is None else self.resume
        for hold in self.holds:
            hold.waiting = True

    async def mend(self) -> None:
        """Bring everybody up, one channel after the other."""
        self.lsn += 5
        resume, self.resume = Position(self.resume or self.lsn), None
        for hold in [hold for hold in self.holds if hold.waiting]:
            await asyncio.sleep(0)
            if hold in self.holds:
                hold.waiting = False
                hold.tell(
                    [said for said in self.of(hold.channel, ever=True) if said.key is not None and said.key > resume]
                )

    def fail(self, channel: str) -> None:
        """Nobody can be told anything more of ``channel`` until he subscribes again."""
        for hold in [hold for hold in self.holds if hold.channel == channel]:
            self.holds.remove(hold)
            hold.deliver(Said(channel, error=Unavailable("try again")))

    def expire(self, channel: str) -> None:
        """What was said in ``channel`` is gone; whoever resumes from before that is told so."""
        gone = [said for said in self.log if said.channel == channel]
        if gone and gone[-1].key is not None:
            self.removed[channel] = gone[-1].key
            self.log = [said for said in self.log if said.channel != channel]


class Keeper:
    def left(self, connection: Any) -> None:
        pass

    def ended(self, connection: Any) -> None:
        pass


class Source:
    """An ``EventSource`` that checks what it is told. ``codes``: with which its streams were closed."""

    def __init__(self, archive: Archive, channels: list[str], history: int, limits: ConnectionLimits) -> None:
        self.archive = archive
        self.channels = channels
        self.pairs = [("channel", channel) for channel in channels] + [("history", str(history))] * (history > 0)
        self.limits = limits
        self.last_id = ""
        self.heard: dict[str, set[tuple[int, int]]] = defaultdict(set)
        self.places: dict[str, Position] = {}
        self.starts: dict[str, Position] = {}
        self.codes: list[int] = []
        self.given: dict[str, set[tuple[int, int]]] = {}
        self._in_stream: dict[str, tuple[int, int]] = {}
        self._services = Services(Lists(), archive)

    async def listen(self, cut: int | None, pace: int) -> bool:
        """One connection, which breaks after ``cut`` bytes, or when nothing more comes; taking some takes ``pace`` turns of
        the loop. Returns whether it was open to the end.
        """
        session = Session("c", SessionLimits(message_rate=10**6), Greeting(epoch=EPOCH, secret="s"))
        admission = Admission(session, Member("c"), self._services, self.limits)
        connection = SseConnection("s", admission, Keeper(), EPOCH)
        broken = asyncio.Event()
        taken = bytearray()
        quiet = 0

        async def send(message: Message) -> None:
            nonlocal quiet
            quiet = 0
            taken.extend(message.get("body", b""))
            if cut is not None and len(taken) >= cut:
                broken.set()
            for _ in range(pace):
                await asyncio.sleep(0)

        async def receive() -> Message:
            await broken.wait()
            return {"type": "http.disconnect"}

        asked = read_request(self.pairs, self.last_id)
        task = asyncio.create_task(connection.run({}, receive, send, asked))
        while not task.done() and quiet < 60 + 20 * pace:
            quiet += 1
            await asyncio.sleep(0)
        closed = connection.closing
        self.given = defaultdict(set)
        for hold in self.archive.holds:
            self.given[hold.channel] |= hold.given
        broken.set()
        await task
        await self._services.background.drain(1)
        opened = self._read(bytes(taken[:cut]))
        if closed and cut is None:  # it was not cut off before it could be told
            assert all(read_id(self.last_id).of(channel) for channel in opened), f"{self.last_id} is without {opened}"
        return not closed and cut is None

    def _read(self, text: bytes) -> set[str]:
        """Hear what is in the stream. Returns the channels that were opened."""
        self._in_stream = {}
        opened: set[str] = set()
        *blocks, _ = text.decode().split("\n\n")
        for block in blocks:
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            if "data" in fields:
                message = json.loads(fields["data"])
                self._hear(message)
                if message["type"] == "subscribed":
                    opened.add(message["channel"])
            if "id" in fields:
                self.last_id = fields["id"]
                self._check(fields["id"])
        return opened

    def _hear(self, message: dict[str, Any]) -> None:
        channel = message.get("channel", "")
        if message["type"] == "close":
            self.codes.append(message["code"])
        elif message["type"] == "subscribed" and not message.get("recovered"):
            self.places.pop(channel, None)
            self.starts[channel] = parse_position(message["position"])  # and what of the past it is given
        elif message["type"] == "message":
            lsn, seq = parse_position(message["position"])
            assert (lsn, seq) > self._in_stream.get(channel, (0, 0)), "out of order"
            self._in_stream[channel] = (lsn, seq)
            self.heard[channel].add((lsn, seq))

    def _check(self, id: str) -> None:
        """Everything up to the place of each channel has been heard, and it does not go back."""
        for channel in self.channels:
            place = read_id(id).of(channel)
            if place is None:
                assert channel not in self.places, f"{id} forgets {channel}"
                continue
            assert place.epoch == EPOCH
            position = parse_position(place.position)
            assert position >= self.places.get(channel, position), f"{id} goes back in {channel}"
            self.places[channel] = position
            assert self.missing(channel, position) == set(), f"{id} skips in {channel}"

    def missing(self, channel: str, end: Position) -> set[tuple[int, int]]:
        """What the client should have heard of ``channel`` up to ``end``, and did not."""
        start = self.starts.get(channel)
        said = {each.key for each in self.archive.of(channel, ever=True) if each.key is not None}
        owed = {key for key in said if start is not None and start < key <= end}
        owed |= {key for key in self.given.get(channel, ()) if key <= end}
        return owed - self.heard[channel]
