"""What no event announces is looked at in intervals, and a look is never passed over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from engine.live import definitions as definitions_module
from engine.live.definitions import Definitions
from engine.tasks import end
from server.app.settings import Settings
from tests.support.postgres.sql import GIVE_UP_AFTER


class OneLook:
    """The first look is at once, the next one in an hour."""

    def __init__(self) -> None:
        self._intervals = iter((0.0,))

    @property
    def watch_interval(self) -> float:
        return next(self._intervals, 3600.0)


@dataclass
class LoadingCatalog:
    """It is being loaded until ``loaded`` is set."""

    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_current(self) -> bool:
        return self.loaded.is_set()

    async def current(self, timeout: float | None = None) -> None:
        await self.loaded.wait()

    async def unannounced(self) -> set[int]:
        self.looked.set()
        raise OSError("enough")


def definitions_of(settings: object, catalog: object) -> Definitions:
    """Of a node that does nothing else."""
    unused = cast("Any", None)
    return Definitions(
        settings=cast("Any", settings),
        catalog=cast("Any", catalog),
        dispatcher=unused,
        planner=unused,
        refresher=unused,
        reader=unused,
        apply_lock=asyncio.Lock(),
        background=unused,
    )


async def test_a_look_that_falls_into_a_load_is_taken_when_that_ends() -> None:
    catalog = LoadingCatalog()
    definitions = definitions_of(OneLook(), catalog)
    watching = asyncio.create_task(definitions.watch())
    for _ in range(10):  # the interval passes
        await asyncio.sleep(0)
    assert not catalog.looked.is_set()
    catalog.loaded.set()
    async with asyncio.timeout(GIVE_UP_AFTER):
        await catalog.looked.wait()
    async with asyncio.timeout(GIVE_UP_AFTER):
        await end([watching])


async def test_looks_that_fail_are_repeated_after_growing_random_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[int] = []
    repeated = asyncio.Event()

    def pause(count: int, first: float, most: float) -> float:
        assert 0 < first < most
        failures.append(count)
        if len(failures) == 4:
            repeated.set()
        return 0.0

    monkeypatch.setattr(definitions_module, "growing_pause", pause)
    catalog = LoadingCatalog()
    catalog.loaded.set()
    watching = asyncio.create_task(definitions_of(OneLook(), catalog).watch())
    async with asyncio.timeout(GIVE_UP_AFTER):
        await repeated.wait()
    async with asyncio.timeout(GIVE_UP_AFTER):
        await end([watching])
    assert failures[:4] == [0, 1, 2, 3]


def test_the_interval_is_a_setting() -> None:
    assert Settings(definitions_interval=2).live_settings(stream_generated=True).watch_interval == 2
