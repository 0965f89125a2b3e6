"""PostgreSQL and its WAL sender are stopped, killed, restarted and replaced; the slot is dropped; transactions are large."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import psycopg

from tests.faults.schedule import Fault, Schedule
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["POSTGRES_FAULTS"]

BULK = 200_000
"""Rows of a large transaction."""


async def end_walsender(run: Schedule) -> None:
    """The WAL sender of the slot is terminated."""
    await _sql(run, "terminate the WAL sender", _TERMINATE, run.parts.slot)


async def drop_slot(run: Schedule) -> None:
    """The slot is dropped."""
    statement = _DROP.replace("%s", run.parts.slot)
    await _sql(run, "drop the slot", statement)


async def stop_walsender(run: Schedule) -> None:
    """The WAL sender of the slot is stopped, and goes on."""
    pids = [pid for (pid,) in await _sql(run, "SIGSTOP of the WAL sender", _SENDER, run.parts.slot)]
    run.parts.databases.signal(signal.SIGSTOP, pids)
    await run.pause(8.0)
    run.parts.databases.signal(signal.SIGCONT, pids)
    run.note("SIGCONT of the WAL sender")


async def restart_postgres(run: Schedule) -> None:
    """PostgreSQL is restarted, in order or not."""
    if run.free("postgres"):
        with run.using("postgres"):
            mode = run.chance.choice(("fast", "immediate"))
            run.note(f"restart of PostgreSQL, {mode}")
            await run.parts.databases.stop(mode)
            await run.pause(2.0)
            await run.parts.databases.run_again()
            run.note("PostgreSQL runs")


async def kill_postgres(run: Schedule) -> None:
    """All processes of PostgreSQL are killed."""
    if run.free("postgres"):
        with run.using("postgres"):
            run.note("kill -9 of PostgreSQL")
            await run.parts.databases.kill()
            await run.pause(2.0)
            await run.parts.databases.run_again()
            run.note("PostgreSQL runs")


async def stop_postgres(run: Schedule) -> None:
    """All processes of PostgreSQL are stopped, and go on."""
    if run.free("postgres"):
        with run.using("postgres"):
            pids = run.parts.databases.pids()
            run.note("SIGSTOP of PostgreSQL")
            run.parts.databases.signal(signal.SIGSTOP, pids)
            await run.pause(8.0)
            run.parts.databases.signal(signal.SIGCONT, pids)
            run.note("SIGCONT of PostgreSQL")


async def promote_standby(run: Schedule) -> None:
    """PostgreSQL is killed, and its standby takes its place; then the former one becomes the standby."""
    databases = run.parts.databases
    if databases.standby is not None and run.free("postgres"):
        with run.using("postgres"):
            run.note("kill -9 of PostgreSQL, to promote its standby")
            await databases.kill()
            await run.pause(2.0)
            await databases.promote()
            run.note("the standby is promoted")
            await run.pause(2.0)
            await databases.rebuild()
            run.note("the former primary is the standby")


async def bulk(run: Schedule) -> None:
    """A large transaction."""
    statement = (
        "insert into bulk select n from generate_series((select coalesce(max(n), 0) + 1 from bulk), "
        f"(select coalesce(max(n), 0) + {BULK} from bulk)) n"
    )
    if run.free("bulk"):
        with run.using("bulk"):
            await _sql(run, f"{BULK} rows", statement)
            await _sql(run, "delete most rows", "delete from bulk where n %% 10000 <> 0".replace("%%", "%"))


async def _sql(run: Schedule, what: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            rows = await run.parts.sql(statement, *parameters)
    except (psycopg.Error, OSError, TimeoutError) as error:
        run.note(f"{what}: {str(error).strip() or type(error).__name__}")
        return []
    run.note(what)
    return rows


_TERMINATE = (
    "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s and active_pid is not null"
)
_SENDER = "select active_pid from pg_replication_slots where slot_name = %s and active_pid is not null"
_DROP = (
    "do $$ declare pid int := (select active_pid from pg_replication_slots where slot_name = '%s'); begin "
    "if pid is not null then perform pg_terminate_backend(pid, 5000); end if; "
    "perform pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '%s'; end $$"
)

POSTGRES_FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        end_walsender,
        stop_walsender,
        drop_slot,
        restart_postgres,
        kill_postgres,
        stop_postgres,
        promote_standby,
        bulk,
    )
}
"""By name."""
