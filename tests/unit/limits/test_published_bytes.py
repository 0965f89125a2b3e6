"""How many bytes of messages one user may publish."""

from __future__ import annotations

import msgspec
import pytest

from engine.errors import ErrorCode
from engine.identity.principal import Principal
from server.client.judgement import judge_at_once, judge_message
from server.client.shared import SharedServices
from server.limits.exceeded import LimitExceededError
from server.limits.published_bytes import PublishedBytes
from server.ports.channels import Member
from server.protocol.client_messages import Publish
from tests.support.fakes.channels import FakeChannels
from tests.support.fakes.server import FakeLiveQueries

ANN, AGAIN = (Member(connection, "ann", proven_user_id="ann") for connection in ("c1", "c2"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_connections_of_a_user_share_what_it_may_publish() -> None:
    clock = Clock()
    published = PublishedBytes(1000, 2000, clock)
    published.count(ANN, 1500)
    with pytest.raises(LimitExceededError, match="more than 1000 bytes of messages per second") as refused:
        published.count(AGAIN, 1500)
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.RATE_LIMITED, 1.0)
    published.count(Member("c3", "bob", proven_user_id="bob"), 2000)
    clock.now = 0.999
    with pytest.raises(LimitExceededError):
        published.count(ANN, 1500)
    clock.now = 1.0
    published.count(AGAIN, 1500)


def test_the_largest_message_passes_after_a_pause_however_small_the_rate_is() -> None:
    clock = Clock()
    published = PublishedBytes(1, 2000, clock)
    published.count(ANN, 2000)
    with pytest.raises(LimitExceededError) as refused:
        published.count(ANN, 2000)
    assert refused.value.retry_after == 2000
    clock.now = 2000
    published.count(ANN, 2000)


def test_users_without_a_proof_count_by_their_network() -> None:
    published = PublishedBytes(1, 10, Clock())
    published.count(Member("c1", "anon-1", ip="2001:db8::1"), 10)
    with pytest.raises(LimitExceededError):
        published.count(Member("c2", "anon-2", ip="2001:db8::2"), 10)
    published.count(Member("c3", "anon-3", ip="2001:db8:0:1::1"), 10)
    for _ in range(2):  # of this machine, as for connections
        published.count(Member("c4", "anon-4", ip="127.0.0.1"), 10)


async def test_each_way_on_which_a_message_comes_is_counted_once() -> None:
    services = SharedServices(FakeLiveQueries(), FakeChannels(), published=PublishedBytes(1, 20, Clock()))
    message = Publish("public:a", "e", data=msgspec.Raw(b'"12345678"'))
    principal = Principal("ann", authenticated=True)
    assert judge_at_once(services, principal, ANN, message, set()) == b'"12345678"'
    assert await judge_message(services, principal, AGAIN, message) == b'"12345678"'
    with pytest.raises(LimitExceededError):
        judge_at_once(services, principal, ANN, message, set())
    with pytest.raises(LimitExceededError):
        await judge_message(services, principal, ANN, message)
