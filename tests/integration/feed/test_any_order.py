"""Everything that can happen to a stream, in a random order, while rows are written: lists equal their tables at the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import postgres_15, postgres_18, started
from tests.integration.feed.test_obstacle import LATER, encoded_database
from tests.support.nodes.live_node import drop_slot, json_rows, live_node, terminate
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each, until

SUM = "select count(*) as n, sum(id) as ids from later"


class Faults:
    """What is done to the server and to the database behind ``dsn``, one method each."""

    def __init__(self, server: LocalPostgres, dsn: str, slot: str) -> None:
        self.server = server
        self.dsn = dsn
        self.slot = slot
        self.rows = 0

    def write(self) -> None:
        """Some transactions: new rows, a changed one, one that goes."""
        self.rows += 3
        last = self.rows
        run_each(
            self.dsn,
            f"insert into later select i, 'new' from generate_series({last - 2}, {last}) i",
            f"update later set s = 'changed' where id = {last - 1}",
            f"delete from later where id = {last - 4}",
        )

    def terminate_walsender(self) -> None:
        terminate(self.dsn, "realtime feed%")

    def terminate_everything(self) -> None:
        terminate(self.dsn, "realtime %")

    def restart(self) -> None:
        self.server.restart("fast")

    def crash(self) -> None:
        self.server.restart("immediate")

    def promote(self) -> None:
        """As a standby that has replayed all takes over: on another timeline."""
        self.server.stop()
        signal = self.server.data_dir / "standby.signal"
        signal.touch()
        self.server.start()
        assert read(self.dsn, "select pg_promote(true, 60)") == [(True,)]
        assert not signal.exists()

    def lose_slot(self) -> None:
        drop_slot(self.dsn, self.slot)

    def replace_publication(self) -> None:
        """In one transaction: a publication that is missing, or lacks something, ends the queries until it is corrected."""
        new = "create publication bunbase_realtime for table later, torn with (publish_via_partition_root = true)"
        run_each(self.dsn, f"drop publication bunbase_realtime; {new}")
        self.write()
        migrate(self.dsn)

    def tear(self) -> None:
        """A row that cannot be decoded comes and goes."""
        with psycopg.connect(self.dsn, autocommit=True, client_encoding="SQL_ASCII") as sql:
            sql.execute(rb"insert into torn values (1, E'caf\xe9')")
            sql.execute("delete from torn")


@pytest.mark.long
@pytest.mark.parametrize("make", [postgres_18, postgres_15])
async def test_lists_equal_their_tables_whatever_happens_in_whatever_order(
    make: Callable[[Path], LocalPostgres], scratch: Path, pg15: LocalPostgres
) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    with started(make(scratch / "any_order")) as server, encoded_database(server, "SQL_ASCII") as dsn:
        async with live_node(dsn, lease=3.0) as play:
            later = await play.follow(LATER)
            summed = await play.follow(Query("later", {"sql": SUM}, json_rows(SUM)))
            faults = Faults(server, dsn, play.slot)
            order = [
                faults.terminate_walsender,
                faults.terminate_everything,
                faults.restart,
                faults.crash,
                faults.promote,
                faults.lose_slot,
                faults.replace_publication,
                faults.tear,
            ]
            chance.shuffle(order)
            print(f"seed {seed}: {[fault.__name__ for fault in order]}")  # shown if the test fails
            for fault in order:
                await asyncio.to_thread(faults.write)
                await asyncio.to_thread(fault)
                await asyncio.to_thread(faults.write)
                if chance.random() < 0.5:
                    await until(lambda: play.feed.state.status == "streaming")
            await until(lambda: play.feed.state.status == "streaming")
            await asyncio.to_thread(faults.write)
            await later.until(lambda: later.ids[-1:] == [str(faults.rows)])
            await play.check(later, summed)
            assert play.feed.state.reason is None
