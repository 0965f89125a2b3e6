"""A role's or database's own settings change nothing: every connection of ours starts with the settings it needs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from engine.channels.core.messages.model import Member
from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent
from engine.live.core.shared_query import Subscription
from server.cli.migration.migrate import migrate, migrated_state
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, run, until

HOSTILE = {
    "statement_timeout": "30ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "10ms",
    "idle_session_timeout": "100ms",
    "transaction_timeout": "60ms",  # PostgreSQL 17 and later
    "array_nulls": "off",
    "backslash_quote": "off",
    "client_min_messages": "debug1",
    "DateStyle": "SQL, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "exit_on_error": "on",
    "extra_float_digits": "-3",
    "IntervalStyle": "iso_8601",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "search_path": "nowhere",
    "TimeZone": "Asia/Kathmandu",
    "transform_null_equals": "on",
}
TABLE = (
    "create table public.t (id int primary key, at timestamptz, x float8, n int)",
    "select realtime.expose('public.t')",
    "insert into public.t values (1, '2026-01-02 03:04:05+00', 0.1::float8 + 0.2, null)",
)


def set_all(dsn: str, settings: dict[str, str]) -> None:
    """``ALTER DATABASE … SET``, as far as the server knows the settings."""
    with connect(dsn) as connection:
        for name, value in settings.items():
            known = connection.execute("select from pg_settings where name ilike %s", [name]).fetchone()
            if known is not None:
                connection.execute(
                    sql.SQL("alter database {} set {} = {}").format(
                        sql.Identifier(connection.info.dbname), sql.Identifier(name), value
                    )
                )


def without_limits(dsn: str, where: str) -> str:
    """For connections of the test itself, which may be slow."""
    names = ["statement_timeout", "lock_timeout", *(["transaction_timeout"] if where == "database" else [])]
    return make_conninfo(dsn, options=" ".join(f"-c {name}=0" for name in names))


class Watcher:
    """A live query's list, and its end if it ends."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self._received = asyncio.Event()

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        if event.error is not None:
            self.error = event.error
        elif event.reset:
            self.documents = []
        for change in json.loads(event.changes_json):
            if change["oldIndex"] >= 0:
                del self.documents[change["oldIndex"]]
            if change["newIndex"] >= 0:
                self.documents.insert(change["newIndex"], change["doc"]["data"])
        self._received.set()

    async def until(self, documents: list[dict[str, Any]]) -> None:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while self.documents != documents:
                assert self.error is None, self.error
                self._received.clear()
                await self._received.wait()


@pytest.mark.parametrize("where", ["database", "database15"])
async def test_settings_of_the_database_change_nothing(where: str, request: pytest.FixtureRequest) -> None:
    dsn = request.getfixturevalue(where)
    for statement in TABLE:
        run(dsn, statement)
    set_all(dsn, HOSTILE)
    assert not migrated_state(dsn).pending
    migrate(dsn)
    async with channel_node(dsn, feed={"lease": 3.0, "heartbeat_interval": 0.2}) as here:
        rows, count = Watcher(), Watcher()
        for watcher, spec in (
            (rows, {"where": [["at", "<", "2026-02-01T00:00:00Z"]]}),
            (count, {"sql": "select count(*) as many, max(x) as most from public.t where n is distinct from 5"}),
        ):
            subscription = await here.live.subscribe(Principal(), "t", spec, watcher.deliver)
            subscription.begin()
        first = {"id": 1, "at": "2026-01-02T03:04:05+00:00", "x": 0.30000000000000004, "n": None}
        await rows.until([first])
        await count.until([{"many": 1, "most": 0.30000000000000004}])

        listener = await here.listen("chat:1", history=5)
        await here.publish("chat:1", "hello")
        await listener.until(lambda: listener.data == ["hello"])
        assert listener.messages[0]["sender"] is None
        stored = "select sender is null, payload from realtime.messages where channel = 'chat:1'"
        own = without_limits(dsn, where)
        assert read(own, stored) == [(True, "hello")]
        await here.listen("chat:1", presence={}, user="ann")

        lease = "select extract(epoch from lease_expires_at)::float8 from realtime.nodes"
        [(began,)] = read(own, lease)
        # renewed more than once, over connections that were idle meanwhile
        await until(lambda: read(own, lease)[0][0] > began + 3)

        run(dsn, "insert into public.t values (2, '2026-01-03 00:00:00+00', 7, 5), (3, '2026-01-04 00:00:00+00', 8, 6)")
        await count.until([{"many": 2, "most": 8}])
        await here.publish("chat:1", "again")
        again = await here.listen("chat:1", history=5)
        await again.until(lambda: again.data == ["hello", "again"])
        slot = here.feed.settings.slot_name
    with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=0 -c idle_session_timeout=0") as look:
        assert look.execute("select from pg_replication_slots where slot_name = %s", [slot]).fetchone() is None


async def test_settings_of_libpqs_environment_and_of_the_dsn_change_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in (*TABLE, "alter table public.t add s text"):
        run(database, statement)
    for variable, value in {"PGDATESTYLE": "German", "PGTZ": "Asia/Kathmandu", "PGCLIENTENCODING": "SJIS"}.items():
        monkeypatch.setenv(variable, value)
    for dsn in (database, f"{database}?client_encoding=LATIN1"):
        run(database, "delete from public.t")
        assert not migrated_state(dsn).pending
        async with channel_node(dsn) as here:
            rows = Watcher()
            spec = {"where": [["at", "<", "2026-02-02T00:00:00Z"], ["s", "!=", "ä"]]}
            (await here.live.subscribe(Principal(), "t", spec, rows.deliver)).begin()
            run(database, "insert into public.t values (2, '2026-02-01 00:00:00+00', 7, 5, U&'\\20AC \\65E5 \\00E9')")
            await rows.until([{"id": 2, "at": "2026-02-01T00:00:00+00:00", "x": 7, "n": 5, "s": "€ 日 é"}])
            listener = await here.listen("chat:1")
            await here.publish("chat:1", "€ 日 é")
            await listener.until(lambda: listener.data == ["€ 日 é"])


async def test_settings_changed_while_a_node_runs_do_not_end_its_queries(database: str) -> None:
    for statement in TABLE:
        run(database, statement)
    async with channel_node(database) as here:
        count = Watcher()
        spec = {"sql": "select count(*) as many from t"}
        (await here.live.subscribe(Principal(), "t", spec, count.deliver)).begin()
        await count.until([{"many": 1}])
        set_all(database, {name: value for name, value in HOSTILE.items() if name != "search_path"})
        for number in range(2, 6):  # all connections are replaced, and start with the new settings
            run(
                database,
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and application_name like 'realtime %%'",
            )
            run(database, f"insert into public.t values ({number})")
            await count.until([{"many": number}])
            await here.publish("chat:1", number, member=Member("user"))
            (
                await here.live.subscribe(
                    Principal(), "t", {**spec, "sql": f"{spec['sql']} where id < 100 + {number}"}, _ignore
                )
            ).begin()


def _ignore(subscription: Subscription, event: WindowEvent) -> None:
    pass
