"""A server whose messages are not English: what they mean is known by their SQLSTATE and where they come, not by words."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.errors import FeedError, InvalidQueryError, PermissionDeniedError
from engine.feed.feed import Feed, FeedSettings
from engine.identity.visibility import Viewer
from engine.live.plan_cache import Planner
from engine.postgres.snapshot_reader import Reader as LiveReader
from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_15, started
from tests.integration.feed.conftest import Reader
from tests.support.postgres.sql import GIVE_UP_AFTER, run_each, until


@pytest.fixture(scope="module")
def german(scratch: Path, pg15: LocalPostgres) -> Iterator[LocalPostgres]:
    """A PostgreSQL 15 with German messages. The locale is made for it, so that the system need not have it."""
    locales = scratch / "locales"
    locales.mkdir()
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(locales / "de_DE.UTF-8")], check=True)
    settings = {"lc_messages": "de_DE.UTF-8", "max_wal_senders": "1"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCPATH", str(locales))
        with started(postgres_15(scratch / "german", settings)) as server:
            with (
                psycopg.connect(server.dsn) as sql,
                pytest.raises(psycopg.errors.UndefinedTable, match="existiert nicht"),
            ):
                sql.execute("select from missing")
            yield server


@pytest.fixture
def base(german: LocalPostgres) -> Iterator[str]:
    """A migrated database on it, with the exposed table ``t``."""
    with database_on(german, "create table t (id int primary key)", "select realtime.expose('t')") as dsn:
        yield dsn


async def test_a_publication_made_again_while_the_node_was_down_is_a_lost_history_in_each_language(base: str) -> None:
    settings = FeedSettings(slot_name="german")
    async with Feed(base, settings) as feed:
        await feed.streaming()
    run_each(
        base,
        "insert into t values (1)",
        "drop publication bunbase_realtime",
        "insert into t values (2)",
        "create publication bunbase_realtime for table t",
    )
    async with Feed(base, settings) as feed:
        reader = Reader(feed)
        assert "existiert nicht" in (await reader.discontinuity()).reason
        await asyncio.to_thread(run_each, base, "insert into t values (3)")
        [change] = await reader.changes()
        assert change.new() == (b"3",)


async def test_a_refused_replication_connection_is_explained_in_each_language(base: str) -> None:
    run_each(
        base,
        "create role plain login",
        "grant all on schema realtime to plain",
        "grant all on realtime.nodes, realtime.slots to plain",
    )
    run_each(base, "grant select on realtime.collections, realtime.migrations to plain")
    plain = base.replace("postgres@", "plain@")
    try:
        async with asyncio.timeout(GIVE_UP_AFTER), Feed(plain, FeedSettings(slot_name="plain", ephemeral=True)) as feed:
            with pytest.raises(FeedError, match="ALTER ROLE plain REPLICATION"):
                await anext(feed)
        remedies = [finding.remedy for finding in diagnose(plain, Settings()) if finding.level == "problem"]
        assert any("ALTER ROLE plain REPLICATION" in remedy for remedy in remedies)
    finally:
        run_each(base, "drop owned by plain", "drop role plain")
    async with Feed(base, FeedSettings(slot_name="one", ephemeral=True)) as one:
        await one.streaming()
        async with asyncio.timeout(GIVE_UP_AFTER), Feed(base, FeedSettings(slot_name="two", ephemeral=True)) as feed:
            with pytest.raises(FeedError, match="raise max_wal_senders"):
                await anext(feed)


async def test_a_refused_connection_is_shown_in_the_words_of_the_server_and_tried_again(base: str) -> None:
    """Here libpq gives words only. They are not understood, so the node waits: a start that succeeds later is no harm."""
    async with Feed(base.replace("postgres@", "nobody@"), FeedSettings(slot_name="nobody", ephemeral=True)) as feed:
        await until(lambda: "existiert nicht" in (feed.state.reason or ""))
        assert feed.state.status == "starting"


async def test_names_that_clients_may_not_use_are_refused_as_in_english(base: str) -> None:
    run_each(base, "create table vault (gold text)")
    reader = LiveReader(base, size=1)
    await reader.open()
    try:
        planner = Planner(reader)
        async with reader.connection() as connection:
            planner.use(await load_catalog(connection))
        for name in ("vault", "nothing"):
            with pytest.raises(
                PermissionDeniedError, match=f'"{name}" cannot be named: it does not exist or is not exposed'
            ):
                await planner.plan(Viewer(), "t", {"sql": f"select id, (null::{name}) is null as x from t"})
        with pytest.raises(InvalidQueryError, match=r"existiert nicht .*, or one of its types is not exposed"):
            await planner.plan(Viewer(), "t", {"sql": "select missing(id) as x from t"})
        with pytest.raises(InvalidQueryError) as refused:
            await planner.plan(Viewer(), "t", {"sql": "select id + date '2000-01-01' || true as x from t"})
        assert "types is not exposed" not in str(refused.value), "this is about an operator"
    finally:
        await reader.close()
