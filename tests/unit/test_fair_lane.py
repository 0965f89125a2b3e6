"""The places of a lane: no holder has more than its share, and none waits behind all the reads of another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.postgres.fair_lane import FairLane
from engine.postgres.read_lanes import Lanes


class Play:
    """Reads in a lane, each until ``finish``."""

    def __init__(self, lane: FairLane) -> None:
        self._lane = lane
        self.running: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, *names: str, holders: Collection[str] | None = None) -> None:
        """Reads ``names``, each for the holder that its first letter names, or for ``holders``."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._read(name, name[0] if holders is None else holders))
        await self.come_to_rest()

    async def finish(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await self.come_to_rest()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await self.come_to_rest()

    async def end(self) -> None:
        for event in self._ends.values():
            event.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def come_to_rest(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def _read(self, name: str, holders: Collection[str]) -> None:
        async with self._lane.place(holders):
            self.running.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.running.remove(name)


async def test_a_holder_with_many_reads_leaves_places_to_others() -> None:
    play = Play(FairLane(4, 2))
    await play.begin(*(f"a{number}" for number in range(50)))
    assert play.running == ["a0", "a1"]
    await play.begin("b0")
    assert play.running == ["a0", "a1", "b0"], "it has not waited for a read of the other"
    await play.end()


async def test_waiting_holders_take_turns() -> None:
    play = Play(FairLane(1, 1))
    await play.begin(*(f"a{number}" for number in range(5)), "b0", "b1", "c0")
    order: list[str] = []
    for _ in range(8):
        order += play.running
        await play.finish(*play.running)
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


async def test_a_read_for_several_counts_for_the_one_with_the_fewest() -> None:
    play = Play(FairLane(4, 1))
    await play.begin("a0", "a1", "a2")
    await play.begin("shared", holders={"a", "b"})
    assert play.running == ["a0", "shared"]
    await play.begin("b0")
    assert play.running == ["a0", "shared"], "it counts for b, whose share is one"
    await play.end()


async def test_reads_of_the_service_itself_have_no_share() -> None:
    play = Play(FairLane(4, 1))
    await play.begin("1", "2", "3", "4", "5", holders=())
    assert play.running == ["1", "2", "3", "4"]
    await play.end()


async def test_reads_that_are_cancelled_give_their_place_and_their_turn_back() -> None:
    play = Play(FairLane(2, 1))
    await play.begin("a0", "a1", "a2", "b0", "b1")
    await play.cancel("a1")
    await play.cancel("a0")
    assert play.running == ["b0", "a2"]
    await play.cancel("b1")
    await play.finish("b0", "a2")
    await play.begin("b2", "a3")
    assert play.running == ["b2", "a3"]
    await play.end()


async def test_a_read_that_is_cancelled_as_it_gets_its_place_leaves_it() -> None:
    lane = FairLane(1, 1)
    inside = lane.place("a")
    await inside.__aenter__()
    waiting = asyncio.create_task(lane.place("b").__aenter__())
    await asyncio.sleep(0)
    await inside.__aexit__(None, None, None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(30), lane.place("c"):
        pass


async def test_a_place_that_is_given_up_is_for_others_and_counts_for_its_holder_until_the_read_ends() -> None:
    lane = FairLane(2, 1)
    play = Play(lane)
    async with lane.place("a") as place:
        await play.begin("b0", "a1", "c0")
        assert play.running == ["b0"]
        place.free()
        place.free()
        await play.begin("d0")
        assert play.running == ["b0", "c0"], "a has one that is not over, and its place was one"
        await play.finish("b0")
        assert play.running == ["c0", "d0"]
        await play.finish("c0")
    await play.come_to_rest()
    assert play.running == ["d0", "a1"]
    await play.end()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["begin", "finish", "cancel"])), max_size=40))
