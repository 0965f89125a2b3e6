"""A short run of faults: enough for each end to lose its connections a few times."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.faults.cluster import run_faults


@pytest.mark.long
async def test_clients_of_a_cluster_under_faults_lose_nothing_and_get_nothing_twice(
    pg18: LocalPostgres, tmp_path: Path, fault_minutes: float, fault_seed: int | None
) -> None:
    seed = random.randrange(10**6) if fault_seed is None else fault_seed
    report = await run_faults(pg18, tmp_path, seed, fault_minutes * 60 or 15)
    print(json.dumps(report))
    assert not report["problems"], report
