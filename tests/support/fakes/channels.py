"""Channels whose events a test makes itself: what the server's shell is tried with, without a database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.errors import ErrorCode, InvalidQueryError, RealtimeError
from server.ports.channels import (
    Ack,
    Answer,
    ChannelOptions,
    Deliver,
    Member,
    OlderMessages,
    Position,
    Publication,
    Receiver,
)


class FullError(RealtimeError):
    code = ErrorCode.CHANNEL_FULL


@dataclass(eq=False)
class Event:
    body: dict[str, Any] = field(default_factory=dict)
    error: RealtimeError | None = None
    ends: bool = False
    key: tuple[int, int] | None = None
    priority: int = 0
    committed_at: int | None = None

    @property
    def channel(self) -> str:
        channel: str = self.body.get("channel", "")
        return channel

    @property
    def json(self) -> bytes:
        return json.dumps(self.body).encode()


@dataclass(eq=False)
class FakeChannelSubscription:
    """What a subscriber holds; ``past`` is delivered when it begins."""

    rooms: FakeChannels
    channel: str
    options: ChannelOptions
    member: Member
    receiver: Receiver
    position: str = "0/10"
    recovered: bool | None = None
    since: str | None = None
    begun: bool = False
    waiting: bool = False
    cancelled: str = ""

    @property
    def behind(self) -> bool:
        return self.waiting

    def presence_json(self) -> bytes | None:
        if self.options.presence is None:
            return None
        users = [s.member.user_id for s in self.rooms.of(self.channel) if s.options.presence is not None]
        return json.dumps({"users": users, "count": len(users)}).encode()

    def begin(self) -> None:
        self.begun = True
        for event in self.rooms.past.get(self.channel, [])[-self.options.history or 10**6 :]:
            self.receiver.deliver(event)

    async def older(self, before: Position | None, limit: int) -> OlderMessages:
        await self.rooms.gate.wait()
        self.rooms.asked.append(f"{before and tuple(before)} {limit}")
        return OlderMessages(self.rooms.past.get(self.channel, [])[-limit:], "0/1/1")

    def review(self) -> None:
        """A fake has no rules."""

    def cancel(self) -> None:
        self.end("left")

    def end(self, how: str) -> None:
        assert not self.cancelled
        self.cancelled = how
        self.rooms.subscriptions.remove(self)


@dataclass(eq=False)
class FakeChannels:
    """Everything that was asked for, in order. ``gate``: closed, publishing waits. ``refuse``: what subscribing raises.

    ``without_room``: how many messages cannot be submitted at once.
    """

    subscriptions: list[FakeChannelSubscription] = field(default_factory=list)
    members: dict[str, Deliver] = field(default_factory=dict)
    past: dict[str, list[Event]] = field(default_factory=dict)
    published: list[Publication] = field(default_factory=list)
    presences: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refuse: Exception | None = None
    without_room: int = 0
    waiting: int = 0  # subscriptions that are being opened
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.gate.set()

    def of(self, channel: str) -> list[FakeChannelSubscription]:
        return [s for s in self.subscriptions if s.channel == channel]

    async def connect(self, member: Member, deliver: Deliver) -> None:
        self.members[member.connection_id] = deliver

    async def disconnect(self, connection_id: str, *, clean: bool = False) -> None:
        del self.members[connection_id]
        for subscription in [s for s in self.subscriptions if s.member.connection_id == connection_id]:
            subscription.end("dropped")
        self.gone.append(connection_id)
        async with self.changed:
            self.changed.notify_all()

    async def subscribe(
        self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver
    ) -> FakeChannelSubscription:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.refuse is not None:
            raise self.refuse
        assert member.connection_id in self.members
        subscription = FakeChannelSubscription(self, channel, options, member, receiver)
        self.subscriptions.append(subscription)
        return subscription

    async def passed(self, position: str | None) -> int:
        self.asked.append(position or "")
        await self.gate.wait()
        if position and position.startswith("xid:"):
            raise InvalidQueryError("none of them")
        return 1

    async def publish(self, message: Publication) -> Ack:
        self.published.append(message)
        return await self._stored(message, len(self.published))

    async def _stored(self, message: Publication, number: int) -> Ack:
        async with self.changed:
            self.changed.notify_all()
        await self.gate.wait()
        self.send(message.channel, {"type": "message", "channel": message.channel, "data": json.loads(message.data)})
        return Ack(message.id or f"made-{number}", f"0/20/{number}")

    def submit(self, messages: Sequence[tuple[Publication, Answer]]) -> int:
        for taken, (message, answer) in enumerate(messages):
            if self.without_room:
                self.without_room -= 1
                return taken
            self.published.append(message)
            storing = asyncio.ensure_future(self._stored(message, len(self.published)))
            storing.add_done_callback(partial(_answer, answer))
        return len(messages)

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        self.presences.append((channel, member.connection_id, data))

    @property
    def epoch(self) -> str:
        return "e"

    async def recorded(self) -> None:
        pass

    def status(self) -> dict[str, int]:
        return {}

    def send(self, channel: str, body: dict[str, Any]) -> None:
        event = Event(body)
        self.past.setdefault(channel, []).append(event)
        for subscription in self.of(channel):
            if subscription.begun:
                subscription.receiver.deliver(event)


def _answer(answer: Answer, storing: asyncio.Task[Ack]) -> None:
    if storing.cancelled():
        return
    failure = storing.exception()
    assert failure is None or isinstance(failure, Exception)
    answer(storing.result() if failure is None else failure)
