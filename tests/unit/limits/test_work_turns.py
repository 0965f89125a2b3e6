"""Long work is done part by part: one part in a turn of the event loop, and of busy users in a bounded share of the time,
which depends on what the others need.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator

import pytest

from engine.query.sql.parsing.off_loop import SHORT, aside
from engine.time_budget import TimeBudget
from engine.work_share import LEAST, TARGET, WorkShare
from engine.work_turns import WorkTurns


class _User:
    def __init__(self, *, busy: bool = False) -> None:
        self.work = TimeBudget(0.05, 0.25, lambda: 0.0)
        if busy:
            self.work.charge(1.0)


class _Played:
    """Parts of a millisecond each, noted by the name of their job."""

    def __init__(self) -> None:
        self.now = self.rested = 0.0
        share = WorkShare(0.25, lambda: self.now, lambda: self.now + self.rested, burst=0.0)
        self.rested = 100.0  # in which nothing was done
        self.parts: list[str] = []
        self.turns = WorkTurns(share, lambda: self.now)

    def steps(self, name: str, parts: int) -> Generator[None, None, str]:
        for number in range(parts):
            if number:
                yield
            self.parts.append(name)
            self.now += 0.001
        return name

    def begin(self, name: str, parts: int, user: _User | None = None) -> asyncio.Task[tuple[str, float]]:
        return asyncio.create_task(self.turns.do(self.steps(name, parts), user))


async def _turns_until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - turns are counted
        await asyncio.sleep(0)


async def test_a_turn_of_the_loop_has_one_part_however_much_there_is_to_do() -> None:
    played = _Played()
    tasks = [played.begin(str(number), 4, _User()) for number in range(20)]
    await asyncio.sleep(0)
    seen = len(played.parts)
    assert seen == 20, "the first ones are done at once: most work has only one"
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        assert len(played.parts) <= seen + 1
        seen = len(played.parts)
    assert [task.result()[0] for task in tasks] == [str(number) for number in range(20)]
    assert tasks[0].result()[1] == pytest.approx(0.004)


async def test_users_have_their_parts_in_turn() -> None:
    played = _Played()
    many, one = _User(), _User()
    tasks = [played.begin("a", 3, many) for _ in range(3)] + [played.begin("b", 3, one)]
    await asyncio.gather(*tasks)
    assert "".join(played.parts) == "aaabababaaaa"


async def test_busy_users_wait_behind_others_and_rest_after_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    played, rests = _Played(), list[float]()
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noting(delay: float, *args: object) -> asyncio.TimerHandle:
        rests.append(delay)
        played.rested += delay
        return call_later(0, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", noting)
    busy = [_User(busy=True), _User(busy=True)]
    tasks = [played.begin(name, 3, user) for name, user in zip("xy", busy, strict=True)]
    await asyncio.sleep(0)
    assert not played.parts
    tasks.append(played.begin("a", 3, _User()))
    await asyncio.sleep(0)
    assert played.parts[0] == "a"
    await asyncio.gather(*tasks)
    assert "".join(played.parts).replace("a", "") == "xyxyxy"
    assert rests[1:] == [pytest.approx(0.003)] * 6, "a quarter of the processor, of both together"


async def test_what_is_measured_counts_without_what_else_goes_on_meanwhile() -> None:
    played, user = _Played(), _User()
    answered = asyncio.get_running_loop().create_future()

    async def opening() -> str:
        played.now += 0.01
        await answered
        await played.turns.do(played.steps("part", 2), user)  # counts by itself, and once
        played.now += 0.02
        return "opened"

    task = asyncio.create_task(played.turns.in_turn(opening(), user))
    await asyncio.sleep(0)
    played.now += 5  # others'
    answered.set_result(None)
    assert await task == "opened"
    assert user.work.left == pytest.approx(0.25 - 0.032)


async def test_what_a_thread_does_counts_for_whom_it_does_it() -> None:
    turns, users = WorkTurns(), [_User(), _User(), _User()]

    def compute() -> None:
        began = time.thread_time()
        while time.thread_time() < began + 0.02:
            pass

    async def opening(length: int) -> None:
        await aside(compute, length)

    async def failing() -> None:
        def fail() -> None:
            compute()
            raise ValueError("x")

        with pytest.raises(ValueError, match="x"):
            await aside(fail, SHORT + 1)

    await asyncio.gather(
        turns.in_turn(opening(SHORT + 1), users[0]),
        turns.in_turn(opening(SHORT), users[1]),  # in the event loop
        turns.in_turn(failing(), users[2]),
    )
    for user in users:
        assert 0.02 <= 0.25 - user.work.left < 0.04, "no other's"
    await opening(SHORT + 1)  # measured for no user


async def test_what_a_thread_does_counts_when_it_ends_also_for_who_no_longer_waits_for_it() -> None:
    turns, users = WorkTurns(), [_User(), _User()]
    begun, go_on = threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()
        go_on.wait(10)
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    async def opening() -> None:
        await aside(compute, SHORT + 1)

    waiting = [asyncio.create_task(turns.in_turn(opening(), user)) for user in users]
    await asyncio.to_thread(begun.wait, 10)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert min(user.work.left for user in users) > 0.24, "the thread has not ended"
    go_on.set()
    await aside(lambda: None, SHORT + 1)  # behind the first one; the second was never begun
    for _ in range(100):
        if users[0].work.left < 0.24:
            break
        await asyncio.sleep(0.01)
    assert 0.02 <= 0.25 - users[0].work.left < 0.04
    assert users[1].work.left > 0.24


async def test_what_is_measured_may_fail_and_be_cancelled() -> None:
    played, user = _Played(), _User()
    seen = list[str]()

    async def opening() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")
            played.now += 0.01

    async def failing() -> None:
        raise ValueError("x")

    task = asyncio.create_task(played.turns.in_turn(opening(), user))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["ended"]
    assert user.work.left == pytest.approx(0.24)
    with pytest.raises(ValueError, match="x"):
        await played.turns.in_turn(failing(), None)


async def test_busy_users_begin_one_after_the_other_and_rest_for_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played, busy = _Played(), [_User(busy=True), _User(busy=True)]
    timers = list[tuple[float, Callable[[], None]]]()

    def later(delay: float, do: Callable[[], None]) -> object:
        timers.append((delay, do))
        return timers

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", later)
    begun = list[str]()

    async def opening(name: str, seconds: float) -> None:
        begun.append(name)
        played.now += seconds

    tasks = [
        asyncio.create_task(played.turns.in_turn(opening(name, 0.01), user))
        for name, user in zip("xyxy", busy * 2, strict=True)
    ]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.sleep(0)
    rests = list[float]()
    while timers:
        delay, do = timers.pop()
        rests.append(delay)
        played.rested += delay
        do()
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(timers) <= 1
    assert "".join(begun) == "xyy"
    assert all(task.done() for task in tasks)
    assert [rest for rest in rests if rest > 0.001] == [pytest.approx(0.03)] * 3, "a quarter of the processor"

    quick = _User()
    await played.turns.in_turn(opening("a", 0.01), quick)
    assert begun[-1] == "a", "others begin at once"


async def test_a_user_who_has_much_done_becomes_a_busy_one() -> None:
    played = _Played()
    user = _User()
    task = played.begin("x", 600, user)
    await _turns_until(lambda: user.work.left < 0)
    before = len(played.parts)
    other = played.begin("a", 5, _User())
    await _turns_until(other.done)
    assert played.parts[before:].count("x") <= 2, "whatever the timer's share was"
    task.cancel()
    await asyncio.wait([task])


async def test_an_error_is_raised_where_the_work_is_awaited() -> None:
    def failing() -> Generator[None, None, None]:
        yield
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await WorkTurns().do(failing())


@pytest.mark.parametrize("busy", [False, True])
async def test_work_that_is_given_up_is_not_done(busy: bool) -> None:
    played = _Played()
    given_up = played.begin("x", 50, _User(busy=busy))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    seen = len(played.parts)
    assert (await played.begin("a", 3, _User()))[0] == "a"
    assert (await played.begin("b", 3, _User(busy=True)))[0] == "b"
    assert "x" not in played.parts[seen:]


class _Loop:
    def __init__(self, most: float = TARGET) -> None:
        self.now = self.computed = 100.0
        self.share = WorkShare(most, lambda: self.computed, lambda: self.now)

    def pass_seconds(self, seconds: float, *, others: float, busy: float = 0.0) -> float:
        """Parts of the processor that users have for so many seconds; returns that of busy ones afterwards."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.computed += 0.1 * (others + busy)
            self.share.rest(0.1 * busy)
        return self.share.now


