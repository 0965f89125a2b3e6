"""What is written is counted in one place: bytes, messages, and the time from the commit, of every transport."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.metrics.registry import Registry
from server.observe.meters import Meters
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.fakes.channels import Event
from tests.support.fakes.server import Event as ListEvent
from tests.support.fakes.server import FakeLiveQueries, FakeServer, fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

LATENCY = "realtime_delivery_latency_seconds"
STAGES = "realtime_stage_latency_seconds"


def series(registry: Registry, name: str) -> dict[str, float]:
    """The series of a metric that are not 0, by transport."""
    found = {values[0]: registry.value(name, transport=values[0]) for values, _ in registry.families[name]}
    return {transport: value for transport, value in found.items() if value}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_messages_bytes_and_the_time_since_the_commit_are_counted_on_every_transport(transport: str) -> None:
    registry = Registry()
    meters = Meters(registry)
    async with (
        fake_server(meters=meters) as server,
        transport_client(server.url, transport) as client,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await client.join("chat:1")
        await client.join("db:collection:list", id="q")
        await client.receive("snapshot")
        name = "websocket" if transport == "msgpack" else transport
        assert series(registry, "realtime_connections") == {name: 1}
        assert series(registry, "realtime_messages_sent_total") == {name: 4}  # connected, two subscribed, the list
        assert series(registry, "realtime_messages_received_total") == {name: 2}
        assert series(registry, LATENCY) == {}  # nothing of that is the effect of a commit
        hour = time.time_ns() // 1000 - 3600 * 10**6
        _deliver(server, Event({"type": "message", "channel": "chat:1", "data": "x" * 1000}, committed_at=hour))
        assert len((await client.receive("message"))["data"]) == 1000
        assert series(registry, LATENCY) == {name: 1}
        assert 3600 * 10**6 <= meters.latencies.of(name).sum < 2 * 3600 * 10**6
        assert series(registry, "realtime_sent_bytes_total")[name] > 1000
        _change(server.lists, hour)
        await client.receive("snapshot")
        assert series(registry, LATENCY) == {name: 2}
        assert series(registry, "realtime_messages_sent_total") == {name: 6}
        meters.stages.received(hour, time.time_ns() // 1000)  # its transaction, as the stream driver reports it
        _deliver(server, Event({"type": "message", "channel": "chat:1", "data": "again"}, committed_at=hour))
        await client.receive("message")
        assert registry.value(STAGES, stage="feed") == 1
        assert registry.value(STAGES, stage="apply") == 1  # when the other two arrived is not known
        assert registry.value(STAGES, stage="encode") == 3
        assert registry.value(STAGES, stage="write") == 3
        await client.send(type="unsubscribe", channel="chat:none")
        await client.receive("error")
        assert registry.value("realtime_errors_total", transport=name, code="RT_004") == 1
        assert registry.value("realtime_errors_total") == 1
        await client.leave()
        await server.left_alone()
        assert series(registry, "realtime_connections") == {}
        assert series(registry, "realtime_connection_duration_seconds") == {name: 1}
        assert registry.value("realtime_connections_closed_total", transport=name, code="1000") == 1


def _deliver(server: FakeServer, event: Event) -> None:
    [subscription] = server.rooms.of("chat:1")
    subscription.receiver.deliver(event)


def _change(lists: FakeLiveQueries, committed_at: int) -> None:
    [subscription] = lists.subscriptions
    subscription.deliver(subscription, ListEvent(2, False, b'["a"]', committed_at=committed_at))


async def test_the_messages_of_a_batch_are_counted_each_and_written_as_one() -> None:
    registry = Registry()
    async with (
        fake_server(meters=Meters(registry)) as server,
        transport_client(server.url, "websocket") as client,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        await client.join("chat:1")
        [subscription] = server.rooms.of("chat:1")
        events = [Event({"type": "message", "channel": "chat:1", "n": n}, committed_at=1) for n in range(3)]
        before = series(registry, "realtime_sent_bytes_total")["websocket"]
        subscription.receiver.deliver_batch(Batch(events))
        assert [(await client.receive("message"))["n"] for _ in range(3)] == [0, 1, 2]
        assert series(registry, LATENCY) == {"websocket": 3}
        written = series(registry, "realtime_sent_bytes_total")["websocket"] - before
        assert written == sum(2 + len(event.json) for event in events)


class Batch:
    def __init__(self, events: list[Event]) -> None:
        self.events = events