def test_no_history_of_reads_breaks_the_bounds_or_leaves_a_place_empty(history: list[tuple[str, str]]) -> None:
    async def play_it() -> None:
        clock = Clock()
        play = Play(FairLane(3, 2, clock=clock))
        open_reads: list[str] = []
        for number, (holder, step) in enumerate(history):
            clock.now += number % 2  # so some become heavy
            if step == "begin":
                open_reads.append(f"{holder}{number}")
                await play.begin(open_reads[-1])
            elif open_reads:
                name = open_reads.pop(number % len(open_reads))
                await (play.finish(name) if step == "finish" else play.cancel(name))
            running = Counter(name[0] for name in play.running)
            wanted = Counter(name[0] for name in open_reads)
            assert running.total() == min(3, sum(min(2, count) for count in wanted.values()))
            assert all(running[name] <= min(2, wanted[name]) for name in "abc")
        await play.end()

    asyncio.run(play_it())


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def _become_heavy(play: Play, clock: Clock, *holders: str) -> None:
    for holder in holders:
        await play.begin(f"{holder}-")
        clock.now += 30.0
        await play.finish(f"{holder}-")


async def test_places_are_spared_for_holders_that_have_not_read_much_however_many_have() -> None:
    clock = Clock()
    play = Play(FairLane(6, 2, spare=3, clock=clock))
    await _become_heavy(play, clock, "a", "b", "c", "d")
    await play.begin("a0", "b0", "c0", "d0", "a1", "b1", "c1", "d1")
    assert play.running == ["a0", "b0", "c0"]
    await play.begin("x0", "y0", "z0")
    assert play.running == ["a0", "b0", "c0", "x0", "y0", "z0"], "none of these has waited"
    await play.finish("x0")
    assert play.running == ["a0", "b0", "c0", "y0", "z0"]
    await play.finish("a0")
    assert play.running == ["b0", "c0", "y0", "z0", "d0"]
    await play.end()


async def test_a_holder_that_has_not_read_much_is_before_those_that_have_and_these_get_their_turn_too() -> None:
    clock = Clock()
    play = Play(FairLane(1, 1, clock=clock))
    await _become_heavy(play, clock, "a", "b")
    await play.begin("a0", "b0", "b1")
    await play.begin(*(f"{name}0" for name in "klmnopqrst"))
    order: list[str] = []
    for _ in range(13):
        order += play.running
        await play.finish(*play.running)
    assert "".join(name[0] for name in order) == "aklmnopqrbstb", "eight others, then one of the greedy holder"


async def test_a_holder_that_waits_long_enough_is_as_any_other_again_and_nothing_of_it_is_kept() -> None:
    clock = Clock()
    lane = FairLane(1, 1, clock=clock)
    play = Play(lane)
    await _become_heavy(play, clock, "a")
    clock.now += 150.0
    await play.begin("x0", "a0", "y0")
    await play.finish("x0")
    assert play.running == ["a0"]
    await play.finish("a0", "y0")
    clock.now += 100.0
    await play.begin("z0")
    await play.finish("z0")
    assert len(lane._budgets) <= 1


async def test_a_read_for_several_counts_for_one_that_has_not_read_much() -> None:
    clock = Clock()
    play = Play(FairLane(2, 1, spare=1, clock=clock))
    await _become_heavy(play, clock, "a")
    await play.begin("b0")
    await play.begin("c0", "c1")
    await play.finish("c0")
    assert play.running == ["b0", "c1"]
    await play.finish("c1")
    await play.begin("a0", "a1")
    await play.begin("shared", holders={"a", "b"})
    await play.finish("b0")
    assert play.running == ["a0", "shared"]
    await play.end()


async def test_one_user_has_no_more_than_half_of_either_lane() -> None:
    lanes = Lanes(8, each=100)
    counts: Counter[bool] = Counter()
    go = asyncio.Event()

    async def reading(slow: bool) -> None:
        async with lanes.enter(set(), slow=slow, holders=["user"]):
            counts[slow] += 1
            await go.wait()

    tasks = [asyncio.create_task(reading(slow)) for slow in [True] * 20 + [False] * 20]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (counts[True], counts[False]) == (1, 3)
    go.set()
    await asyncio.gather(*tasks)
