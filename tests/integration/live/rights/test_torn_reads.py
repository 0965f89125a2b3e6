"""TRUNCATE is not bound to snapshots (docs: "Caveats" of concurrency control): a read meanwhile shows no one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from engine.catalog.load import load_catalog
from engine.identity.visibility import Viewer
from engine.live.reads import read_plan
from engine.live.settings import LiveSettings
from engine.postgres.connections.opening import connect
from engine.postgres.reading import ReadBounds
from engine.postgres.snapshot import ReadResult
from engine.postgres.snapshot_reader import Reader
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import plan_query, reread_instead
from tests.integration.live.rights.conftest import ALL, SQL, Rows
from tests.support.postgres.sql import connect as session
from tests.support.postgres.sql import read, run_each, until

WAITING = "select 1 from pg_locks where not granted and relation = '{table}'::regclass"
BOUNDS = ReadBounds(1_000, 1 << 20, 10_000)


async def test_rows_that_were_read_while_a_table_was_truncated_are_not_used(rows: Rows) -> None:
    """Ann sees notes of those who are not banned. In one transaction eve's note is replaced, and no user is banned any more:
    ann never sees eve's first note.
    """
    run_each(
        rows.dsn,
        "create table ban (person text primary key)",
        f"grant select on ban to {rows.people}",
        f"alter policy own on note to {rows.people} using (not exists (select from ban b where b.person = note.owner))",
        "select realtime.expose('note'), realtime.expose('ban')",
        "create table open (id int, n int, primary key (id, n)) partition by list (n)",
        "create table open_1 partition of open for values in (1)",
        "select realtime.expose('open')",
    )
    viewer, anyone = Viewer(rows.principal("ann").visibility, {"sub": "ann"}), Viewer()
    cases: tuple[tuple[str, Any, Viewer, str], ...] = (
        ("note", ALL, viewer, "ban"),
        ("note", SQL, viewer, "ban"),
        ("open", {"where": [["id", ">", 0]]}, anyone, "open_1"),
        ("open", {"sql": "select o.id, (select count(*) from ban) as n from open o"}, anyone, "ban"),
        ("open", {"sql": "select count(*) as n from open"}, anyone, "open_1"),
    )
    reader = Reader(rows.dsn)
    await reader.open()
    try:
        async with await connect(rows.dsn, "planning", autocommit=True) as connection:
            catalog = await load_catalog(connection)
            plans = [
                (await plan_query(collection, spec, catalog, connection, viewer=who), table)
                for collection, spec, who, table in cases
            ]
        for plan, table in plans:
            await is_read_again(rows.dsn, table, partial(read_plan, reader, plan, LiveSettings(), slow=False))
        first, _ = plans[0]
        again = first if isinstance(first, ReReadPlan) else reread_instead(first, "for each set of claims")
        assert again.statement.role is not None
        statement, claims = replace(again.statement, tables=tuple(again.dependencies)), again.statement.role.claims

        async def for_each() -> ReadResult:
            [result] = await reader.read_for_each(statement, [claims], [statement.params], 100, BOUNDS)
            assert result is not None
            return result

        await is_read_again(rows.dsn, "ban", for_each)
    finally:
        await reader.close()


async def is_read_again(dsn: str, table: str, found: Callable[[], Awaitable[ReadResult]]) -> None:
    """What ``found`` reads while ``table`` is truncated is not used."""
    run_each(
        dsn,
        "insert into ban values ('eve') on conflict do nothing",
        "insert into open values (1, 1) on conflict do nothing",
        "update note set body = 'for no one' where owner = 'eve'",
    )
    assert (await found()).as_meant
    with session(dsn) as writer, writer.transaction():
        writer.execute(f"truncate {table}".encode())
        writer.execute("update note set body = 'for all' where owner = 'eve'")
        writer.execute("insert into open values (2, 1) on conflict do nothing")
        reading = asyncio.ensure_future(found())
        await until(lambda: read(dsn, WAITING.format(table=table)))
    torn = await reading
    assert not torn.as_meant
    assert torn.rows == []
    assert (await found()).as_meant
