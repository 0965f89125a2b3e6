"""What is written is observed in one place: bytes, and the time from the commit, of every transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.fakes.channels import Event
from tests.support.fakes.server import Event as ListEvent
from tests.support.fakes.server import FakeLiveQueries, FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER


class Written:
    """An observer that keeps what it is given."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, int, Sequence[tuple[int, int]]]] = []

    def wrote(self, transport: str, size: int, latencies: Sequence[tuple[int, int]]) -> None:
        self.writes.append((transport, size, list(latencies)))

    @property
    def latencies(self) -> list[tuple[int, int]]:
        return [each for _, _, latencies in self.writes for each in latencies]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_bytes_and_the_time_since_the_commit_are_observed_on_every_transport(transport: str) -> None:
    written = Written()
    async with (
        fake_server(observer=written) as server,
        transport_client(server.url, transport) as client,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await client.join("chat:1")
        await client.join("db:collection:list", id="q")
        await client.receive("snapshot")
        name = "websocket" if transport == "msgpack" else transport
        assert {each for each, _, _ in written.writes} == {name}
        assert written.latencies == []  # nothing of that is the effect of a commit
        hour = time.time_ns() // 1000 - 3600 * 10**6
        _deliver(server, Event({"type": "message", "channel": "chat:1", "data": "x" * 1000}, committed_at=hour))
        assert len((await client.receive("message"))["data"]) == 1000
        [(latency, count)] = written.latencies
        assert count == 1
        assert 3600 * 10**6 <= latency < 2 * 3600 * 10**6
        assert sum(size for _, size, _ in written.writes) > 1000
        _change(server.lists, hour)
        await client.receive("snapshot")
        assert [count for _, count in written.latencies] == [1, 1]
        await client.leave()


def _deliver(server: FakeServer, event: Event) -> None:
    [subscription] = server.rooms.of("chat:1")
    subscription.deliver(event)


def _change(lists: FakeLiveQueries, committed_at: int) -> None:
    [subscription] = lists.subscriptions
    subscription.deliver(subscription, ListEvent(2, False, b'["a"]', committed_at=committed_at))


async def test_the_messages_of_a_batch_are_counted_each_and_written_as_one() -> None:
    written = Written()
    async with (
        fake_server(observer=written) as server,
        transport_client(server.url, "websocket") as client,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await client.join("chat:1")
        [subscription] = server.rooms.of("chat:1")
        events = [Event({"type": "message", "channel": "chat:1", "n": n}, committed_at=1) for n in range(3)]
        assert subscription.deliver_batch is not None
        before = len(written.writes)
        subscription.deliver_batch(Batch(events))
        assert [(await client.receive("message"))["n"] for _ in range(3)] == [0, 1, 2]
        [(_, size, [(_, count)])] = written.writes[before:]
        assert (size, count) == (sum(2 + len(event.json) for event in events), 3)


class Batch:
    def __init__(self, events: list[Event]) -> None:
        self.events = events
