"""When connections write: in turns, which are put off while more is to come, and once writing has taken too much time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server.wire.write_turns import AT_ONCE, BURST, ENOUGH, HOLD, WriteTurns


class Timer:
    def __init__(self, loop: Loop, timer: tuple[float, Callable[[], None]]) -> None:
        self._loop, self._timer = loop, timer

    def cancel(self) -> None:
        self._loop.later.remove(self._timer)


class Loop:
    """An event loop whose callbacks run when the test runs them."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.failed: list[dict[str, Any]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.ready.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = (delay, callback)
        self.later.append(timer)
        return Timer(self, timer)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failed.append(context)

    def turn(self) -> None:
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()


class Writes:
    """A connection that calls ``written`` when it writes."""

    def __init__(self, written: Callable[[], None]) -> None:
        self.write_queued = written


class Turns:
    """Turns on a loop and a clock of the test; ``written``: who has written, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.behind = False
        self.written: list[str] = []
        self.turns = WriteTurns(lambda: self.behind, lambda: self.now)

    def write(self, name: str, seconds: float = 0.0) -> None:
        def written() -> None:
            self.now += seconds
            self.written.append(name)

        self.turns.add(Writes(written))


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


def test_what_one_turn_of_the_loop_queued_is_written_in_the_next_one(loop: Loop) -> None:
    turns = Turns()
    turns.write("a")
    turns.write("b")
    assert turns.written == []
    loop.turn()
    assert turns.written == ["a", "b"]
    assert loop.ready == []


def test_writing_waits_for_transactions_that_are_here_already_but_not_for_long(loop: Loop) -> None:
    turns = Turns()
    turns.behind = True
    turns.write("a")
    loop.turn()
    turns.write("b")
    loop.turn()
    assert turns.written == []
    turns.now = HOLD
    loop.turn()
    assert turns.written == ["a", "b"]
    turns.write("c")
    loop.turn()
    turns.behind = False
    loop.turn()
    assert turns.written == ["a", "b", "c"]


def test_a_server_with_time_to_spare_writes_at_once_however_many_connections_it_writes_to(loop: Loop) -> None:
    turns = Turns()
    for number in range(20):
        for name in (f"{number}", f"right behind {number}"):
            turns.write(name, seconds=0.002)
            loop.turn()
            assert turns.written[-1] == name
        turns.now += 0.016
    assert loop.later == []


def test_a_server_that_has_been_writing_for_long_rests(loop: Loop) -> None:
    turns = Turns()
    turns.write("a", seconds=BURST / 3 + 0.002)
    loop.turn()
    turns.write("b", seconds=1.0)
    loop.turn()
    assert turns.written == ["a"]
    [(wait, later)] = loop.later
    assert wait == pytest.approx(0.006)
    turns.now += wait
    later()
    assert turns.written == ["a", "b"]
    loop.later.clear()
    turns.write("c")
    loop.turn()
    [(wait, _)] = loop.later
    assert wait == pytest.approx(HOLD), "however long the turn before took"


def test_under_load_writing_takes_a_quarter_of_the_time(loop: Loop) -> None:
    turns = Turns()
    writes = 0
    while turns.now < 1.0:
        turns.write("a", seconds=0.001)
        loop.turn()
        while loop.later:
            [(wait, later)], loop.later = loop.later, []
            turns.now += wait
            later()
        writes += 1
    assert 0.25 <= writes * 0.001 < 0.26


def test_a_turn_of_many_connections_lets_the_loop_do_other_work(loop: Loop) -> None:
    turns = Turns()
    names = [str(number) for number in range(2 * AT_ONCE + 1)]
    for name in names:
        turns.write(name)
    loop.turn()
    assert turns.written == names[:AT_ONCE]
    turns.write("later")
    loop.turn()
    assert turns.written == names[: 2 * AT_ONCE]
    loop.turn()
    assert turns.written == names
    loop.turn()
    assert turns.written == [*names, "later"]
    assert loop.ready == []


def test_connections_with_large_frames_let_the_loop_do_other_work_sooner(loop: Loop) -> None:
    turns = Turns()
    names = [str(number) for number in range(AT_ONCE)]
    for name in names:
        turns.write(name, seconds=ENOUGH / 15)
    loop.turn()
    assert 15 < len(turns.written) <= 30
    while loop.ready:
        before = len(turns.written)
        loop.turn()
        assert len(turns.written) - before <= 30
    assert turns.written == names


def test_quick_writes_go_on_for_two_milliseconds(loop: Loop) -> None:
    turns = Turns()
    for number in range(AT_ONCE):
        turns.write(str(number), seconds=0.00001)
    loop.turn()
    assert 200 <= len(turns.written) <= 220


def test_a_connection_with_much_to_write_does_not_wait(loop: Loop) -> None:
    turns = Turns()
    turns.turns.have_next()  # nothing is due
    turns.write("a", seconds=BURST)
    loop.turn()
    turns.write("b")
    loop.turn()
    turns.turns.have_next()
    assert loop.later == []
    loop.turn()
    assert turns.written == ["a", "b"]
    turns.behind = True
    turns.write("c")
    loop.turn()
    turns.turns.have_next()
    loop.turn()
    assert turns.written == ["a", "b", "c"]
    assert loop.ready == []


def test_a_connection_that_fails_to_write_does_not_keep_others_from_it(loop: Loop) -> None:
    turns = Turns()

    def fail() -> None:
        raise RuntimeError("broken")

    turns.turns.add(Writes(fail))
    turns.write("b")
    loop.turn()
    assert turns.written == ["b"]
    [context] = loop.failed
    assert str(context["exception"]) == "broken"
