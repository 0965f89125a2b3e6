"""Several channels, transactions that span some of them and a table, clients that come and go, and users that are removed.

Channels of several topics get messages alone and together, so both topics of a channel in NATS have a part of them. What a
client gets of a channel is judged from where it began there: the position of the stream then, or the one that it resumed
from. Every message behind that, each once, in the order of the positions, and none before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from bunbase import Message, Realtime, RealtimeError
from bunbase.client.typed_channel import Channel
from bunbase.protocol.codes import ErrorCode

from tests.cluster.parts import RECOVERS, Parts
from tests.cluster.time_limit import TimeLimit
from tests.faultproxy.actors import SHORT_TIMEOUTS
from tests.faults.histories import Sent, difference, place_of

__all__ = ["CHANNELS", "SETUP", "Record", "SpanningLoad", "misses"]

CHANNELS = tuple(f"span:{number}" for number in range(6))
"""Of several topics."""

KICKS = "span:kicks"
SETUP = tuple(f"select realtime.create_channel('{name}')" for name in (*CHANNELS, KICKS))
"""What the database needs."""

EVENT = "spanning"
_MESSAGES = """
select m.channel, (m.payload->>'n')::int, c.position || '/' || m.seq
from realtime.messages m left join realtime.commits c using (channel, xid)
where m.channel = any(%s) order by c.position, m.seq
"""
_BROADCAST = "select realtime.broadcast(%s, %s, jsonb_build_object('n', %s::int))"
_ROW = (
    "insert into messages (id, room, likes) values (%s, 'a', %s) on conflict (id) do update set likes = excluded.likes"
)
_SUBSCRIBES = 30.0  # seconds
_STAYS = 15.0
_KICKERS = 3  # at a time: where a node begins with a channel in the middle of faults, that takes a while


@dataclass
class Record:
    """What a client got of a channel. ``began``: behind which position all is owed; ``gaps_at``: how many messages had come
    before each gap; ``left``: it is not there any more, so later messages are not.
    """

    began: str | None = None
    received: list[Sent] = field(default_factory=list)
    gaps_at: list[int] = field(default_factory=list)
    left: bool = False


def misses(record: Record, truth: list[Sent], *, promotions: int) -> str:
    """What is wrong with what a client got of a channel whose messages are ``truth``; "" if nothing is."""
    if record.began is None:
        return "messages came before the answer" if record.received else ""
    if len(record.gaps_at) > promotions:
        return f"{len(record.gaps_at)} gaps"
    began = place_of(record.began)
    places = [place_of(position) for _, _, position in truth]
    first = next((at for at, place in enumerate(places) if place > began), len(truth))
    if record.received and record.received[0] in truth:
        at = truth.index(record.received[0])
        # What got the position of the stream itself committed while nothing followed it: it may count as later.
        if at < first and places[at][0] == began[0]:
            first = at
    owed, received = truth[first:], list(record.received)
    if record.left:
        numbers = {number for _, number, _ in truth}
        while promotions and received and received[-1] not in truth and received[-1][1] in numbers:
            received.pop()  # it left before the promotion that has given them another position
        got = [at for at, each in enumerate(owed) if each in received]
        owed = owed[: got[-1] + 1] if got else []
    if before := [each for each in received if each in truth[:first]]:
        return f"from before it began at {record.began}: {before[:3]}"
    return difference(received, owed, [each for each in record.gaps_at if each <= len(received)])


class _Visitor:
    """A client of some channels. ``removed``: it got the message that it is removed from its channel."""

    def __init__(self, name: str, url: str, transport: str) -> None:
        self.name = name
        self.records: dict[str, Record] = {}
        self.connections = 0
        self.removed = asyncio.Event()
        self.channels: dict[str, Channel] = {}
        self.realtime = Realtime(url, transports=(transport,), parameters={"user": name}, **SHORT_TIMEOUTS)
        self.realtime.on("connected", self._connected)

    def _connected(self) -> None:
        self.connections += 1

    async def come(self, name: str, *, history: int = 0, since: tuple[str, str] | None = None) -> None:
        """Subscribe to a channel. ``since``: a position and its epoch to go on from. Raises ``RealtimeError``."""
        record = self.records[name] = Record()
        channel = self.channels[name] = self.realtime.channel(name, history=history)
        state = channel._state
        if since is not None:
            state._since, state._epoch = since
        answer = state.subscribed

        def subscribed(message: Mapping[str, Any], *, seamless: bool = False) -> list[Any]:
            record.began = record.began or message.get("since") or message.get("position")
            return answer(message, seamless=seamless)

        state.subscribed = subscribed  # type: ignore[method-assign]
        channel.on(EVENT, lambda message: self._received(record, message))
        channel.on("gap", lambda _: record.gaps_at.append(len(record.received)))
        channel.on("error", self._failed)
        async with asyncio.timeout(_SUBSCRIBES):
            await channel.subscribe()

    def _received(self, record: Record, message: Message) -> None:
        if not record.left:
            record.received.append(("", message.data["n"], message.position or ""))

    def _failed(self, error: RealtimeError) -> None:
        if error.code == ErrorCode.PERMISSION_DENIED:
            self.removed.set()

    @property
    def place(self) -> tuple[str, str, str] | None:
        """A channel, the position up to which it has it, and the epoch of that; None: of none yet."""
        for name, record in self.records.items():
            epoch = self.channels[name]._state._epoch
            if record.received and epoch and not record.gaps_at:
                return name, record.received[len(record.received) // 2][2], epoch
        return None

    async def go(self) -> None:
        """Leave; what comes from now on is not looked at."""
        for record in self.records.values():
            record.left = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SUBSCRIBES):
                await self.realtime.disconnect()


class SpanningLoad:
    """See the module. ``visits``: clients that came and went; ``kicks``: users that were removed, ``excused``: of whom some
    had another connection meanwhile.
    """

    def __init__(self, parts: Parts, seed: int) -> None:
        self.parts = parts
        self.visits = self.kicks = self.excused = 0
        self._chance = random.Random(f"spanning {seed}")
        self._numbers = itertools.count()
        self._names = itertools.count()
        self._staying: list[_Visitor] = []
        self._gone: list[_Visitor] = []
        self._kicked: list[_Visitor] = []

    async def start(self) -> None:
        """A client at each node has all channels."""
        for number, node in enumerate(self.parts.nodes):
            visitor = _Visitor(f"spanning-{node.name}", node.clients_url, ("websocket", "sse")[number % 2])
            self._staying.append(visitor)
            for name in CHANNELS:
                await visitor.come(name)

    async def stop(self) -> None:
        """All clients leave."""
        await asyncio.gather(*(each.go() for each in (*self._staying, *self._kicked)))

    def work(self) -> list[Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]]:
        """What is to be done again and again, each over a connection of its own."""
        return [self._publish, *[self._kick] * _KICKERS]

    async def visit(self) -> None:
        """A client comes, and goes after some time; one in ten stays."""
        chance, node = self._chance, self._chance.choice(self.parts.nodes)
        visitor = _Visitor(f"visitor{next(self._names)}", node.clients_url, chance.choice(("websocket", "sse")))
        place = chance.choice(self._staying).place if chance.random() < 0.4 else None
        channels = set(chance.sample(CHANNELS, chance.choice((1, 2, 3))))
        self.visits += 1
        try:
            if place is not None:
                name, *since = place
                await visitor.come(name, since=(since[0], since[1]))
            for name in channels - set(visitor.records):
                await visitor.come(name, history=chance.choice((0, 0, 5)))
            if chance.random() < 0.1:
                self._staying.append(visitor)
                return
            await asyncio.sleep(chance.uniform(0, _STAYS))
        except (RealtimeError, TimeoutError):
            pass  # what it has got is judged all the same
        await visitor.go()
        self._gone.append(visitor)

    async def _publish(self, connection: psycopg.AsyncConnection[Any]) -> None:
        chance = self._chance
        async with connection.transaction(force_rollback=chance.random() < 0.1):
            number = next(self._numbers)
            for name in chance.sample(CHANNELS, chance.choice((1, 1, 1, 2, 3, 6))):
                await connection.execute(_BROADCAST, [name, EVENT, number])
            if chance.random() < 0.2:
                await connection.execute(_ROW, [chance.randrange(30), chance.randrange(1000)])
        await asyncio.sleep(chance.choice((0, 0, 0.2, 0.4)) * chance.random())

    async def _kick(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Remove a user that has one connection and no presence."""
        node = self._chance.choice(self.parts.nodes)
        visitor = _Visitor(f"kicked{next(self._names)}", node.clients_url, self._chance.choice(("websocket", "sse")))
        try:
            await visitor.come(KICKS)
            await asyncio.sleep(self._chance.uniform(0, 2.0))
            await connection.execute("select realtime.kick(%s, %s)", [KICKS, visitor.name])
        except (RealtimeError, TimeoutError, psycopg.Error, OSError):
            await visitor.go()
            raise
        self.kicks += 1
        self._kicked.append(visitor)

    async def forget_removed(self) -> None:
        """Those who were removed leave for good."""
        for visitor in [each for each in self._kicked if each.removed.is_set()]:
            self._kicked.remove(visitor)
            await visitor.go()

    # -- the check -------------------------------------------------------------------------------------------------

    async def check(self) -> list[str]:
        """What is wrong; empty: nothing is."""
        truth = await self._truth()
        limit = TimeLimit(RECOVERS)
        while not limit.over and (self._lacking(truth) or self._not_removed()):  # noqa: ASYNC110 - clients are waited for
            await asyncio.sleep(0.5)
        problems = [
            f"{visitor.name}, {name}: {wrong}"
            for visitor in (*self._staying, *self._gone)
            for name, record in visitor.records.items()
            if (wrong := misses(record, truth[name], promotions=self.parts.databases.promotions))
        ]
        self.excused = sum(each.connections > 1 and not each.removed.is_set() for each in self._kicked)
        return problems + [f"{each.name} was removed from {KICKS} and does not know" for each in self._not_removed()]

    def _lacking(self, truth: dict[str, list[Sent]]) -> bool:
        return any(
            truth[name] and record.began is not None and not _has(record, truth[name][-1])
            for visitor in self._staying
            for name, record in visitor.records.items()
        )

    def _not_removed(self) -> list[_Visitor]:
        return [each for each in self._kicked if not each.removed.is_set() and each.connections <= 1]

    async def _truth(self) -> dict[str, list[Sent]]:
        """What is stored of each channel, once all of it has its position."""
        limit = TimeLimit(RECOVERS)
        while True:
            found = await self.parts.sql(_MESSAGES, list(CHANNELS))
            if limit.over or all(position is not None for *_, position in found):
                break
            await asyncio.sleep(1)
        truth: dict[str, list[Sent]] = {name: [] for name in CHANNELS}
        for name, number, position in found:
            truth[name].append(("", int(number), str(position)))
        return truth

    def facts(self) -> list[dict[str, Any]]:
        """What every client has got, for those who look for the reason of a problem."""
        return [
            {"name": visitor.name, "channel": name, "connections": visitor.connections, **vars(record)}
            for visitor in (*self._staying, *self._gone, *self._kicked)
            for name, record in visitor.records.items()
        ]


def _has(record: Record, last: Sent) -> bool:
    """It has the last message, or began behind it."""
    return place_of(record.began or "0/0") >= place_of(last[2]) or last in record.received[-3:]
