"""An anonymous client names itself (``?client=``), anew as often as it likes: limits count it by its network."""

from __future__ import annotations

import asyncio
import json
import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.errors import RealtimeError
from server.auth.identity import HandshakeRequest, principal_of
from server.client.admission import Admission
from server.client.client import Client
from server.client.shared import SharedServices
from server.content.policy import compile_policy
from server.http.problems import ProblemError
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.rest.clients import Clients
from server.session.session import Session
from tests.support.fakes.channels import FakeChannels
from tests.support.fakes.server import FakeLiveQueries
from tests.unit.client.test_client import HeldTransport, subscribe

GIVE_UP_AFTER = 60


def handshake(last: int = 7) -> HandshakeRequest:
    return HandshakeRequest(query={"client": uuid.uuid4().hex}, ip=f"192.0.2.{last}")


def admission(services: SharedServices, last: int = 7) -> Admission:
    return Admission(
        Session(uuid.uuid4().hex, SessionLimits()), handshake(last), "websocket", services, ConnectionLimits()
    )


async def test_another_name_gives_an_anonymous_client_no_other_spam_score() -> None:
    services = SharedServices(FakeLiveQueries(), FakeChannels())
    policy = compile_policy({"name": "p", "channel": "*", "event": "*", "spam": json.dumps({"threshold": 1})})

    def publish(last: int = 7) -> None:
        made = admission(services, last)
        policy.apply("hello", made.member(principal_of(made.handshake, trust_user_parameter=False)))

    publish()
    with pytest.raises(RealtimeError, match="too many"):
        publish()
    publish(last=8)


async def test_another_name_gives_an_anonymous_client_no_other_message_rate_over_rest() -> None:
    services = SharedServices(FakeLiveQueries(), FakeChannels())
    node = cast(Any, SimpleNamespace(services=services))
    clients = Clients(node, SessionLimits(message_rate=1), {"*"}, GIVE_UP_AFTER)
    clients.call(await clients.admit(handshake()), {"id": "c"}, {})
    again = await clients.admit(handshake())
    with pytest.raises(ProblemError, match="more than 1 messages per second"):
        clients.call(again, {"id": "c"}, {})
    clients.call(await clients.admit(handshake(last=8)), {"id": "c"}, {})


async def test_another_name_gives_an_anonymous_client_no_other_account_of_live_queries() -> None:
    lists = FakeLiveQueries()
    services = SharedServices(lists, FakeChannels())
    for _ in range(2):
        made = admission(services)
        principal = principal_of(made.handshake, trust_user_parameter=False)
        subscribe(Client(made.session, principal, made.member(principal), services, HeldTransport()), "q")
    async with asyncio.timeout(GIVE_UP_AFTER):
        while len(lists.subscriptions) < 2:  # noqa: ASYNC110 - turns of the loop are what carries them out
            await asyncio.sleep(0)
    assert len(services.query_accounts) == 1
