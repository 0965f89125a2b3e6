"""Views and ``security definer`` functions read with the rights of their owner, whom no event trigger announces."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from engine.catalog.watcher import CatalogWatcher
from engine.postgres.snapshot_reader import Reader
from tests.integration.live.rights.conftest import ALL, Rows
from tests.support.nodes.live_node import QUICK, Follower, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, read, run_each, until

BY_FUNCTION = (
    "create function mine() returns setof int language plpgsql stable security definer as "
    "$$ begin return query select org from member where person = me(); end $$"
)


def has(follower: Follower, ids: list[str]) -> bool:
    return follower.ids == ids


@pytest.mark.parametrize("looks_up", ["circle", "mine"])
async def test_reassigned_owners_are_found_by_looking(rows: Rows, looks_up: str) -> None:
    weak = f"{rows.people}_weak"
    [(strong,)] = read(rows.dsn, "select current_user")
    run_each(
        rows.dsn,
        f"create role {weak} nologin",
        f"grant create on schema public to {weak}",
        "alter table member enable row level security",
        f"create policy first on member to {weak} using (org = 1)",
        f"grant select on member to {weak}",
        "create view circle as select org, person from member",
        f"grant select on circle to {rows.people}",
        BY_FUNCTION,
        f"alter policy own on note using (org in (select c.org from {'circle c where c.person = me()'}))"
        if looks_up == "circle"
        else "alter policy own on note using (org in (select mine()))",
        "select realtime.expose('note')",
    )
    rarely = replace(QUICK, watch_interval=600)  # at rights alone it looks every second
    async with live_node(rows.dsn, live=rarely) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("bob"))
        assert follower.ids == ["1", "2", "3"]
        await until(lambda: node.live._catalog.looked)  # the first one finds everything
        for owner, ids in ((weak, ["1", "2"]), (strong, ["1", "2", "3"])):
            if owner == weak:
                thing = "view circle" if looks_up == "circle" else "function mine()"
                run_each(rows.dsn, f"alter {thing} owner to {weak}")
                await node.caught_up()
            else:
                run_each(rows.dsn, f'reassign owned by {weak} to "{strong}"')
            await follower.until(partial(has, follower, ids))
    run_each(rows.dsn, f"drop owned by {weak}", f"drop role {weak}")


async def test_the_look_each_second_is_at_owners_of_what_policies_read_alone(rows: Rows) -> None:
    """What applications make and empty all the time has no look at all definitions follow."""
    run_each(
        rows.dsn, BY_FUNCTION, "alter policy own on note using (org in (select mine()))", "create table heap (id int)"
    )
    run_each(rows.dsn, "select realtime.expose('note')", "alter table heap enable row level security")
    watcher = CatalogWatcher(reader := Reader(rows.dsn, size=1), stream_generated=False)
    await reader.open()
    try:
        await watcher.load()
        assert await watcher.roles_changed()  # the first time
        with connect(rows.dsn) as aside:
            for statement in (
                "create temp view aside as select 1 as id",
                "create view seen as select * from heap",
                "truncate heap",
                "truncate note",
                "create table other (id int); alter table other enable row level security",
                "create function other() returns int language sql security definer as 'select 1'",
            ):
                aside.execute(statement.encode())
                assert not await watcher.roles_changed(), statement
            aside.execute(f"grant create on schema public to {rows.staff}".encode())
            aside.execute(f"alter function mine() owner to {rows.staff}".encode())
        assert await watcher.roles_changed()
        assert await watcher.unannounced()
    finally:
        await reader.close()


async def test_a_renamed_role_is_served_no_more_in_a_second(rows: Rows) -> None:
    rarely = replace(QUICK, watch_interval=600)
    async with live_node(rows.dsn, live=rarely) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("bob"))
        assert follower.ids == ["2", "3"]
        await until(lambda: node.live._catalog.looked)
        run_each(rows.dsn, f"alter role {rows.people} rename to {rows.people}_former")
        try:
            await follower.until(lambda: follower.error is not None)
        finally:
            run_each(rows.dsn, f"alter role {rows.people}_former rename to {rows.people}")


async def test_a_right_that_was_there_while_definitions_were_loaded_is_looked_for(rows: Rows) -> None:
    """Between two looks it came and went, and a catalog was loaded in between."""
    watcher = CatalogWatcher(reader := Reader(rows.dsn, size=1), stream_generated=False)
    await reader.open()
    try:
        await watcher.load()
        await watcher.roles_changed()
        run_each(rows.dsn, f"alter role {rows.people} bypassrls")
        watcher.invalidate()
        async for _ in watcher.reload():
            pass
        run_each(rows.dsn, f"alter role {rows.people} nobypassrls")
        assert await watcher.roles_changed()
        assert await watcher.unannounced() is None
        assert not await watcher.roles_changed()
    finally:
        await reader.close()
