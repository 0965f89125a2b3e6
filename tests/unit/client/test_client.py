"""One client, over a transport that the test holds: what is done in one turn of the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from engine.identity.principal import Principal
from server.client.client import Client
from server.client.intake import SharedIntake
from server.client.shared import SharedServices
from server.limits.connection_limits import SessionLimits
from server.ports.channels import Member
from server.session.session import Session
from server.wire.frame import Frame
from server.wire.sse_blocks import plain_wire
from tests.support.fakes.channels import FakeChannels
from tests.support.fakes.server import FakeLiveQueries, FakeLiveSubscription

GIVE_UP_AFTER = 60


class HeldTransport:
    """Remembers the events of live queries, and whether more may be read."""

    def __init__(self) -> None:
        self.wire = plain_wire()
        self.congested = False
        self.over_limit = False
        self.reading_paused = False
        self.events: list[Frame] = []

    def write(self, frame: Frame) -> None:
        if frame.data.startswith(b'{"type":"snapshot"'):
            self.events.append(frame)

    def pause_reading(self, paused: bool) -> None:
        self.reading_paused = paused

    def identity_renewed(self, principal: Principal) -> None:
        pass

    def close(self, code: int, reason: str) -> None:
        pass


def client(lists: FakeLiveQueries, transport: HeldTransport, services: SharedServices | None = None) -> Client:
    limits = SessionLimits(message_rate=10_000)
    services = services or SharedServices(lists, FakeChannels())
    return Client(Session("c", limits), Principal(), Member("c", None), services, transport)


class Reopening(FakeLiveQueries):
    """Remembers by which claims lists were read; what is read and what is waited for ends when the test has it end."""

    def __init__(self) -> None:
        super().__init__(gate=asyncio.Event())
        self.read: list[Mapping[str, Any]] = []

    async def reopen(self, principal: Principal, subscription: FakeLiveSubscription) -> None:
        self.read.append(principal.claims)


def subscribe(target: Client, id: str, filler: str = "") -> None:
    query = {"where": [["body", "==", filler]]}
    message = {"type": "subscribe", "channel": "db:collection:list", "id": id, "query": query}
    target.carry_out(target.session.receive(json.dumps(message).encode(), 0.0))


async def test_a_drained_connection_resumes_one_live_query_in_each_turn_of_the_loop() -> None:
    lists, transport = FakeLiveQueries(), HeldTransport()
    target = client(lists, transport)
    for number in range(10):
        subscribe(target, str(number))
    async with asyncio.timeout(GIVE_UP_AFTER):
        while len(transport.events) < 10:  # noqa: ASYNC110 - turns of the loop are what the test is about
            await asyncio.sleep(0)
    transport.congested = True
    target.pause_queries()
    lists.change(["new"])
    transport.congested = False
    target.resume_queries()
    seen = [len(transport.events)]
    while seen[-1] < 20:
        target.resume_queries()  # as a transport does that drains in every turn
        await asyncio.sleep(0)
        seen.append(len(transport.events))
    assert {after - before for before, after in pairwise(seen)} == {1}


async def test_reading_stops_while_the_requests_that_wait_have_too_many_bytes() -> None:
    lists, transport = FakeLiveQueries(gate=asyncio.Event()), HeldTransport()
    target = client(lists, transport)
    sent = 0
    while not transport.reading_paused:
        assert sent < 50
        subscribe(target, str(sent), "x" * 100_000)
        await asyncio.sleep(0)
        sent += 1
    assert sent == 6
    assert lists.gate is not None
    lists.gate.set()
    async with asyncio.timeout(GIVE_UP_AFTER):
        while transport.reading_paused:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    assert target.session.subscriptions == sent


async def test_requests_of_other_connections_hold_only_those_that_have_some_waiting_themselves() -> None:
    lists = FakeLiveQueries(gate=asyncio.Event())
    services = SharedServices(lists, FakeChannels(), intake=SharedIntake(300_000))
    transports = [HeldTransport() for _ in range(4)]
    targets = [client(lists, transport, services) for transport in transports]
    for target in targets[:3]:
        subscribe(target, "large", "x" * 100_000)
        await asyncio.sleep(0)
    assert [transport.reading_paused for transport in transports] == [False, False, True, False]
    targets[0].closed(clean=True)
    async with asyncio.timeout(GIVE_UP_AFTER):
        while transports[2].reading_paused:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    subscribe(targets[3], "small")
    assert not transports[3].reading_paused
    for target in targets[1:]:
        target.closed(clean=True)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("waits", [1, 2])
async def test_a_token_that_is_renewed_while_a_live_query_is_opened_counts_for_it(fresh: bool, waits: int) -> None:
    lists, transport = Reopening(), HeldTransport()
    principal = Principal("ada", claims={"sub": "ada", "role": "owner"})
    services = SharedServices(lists, FakeChannels())
    target = Client(Session("c", SessionLimits()), principal, Member("c", None), services, transport)
    message = {"type": "subscribe", "channel": "db:collection:list", "id": "1", "query": {}, "fresh": fresh}
    target.carry_out(target.session.receive(json.dumps(message).encode(), 0.0))
    assert lists.gate is not None
    for number in range(waits):
        await asyncio.sleep(0.01)
        if number:  # the list was read, and the client waits for it to have what has passed
            lists.gate.set()
            lists.gate = gate = asyncio.Event()
            await asyncio.sleep(0.01)
            assert bool(lists.awaited) == fresh
        principal.claims = {"sub": "ada", "role": f"guest {number}"}
        target.reopen_queries()
    (lists.gate if waits == 1 else gate).set()
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not transport.events:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert lists.read[-1] is principal.claims
