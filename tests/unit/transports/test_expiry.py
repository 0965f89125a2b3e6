"""When a proof of identity ends: the warning, the end, and beginning again."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.transports.base.expiry import ExpiryTimer
from server.wire.wheels import Wheels
from tests.support.servers.processes import GIVE_UP_AFTER


class TimedExpiry:
    """What the timer called."""

    def __init__(self) -> None:
        self.warnings: list[float] = []
        self.ended = asyncio.Event()
        self.warned = asyncio.Event()
        self.wheels = Wheels()
        self.timer = ExpiryTimer(self.wheels)

    def start(self, expires_at: float) -> None:
        self.timer.start(expires_at, self)

    def warn_of_expiry(self, seconds: float) -> None:
        self.warnings.append(seconds)
        self.warned.set()

    def expire(self) -> None:
        self.ended.set()


@pytest.mark.long
async def test_the_warning_comes_once_and_before_the_end() -> None:
    expiry = TimedExpiry()
    async with asyncio.timeout(GIVE_UP_AFTER):
        expiry.start(time.time() + 3)
        await expiry.warned.wait()
        assert 0 < expiry.warnings[0] <= 2, "two thirds of a short time have passed"
        await expiry.ended.wait()
    assert len(expiry.warnings) == 1


async def test_what_has_ended_already_ends_in_a_turn_of_its_own() -> None:
    expiry = TimedExpiry()
    async with asyncio.timeout(GIVE_UP_AFTER):
        expiry.start(time.time() - 1)
        assert not expiry.ended.is_set()
        await expiry.ended.wait()
    assert expiry.warnings == []


async def test_a_new_end_replaces_the_old_one() -> None:
    expiry = TimedExpiry()
    expiry.start(time.time() - 1)
    expiry.start(time.time() + 3600)
    never = TimedExpiry()
    never.start(time.time() - 1)
    never.timer.stop()
    other = TimedExpiry()
    async with asyncio.timeout(GIVE_UP_AFTER):
        other.start(time.time() - 1)
        await other.ended.wait()  # whatever was due before is through
    assert not expiry.ended.is_set()
    assert not never.ended.is_set()
    expiry.timer.stop()


async def test_a_clock_that_jumps_over_the_end_is_noticed() -> None:
    expiry = TimedExpiry()
    expiry.start(time.time() + 3600)
    expiry.timer._expires_at = time.time() - 1
    expiry.timer.beat()
    assert expiry.ended.is_set()
    assert expiry.warnings == []


async def test_a_distant_end_is_left_to_the_shared_wheel_until_it_is_near() -> None:
    expiry = TimedExpiry()
    expiry.start(time.time() + 3600)
    [wheel] = expiry.wheels._wheels.values()
    assert len(wheel) == 1
    assert expiry.timer._timer is None
    expiry.timer._expires_at, expiry.timer._warn_at = time.time() + 200, time.time() + 140
    expiry.timer.beat()
    assert len(wheel) == 0
    assert expiry.timer._timer is not None
    expiry.start(time.time() + 3600)
    assert len(wheel) == 1
    expiry.timer.stop()
    assert len(wheel) == 0


async def test_a_warning_that_is_late_does_not_make_the_end_late() -> None:
    expiry = TimedExpiry()
    expiry.start(time.time() + 3600)
    expiry.timer._expires_at, expiry.timer._warn_at = time.time() + 30, time.time() - 30
    expiry.timer.beat()
    assert len(expiry.warnings) == 1
    assert expiry.timer._timer is not None, "it does not wait for the wheel"
    expiry.timer.stop()
