"""A primary is stopped in order while its failover slot waits for a standby that is away (PostgreSQL 17)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import fresh_database, postgres_18, started
from tests.integration.dba.catalogs import run
from tests.support.clients.users import user_client
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import serving

SLOT = "kept"


@pytest.mark.since(17)
@pytest.mark.parametrize("there", [True, False])
async def test_the_slot_is_kept(scratch: Path, there: bool) -> None:
    """The walsender ends with an error about the standby's slot, which has nothing to do with the WAL, or with this one."""
    with started(postgres_18(scratch / "stopped")) as primary:
        dsn = fresh_database(primary)
        if there:
            run(dsn, "select pg_create_physical_replication_slot('away')")
        async with (
            serving(dsn, free_port(), slot_name=SLOT, trust_user_parameter="true") as server,
            user_client(server, "ada") as ada,
        ):
            await ada.join("chat:1")
            run(dsn, "alter system set synchronized_standby_slots = 'away'")
            run(dsn, "select pg_reload_conf()")
            await ada.send(type="message", channel="chat:1", event="sent", data=1, id="m1")
            await until(lambda: run(dsn, "select count(*) from realtime.messages") == [(1,)])
            await asyncio.to_thread(primary.restart)
            run(dsn, "alter system reset synchronized_standby_slots")
            run(dsn, "select pg_reload_conf()")
            assert (await ada.receive("message"))["data"] == 1
            reasons = [line for line in server.lines if '"feed_state"' in line or '"rereading_all"' in line]
            assert any("does not" in line for line in reasons), reasons
            assert not [line for line in reasons if "cannot be decoded" in line]
            assert not [line for line in reasons if "a new slot was made" in line]