def test_busy_users_have_what_the_others_leave_of_half_the_processor() -> None:
    loop = _Loop()
    assert loop.share.now == LEAST, "until it is known what the others need"
    assert loop.pass_seconds(10, others=0.0) == pytest.approx(TARGET, abs=0.001)
    assert loop.pass_seconds(10, others=0.0, busy=0.5) == pytest.approx(TARGET, abs=0.001)
    assert loop.pass_seconds(10, others=0.2, busy=0.3) == pytest.approx(0.3, abs=0.001)
    assert loop.pass_seconds(1, others=0.4, busy=0.2) < 0.2, "within a second"


def test_however_much_the_others_need_busy_users_have_a_least_part() -> None:
    assert _Loop().pass_seconds(10, others=0.9, busy=0.1) == LEAST


def test_they_have_no_more_than_they_may_and_all_of_it_where_there_is_no_bound() -> None:
    assert _Loop(0.25).pass_seconds(10, others=0.0) == 0.25
    assert _Loop(0.05).pass_seconds(10, others=0.9) == 0.05
    assert _Loop(1.0).pass_seconds(10, others=0.9) == 1.0


def test_a_long_time_without_a_look_counts_as_a_whole() -> None:
    loop = _Loop()
    loop.now += 60
    loop.computed += 60 * 0.3
    assert loop.share.now == pytest.approx(TARGET - 0.3, abs=0.001)


def test_after_work_busy_users_rest_as_long_as_makes_it_their_part_and_what_they_seldom_ask_for_is_done_at_once() -> (
    None
):
    loop = _Loop()
    loop.pass_seconds(20, others=0.0)
    assert loop.share.rest(0.004) == 0.0
    assert loop.share.rest(0.004) == 0.0
    before = loop.share.rest(0.004)
    assert before > 0.0, "the burst is used up"
    assert loop.share.rest(0.01) - before == pytest.approx(0.01 / TARGET, abs=0.001)
    loop.now += 1
    assert loop.share.rest(0.01) == 0.0, "again"
