"""``realtime uninstall``: what is left of the service in a cluster, which is nothing."""

from __future__ import annotations

import asyncio

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.integration.dba.catalogs import differences, run, snapshot
from tests.support.clients.users import running_server
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving

SETUP = """
create role realtime_server login replication; create role app_user; create role shop_owner;
create role watcher in role pg_monitor;
create schema shop authorization shop_owner;
create type shop.colour as enum ('red', 'blue');
create table items (id int primary key, title text, secret text);
create table notes (body text);
create table orders (id int primary key, n int not null);
create unique index orders_n on orders (n); alter table orders replica identity using index orders_n;
create table parts (id int primary key, n int) partition by range (id);
create table parts_1 partition of parts for values from (0) to (10);
create table parts_2 partition of parts for values from (10) to (20);
create table own (id int primary key, user_id text not null);
set role shop_owner;
create table shop.paints (id int primary key, colour shop.colour);
grant select on shop.paints to watcher;
reset role;
revoke connect, temporary on database {name} from public;
"""

USE = """
select realtime.grant_server('realtime_server');
select realtime.serve_role('app_user');
select realtime.expose('items', columns => '{id,title}');
select realtime.expose('notes', replica_identity => 'full');
select realtime.expose('orders', replica_identity => 'full');
select realtime.expose('parts', replica_identity => 'full');
select realtime.expose('own', owner_only => 'user_id');
grant usage on schema shop to realtime_reader;
select realtime.expose('shop.paints', columns => '{colour}');
insert into realtime.messages (channel, event, payload) values ('chat:1', 'sent', '1');
"""


@pytest.mark.long
async def test_the_catalogs_after_an_uninstall_are_those_before_the_installation(
    cluster: LocalPostgres,
) -> None:
    for name in ("app", "other"):
        run(cluster.dsn_for("postgres"), f"create database {name}")
    dsn, other = cluster.dsn_for("app"), cluster.dsn_for("other")
    run(dsn, SETUP.replace("{name}", "app"))
    before, before_other = snapshot(dsn), snapshot(other)
    for each in (dsn, other):
        assert realtime("migrate", "--dsn", each).returncode == 0
    run(dsn, USE)
    async with serving(dsn, free_port(), slot_name="served"):
        refused = await asyncio.to_thread(realtime, "uninstall", "--yes", "--dsn", dsn)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("realtime: nodes run: served on ")
    unasked = realtime("uninstall", "--dsn", dsn)
    assert unasked.returncode == 1
    assert (
        "This removes from database app: 1 replication slots; the collections public.items, public.notes, "
        in unasked.stderr
    )
    run(
        dsn,
        "create trigger mine after insert on items for each row execute function realtime.broadcast_changes('items')",
    )
    done = realtime("uninstall", "--yes", "--dsn", dsn)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "dropped the slot served"
    for line in (
        "closed the collection paints (table shop.paints)",
        "restored the replica identity of public.notes: default",
        "restored the replica identity of public.orders: index orders_n",
        "restored the replica identity of public.parts_2: default",
        "revoked: GRANT CONNECT, TEMPORARY ON DATABASE app TO realtime_server;",
        "dropped the publication bunbase_realtime",
        "dropped the trigger mine on public.items, which used it",
        "left the role realtime_reader: it has privileges in other",
    ):
        assert line in lines, done.stdout
    assert not any(line.startswith("left:") for line in lines), done.stdout
    rest = realtime("uninstall", "--yes", "--dsn", other).stdout.splitlines()
    assert rest[-2:] == ["dropped the role realtime_publisher", "dropped the role realtime_reader"]
    assert differences(before, snapshot(dsn)) == {}
    assert differences(before_other, snapshot(other)) == {}
    again = realtime("uninstall", "--dsn", dsn)
    assert (again.returncode, again.stdout) == (0, "database app has nothing of this service\n")
    for name in ("app", "other"):
        run(cluster.dsn_for("postgres"), f"drop database {name}")
    run(cluster.dsn_for("postgres"), "drop role realtime_server, app_user, shop_owner, watcher")


async def test_a_forced_uninstall_ends_the_sessions_of_nodes(database: str) -> None:
    async with running_server(database):
        done = await asyncio.to_thread(realtime, "uninstall", "--yes", "--force", "--dsn", database)
        assert done.returncode == 0, done.stderr
        assert any(line.startswith("ended ") for line in done.stdout.splitlines())
        left = run(
            database,
            "select slot_name from pg_replication_slots where database = current_database() "
            "union all select nspname from pg_namespace where nspname = 'realtime' "
            "union all select pubname from pg_publication",
        )
        assert left == []


def test_what_was_changed_in_another_cluster_is_not_undone_in_the_one_that_it_is_replicated_to(database: str) -> None:
    run(
        database,
        "create table items (id int primary key); set session_replication_role = replica;"
        "insert into realtime.made_grants (statement) values ('GRANT SELECT ON TABLE items TO postgres;');"
        "insert into realtime.changed_identities (relation, former, given) values ('items', 'n', 'd')",
    )
    for table in ("made_grants", "changed_identities"):
        assert run(database, f"select from realtime.{table}") == []
