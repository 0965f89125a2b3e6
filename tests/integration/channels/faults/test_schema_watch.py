"""What is taken away from the schema ``realtime``, or from the server's role, while a node runs: ``problems`` names it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from engine.channels.db import schema_watch
from engine.channels.db.schema_watch import SchemaWatch
from engine.channels.db.store import Store
from engine.postgres.statements.schema_objects import schema_checksum
from tests.support.nodes.channel_node import ChannelNode, channel_node
from tests.support.postgres.sql import run, until

CHANGES = (
    (
        "alter function realtime.is_published(regclass) rename to gone",
        "alter function realtime.gone(regclass) rename to is_published",
        "missing in the schema realtime: function realtime.is_published; run `realtime migrate`",
    ),
    (
        "alter view realtime.presence_now rename to gone",
        "alter view realtime.gone rename to presence_now",
        "missing in the schema realtime: view realtime.presence_now; run `realtime migrate`",
    ),
    (
        "alter table realtime.messages disable trigger check_size",
        "alter table realtime.messages enable trigger check_size",
        "trigger check_size on realtime.messages is disabled",
    ),
)

APPLIED = "update realtime.migrations set (checksum, version, serves_from, applied_by) = ({}) where name = 'sql/schema'"
OWN = APPLIED.format(f"'{schema_checksum()}', 1, 1, 'this version'")
LATER = APPLIED.format("'another', 2, 1, 'a later version'")
OF_ANOTHER_VERSION = (
    (
        APPLIED.format("'another', 99, 98, 'bunbase-realtime 9.0'"),
        LATER,
        "the database was migrated by bunbase-realtime 9.0 (sql/schema version 99), which does not serve this version "
        "(sql/schema version 1): upgrade this node",
    ),
    (
        f"{LATER}; alter function realtime.kick(text, text, text) rename to gone",
        f"{OWN}; alter function realtime.gone(text, text, text) rename to kick",
        "does not serve this one: realtime.kick(channel text, user_id text, reason text default) is missing; upgrade",
    ),
)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is looked at as often as the tables."""
    monkeypatch.setattr(schema_watch, "THOROUGH_EVERY", schema_watch.EVERY)


async def follow(dsn: str, here: ChannelNode, changes: tuple[tuple[str, str, str], ...]) -> None:
    for breaks, repairs, reported in changes:
        run(dsn, breaks)
        await until(partial(named, here, reported))
        run(dsn, repairs)
        await until(lambda: not here.channels.problems)


def named(here: ChannelNode, reported: str) -> bool:
    return any(reported in problem for problem in here.channels.problems)


@pytest.mark.usefixtures("often")
async def test_a_lost_part_of_the_schema_is_a_problem_until_it_is_back(database: str) -> None:
    async with channel_node(database) as here:
        await follow(database, here, CHANGES)


@pytest.mark.usefixtures("often")
async def test_functions_of_a_later_version_are_a_problem_if_they_do_not_serve_this_node(database: str) -> None:
    async with channel_node(database) as here:
        await follow(database, here, OF_ANOTHER_VERSION)


@pytest.mark.usefixtures("often")
async def test_a_privilege_that_the_server_lost_is_a_problem_until_it_is_granted_again(database: str) -> None:
    run(database, "create table t (id int primary key)")
    run(database, "select realtime.expose('t')")
    run(database, "create role watched_of_tests login replication")
    run(database, "select realtime.grant_server('watched_of_tests')")
    try:
        async with channel_node(database.replace("postgres@", "watched_of_tests@")) as here:
            changes = (
                ("realtime_reader", "GRANT realtime_reader TO watched_of_tests;"),
                ("select on realtime.migrations", "GRANT SELECT ON TABLE realtime.migrations"),
            )
            await follow(
                database,
                here,
                tuple(
                    (f"revoke {what} from watched_of_tests", f"grant {what} to watched_of_tests", reported)
                    for what, reported in changes
                ),
            )
    finally:
        run(database, "drop owned by watched_of_tests")
        run(database, "drop role watched_of_tests")


class CountedStore(Store):
    """A node's way to the database, with the names of the queries that went there."""

    def __init__(self, store: Store) -> None:
        vars(self).update(vars(store))
        self.names: list[str] = []

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        self.names.append(name)
        return await super().rows(name, **parameters)


async def test_each_second_one_query_looks_for_the_tables_and_the_rest_is_looked_at_every_ten(database: str) -> None:
    async with channel_node(database) as here:
        counted = CountedStore(here.channels.store)
        watch = SchemaWatch(counted)
        await watch.look()
        assert len(counted.names) > 1
        counted.names.clear()
        for _ in range(9):
            await watch.look()
        assert counted.names == ["missing_tables"] * 9
        run(database, "alter view realtime.presence_now rename to gone")
        await watch.look()
        assert watch.problem is not None
        run(database, "alter view realtime.gone rename to presence_now")
        await watch.look()
        assert watch.problem is None  # while there is a problem, every look is a thorough one
        run(database, "drop table realtime.last_seen cascade")
        counted.names.clear()
        await watch.look()
        assert watch.problem is not None
        assert "table realtime.last_seen is missing" in watch.problem
        assert counted.names == ["missing_tables"]
