"""The PostgreSQL of a cluster, and a standby that can take its place.

The standby is synchronous, so what was acknowledged is on it, and has copies of the failover slots, which streams do not run
ahead of (``synchronized_standby_slots``). A server that was replaced is made anew as the standby of the new primary.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg

from server.cli.local_postgres import LocalPostgres, LocalPostgresError
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["Databases"]

_SLOT = "of_the_standby"
_NAME = "the_standby"  # not "*": WAL senders of logical slots would count as synchronous standbys
_SYNCHRONOUS = {"synchronous_standby_names": _NAME, "synchronized_standby_slots": _SLOT}


class Databases:
    """``primary``, which runs, and with ``make`` a standby of it: ``make`` makes a server of the same kind in a folder."""

    def __init__(
        self, primary: LocalPostgres, make: Callable[[Path, dict[str, str]], LocalPostgres] | None = None
    ) -> None:
        self.primary = primary
        self.standby: LocalPostgres | None = None
        self.promotions = 0
        self._own = primary
        self._make = make

    async def start(self) -> None:
        """Make the standby, if there is one."""
        if self._make is not None:
            folder = self.primary.data_dir
            self.standby = self._make(folder.with_name(f"{folder.name}_standby"), {})
            await asyncio.to_thread(self._follow)

    async def close(self) -> None:
        """Remove what was made here. The first primary is its owner's."""
        for server in (self.primary, self.standby):
            if server is not None and server is not self._own:
                await asyncio.to_thread(server.delete)

    @property
    def servers(self) -> list[LocalPostgres]:
        """All, the first primary in front: their ports do not change."""
        others = [each for each in (self.primary, self.standby) if each is not None and each is not self._own]
        return [self._own, *others]

    def pids(self) -> list[int]:
        """The processes of the primary, the postmaster in front; empty if it does not run."""
        try:
            postmaster = int((self.primary.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return []
        running = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [postmaster, *(pid for pid in running if _parent(pid) == postmaster)]

    def signal(self, number: signal.Signals, pids: list[int]) -> None:
        """Send a signal to processes; those that have ended are passed over."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def kill(self) -> None:
        """``kill -9`` of every process of the primary."""
        pids = self.pids()
        self.signal(signal.SIGKILL, pids)
        async with asyncio.timeout(GIVE_UP_AFTER):
            while any(_parent(pid) is not None for pid in pids):  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.02)

    async def stop(self, mode: str) -> None:
        """Stop the primary. One that takes too long, since its WAL senders wait for receivers, is killed."""
        await asyncio.to_thread(self.primary.stop, mode)
        if await asyncio.to_thread(lambda: self.primary.running):
            await self.kill()

    async def run_again(self) -> None:
        """Start the primary, once its former processes are gone, and wait until it answers."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                try:
                    await asyncio.to_thread(self.primary.start)
                    async with await psycopg.AsyncConnection.connect(self.primary.dsn) as connection:
                        await connection.execute("select")
                except (LocalPostgresError, psycopg.Error):  # a former process is not quite gone, or it recovers still
                    await asyncio.sleep(0.2)
                else:
                    return

    async def promote(self) -> None:
        """The standby becomes the primary. The former one does not run."""
        assert self.standby is not None, "there is one"
        self.primary, self.standby = self.standby, self.primary
        await asyncio.to_thread(self._promote)
        self.promotions += 1

    def _promote(self) -> None:
        with psycopg.connect(self.primary.dsn, autocommit=True) as connection:
            connection.execute("select pg_promote(true, 60)")

    async def rebuild(self) -> None:
        """The former primary becomes the standby."""
        await asyncio.to_thread(self._follow)

    def _follow(self) -> None:
        """Make ``standby`` anew as a copy of ``primary`` that follows it."""
        primary, standby = self.primary, self.standby
        assert standby is not None, "there is one"
        standby.stop("immediate")
        shutil.rmtree(standby.data_dir, ignore_errors=True)
        standby.data_dir.mkdir(mode=0o700)
        shutil.chown(standby.data_dir, primary.data_dir.stat().st_uid, primary.data_dir.stat().st_gid)
        with psycopg.connect(primary.dsn, autocommit=True) as connection:
            connection.execute(
                "select pg_create_physical_replication_slot(%s, true) "
                "where not exists (select from pg_replication_slots where slot_name = %s)",
                [_SLOT, _SLOT],
            )
            standby._run("pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres", "-c", "fast")
            (standby.data_dir / "standby.signal").touch()
            standby.settings = standby.settings | {
                "primary_conninfo": f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres "
                f"application_name={_NAME}",
                "primary_slot_name": _SLOT,
                "hot_standby_feedback": "on",
                "sync_replication_slots": "on",
                **dict.fromkeys(_SYNCHRONOUS, ""),
            }
            standby.start()
            primary.settings = primary.settings | _SYNCHRONOUS
            primary._write_settings()  # also for its next start
            connection.execute("select pg_reload_conf()")


def _parent(pid: int) -> int | None:
    """The parent of a process; None: it has ended."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)
