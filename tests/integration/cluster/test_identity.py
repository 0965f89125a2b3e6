"""A stream in NATS is of one database: relays and nodes of another one are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.cluster.identity import DatabaseIdentity, OtherDatabaseError
from engine.cluster.settings import ClusterSettings
from engine.errors import FeedError
from engine.relay.messages import Passed
from server.cli.serving.local_nats import LocalNats
from tests.conftest import database_on
from tests.integration.cluster.conftest import Cluster, cluster_of, ids
from tests.integration.cluster.made_up_terms import OURS, publisher, publishing, server
from tests.support.postgres.sql import read, until


@pytest.fixture(params=["on the same server", "on another server"])
def other_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database beside ``database``."""
    server = request.getfixturevalue("pg18" if request.param == "on the same server" else "pg15")
    with database_on(server) as dsn:
        yield dsn


async def test_relay_of_another_database_is_refused(cluster: Cluster, nats: LocalNats, other_database: str) -> None:
    await cluster.relay()
    await cluster.leading()
    node = await cluster.node()
    rows = await node.follow()
    async with cluster_of(other_database, nats, slot=cluster.slot) as other:
        refused = await other.relay(health=503)
        [problem] = (await refused.health())[1]["problems"]
        name, oid = read(cluster.dsn, "select datname, oid::text from pg_database where datname = current_database()")[
            0
        ]
        own = read(
            other_database, "select datname || ' (oid ' || oid from pg_database where datname = current_database()"
        )
        assert f"is of the database {name} (oid {oid} of system " in problem
        assert f"this process is of {own[0][0]}" in problem
        assert f"nats stream rm {cluster.settings.stream}" in problem
        assert not read(other_database, "select 1 from pg_replication_slots where database = current_database()")
        other.insert(1)
        cluster.insert(2)
        await rows.until(lambda: ids(rows) == [2])


async def test_node_of_another_database_is_refused(cluster: Cluster, nats: LocalNats, other_database: str) -> None:
    await cluster.relay()
    await cluster.leading()
    async with cluster_of(other_database, nats, slot=cluster.slot) as other:
        with pytest.raises(
            FeedError, match=r"is of the database \w+ \(oid .*; this process is of \w+ \(oid .*slot_name"
        ):
            await other.node()


async def test_database_that_has_taken_the_place_of_another_one_gets_the_stream_once_it_is_removed(
    cluster: Cluster, nats: LocalNats, database15: str
) -> None:
    relay = await cluster.relay()
    await cluster.leading()
    async with cluster_of(database15, nats, slot=cluster.slot) as other:
        refused = await other.relay(health=503)
        await relay.end()
        async with other.stream() as stream:
            await stream._jetstream.delete_stream(other.settings.stream)
        assert (await other.leading()) is refused
        assert (await refused.health())[1]["problems"] == []


async def test_relay_that_finds_the_stream_of_another_database_only_now_publishes_nothing(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app")
    async with publishing(publisher(settings, server()), 500, server()) as term:
        await term.publish(Passed(500, 600), 600)
        await until(lambda: term.reached == 600)
    other = DatabaseIdentity(OURS.system, OURS.oid + 1, "shop")
    with pytest.raises(OtherDatabaseError, match="slot_name"):
        async with publishing(publisher(settings, server(), other), 500, server()):
            pass


async def test_database_on_another_timeline_begins_the_stream_anew(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app")
    async with publishing(publisher(settings, server()), 500, server()) as before:
        await before.publish(Passed(500, 600), 600)
        await until(lambda: before.reached == 600)
    renamed = DatabaseIdentity(OURS.system, OURS.oid, "restored")
    restored = server(timeline=2)
    async with publishing(publisher(settings, restored, renamed), 400, restored) as after:
        assert after.generation != before.generation
        assert after.position == 400
