"""After every commit, each client's list equals its query run again. Random everything; both decoders; both servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.oracle.histories import numbers, play, stories
from tests.support.nodes.arena import Arena, arena
from tests.support.nodes.stream_and_live import AllThatWait
from tests.support.oracle.schemas import TYPES


class OracleRun:
    """An arena that stands as long as the module's tests run, with the event loop it lives in."""

    def __init__(self, dsn: str, decoder: str, stories: int) -> None:
        self.dsn = dsn
        self.decoder = decoder
        self.stories = stories
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.arena: Arena = self.runner.run(self._open())

    async def _open(self) -> Arena:
        slot = f"oracle_{self.decoder}_{next(numbers)}"
        return await self.stack.enter_async_context(arena(self.dsn, self.decoder, slot))

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()


# How many stories: decoder and server of the second are each in one of the others, too.
STORIES = {"pgoutput-18": 25, "pgoutput-15": 10, "wal2json-15": 25}


@pytest.fixture(scope="module", params=STORIES)
def run(request: pytest.FixtureRequest) -> Iterator[OracleRun]:
    decoder, version = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(f"pg{version}")
    with database_on(server, TYPES) as dsn:
        run = OracleRun(dsn, decoder, STORIES[request.param])
        AllThatWait.together.clear()
        yield run
        run.close()
    all = run.arena
    print(f"{request.param}: {all.checks} lists compared, {all.twins} both ways, {all.deltas} documents as deltas")
    print(f"{len(AllThatWait.together)} times several transactions together")


@pytest.mark.long
def test_every_list_equals_its_query_after_every_commit(run: OracleRun) -> None:
    @settings(
        max_examples=run.stories,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        print_blob=True,
    )
    @given(story=stories())
    def play_one(story: Any) -> None:
        run.runner.run(asyncio.wait_for(play(run.arena, story), 180))

    play_one()
    assert (
        run.arena.recovered > run.stories // 6
    )  # clients went on with the difference; else the stories have not tried that
    assert len(AllThatWait.together) > run.stories // 2, "transactions were applied together"
    assert run.arena.twins > run.stories
    assert run.arena.deltas > run.stories


def test_for_as_long_as_asked(run: OracleRun, oracle_minutes: float) -> None:
    """``--oracle-minutes N``: the same, on and on."""
    if not oracle_minutes:
        pytest.skip("only with --oracle-minutes")
    until = time.monotonic() + oracle_minutes * 60
    while time.monotonic() < until:
        settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)(
            given(story=stories())(lambda story: run.runner.run(asyncio.wait_for(play(run.arena, story), 180)))
        )()
