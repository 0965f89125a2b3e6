"""The views ``realtime.stat_*``: what they show of running and stopped nodes, and to whom."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from engine.metrics.instruments import LATENCIES, Histogram
from engine.metrics.stages import STAGES
from server.cli.local_postgres import LocalPostgres
from server.statistics.latencies import TOTAL
from tests.conftest import database_on
from tests.support.clients.list_client import write
from tests.support.clients.users import running_server, user_client
from tests.support.servers.processes import GIVE_UP_AFTER

ROOT = Path(__file__).parents[3]

Row = dict[str, Any]

ROLE = "server_of_figures"

VIEWS = ("stat_nodes", "stat_slots", "stat_channels", "stat_queries", "stat_latency")


def rows(dsn: str, text: str) -> list[Row]:
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(text.encode()).fetchall()


async def shown(dsn: str, text: str, condition: Callable[[list[Row]], bool]) -> list[Row]:
    """The rows of ``text``, once they are as ``condition`` wants: figures are written every two seconds."""
    found: list[Row] = []
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not condition(found := rows(dsn, text)):  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{text}: {found}")
    return found


async def test_a_running_node_shows_itself_its_slot_its_channels_and_its_queries(database: str) -> None:
    write(
        database,
        "create table items (id int primary key, n int); insert into items select g, g from generate_series(1, 9) g",
    )
    write(database, "select realtime.expose('items')")
    write(database, "select realtime.create_channel('chat:1', capacity => 7)")
    write(database, f"create role {ROLE} login replication; select realtime.grant_server('{ROLE}')")
    async with running_server(database.replace("postgres@", f"{ROLE}@")) as server:
        async with user_client(server, "ada") as ada:
            await ada.join(presence={"name": "Ada"})
            await ada.ask(type="message", channel="chat:1", event="sent", data="hello")
            await ada.join("db:collection:items", id="q", query={"where": [["n", ">", 3]]})
            counted = {"sql": "select count(*) as id from items"}
            await ada.join("db:collection:items", id="c", query=counted)
            [node] = await shown(
                database, "select * from realtime.stat_nodes", lambda found: found[0]["query_subscriptions"] == 2
            )
            assert (node["state"], node["connections"], node["channels"], node["subscriptions"]) == ("ok", 1, 1, 1)
            assert node["queries"] == 2
            assert node["messages"] >= 1
            assert node["renewed_at"] < node["lease_expires_at"]
            [slot] = rows(database, "select * from realtime.stat_slots where own")
            assert (slot["slot"], slot["node"], slot["active"]) == (node["slot"], node["node"], True)
            assert (slot["wal_status"], slot["plugin"]) == ("reserved", "pgoutput")
            since_17 = rows(database, "select current_setting('server_version_num')::int >= 170000 as since_17")
            assert slot["failover"] is (since_17[0]["since_17"] or None)
            assert slot["retained_bytes"] >= slot["lag_bytes"] >= 0
            [channel] = await shown(
                database,
                "select * from realtime.stat_channels where channel = 'chat:1'",
                lambda found: found[0]["subscribers"] == 1 and found[0]["last_message_at"] is not None,
            )
            assert (channel["room"], channel["members"], channel["capacity"], channel["messages"]) == (True, 1, 7, 1)
            assert channel["history_bytes"] > 0
            found = await shown(database, "select * from realtime.stat_queries", lambda found: len(found) == 2)
            window, counting = sorted(found, key=lambda each: str(each["strategy"]))
            assert (window["strategy"], window["rows"], window["subscribers"]) == ("incremental", 6, 1)
            assert window["query"] == '{"where":[["n",">",3]]}'
            assert (counting["strategy"], counting["rows"], counting["collection"]) == ("re-read", 1, "items")
            reads = counting["reads"]
            write(database, "insert into items values (10, 10)")
            again = "select * from realtime.stat_queries where strategy = 're-read'"
            [later] = await shown(database, again, lambda found: found[0]["reads"] > reads)
            assert later["read_ms"] > counting["read_ms"] > 0
            assert later["query_id"] == counting["query_id"]
        await shown(
            database,
            "select * from realtime.stat_channels where channel = 'chat:1'",
            lambda found: (found[0]["subscribers"], found[0]["messages"]) == (0, 1),
        )
    [node] = rows(database, "select * from realtime.stat_nodes")
    assert (node["state"], node["connections"], node["channels"], node["collected_at"]) == ("stopped", 0, None, None)
    assert rows(database, "select * from realtime.stat_queries") == []
    write(database, f"drop owned by {ROLE}; drop role {ROLE}")


def test_nodes_slots_and_channels_are_shown_without_a_server(pg: LocalPostgres) -> None:
    with database_on(pg) as dsn:
        write(
            dsn,
            "insert into realtime.nodes (id, schema_version, lease_expires_at) values ('gone', 1, now() - interval '1 s')",
        )
        write(dsn, "insert into realtime.slots (name, node) values ('not_there', 'gone')")
        write(dsn, "select pg_create_logical_replication_slot('foreign_one', 'pgoutput')")
        for name in ("a", "b", "b", "c"):
            write(dsn, f"select realtime.broadcast('{name}', 'sent', '1')")
        write(
            dsn,
            "insert into realtime.commits select channel, xid, '0/1', inserted_at, inserted_at from realtime.messages "
            "on conflict do nothing",
        )
        [node] = rows(dsn, "select node, state, slot from realtime.stat_nodes")
        assert node == {"node": "gone", "state": "expired", "slot": "not_there"}
        slots = rows(
            dsn, "select slot, own, wal_status from realtime.stat_slots where slot in ('not_there', 'foreign_one')"
        )
        assert {each["slot"]: (each["own"], each["wal_status"]) for each in slots} == {
            "not_there": (True, "missing"),
            "foreign_one": (False, "reserved"),
        }
        channels = rows(dsn, "select channel, messages, subscribers from realtime.stat_channels order by channel")
        assert [(each["channel"], each["messages"], each["subscribers"]) for each in channels] == [
            ("a", 1, 0),
            ("b", 2, 0),
            ("c", 1, 0),
        ]


def test_the_process_that_reads_the_slot_for_others_is_a_relay_and_a_node_that_makes_its_own_is_starting(
    database: str,
) -> None:
    for name, slot in (("app", "app"), ("new", "new"), ("node_1", None), ("host", "host"), ("host_1", None)):
        write(
            database,
            "insert into realtime.nodes (id, schema_version, lease_expires_at)"
            f" values ('{name}', 1, now() + interval '1 minute')",
        )
        if slot is not None:
            write(database, f"insert into realtime.slots (name, node) values ('{slot}', '{name}')")
    states = "select node, state from realtime.stat_nodes order by node"
    assert {each["node"]: each["state"] for each in rows(database, states)} == {
        "app": "relay",
        "host": "relay",
        "host_1": "starting",
        "new": "relay",  # that is known by its figures only, which it will write
        "node_1": "starting",
    }
    write(database, "delete from realtime.nodes where id = 'node_1'")
    assert {each["node"] for each in rows(database, states) if each["state"] == "relay"} == {"host"}
    write(database, "insert into realtime.nodes (id, lease_expires_at) values ('stopped', now() + interval '1 minute')")
    assert {each["node"] for each in rows(database, states) if each["state"] == "relay"} == {"host"}


def test_every_column_is_described_and_the_tables_behind_reach_neither_wal_nor_publication(database: str) -> None:
    described = rows(
        database,
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 "
        "where c.relnamespace = 'realtime'::regnamespace and c.relname like 'stat\\_%' "
        "and col_description(c.oid, a.attnum) is null",
    )
    assert described == []
    behind = rows(
        database,
        "select relname, relpersistence::text, realtime.is_published(oid) as published from pg_class "
        "where relnamespace = 'realtime'::regnamespace and relname in ('node_stats', 'node_channels', 'node_queries')",
    )
    assert [(each["relpersistence"], each["published"]) for each in behind] == [("u", False)] * 3


def test_latencies_of_nodes_are_put_together_as_a_histogram_has_them(database: str) -> None:
    one, two = [Histogram(LATENCIES, 1e-3) for _ in range(2)]
    for micros in (700, 70_000, 900, 10**12):
        one.observe(micros, 25)
        two.observe(micros // 2, 3)
    counts = {"write": one.counts, "total": two.counts}
    digests = [
        {"bounds": LATENCIES, "counts": counts},
        {"bounds": LATENCIES, "counts": {"write": two.counts}},
        {"bounds": LATENCIES[1:], "counts": counts},  # of another version
    ]
    with psycopg.connect(database) as connection:
        for number, digest in enumerate([*digests, None]):
            text = None if digest is None else json.dumps(digest)
            connection.execute(
                "insert into realtime.nodes (id, host, lease_expires_at, schema_version) values (%s, 'h', now() + '1 h', 1)",
                [f"n{number}"],
            )
            connection.execute(
                "insert into realtime.node_stats (node_id, version, state, position, channels, subscriptions, queries, "
                "query_subscriptions, messages, reads, stages) values (%s, '1', 'ok', '0/1', 0, 0, 0, 0, 0, 0, %s::jsonb)",
                [f"n{number}", text],
            )
        found = connection.execute("select * from realtime.stat_latency").fetchall()
        connection.rollback()
        assert connection.execute("select stage, p50_ms, count from realtime.stat_latency").fetchall() == [
            (stage, None, 0) for stage in (*STAGES, TOTAL)
        ]
    expected = {"write": one.plus(two), "total": two}
    for stage, *quantiles, count in found:
        of = expected.get(stage, Histogram(LATENCIES))
        assert count == of.count, stage
        assert quantiles == [
            None if value is None else pytest.approx(value, abs=0.001) for value in map(of.quantile, (0.5, 0.95, 0.99))
        ], stage


def test_the_documentation_names_every_column_of_each_view(database: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for view in VIEWS:
        columns = rows(
            database, f"select attname from pg_attribute where attrelid = 'realtime.{view}'::regclass and attnum > 0"
        )
        [documented] = re.findall(rf"^\| `realtime\.{view}` \|[^|]*\| (.*) \|$", page, re.MULTILINE)
        assert re.findall(r"`(\w+)`", documented) == [each["attname"] for each in columns]


def test_members_of_pg_monitor_read_the_views_and_nothing_behind_them(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create role watcher in role pg_monitor")
        connection.execute("create role other")
        connection.execute("set local role watcher")
        for view in VIEWS:
            connection.execute(f"select * from realtime.{view}".encode())
        for role, relation in (("watcher", "node_queries"), ("other", "stat_queries"), ("other", "stat_nodes")):
            connection.execute("savepoint before")
            connection.execute(f"set local role {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from realtime.{relation}".encode())
            connection.execute("rollback to before")
        connection.rollback()
