"""One timer for many: when the members of a wheel have their beats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server.wire.wheels import Wheel, Wheels

_INTERVAL = 25.0


class FakeLoop:
    """A clock that goes by itself from timer to timer."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.problems: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        self.timers.append((self.now + seconds, call))
        return object()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.problems.append(context)

    def run(self, until: float, late: float = 0.0) -> None:
        while self.timers and min(self.timers)[0] + late <= until:
            self.timers.sort(key=lambda each: each[0])
            due, call = self.timers.pop(0)
            self.now = max(self.now, due + late)
            call()
        self.now = until


class Beating:
    def __init__(self, loop: FakeLoop, wheel: Wheel) -> None:
        self.beats: list[float] = []
        self.loop = loop
        self.wheel = wheel
        self.then: Callable[[], None] = lambda: None
        self.place = wheel.enter(self)

    def beat(self) -> None:
        self.beats.append(self.loop.now)
        self.then()

    def leave(self) -> None:
        self.wheel.leave(self, self.place)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    made = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def test_each_member_has_its_beat_once_in_an_interval_wherever_it_entered(loop: FakeLoop) -> None:
    wheel = Wheel(_INTERVAL)
    entered = []
    for _ in range(40):
        loop.run(loop.now + 1.7)
        entered.append((loop.now, Beating(loop, wheel)))
    loop.run(loop.now + 4 * _INTERVAL)
    for since, member in entered:
        between = [after - before for before, after in zip([since, *member.beats], member.beats, strict=False)]
        assert _INTERVAL * 0.98 <= between[0] <= _INTERVAL
        assert between[1:] == pytest.approx([_INTERVAL] * (len(between) - 1))


def test_a_wheel_has_one_timer_and_an_empty_one_none(loop: FakeLoop) -> None:
    wheel = Wheel(_INTERVAL)
    members = [Beating(loop, wheel) for _ in range(5)]
    loop.run(loop.now + 10)
    members += [Beating(loop, wheel) for _ in range(5)]
    loop.run(loop.now + 2 * _INTERVAL)
    assert len(wheel) == 10
    assert len(loop.timers) == 1
    for member in members:
        member.leave()
        member.leave()
    loop.run(loop.now + _INTERVAL)
    assert len(wheel) == 0
    assert loop.timers == []
    again = Beating(loop, wheel)
    loop.run(loop.now + _INTERVAL)
    assert len(again.beats) == 1


def test_a_wheel_wakes_up_only_where_it_has_members(loop: FakeLoop) -> None:
    wheel = Wheel(_INTERVAL)
    member = Beating(loop, wheel)
    calls = 0
    original = wheel._stop

    def counted() -> None:
        nonlocal calls
        calls += 1
        original()

    wheel._stop = counted  # type: ignore[method-assign]
    loop.run(loop.now + 10 * _INTERVAL + 1)
    assert len(member.beats) == 10
    assert calls == 9, "the first timer was set before it was counted"


def test_a_late_loop_does_not_bring_two_beats_in_quick_succession(loop: FakeLoop) -> None:
    wheel = Wheel(_INTERVAL)
    member = Beating(loop, wheel)
    loop.run(loop.now + 3 * _INTERVAL, late=20.0)
    loop.run(loop.now + 3 * _INTERVAL)
    between = [after - before for before, after in zip(member.beats, member.beats[1:], strict=False)]
    assert min(between) >= _INTERVAL - 1e-6


def test_a_member_that_another_one_ended_has_no_beat(loop: FakeLoop) -> None:
    wheel = Wheel(_INTERVAL)
    one, other = Beating(loop, wheel), Beating(loop, wheel)
    one.then, other.then = other.leave, one.leave
    loop.run(loop.now + _INTERVAL)
    assert len(one.beats) + len(other.beats) == 1


def test_a_beat_that_fails_is_reported_and_the_others_have_theirs(loop: FakeLoop) -> None:
    wheel = Wheel(_INTERVAL)
    members = [Beating(loop, wheel) for _ in range(3)]

    def fail() -> None:
        raise RuntimeError("broken")

    members[1].then = fail
    loop.run(loop.now + 2 * _INTERVAL)
    assert [len(member.beats) for member in members] == [2, 2, 2]
    assert [type(each["exception"]) for each in loop.problems] == [RuntimeError] * 2


def test_wheels_of_the_same_interval_are_one() -> None:
    wheels = Wheels()
    assert wheels.every(25) is wheels.every(25.0)
    assert wheels.every(25) is not wheels.every(300)
