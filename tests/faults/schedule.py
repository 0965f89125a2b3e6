"""Faults at random, by seed: each undone after some seconds, several at a time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg

from tests.faults.parts import Parts, Server
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["FAULTS", "Schedule"]

BULK = 200_000
"""Rows of a large transaction."""

Fault = Callable[["Schedule"], Coroutine[Any, Any, None]]


class Schedule:
    """One run. ``done``: what has happened: seconds since the beginning, and in words."""

    def __init__(self, parts: Parts, seed: int, faults: tuple[str, ...] = ()) -> None:
        self.parts = parts
        self.chance = random.Random(seed)
        self.done: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._busy: set[object] = set()  # what is out of order already
        self._faults = faults or tuple(FAULTS)

    async def run(self, seconds: float) -> None:
        """Do it for so many seconds, and undo the last ones."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while time.monotonic() - self._began < seconds:
                name = self.chance.choice(self._faults)
                group.create_task(FAULTS[name](self))
                await asyncio.sleep(self.chance.uniform(0.5, 5.0))

    def note(self, what: str) -> None:
        """Something has happened."""
        self.done.append((round(time.monotonic() - self._began, 2), what))

    @contextlib.contextmanager
    def using(self, *parts: object) -> Iterator[None]:
        """The parts are out of order inside."""
        self._busy.update(parts)
        try:
            yield
        finally:
            self._busy.difference_update(parts)

    def free(self, *parts: object) -> bool:
        """Whether nothing is wrong with any of the parts."""
        return not self._busy.intersection(parts)

    async def pause(self, most: float) -> None:
        """Wait for some time."""
        await asyncio.sleep(self.chance.uniform(0.2, most))


async def _kill(run: Schedule, server: Server) -> None:
    if run.free(server):
        with run.using(server):
            run.note(f"kill -9 {server.name}")
            await server.kill()
            await run.pause(3.0)
            await server.start()
            run.note(f"start {server.name}")


async def _stop(run: Schedule, server: Server) -> None:
    if run.free(server):
        with run.using(server):
            run.note(f"SIGSTOP {server.name}")
            server.pause()
            await run.pause(8.0)
            server.go_on()
            run.note(f"SIGCONT {server.name}")


async def _relay(run: Schedule) -> Server:
    return await run.parts.leader() or run.chance.choice(run.parts.relays)


async def kill_relay(run: Schedule) -> None:
    """The leading relay is killed."""
    await _kill(run, await _relay(run))


async def stop_relay(run: Schedule) -> None:
    """The leading relay is stopped, and goes on."""
    await _stop(run, await _relay(run))


async def kill_node(run: Schedule) -> None:
    """A node is killed."""
    await _kill(run, run.chance.choice(run.parts.nodes))


async def stop_node(run: Schedule) -> None:
    """A node is stopped, and goes on."""
    await _stop(run, run.chance.choice(run.parts.nodes))


async def _nats(run: Schedule, count: int, *, wipe: bool) -> None:
    servers = run.chance.sample(run.parts.nats.all, count)
    if run.free(*servers):
        with run.using(*servers):
            run.note(f"kill -9 of {count} NATS servers{', wiped' if wipe else ''}")
            run.parts.nats.kill(*servers, wipe=wipe)
            await run.pause(3.0)
            await run.parts.nats.start(*servers)
            run.note(f"start of {count} NATS servers")


async def kill_nats(run: Schedule) -> None:
    """A NATS server is killed."""
    await _nats(run, 1, wipe=False)


async def wipe_nats(run: Schedule) -> None:
    """A NATS server loses its store."""
    await _nats(run, 1, wipe=True)


async def kill_all_nats(run: Schedule) -> None:
    """All NATS servers are killed, and perhaps wiped."""
    await _nats(run, len(run.parts.nats.all), wipe=run.chance.random() < 0.5)


async def stop_nats(run: Schedule) -> None:
    """A NATS server is stopped, and goes on."""
    server = run.chance.choice(run.parts.nats.all)
    if run.free(server) and server.process is not None:
        with run.using(server):
            run.note("SIGSTOP of a NATS server")
            server.process.send_signal(19)
            await run.pause(8.0)
            server.process.send_signal(18)
            run.note("SIGCONT of a NATS server")


async def end_walsender(run: Schedule) -> None:
    """The WAL sender of the slot is terminated."""
    await _sql(run, "terminate the WAL sender", _TERMINATE, run.parts.slot)


async def drop_slot(run: Schedule) -> None:
    """The slot is dropped."""
    statement = _DROP.replace("%s", run.parts.slot)
    await _sql(run, "drop the slot", statement)


async def restart_postgres(run: Schedule) -> None:
    """PostgreSQL is restarted, in order or not."""
    if run.free("postgres"):
        with run.using("postgres"):
            mode = run.chance.choice(("fast", "immediate"))
            run.note(f"restart of PostgreSQL, {mode}")
            await asyncio.to_thread(run.parts.postgres.stop, mode)
            await run.pause(2.0)
            await asyncio.to_thread(run.parts.postgres.start)
            run.note("PostgreSQL runs")


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


async def _sql(run: Schedule, what: str, statement: str, *parameters: object) -> None:
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await run.parts.sql(statement, *parameters)
    except (psycopg.Error, OSError, TimeoutError) as error:
        run.note(f"{what}: {str(error).strip() or type(error).__name__}")
    else:
        run.note(what)


_TERMINATE = (
    "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s and active_pid is not null"
)
_DROP = (
    "do $$ declare pid int := (select active_pid from pg_replication_slots where slot_name = '%s'); begin "
    "if pid is not null then perform pg_terminate_backend(pid, 5000); end if; "
    "perform pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '%s'; end $$"
)

FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        kill_relay,
        stop_relay,
        kill_node,
        stop_node,
        kill_nats,
        wipe_nats,
        kill_all_nats,
        stop_nats,
        end_walsender,
        drop_slot,
        restart_postgres,
        bulk,
    )
}
"""All faults, by name."""
