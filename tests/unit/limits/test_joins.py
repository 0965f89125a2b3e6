"""So many channels are opened at once; connections take turns, and what waits has no task."""

from __future__ import annotations

import asyncio

import pytest

from server.limits.joins import Joins


class Opened:
    """Tasks that end when the test lets them. ``begun``: what each opens, in order."""

    def __init__(self, places: int) -> None:
        self.joins = Joins(places)
        self.begun: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    def begin(self, owner: str, channel: str) -> asyncio.Future[None]:
        return self.joins.begin(owner, lambda: asyncio.create_task(self._open(channel)))

    async def _open(self, channel: str) -> None:
        self.begun.append(channel)
        await self.gates.setdefault(channel, asyncio.Event()).wait()

    async def end(self, *channels: str) -> None:
        for channel in channels:
            self.gates[channel].set()
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_connections_take_turns_and_each_keeps_its_order() -> None:
    opened = Opened(2)
    asked = [opened.begin("greedy", f"g{number}") for number in range(5)]
    asked += [opened.begin("ann", "a0"), opened.begin("bob", "b0"), opened.begin("ann", "a1")]
    await turns()
    assert opened.begun == ["g0", "g1"]
    assert [isinstance(each, asyncio.Task) for each in asked] == [True] * 2 + [False] * 6
    order = ["g0", "g1", "g2", "a0", "b0", "g3", "a1", "g4"]
    for at, channel in enumerate(order):
        await opened.end(channel)
        assert opened.begun == order[: at + 3]
    assert all(each.done() and not each.cancelled() for each in asked)


async def test_what_is_given_up_before_its_turn_is_not_begun() -> None:
    opened = Opened(1)
    first, second, third = (opened.begin("ann", channel) for channel in "abc")
    await turns()
    second.cancel()
    await opened.end("a")
    assert (opened.begun, first.done(), third.done()) == (["a", "c"], True, False)
    await opened.end("c")
    assert third.done()


async def test_the_place_of_a_task_that_is_cancelled_or_fails_is_free() -> None:
    opened = Opened(1)
    first, second = opened.begin("ann", "a"), opened.begin("bob", "b")
    await turns()
    first.cancel()
    await turns()
    assert opened.begun == ["a", "b"]
    third = opened.joins.begin("eve", lambda: asyncio.create_task(_failing()))
    await opened.end("b")
    assert second.done()
    await third
    fourth = opened.begin("ann", "d")
    assert isinstance(fourth, asyncio.Task)
    await turns()
    await opened.end("d")


async def _failing() -> None:
    raise ValueError("its owner's")


@pytest.mark.parametrize("count", [1, 100])
async def test_all_places_are_free_again_in_the_end(count: int) -> None:
    opened = Opened(3)
    for number in range(count):
        opened.gates[f"{number}"] = asyncio.Event()
        opened.gates[f"{number}"].set()
    await asyncio.gather(*(opened.begin(f"{number % 7}", f"{number}") for number in range(count)))
    again = [opened.begin("ann", f"again{number}") for number in range(3)]
    assert [isinstance(each, asyncio.Task) for each in again] == [True] * 3
    await turns()
    await opened.end("again0", "again1", "again2")
