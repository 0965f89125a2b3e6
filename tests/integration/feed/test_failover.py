"""A standby takes over behind the same address: what it has not replayed never was, whatever its slot reports."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import fresh_database, postgres_15, postgres_18, started
from tests.faultproxy.proxy import FaultProxy
from tests.support.nodes.live_node import json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each

SLOT = "permanent"


@pytest.fixture(params=["18", "15"])
def primary(request: pytest.FixtureRequest, scratch: Path) -> Iterator[LocalPostgres]:
    """A server that will be lost."""
    if request.param == "15":
        request.getfixturevalue("pg15")
    make = postgres_18 if request.param == "18" else postgres_15
    with started(make(scratch / f"primary{request.param}")) as server:
        yield server


def standby_of(primary: LocalPostgres) -> LocalPostgres:
    """A copy of the data folder that lags behind from now on: whatever ``primary`` writes later does not reach it."""
    primary.stop()
    folder = primary.data_dir.with_name(primary.data_dir.name + "_standby")
    shutil.copytree(primary.data_dir, folder)
    (folder / "standby.signal").touch()
    owner = primary.data_dir.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    primary.start()
    make = postgres_18 if "18" in primary.data_dir.name else postgres_15
    return make(folder, {"restore_command": "false"})


def has_failover_slots(dsn: str) -> bool:
    """PostgreSQL 17 and later copy slots with that property to standbys."""
    found: bool = read(dsn, "select current_setting('server_version_num')::int >= 170000")[0][0]
    return found


def wal_position(dsn: str) -> int:
    """Where the server writes."""
    position: int = read(dsn, "select (pg_current_wal_lsn() - '0/0')::bigint")[0][0]
    return position


def take_over(standby: LocalPostgres, dsn: str, written: int) -> None:
    """Promote ``standby``, make the slot there as cluster managers do, and write beyond ``written``."""
    standby.start()
    read(dsn, "select pg_promote(true, 60)")
    failover = ", false, false, true" if has_failover_slots(dsn) else ""
    run_each(
        dsn,
        f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput'{failover})",
        "insert into t values (10, 'new primary only')",
    )
    while wal_position(dsn) <= written:
        run_each(dsn, "select pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
    run_each(dsn, "insert into t values (11, 'new primary only')")


async def test_a_promoted_standby_that_lags_is_another_history_although_its_slot_exists(primary: LocalPostgres) -> None:
    dsn = fresh_database(primary)
    run_each(
        dsn,
        "create table t (id int primary key, s text)",
        "select realtime.expose('t')",
        "insert into t values (1, 'both')",
    )
    standby = await asyncio.to_thread(standby_of, primary)
    here, there = (f":{server.port}/" for server in (primary, standby))
    try:
        async with FaultProxy("127.0.0.1", primary.port) as address:
            # What was delivered last stays in the tail, as if no snapshot had shown it yet.
            query = Query("t", {}, json_rows("select * from t order by id"))
            async with live_node(dsn.replace(here, f":{address.port}/"), slot=SLOT, trim_interval=3600.0) as live:
                follower = await live.follow(query)
                run_each(
                    dsn,
                    "update t set s = 'changed on the old primary'",
                    "insert into t values (2, 'old primary only')",
                    "select pg_logical_emit_message(true, 'x', repeat('x', 1000000))",
                    "insert into t values (3, 'old primary only')",
                )
                await follower.until(lambda: follower.ids == ["1", "2", "3"])
                written = wal_position(dsn)
                address.refuse = True
                await asyncio.to_thread(primary.stop, "immediate")
                moved = dsn.replace(here, there)
                await asyncio.to_thread(take_over, standby, moved, written)
                address.target, address.refuse = ("127.0.0.1", standby.port), False
                await follower.until(lambda: follower.ids == ["1", "10", "11"])
                live.dsn = moved
                run_each(moved, "insert into t values (12, 'later')")
                await live.check(follower)
                if has_failover_slots(moved):
                    slots = read(moved, f"select failover from pg_replication_slots where slot_name = '{SLOT}'")
                    assert slots == [(True,)], "the new slot is a failover slot as the one it replaces"
    finally:
        standby.delete()
