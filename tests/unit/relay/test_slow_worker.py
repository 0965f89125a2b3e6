"""A worker that does not take its events is cut off once the others have waited for it, and no other one is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, cast

from engine.feed.feed import Feed, FeedState
from engine.relay.link import Link
from engine.relay.messages import Hello, ToWorker, Welcome
from engine.relay.relay import Relay
from engine.relay.settings import RelaySettings
from engine.tasks import end
from engine.transaction import Transaction
from tests.support.postgres.sql import until
from tests.unit.feed.test_frames import decoded, insert
from tests.unit.relay.test_worker_stream import SERVER

EVENTS = 40
SMALL = RelaySettings(backlog=2_000, hold_time=0.05, look=0.01)


class FeedOfTransactions:
    """A feed with ``EVENTS`` transactions, and then none for ever."""

    def __init__(self) -> None:
        self.confirmed = 100
        self.plugin = "pgoutput"
        self.server = SERVER
        self.state = FeedState("streaming", None)
        self.given = 0
        self.reports_recorded = False

    async def __aenter__(self) -> FeedOfTransactions:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def streaming(self) -> None:
        return None

    def on_state(self, callback: Callable[..., None]) -> None:
        """It does not change."""

    def on_reconnect(self, callback: Callable[..., None]) -> None:
        """It does not happen."""

    def confirm(self, position: int) -> None:
        self.confirmed = max(self.confirmed, position)

    async def __aiter__(self) -> AsyncIterator[Transaction]:
        for number in range(1, EVENTS + 1):
            self.given = number
            yield replace(decoded(insert(8, [b"1", b"2" * 100])), position=100 + 10 * number - 1, end=100 + 10 * number)
        await asyncio.Event().wait()


class Writer:
    """The way to a worker, which takes everything, or nothing behind the first batch."""

    def __init__(self, *, stuck: bool) -> None:
        self.bytes = 0
        self.aborted = False
        self.transport = self
        self._stuck = stuck

    def write(self, data: bytes) -> None:
        self.bytes += len(data)

    async def drain(self) -> None:
        if self._stuck:
            await asyncio.Event().wait()

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Worker(Link):
    """A worker that writes down what it is sent beside events."""

    def __init__(self, node: str, *, stuck: bool) -> None:
        self.writer = Writer(stuck=stuck)
        self.posted: list[ToWorker] = []
        super().__init__(node, cast(Any, self.writer))

    def post(self, message: ToWorker) -> None:
        self.posted.append(message)


async def test_the_worker_that_holds_the_others_up_is_cut_off_and_starts_over_when_it_comes_back() -> None:
    feed = FeedOfTransactions()
    relay = Relay(cast(Feed, feed), SMALL)
    quick, stuck = Worker("quick", stuck=False), Worker("stuck", stuck=True)
    tasks = [asyncio.create_task(relay.run())]
    await relay.ready.wait()
    for worker in (quick, stuck):
        relay.welcome(Hello(1, "test", worker.node, 0, 0, None), worker)
        tasks.append(asyncio.create_task(worker.send(relay.took)))
    await until(lambda: feed.given == EVENTS)
    assert (quick.writer.aborted, stuck.writer.aborted) == (False, True)
    assert relay.workers == ["quick"]

    back = Worker("stuck", stuck=False)
    first = stuck.posted[0]
    assert isinstance(first, Welcome)
    relay.welcome(Hello(1, "test", "stuck", first.generation, first.position, SERVER), back)
    again = back.posted[0]
    assert isinstance(again, Welcome)
    assert not again.resumed
    assert "too slow" in again.reason
    assert relay.workers == ["quick", "stuck"]
    await end(tasks)


async def test_one_worker_alone_is_waited_for() -> None:
    feed = FeedOfTransactions()
    relay = Relay(cast(Feed, feed), SMALL)
    stuck = Worker("stuck", stuck=True)
    tasks = [asyncio.create_task(relay.run())]
    await relay.ready.wait()
    relay.welcome(Hello(1, "test", "stuck", 0, 0, None), stuck)
    tasks.append(asyncio.create_task(stuck.send(relay.took)))
    held = relay._wait_for_room
    waits = 0

    async def counted() -> None:
        nonlocal waits
        waits += 1
        await held()

    relay._wait_for_room = counted  # type: ignore[method-assign]
    await until(lambda: waits * SMALL.look > 3 * SMALL.hold_time)
    assert not stuck.writer.aborted
    assert 0 < feed.given < EVENTS
    await end(tasks)
