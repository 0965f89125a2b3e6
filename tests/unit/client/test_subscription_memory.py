"""What one more subscription of a connection costs in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Mapping, Sized

import pytest

from engine.channels.core.delivery.hub import ChannelHub
from engine.channels.core.delivery.subscription import Subscription
from engine.identity.principal import Principal
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import Deliver, LiveQuery
from engine.live.core.shared_query import Subscription as LiveSubscription
from engine.live.query_accounts import ConnectionAccount
from server.client.client import Client
from server.client.shared import SharedServices
from server.limits.connection_limits import SessionLimits
from server.ports.channels import ChannelOptions, Member, Receiver
from server.session.session import Session
from server.wire.encoder import Wire
from server.wire.frame import Frame
from server.wire.sse_blocks import plain_wire
from tests.support.fakes.channels import FakeChannels
from tests.support.fakes.receivers import NoChannels
from tests.support.fakes.server import FakeLiveQueries

CLIENTS = 10
BEFORE, AFTER = 20, 100  # channels of each


class HubChannels(FakeChannels):
    """Channels with the hub and the subscriptions of a node."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = ChannelHub()
        self.source = NoChannels()

    async def subscribe(  # type: ignore[override]
        self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver
    ) -> Subscription:
        subscription = Subscription(channel, options, member, receiver, self.source)
        self.hub.add(subscription)
        return subscription


class SharedLists(FakeLiveQueries):
    """Live queries without rows; those of equal channels and specifications are one. ``position`` is that of the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.shared: dict[str, LiveQuery] = {}

    async def subscribe(  # type: ignore[override]
        self,
        principal: Principal,
        collection: str,
        spec: Mapping[str, object],
        deliver: Deliver,
        resume: Resume | None = None,
        account: ConnectionAccount | None = None,
    ) -> LiveSubscription:
        key = json.dumps(spec)
        query = self.shared.setdefault(key, LiveQuery(principal.visibility, key, collection, spec))
        subscription = LiveSubscription(query, deliver, self, query.subscriptions.pop, resume)
        query.subscriptions[subscription] = None
        return subscription

    def __len__(self) -> int:
        return sum(len(query.subscriptions) for query in self.shared.values())


class Unread:
    """A transport that takes everything."""

    congested = over_limit = False

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def write(self, frame: Frame) -> None:
        """Nothing is kept."""

    def pause_reading(self, paused: bool) -> None:
        """Nothing is read."""

    def identity_renewed(self, principal: Principal) -> None:
        """It does not depend on it."""

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed: {reason}")


async def subscribe(clients: list[Client], opened: Sized, request: str, numbers: range) -> None:
    for number in numbers:
        for client in clients:
            client.carry_out(client.session.receive((request % {"n": number}).encode(), 0.0))
        while len(opened) < len(clients) * (number + 1):  # noqa: ASYNC110 - each subscribes in a task
            await asyncio.sleep(0)
    for _ in range(3):  # the tasks end, and what waits for them
        await asyncio.sleep(0)
    gc.collect()


CHANNEL = '{"type":"subscribe","channel":"room:%(n)d"}'
QUERY = (
    '{"type":"subscribe","channel":"db:collection:note","id":"q%(n)d","query":'
    '{"where":[["room","==","room-%(n)d"]],"orderBy":[["id","desc"]],"limit":50}}'
)


async def grown_by(message: str) -> float:
    """Bytes for one of ``BEFORE`` to ``AFTER`` subscriptions."""
    channels, lists = HubChannels(), SharedLists()
    opened: Sized = channels.hub if message == CHANNEL else lists
    services = SharedServices(lists, channels)
    transport = Unread(plain_wire())
    limits = SessionLimits(subscriptions=AFTER, message_rate=1e6)
    clients = [
        Client(Session(f"c{number}", limits), Principal(), Member(f"c{number}"), services, transport)
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    async with asyncio.timeout(60):
        await subscribe(clients, opened, message, range(BEFORE))
        tracemalloc.start()
        try:
            await subscribe(clients, opened, message, range(BEFORE, AFTER))
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return grown / CLIENTS / (AFTER - BEFORE)


@pytest.mark.parametrize("message", [CHANNEL, QUERY], ids=["channel", "live query"])
async def test_a_further_subscription_of_a_connection_to_what_others_have_costs_less_than_a_kib(message: str) -> None:
    tries: list[float] = []
    while len(tries) < 3 and (not tries or tries[-1] >= 1024):  # other threads of the process allocate memory, too
        tries.append(await grown_by(message))
    assert min(tries) < 1024, tries
