"""Subscriptions are opened in the turns of their users."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from engine.channels.core.messages.model import ChannelOptions, Member
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

    async def begin(self, *_: object) -> None:
        await self.go_on.wait()

    async def follow(self, _: object) -> None:
        """Its messages come."""

    def remove(self, _: object) -> None:
        """It was not there."""

    leave = release = remove


async def test_a_user_with_many_subscriptions_to_be_opened_does_not_hold_up_others() -> None:
    held = cast("Any", Held())
    subscriptions = Subscriptions(held, held, held, held, held, held, held, held)

    async def ask(user: str, number: int) -> list[asyncio.Task[Any]]:
        member = Member("c", user, ip="192.0.2.1", proven_user_id=user)
        opening = (
            subscriptions.open(f"{user}:{each}", ChannelOptions(), member, Calling(lambda _: None))
            for each in range(number)
        )
        tasks = [asyncio.create_task(each) for each in opening]
        for _ in range(20):
            await asyncio.sleep(0)
        return tasks

    eves = await ask("eve", 300)
    assert held.begun == [f"eve:{each}" for each in range(16)]
    for task in eves[16:200]:
        task.cancel()  # what she does not want any more
    anns = await ask("ann", 2)
    assert held.begun[16:] == ["ann:0", "ann:1"]
    held.go_on.set()
    await asyncio.gather(*anns, *eves[:16], *eves[200:])
    assert len(held.begun) == 2 + 16 + 100
