"""What many ask for at once is looked for once, after they asked."""

from __future__ import annotations

import asyncio

import pytest

from engine.shared_look import SharedLook


class Looks:
    """Looks that end when the test lets them. ``began``: how many have begun."""

    def __init__(self) -> None:
        self.began = 0
        self.go_on = asyncio.Semaphore(0)
        self.fails = False

    async def look(self) -> int:
        self.began += 1
        number = self.began
        await self.go_on.acquire()
        if self.fails:
            raise ValueError("the database is away")
        return number


async def asked(look: SharedLook[int], times: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(look()) for _ in range(times)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_get_a_look_that_began_later_and_shares_it() -> None:
    looks = Looks()
    look = SharedLook(looks.look)
    first, *others = await asked(look, 100)
    late = await asked(look, 100)
    assert looks.began == 1
    looks.go_on.release()
    assert await asyncio.gather(first, *others) == [1] * 100
    looks.go_on.release()
    assert await asyncio.gather(*late) == [2] * 100
    assert looks.began == 2


async def test_one_that_gives_up_ends_no_look_of_others_and_a_failure_is_of_one_look() -> None:
    looks = Looks()
    look = SharedLook(looks.look)
    first, second = await asked(look, 2)
    first.cancel()
    looks.fails = True
    looks.go_on.release()
    with pytest.raises(ValueError, match="away"):
        await second
    looks.fails = False
    looks.go_on.release()
    assert await look() == 2


async def test_looks_end_with_their_owner() -> None:
    look = SharedLook(Looks().look)
    waiting = [*await asked(look, 1), *await asked(look, 1)]
    await look.close()
    await asyncio.wait(waiting)
    assert all(each.cancelled() for each in waiting)
