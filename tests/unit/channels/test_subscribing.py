"""Subscriptions are opened in the turns of their users."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from engine.channels import subscriptions as opening
from engine.channels.core.messages.model import ChannelOptions, Member, UnavailableError
from engine.channels.subscriptions import Subscriptions
from tests.support.fakes.receivers import Calling


class Held:
    """In place of all that a subscription is opened with; each waits until it is let go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.rooms = self.hub = self

    def check(self, channel: str) -> None:
        """There is every channel."""

    async def admit(self, subscription: Any) -> None:
        self.begun.append(subscription.channel)

    async def ready(self, *_: object) -> None:
        await self.go_on.wait()

    async def begin(self, *_: object) -> None:
        """It has its past."""

    async def follow(self, _: object) -> None:
        """Its messages come."""

    def remove(self, _: object) -> None:
        """It was not there."""

    leave = release = remove


async def ask(subscriptions: Subscriptions, user: str, number: int) -> list[asyncio.Task[Any]]:
    """Begin to open subscriptions of one user."""
    member = Member("c", user, ip="192.0.2.1", proven_user_id=user)
    opening = (
        subscriptions.open(f"{user}:{each}", ChannelOptions(), member, Calling(lambda _: None))
        for each in range(number)
    )
    tasks = [asyncio.create_task(each) for each in opening]
    for _ in range(20):
        await asyncio.sleep(0)
    return tasks


async def test_a_user_with_many_subscriptions_to_be_opened_does_not_hold_up_others() -> None:
    held = cast("Any", Held())
    subscriptions = Subscriptions(held, held, held, held, held, held, held, held)
    eves = await ask(subscriptions, "eve", 300)
    assert held.begun == [f"eve:{each}" for each in range(16)]
    for task in eves[16:200]:
        task.cancel()  # what she does not want any more
    anns = await ask(subscriptions, "ann", 2)
    assert held.begun[16:] == ["ann:0", "ann:1"]
    held.go_on.set()
    await asyncio.gather(*anns, *eves[:16], *eves[200:])
    assert len(held.begun) == 2 + 16 + 100


async def test_subscriptions_that_wait_for_the_stream_hold_up_no_other_and_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "_PROMPT", 0.01)
    monkeypatch.setattr(opening, "WAITS", 1.5)
    held = cast("Any", Held())
    subscriptions = Subscriptions(held, held, held, held, held, held, held, held)
    async with asyncio.timeout(60):
        tasks = [(await ask(subscriptions, f"user {each}", 1))[0] for each in range(256)]
        tasks += await ask(subscriptions, "eve", 20)
        later = await ask(subscriptions, "ann", 1)
        for task in (*tasks, *later):
            with pytest.raises(UnavailableError, match="does not follow the database now"):
                await task
        assert held.begun[:256] == [f"user {each}:0" for each in range(256)]
        assert held.begun[256:273] == [*(f"eve:{each}" for each in range(16)), "ann:0"], "eve's others wait for hers"
        held.go_on.set()
        await asyncio.gather(*await ask(subscriptions, "ann", 1))


async def test_a_past_that_is_long_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "WAITS", 0.05)
    held, read = cast("Any", Held()), asyncio.Event()

    async def begin(*_: object) -> None:
        await read.wait()

    held.begin = begin
    held.go_on.set()
    async with asyncio.timeout(60):
        [task] = await ask(Subscriptions(held, held, held, held, held, held, held, held), "ann", 1)
        await asyncio.sleep(0.1)
        read.set()
        await task
