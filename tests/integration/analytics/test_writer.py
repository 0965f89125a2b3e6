"""The writer of a node over a real database: what cannot be written waits, what was written is not written again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from structlog.testing import capture_logs

from engine.identity.principal import Principal
from engine.postgres.statements.named_queries import query
from server.analytics.counter import UsageCounter
from server.analytics.users import HashedUsers
from server.analytics.writer import DatabaseClock, Kept, UsageSource, UsageWriter
from server.auth.identity import HandshakeRequest
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import drop_database
from tests.support.postgres.sql import read, run_each

BEHIND = 7_200.0  # seconds, of this machine's clock in a test
KEPT = Kept(2 * 86_400.0, 90 * 86_400.0, 1_095 * 86_400.0, 50)


class Node:
    """A counter and its writer. ``lost``: connections that are lost behind so many commits."""

    def __init__(self, dsn: str, name: str = "a", behind: float = 0.0) -> None:
        self._sql = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self.lost = 0
        self.channels: dict[str, int] = {}
        self.clock = DatabaseClock(lambda: time.time() - behind)
        self.counter = UsageCounter(self.clock, HashedUsers())
        source = UsageSource(lambda: 0, lambda: 0, lambda: self.channels.items())
        self.writer = UsageWriter(name, self.counter, self.clock, source, self._write, 60.0, KEPT)

    def close(self) -> None:
        self._sql.close()

    async def _write(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        rows = self._sql.execute(query(name).encode(), parameters or None).fetchall()
        if name == "usage_add" and self.lost:
            self.lost -= 1
            raise psycopg.OperationalError("the connection is lost")
        return rows

    def session(self, user: str) -> None:
        """A user comes and goes."""
        visit = self.counter.opened(Principal(user), HandshakeRequest())
        self.counter.closed(visit, 1.0)

    async def write(self) -> None:
        """As at the end of a minute."""
        await self.writer.finish(self.clock())


@pytest.fixture
def node(database: str) -> Iterator[Node]:
    node = Node(database)
    yield node
    node.close()


def sessions(dsn: str) -> int:
    [(found,)] = read(dsn, "select coalesce(sum(sessions), 0)::int from realtime.analytics_minutes")
    return int(found)


async def test_what_the_database_does_not_take_now_is_written_later(node: Node, database: str) -> None:
    node.session("ada")
    run_each(database, "alter table realtime.usage_totals rename to away")
    with capture_logs() as logs:
        await node.write()
        node.session("bob")
        await node.write()
    assert [each["event"] for each in logs] == ["analytics_not_written"] * 2
    run_each(database, "alter table realtime.away rename to usage_totals")
    assert sessions(database) == 0
    node.session("eve")
    await node.write()
    assert sessions(database) == 3
    assert read(database, "select max(users) from realtime.analytics_minutes") == [(3,)]


async def test_a_write_whose_connection_is_lost_behind_its_commit_is_not_added_twice(node: Node, database: str) -> None:
    node.session("ada")
    node.lost = 2
    with capture_logs():
        await node.write()
        node.session("bob")
        await node.write()
        assert sessions(database) == 1
        await node.write()
    assert sessions(database) == 2


async def test_salts_that_a_crash_of_the_database_has_emptied_are_made_anew(node: Node, database: str) -> None:
    node.session("ada")
    await node.write()
    run_each(database, "truncate realtime.usage_salts")  # as recovery does with an unlogged table
    await node.write()
    node.session("bob")
    await node.write()
    assert sessions(database) == 2
    assert len(read(database, "select from realtime.usage_salts")) == 2


async def test_minutes_are_those_of_the_clock_of_the_database(database: str) -> None:
    node = Node(database, behind=BEHIND)
    await node.write()  # learns the time
    node.session("ada")
    await node.write()
    off = "select abs(extract(epoch from clock_timestamp() - max(at))) < 600 from realtime.analytics_minutes"
    assert read(database, off) == [(True,)]
    node.close()


async def test_a_position_that_this_server_has_not_reached_does_not_keep_messages_from_being_counted(
    node: Node, database: str
) -> None:
    run_each(
        database, "insert into realtime.usage_nodes (node_id, run, batch, position) values ('a', 'x', 1, 'FFFF/0')"
    )
    await node.write()
    assert node.counter.position == 0
    run_each(database, "update realtime.usage_nodes set position = '0/64'")
    node.counter.position = None
    await node.write()
    assert node.counter.position == 100


async def test_channels_that_the_encoding_of_the_database_lacks_are_not_listed_and_all_else_is(
    pg18: LocalPostgres,
) -> None:
    name = f"t_{uuid.uuid4().hex[:12]}"
    run_each(pg18.dsn, f"create database {name} encoding 'LATIN1' template template0 locale 'C'")
    dsn = pg18.dsn_for(name)
    try:
        migrate(dsn)
        node = Node(dsn)
        node.channels = {"chat:\u65e5": 3, "chat:\u00e9": 1, "chat:1": 2}
        node.session("ada")
        with capture_logs() as logs:
            await node.write()
            await node.write()
        node.close()
        assert [each["event"] for each in logs] == ["analytics_not_written"]
        assert sessions(dsn) == 1
        assert read(dsn, "select channel, subscribers::int from realtime.analytics_channels") == [("chat:1", 2)]
    finally:
        drop_database(pg18, dsn)
