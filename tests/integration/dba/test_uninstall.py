"""``realtime uninstall``: what is left of the service in a cluster, which is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import postgres_15, postgres_18, started
from tests.support.clients.users import running_server
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving

CATALOGS = (
    "pg_class", "pg_attribute", "pg_attrdef", "pg_proc", "pg_trigger", "pg_policy", "pg_event_trigger", "pg_publication",
    "pg_publication_rel", "pg_subscription", "pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_replication_slots",
    "pg_namespace", "pg_type", "pg_constraint", "pg_index", "pg_rewrite", "pg_default_acl", "pg_description", "pg_database",
    "pg_init_privs", "pg_extension", "pg_inherits", "pg_depend", "pg_shdepend", "pg_collation", "pg_cast", "pg_operator",
)  # fmt: skip

UNSTEADY = (
    "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid", "relfilenode", "relhastriggers",
    "datfrozenxid", "datminmxid", "subskiplsn", "rolpassword",
)  # fmt: skip
"""Columns that VACUUM changes, or only VACUUM: it notices later that a table has no triggers any more."""

PRIVILEGES = {
    "pg_class": ("relacl", "r", "relowner"),
    "pg_proc": ("proacl", "f", "proowner"),
    "pg_namespace": ("nspacl", "n", "nspowner"),
    "pg_database": ("datacl", "d", "datdba"),
}

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


def run(dsn: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def snapshot(dsn: str) -> dict[str, set[str]]:
    """The rows of the catalogs, with privileges as they act: the owner's own are written down or not."""
    found: dict[str, set[str]] = {}
    for catalog in CATALOGS:
        column, kind, owner = PRIVILEGES.get(catalog, ("null::aclitem[]", "r", "10"))
        text = (
            "select (to_jsonb(c) - %s::text[])::text || coalesce((select string_agg(a::text, ' ' order by a::text) "
            f"from aclexplode(coalesce({column}, acldefault('{kind}', {owner}))) a), '') from {catalog} c"
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            rows = connection.execute(text.encode(), [[column, *UNSTEADY]]).fetchall()
        found[catalog] = {row[0] for row in rows}
    return found


def differences(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: before[name] ^ after[name] for name in before if before[name] != after[name]}


@pytest.mark.long
@pytest.mark.parametrize("make", [postgres_18, postgres_15], ids=["pg18", "pg15"])
async def test_the_catalogs_after_an_uninstall_are_those_before_the_installation(
    make: Callable[[Path], LocalPostgres], scratch: Path, request: pytest.FixtureRequest
) -> None:
    if make is postgres_15:
        request.getfixturevalue("pg15")  # knows whether there is one
    with started(make(scratch / "uninstalled")) as cluster:
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
