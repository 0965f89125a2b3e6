"""What the clients of a process do when they are ordered to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from picows import WSError

from server.bench.load.clients.connection import Connection
from server.bench.load.clients.responses import refusal
from server.bench.load.clients.stamp import now, stamp
from server.bench.load.clients.tally import Tally
from server.bench.load.orders import Arrive, Connect, Counts, Drop, Plan, Publish, Receive, Subscribe
from server.bench.load.pacing import paced, until

__all__ = ["Clients"]

_TIMEOUT: Final = 60.0  # seconds for a handshake and the first message
_CLOSING: Final = 10.0


class Clients:
    """Connections by group."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally(every=plan.every)
        self._plan = plan
        self._groups: dict[str, list[Connection]] = {}
        self._positions: dict[int, tuple[str, str]] = {}  # of connections that were dropped, by number

    def clear(self, tally: Tally) -> None:
        """Count from now on into ``tally``."""
        self.tally = tally
        for group in self._groups.values():
            for connection in group:
                connection.clear(tally)

    # -- connecting

    async def connect(self, order: Connect) -> Counts:
        """Open connections."""
        group = self._groups.setdefault(order.group, [])
        before, kind = len(group), _kind(order.connection or self._plan.connection)
        gate = asyncio.Semaphore(order.count if order.rate else order.at_once)

        async def one(number: int) -> None:
            async with gate:
                if (connection := await self._open(number, kind)) is not None:
                    group.append(connection)

        await self._all(order.count, order.rate, lambda number: one(order.first + number))
        group.sort(key=lambda connection: connection.number)
        return Counts(done=len(group) - before, failed=order.count - len(group) + before)

    async def _open(self, number: int, kind: type[Connection]) -> Connection | None:
        """A connection that has been greeted; None if that failed, which is counted."""
        connection = kind(self.tally, number)
        connection.position, connection.epoch = self._positions.pop(number, ("", ""))
        connection.greeting = asyncio.get_running_loop().create_future()
        began = now()
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._handshake(connection, number)
                await connection.greeting
        except (OSError, WSError, TimeoutError) as wrong:
            connection.closing = True
            self.tally.errors[_reason(wrong)] += 1
            if connection.greeting.done() and not connection.greeting.cancelled():
                connection.greeting.exception()
            connection.close(clean=False)
            return None
        connection.greeting = None
        self.tally.opened.record(now() - began)
        return connection

    async def _handshake(self, connection: Connection, number: int) -> None:
        plan = self._plan
        headers = dict(plan.headers)
        if plan.tokens:
            headers["Authorization"] = f"Bearer {plan.tokens[number % len(plan.tokens)]}"
        local = (plan.sources[number // plan.per_source % len(plan.sources)], 0) if plan.sources else None
        await connection.open(plan.url, headers, local)

    async def _all(self, count: int, rate: float, work: Callable[[int], Any]) -> None:
        """Do so much at a rate, or all at once, and wait for it."""
        tasks: list[asyncio.Task[None]] = []

        def begin(number: int, lateness: float) -> None:
            self.tally.late.record(int(lateness * 1e9))
            tasks.append(asyncio.create_task(work(number)))

        if rate:
            await paced(count, rate, begin)
        else:
            tasks += [asyncio.create_task(work(number)) for number in range(count)]
        await asyncio.gather(*tasks)

    # -- subscribing

    async def subscribe(self, order: Subscribe) -> Counts:
        """Subscribe, and wait for the answers."""
        group, tally = self._groups.get(order.group, []), self.tally
        before, refused = tally.answers, tally.errors.total()

        def begin(number: int, _: float) -> None:
            connection = group[number]
            connection.rows = order.rows
            connection.expect(order.goal, order.members)
            numbers = [(connection.number + at * order.stride) % order.numbers for at in range(order.each)]
            messages = [_filled(order.template, each, connection) for each in numbers]
            connection.began = now()
            for message in messages:
                connection.send(message)

        if order.rate:
            await paced(len(group), order.rate, begin)
        else:
            for number in range(len(group)):
                begin(number, 0.0)
        wanted = len(group) * order.each
        await until(lambda: tally.answers - before + tally.errors.total() - refused, wanted, order.stuck)
        answered = tally.answers - before
        return Counts(done=answered, failed=wanted - answered)

    async def drop_all(self) -> None:
        """End all connections: sessions without a socket would stay for a while."""
        for group in list(self._groups):
            await self.drop(Drop(group))

    async def drop(self, order: Drop) -> Counts:
        """End connections, and wait until they are. One with the number of such a one resumes where that was."""
        group = self._groups.pop(order.group, [])
        for connection in group:
            self._positions[connection.number] = connection.position, connection.epoch
            connection.close(clean=order.clean)
        await until(lambda: sum(connection.ended for connection in group), len(group), _CLOSING)
        return Counts(done=len(group))

    # -- publishing

    async def publish(self, order: Publish) -> Counts:
        """Publish at a rate."""
        group, tally = self._groups.get(order.group, []), self.tally
        if not group:
            return Counts()
        before, refused = tally.acks, tally.errors.total()
        parts = [_around(order.template, number) for number in range(order.numbers)]
        timed = order.acked and len(group) % order.numbers == 0  # acks come in order within a channel
        for connection in group:
            connection.sent.clear()
        sent = 0

        def begin(number: int, lateness: float) -> None:
            nonlocal sent
            connection = group[number % len(group)]
            head, tail = parts[number % order.numbers]
            if timed:
                connection.sent.append(now())
            connection.send(head + stamp(order.size) + tail)
            sent += 1
            tally.late.record(int(lateness * 1e9))

        await paced(max(1, round(order.rate * order.seconds)), order.rate, begin)
        if order.acked:
            await until(lambda: tally.acks - before + tally.errors.total() - refused, sent, order.stuck)
        return Counts(done=sent, failed=sent - (tally.acks - before) if order.acked else 0)

    async def receive(self, order: Receive) -> Counts:
        """Wait for deliveries."""
        group, tally = self._groups.get(order.group, []), self.tally
        if order.completed:
            await until(lambda: tally.complete.count, order.completed, order.stuck)
        await until(lambda: sum(connection.count for connection in group), order.deliveries, order.stuck)
        counts = [connection.count for connection in group]
        return Counts(done=sum(counts), least=min(counts, default=0), greatest=max(counts, default=0))

    async def arrive(self, order: Arrive) -> Counts:
        """Clients that connect, subscribe, publish and receive."""
        group = self._groups.setdefault(order.group, [])
        kind = _kind(self._plan.connection)
        total, before, present = max(1, round(order.rate * order.seconds)), self.tally.complete.count, len(group)

        async def one(number: int) -> None:
            began = now()
            if (connection := await self._open(order.first + number, kind)) is None:
                return
            group.append(connection)
            connection.expect(1)
            connection.began = began
            head, tail = _around(order.publish, connection.number)
            connection.send(_filled(order.subscribe, connection.number, connection))
            connection.send(head + stamp(order.size) + tail)

        await self._all(total, order.rate, one)
        await until(lambda: self.tally.complete.count - before, len(group) - present, order.stuck)
        done = self.tally.complete.count - before
        return Counts(done=done, failed=total - done)


@lru_cache
def _kind(path: str) -> type[Connection]:
    """The class of connections at ``module:name``."""
    module, _, name = path.partition(":")
    found: type[Connection] = getattr(import_module(module), name)
    return found


def _filled(template: str, number: int, connection: Connection) -> bytes:
    """A template with what stands for its letters."""
    text = template.replace("%n", str(number))
    return text.replace("%p", connection.position).replace("%e", connection.epoch).encode()


def _around(template: str, number: int) -> tuple[bytes, bytes]:
    """What stands before and after the stamp."""
    head, _, tail = template.replace("%n", str(number)).partition("%d")
    return head.encode(), tail.encode()


def _reason(wrong: Exception) -> str:
    """Why a connection could not be opened; the same text for the same reason."""
    response = getattr(wrong, "response", None)
    if response is not None:
        return refusal(int(response.status), getattr(wrong, "raw_body", None) or b"")
    if isinstance(wrong, TimeoutError):
        return f"not connected within {_TIMEOUT:g} s"
    if isinstance(wrong, OSError) and wrong.strerror:
        return wrong.strerror
    return str(wrong) or type(wrong).__name__
