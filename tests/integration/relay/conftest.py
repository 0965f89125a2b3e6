"""A database with the exposed table t, and relays and workers over one slot of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from engine.feed.feed import Feed, FeedSettings
from engine.relay.feed import RelayFeed
from engine.relay.listener import Listener
from engine.relay.relay import Relay
from engine.relay.settings import RelaySettings
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.feed.conftest import FeedReader, FeedSource
from tests.support.postgres.sql import GIVE_UP_AFTER
from tests.support.programs.relay import VERSION


@dataclass
class Machine:
    """One slot, and the socket of its relay."""

    source: FeedSource
    settings: FeedSettings
    path: Path

    @asynccontextmanager
    async def relay(self, **tuning: Any) -> AsyncIterator[Relay]:
        """A relay in this process."""
        relay = Relay(Feed(self.source.dsn, replace(self.settings, shared=True)), RelaySettings(**tuning))
        async with Listener(relay, self.path, VERSION).open():
            task = asyncio.create_task(relay.run())
            try:
                yield relay
            finally:
                if relay.feed.state.status != "stopped":  # else it is ending already
                    task.cancel()
                await asyncio.wait([task], timeout=GIVE_UP_AFTER)
                if not task.cancelled():
                    task.exception()

    @contextmanager
    def relay_process(self) -> Iterator[subprocess.Popen[bytes]]:
        """A relay in a process of its own, killed at the end."""
        process = subprocess.Popen(self.command())
        try:
            yield process
        finally:
            process.kill()
            process.wait(GIVE_UP_AFTER)

    def command(self, *worker: str) -> list[str]:
        """Of a process that is the relay, or a worker."""
        program = [sys.executable, "-m", "tests.support.programs.relay"]
        return [*program, self.source.dsn, self.settings.slot_name, self.settings.decoder, str(self.path), *worker]

    def feed(self, name: str, **changes: Any) -> RelayFeed:
        """A worker's feed, not open yet."""
        settings = replace(self.settings, node_id=f"{self.settings.slot_name}-{name}", **changes)
        return RelayFeed(self.source.dsn, settings, self.path, VERSION)

    @asynccontextmanager
    async def worker(self, name: str, **changes: Any) -> AsyncIterator[FeedReader[RelayFeed]]:
        """A worker in this process that streams."""
        async with self.feed(name, **changes) as feed:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()
            yield FeedReader(feed)

    def insert(self, *ids: int) -> None:
        """One transaction per id."""
        with self.source.connect() as sql:
            for i in ids:
                sql.execute("insert into t values (%s)", [i])

    def slot(self, columns: str) -> Any:
        """Of the slot in pg_replication_slots; None if it is gone."""
        with self.source.connect() as sql:
            query = f"select {columns} from pg_replication_slots where slot_name = %s"
            return sql.execute(query.encode(), [self.settings.slot_name]).fetchone()


@pytest.fixture(params=["pg18-pgoutput", "pg15-wal2json"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """On each server and decoder."""
    name, decoder = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(name)
    table = "create table t (id int primary key, s text)"
    with database_on(server, table, "select realtime.expose('t')") as dsn:
        source = FeedSource(server, dsn, decoder)
        yield Machine(source, source.settings(ephemeral=False), tmp_path / "relay")
        with source.connect() as sql:
            mine = "from pg_replication_slots where database = current_database()"
            sql.execute(f"select pg_terminate_backend(active_pid, 10000) {mine}".encode())
            sql.execute(f"select pg_drop_replication_slot(slot_name) {mine}".encode())
