"""Random policies, rows and claims: every list is what PostgreSQL shows its subscriber, and no event has more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.oracle.policies.history import play
from tests.oracle.policies.worlds import World, world_of
from tests.support.nodes.stream_and_live import AllThatWait

WORLDS = (
    World("pg18"),
    World("pg18", hidden=True, partitioned=True),
    World("pg15", "wal2json", hidden=True),
    World("pg15", hidden=True, pooled=True),
)


@pytest.mark.parametrize("world", WORLDS, ids=str)
async def test_after_random_changes_each_list_is_what_the_role_and_claims_show(
    world: World, request: pytest.FixtureRequest, scratch: Path, oracle_minutes: float
) -> None:
    """``--oracle-minutes N``: other histories, for N minutes of each kind."""
    server = request.getfixturevalue(world.server)
    until = time.monotonic() + oracle_minutes * 60
    first, steps = (time.time_ns() % 1_000_000, 30) if oracle_minutes else (11, 8)
    seed = first
    while True:
        with world_of(world, server) as made:
            await play(made, scratch, seed, steps)
        if time.monotonic() >= until:
            break
        seed += 1
    print(
        f"{world}: {steps} steps of each of the seeds {first} to {seed}; {AllThatWait.together} transactions together"
    )
