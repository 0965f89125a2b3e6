"""``idle_replication_slot_timeout`` of PostgreSQL 18: it invalidates the slot of a node that stays away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import postgres_18, started
from tests.integration.dba.catalogs import run
from tests.support.clients.users import user_client
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, serving

ITEMS = "create table items (id int primary key); insert into items values (1); select realtime.expose('items')"


@pytest.mark.since(18)
async def test_a_slot_that_was_idle_for_too_long_is_replaced_when_its_node_returns(scratch: Path) -> None:
    with started(postgres_18(scratch / "idle", {"idle_replication_slot_timeout": "1s"})) as server:
        dsn = server.dsn_for("postgres")
        assert realtime("migrate", "--dsn", dsn).returncode == 0
        run(dsn, ITEMS)
        async with serving(dsn, free_port(), slot_name="idle"):
            pass
        slot = "select wal_status, invalidation_reason from realtime.stat_slots where slot = 'idle'"
        async with asyncio.timeout(GIVE_UP_AFTER):
            while run(dsn, slot) != [("lost", "idle_timeout")]:  # looked at by PostgreSQL at each checkpoint
                run(dsn, "insert into items select max(id) + 1 from items")
                await asyncio.to_thread(run, dsn, "checkpoint")
        async with serving(dsn, free_port(), slot_name="idle", trust_user_parameter="true") as again:
            assert run(dsn, slot) == [("reserved", None)]
            async with user_client(again, "ada") as ada:
                await ada.join("db:collection:items", id="q", query={})
                expected = run(dsn, "select count(*) from items")[0][0]
                assert len((await ada.receive("snapshot"))["changes"]) == expected
