"""Channels with a past, without a database: what resuming is tried with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.channels.core.messages.model import Position, UnavailableError, format_position, parse_position
from engine.errors import RealtimeError
from server.ports.channels import Ack, Answer, ChannelOptions, Deliver, Member, OlderMessages, Publication, Receiver

EPOCH = "e"


@dataclass(eq=False)
class FakeMessage:
    """A message. ``wanted``: the client's filter lets it pass. ``error``: it is the end of a subscription instead."""

    channel: str
    key: tuple[int, int] | None = None
    priority: int = 0
    wanted: bool = True
    size: int = 0
    error: RealtimeError | None = None
    ends: bool = False
    committed_at: int | None = None

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
class FakeBatch:
    events: list[FakeMessage]


@dataclass(eq=False)
class FakeHistorySubscription:
    """A subscription. ``given``: what it was to receive, whether there was room for it or not."""

    archive: FakeHistory
    channel: str
    receiver: Receiver
    past: list[FakeMessage]
    recovered: bool | None
    since: str | None = None
    waiting: bool = False
    last: tuple[int, int] = (0, 0)
    given: set[tuple[int, int]] = field(default_factory=set)

    @property
    def behind(self) -> bool:
        return self.waiting

    @property
    def position(self) -> str:
        return format_position(self.archive.lsn)

    def presence_json(self) -> None:
        return None

    def begin(self) -> None:
        if self.archive.breaks is None or self.archive.opened % 5 != self.archive.breaks:
            self.receive(self.past)
            return
        self.receive(self.past[: len(self.past) // 2])
        self.archive.fail(self.channel)

    async def older(self, before: Position | None, limit: int) -> OlderMessages:
        raise NotImplementedError

    def review(self) -> None:
        """A fake has no rules."""

    def cancel(self) -> None:
        self.archive.holds.remove(self)

    def receive(self, events: list[FakeMessage], *, together: bool = False) -> None:
        news = [event for event in events if event.wanted and event.key is not None and event.key > self.last]
        self.given |= {event.key for event in news if event.key is not None}
        if together and len(news) > 1:
            self.receiver.deliver_batch(FakeBatch(news))
        else:
            for event in news:
                self.receiver.deliver(event)
        self.last = max([self.last, *(event.key for event in events if event.key is not None)])


@dataclass(eq=False)
class FakeHistory:
    """``delays``: how many turns of the loop each subscribing takes, in turn; None: it fails. ``breaks``: which one of five
    fails when half of its past has been delivered.
    """

    delays: list[int | None] = field(default_factory=list)
    breaks: int | None = None
    lsn: int = 100
    log: list[FakeMessage] = field(default_factory=list)
    ever: list[FakeMessage] = field(default_factory=list)
    holds: list[FakeHistorySubscription] = field(default_factory=list)
    removed: dict[str, tuple[int, int]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    opened: int = 0
    resume: int | None = None

    epoch = EPOCH

    async def connect(self, member: Member, deliver: Deliver) -> None:
        self.members.add(member.connection_id)

    async def disconnect(self, connection_id: str, *, clean: bool = False) -> None:
        self.members.discard(connection_id)
        self.holds.clear()

    async def passed(self, position: str | None) -> int:
        raise NotImplementedError

    async def publish(self, message: Publication) -> Ack:
        raise NotImplementedError

    def submit(self, messages: Sequence[tuple[Publication, Answer]]) -> int:
        raise NotImplementedError

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def recorded(self) -> None:
        raise NotImplementedError

    def status(self) -> dict[str, int]:
        return {}

    def of(self, channel: str, *, ever: bool = False) -> list[FakeMessage]:
        return [each for each in (self.ever if ever else self.log) if each.channel == channel and each.wanted]

    async def subscribe(
        self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver
    ) -> FakeHistorySubscription:
        delay = self.delays[self.opened % len(self.delays)] if self.delays else 0
        self.opened += 1
        if delay is None:
            raise UnavailableError("not now")
        for _ in range(delay):
            await asyncio.sleep(0)
        while self.resume is not None:  # noqa: ASYNC110 - no client begins during a discontinuity; time goes by in turns here
            await asyncio.sleep(0)
        past, recovered = self.of(channel)[-options.history :] if options.history else [], None
        if options.since is not None:
            since = parse_position(options.since)
            recovered = since >= self.removed.get(channel, (0, 0))
            if recovered:
                past = [each for each in self.of(channel) if each.key is not None and each.key > since]
        hold = FakeHistorySubscription(self, channel, receiver, past, recovered)
        hold.last = (0, 0)
        self.holds.append(hold)
        return hold

    def commit(self, events: list[FakeMessage], *, together: bool = False) -> None:
        """One transaction: channels of higher priority first, as the hub does it."""
        self.lsn += 10
        for number, each in enumerate(events):
            each.key = (self.lsn, number)
        self.log += events
        self.ever += events
        highest: dict[str, int] = {}
        for each in events:
            highest[each.channel] = max(highest.get(each.channel, each.priority), each.priority)
        for channel in sorted(highest, key=lambda channel: -highest[channel]):
            for hold in [hold for hold in self.holds if hold.channel == channel and not hold.waiting]:
                hold.receive([each for each in events if each.channel == channel], together=together)

    def interrupt(self) -> None:
        """The stream has a gap."""
        self.resume = self.lsn if self.resume is None else self.resume
        for hold in self.holds:
            hold.waiting = True

    async def recover(self) -> None:
        """Catch everybody up, one channel after the other."""
        self.lsn += 5
        resume, self.resume = Position(self.resume or self.lsn), None
        for hold in [hold for hold in self.holds if hold.waiting]:
            await asyncio.sleep(0)
            if hold in self.holds:
                hold.waiting = False
                hold.receive(
                    [each for each in self.of(hold.channel, ever=True) if each.key is not None and each.key > resume]
                )

    def fail(self, channel: str) -> None:
        """No subscriber receives anything more of ``channel`` until it subscribes again."""
        for hold in [hold for hold in self.holds if hold.channel == channel]:
            self.holds.remove(hold)
            hold.receiver.deliver(FakeMessage(channel, error=UnavailableError("try again")))

    def expire(self, channel: str) -> None:
        """What was sent in ``channel`` is gone; a client that resumes from before that gets an incomplete history."""
        gone = [each for each in self.log if each.channel == channel]
        if gone and gone[-1].key is not None:
            self.removed[channel] = gone[-1].key
            self.log = [each for each in self.log if each.channel != channel]
