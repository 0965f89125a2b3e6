"""The model's own waits miss nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.model import world as module
from tests.model.client import Client
from tests.model.tracked_subscription import TrackedSubscription
from tests.model.world import World

CONTROL = "public:control"


class Nodes:
    """One that is up, and what is done in the database: nothing comes of it by itself."""

    up, port = True, 1

    async def execute(self, *_: object) -> None:
        pass


async def test_what_comes_while_a_mark_subscribes_again_is_not_waited_for_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the last that comes."""
    world, looks = World.__new__(World), 0
    world.nodes, world.clients, world.faults = [Nodes()], [], Nodes()  # type: ignore[list-item, assignment]
    world._changed, world.problems = asyncio.Event(), []

    async def follow(marks: list[Client], *_: object) -> None:
        nonlocal looks
        looks += 1
        for mark in marks:
            control = mark.subscriptions.setdefault(CONTROL, TrackedSubscription(mark.name, CONTROL, {}))
            if looks == 2:
                await asyncio.sleep(0)  # it connects
                control.record.append({"n": 1})
                world._changed.set()

    monkeypatch.setattr(world, "_follow", follow)
    monkeypatch.setattr(world, "_unrest", lambda: asyncio.sleep(0, "it waits"))
    monkeypatch.setattr(Client, "follows", lambda *_: looks != 1)
    monkeypatch.setattr(module, "GIVE_UP_AFTER", 5.0)
    async with asyncio.timeout(5.0):
        await world._passed()
    assert looks == 2
