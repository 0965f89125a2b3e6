"""The processor time that reading one address may take, and floods of new connections."""

from __future__ import annotations

import pytest

from server.limits.connection_limiter import ArrivalLimits, ConnectionLimiter
from server.limits.reading_shares import ReadingShare, ReadingShares


def test_a_share_gains_its_part_of_each_second_and_keeps_no_more_than_one_seconds() -> None:
    now = 100.0
    share = ReadingShare(0.1, lambda: now)
    assert share.charge(0.1) == 0
    assert share.charge(0.05) == pytest.approx(0.5)  # at a tenth of a second per second
    now += 0.5
    assert share.charge(0.0) == 0
    now += 1000.0
    assert share.charge(0.2) == pytest.approx(1.0)


def test_connections_of_an_address_have_one_share_and_come_back_to_it_until_it_is_full_again() -> None:
    now = 100.0
    shares = ReadingShares(0.1, lambda: now)
    share = shares.of("203.0.113.7")
    assert share is not None
    share.charge(1.1)
    now += 5.0
    assert shares.of("203.0.113.8") is not share
    assert shares.of("203.0.113.7") is share
    assert shares.of("127.0.0.1") is None
    now += 10.0
    for number in range(100):
        shares.of(f"198.51.100.{number}")
    assert shares.of("203.0.113.7") is not share
    assert len(shares) == 101


def test_an_address_that_goes_on_although_it_is_refused_is_a_flood_until_its_quota_is_whole_again() -> None:
    now = 100.0
    limiter = ConnectionLimiter(ArrivalLimits(per_minute=10), lambda: now)
    assert not limiter.floods("203.0.113.7")
    for _ in range(20):
        limiter.arrive("203.0.113.7")
    assert not limiter.floods("203.0.113.7"), "ten were let in, and ten refused with the reason"
    limiter.arrive("203.0.113.7")
    assert limiter.floods("203.0.113.7")
    assert not limiter.floods("203.0.113.8")
    assert not limiter.floods("127.0.0.1")
    now += 59.0
    assert limiter.floods("203.0.113.7")
    now += 2.0
    assert not limiter.floods("203.0.113.7")
