"""TRUNCATE is not bound to snapshots (docs: "Caveats" of concurrency control): a read meanwhile shows no one moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine.catalog.load import load_catalog
from engine.identity.visibility import Viewer
from engine.live.reads import read_plan
from engine.live.settings import LiveSettings
from engine.postgres.connections.opening import connect
from engine.postgres.reading import ReadBounds
from engine.postgres.snapshot import ReadResult
from engine.postgres.snapshot_reader import Reader
from engine.query.compile.plan import IncrementalPlan
from engine.query.planner import plan_query, reread_instead
from tests.integration.live.rights.conftest import ALL, SQL, Rows
from tests.support.postgres.sql import connect as session
from tests.support.postgres.sql import read, run_each, until

WAITING = "select 1 from pg_locks where not granted and relation = '{table}'::regclass"
BOUNDS = ReadBounds(1_000, 1 << 20, 10_000)


@pytest.mark.parametrize("path", ["builder", "SQL", "for each set of claims", "incremental", "join", "partition"])
async def test_rows_that_were_read_while_a_table_was_truncated_are_not_used(rows: Rows, path: str) -> None:
    """Ann sees notes of those who are not banned. In one transaction eve's note is replaced, and no user is banned any more:
    ann never sees eve's first note.
    """
    run_each(
        rows.dsn,
        "create table ban (person text primary key)",
        "insert into ban values ('eve')",
        f"grant select on ban to {rows.people}",
        f"alter policy own on note to {rows.people} using (not exists (select from ban b where b.person = note.owner))",
        "select realtime.expose('note'), realtime.expose('ban')",
        "create table open (id int, n int, primary key (id, n)) partition by list (n)",
        "create table open_1 partition of open for values in (1)",
        "insert into open values (1, 1)",
        "select realtime.expose('open')",
    )
    viewer = Viewer(rows.principal("ann").visibility, {"sub": "ann"})
    anyone = Viewer()
    cases: dict[str, tuple[str, Any, Viewer, str]] = {
        "builder": ("note", ALL, viewer, "ban"),
        "SQL": ("note", SQL, viewer, "ban"),
        "for each set of claims": ("note", ALL, viewer, "ban"),
        "incremental": ("open", {"where": [["id", ">", 0]]}, anyone, "open_1"),
        "join": ("open", {"sql": "select o.id, (select count(*) from ban) as n from open o"}, anyone, "ban"),
        "partition": ("open", {"sql": "select count(*) as n from open"}, anyone, "open_1"),
    }
    collection, spec, who, table = cases[path]
    settings = LiveSettings()
    reader = Reader(rows.dsn)
    await reader.open()
    try:
        async with await connect(rows.dsn, "planning", autocommit=True) as connection:
            plan = await plan_query(collection, spec, await load_catalog(connection), connection, viewer=who)

        async def found() -> ReadResult:
            if path != "for each set of claims":
                return await read_plan(reader, plan, settings, slow=False)
            assert isinstance(plan, IncrementalPlan)
            again = reread_instead(plan, "for each set of claims")
            assert again.statement.role is not None
            statement = replace(again.statement, tables=tuple(again.dependencies))
            [result] = await reader.read_for_each(statement, [again.statement.role.claims], 100, BOUNDS)
            assert result is not None
            return result

        assert (await found()).as_meant
        with session(rows.dsn) as writer, writer.transaction():
            writer.execute(f"truncate {table}".encode())
            writer.execute("update note set body = 'for all' where owner = 'eve'")
            writer.execute("insert into open values (2, 1) on conflict do nothing")
            reading = asyncio.create_task(found())
            await until(lambda: read(rows.dsn, WAITING.format(table=table)))
        torn = await reading
        assert not torn.as_meant
        assert torn.rows == []
        assert (await found()).as_meant
    finally:
        await reader.close()
