"""A short run of faults: enough for each end to lose its connections a few times."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.feed.table_interest import channel_topic
from server.cli.local_postgres import LocalPostgres
from tests.cluster import time_limit
from tests.cluster.databases import Databases
from tests.cluster.time_limit import TimeLimit
from tests.conftest import database_on
from tests.faults.cluster import run_faults
from tests.faults.histories import difference
from tests.faults.load import SETUP
from tests.faults.spanning_load import CHANNELS, Record, misses

SEED = 1


@pytest.mark.long
async def test_clients_of_a_cluster_under_faults_lose_nothing_and_get_nothing_twice(
    pg18: LocalPostgres, tmp_path: Path, fault_minutes: float, fault_seed: int | None
) -> None:
    with database_on(pg18, *SETUP) as dsn:
        seed = SEED if fault_seed is None else fault_seed
        database, seconds = dsn.rpartition("/")[2], fault_minutes * 60 or 10
        report = await run_faults(Databases(pg18), database, tmp_path, seed, seconds, nats=3)
    print(json.dumps(report))
    assert not report["problems"], report


def messages(*numbers: int) -> list[tuple[str, int, str]]:
    return [("ada", number, f"0/{number}") for number in numbers]


@pytest.mark.parametrize(
    ("received", "gaps", "wrong"),
    [
        (messages(1, 2, 3, 4), (), ""),
        (messages(1, 2, 4), (), "differs at 2 of 3"),
        (messages(1, 2, 3), (), "lost 1"),
        (messages(1, 2, 2, 3, 4), (), "doubled"),
        (messages(2, 1, 3, 4), (), "differs at 0 of 4"),
        (messages(1, 2, 3, 4, 5), (), "not stored"),
        ([*messages(1, 2, 3), ("ada", 4, "0/5")], (), "differs at 3 of 4"),
        (messages(1, 4), (1,), ""),
        (messages(3, 4), (0,), ""),
        (messages(1, 2, 4), (1,), "differs at 2 of 3"),
        (messages(3, 4, 1, 2), (0, 2), "differs at 2 of 4"),
        ([("ada", 1, "0/1"), ("ada", 3, "1/3"), ("ada", 4, "0/4")], (2,), ""),
        ([("ada", 1, "0/1"), ("ada", 3, "1/3"), ("ada", 4, "0/4")], (1,), "differs at 1 of 3"),
        ([], (), "lost 4"),
    ],
)
def test_a_history_that_differs_from_what_is_stored_is_noticed(
    received: list[tuple[str, int, str]], gaps: tuple[int, ...], wrong: str
) -> None:
    found = difference(received, messages(1, 2, 3, 4), gaps)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)


@pytest.mark.parametrize(("passed", "waited", "over"), [(9, 0, False), (11, 0, True), (49, 49, False), (51, 51, True)])
def test_time_in_which_processes_wait_for_a_processor_counts_little(
    monkeypatch: pytest.MonkeyPatch, passed: float, waited: float, over: bool
) -> None:
    now, stalled = 100.0, 50.0
    monkeypatch.setattr(time_limit, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(time_limit, "_stalled", lambda: stalled)
    limit = TimeLimit(10)
    now, stalled = now + passed, stalled + waited
    assert limit.over is over


def positions(*numbers: int) -> list[tuple[str, int, str]]:
    return [("", number, f"0/{number}/1") for number in numbers]


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        (Record("0/1", positions(2, 3, 4)), ""),
        (Record("0/4", positions()), ""),
        (Record("0/1", positions(1, 2, 3, 4)), ""),
        (Record("0/1/1", positions(2, 3, 4)), ""),
        (Record("0/1", positions(2, 3), left=True), ""),
        (Record("0/1", positions(), left=True), ""),
        (Record("0/1", [*positions(2), ("", 3, "0/9/1")], left=True), ""),
        (Record("0/1", [*positions(2), ("", 3, "0/9/1")]), "differs at 1 of 2"),
        (Record("0/1", [*positions(2), ("", 7, "0/9/1")], left=True), "not stored"),
        (Record(None, []), ""),
        (Record("0/1", positions(2, 4), [1]), ""),
        (Record("0/1", positions(2, 4)), "differs at 1 of 2"),
        (Record("0/1", positions(2, 4), left=True), "differs at 1 of 2"),
        (Record("0/1", positions(3, 4)), "differs at 0 of 2"),
        (Record("0/2", positions(1, 2, 3, 4)), "from before it began"),
        (Record("0/1", positions(2, 3)), "lost 1"),
        (Record("0/1", positions(2, 2, 3, 4)), "doubled"),
        (Record("0/1", positions(3, 2, 4)), "differs at 0 of 3"),
        (Record("0/1", positions(2, 3, 4, 5)), "not stored"),
        (Record(None, positions(1)), "messages came before the answer"),
        (Record("0/1", positions(2, 3, 4), [0, 1]), "2 gaps"),
    ],
)
def test_what_a_client_is_owed_from_where_it_began_is_known(record: Record, wrong: str) -> None:
    found = misses(record, positions(1, 2, 3, 4), promotions=1)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)


def test_channels_of_the_load_have_several_topics() -> None:
    assert len(set(map(channel_topic, CHANNELS))) == len(CHANNELS)
