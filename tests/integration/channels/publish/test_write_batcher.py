"""Small writes of many callers share a commit, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from engine.channels.core.messages.model import Member, UnavailableError
from engine.channels.db.store import Store
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    run(
        database,
        "insert into realtime.nodes (id, lease_expires_at) values ('n', now() + interval '1 h')",
    )
    store = Store(database, "n", 2, 10.0)
    await store.open()
    for name in "abcdefgh":
        await store.connect(Member(name))
    yield store
    await store.close()


async def test_joins_at_the_same_moment_share_a_transaction(store: Store, database: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        await asyncio.gather(*(store.join("room:1", Member(name), {}, limited=False) for name in "abcdefgh"))
    assert read(database, "select count(*) from realtime.presence group by xmin") == [(8,)]


async def test_a_statement_that_fails_is_its_callers_affair_alone(store: Store, database: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        outcomes = await asyncio.gather(
            *(store.join("room:1", Member(name), {}, limited=False) for name in ["a", "b", "nobody", "c"]),
            return_exceptions=True,
        )
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), UnavailableError, type(None)]
    assert read(database, "select connection_id from realtime.presence order by 1") == [("a",), ("b",), ("c",)]


async def test_a_locked_row_delays_its_own_update_and_no_other(store: Store, database: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER):
        for name in "abc":
            await store.join("room:1", Member(name), {}, limited=False)
        with psycopg.connect(database) as holder:
            holder.execute("select from realtime.presence where connection_id = 'b' for update")
            first = asyncio.create_task(store.set_presence("room:1", "c", {"n": 1}))
            await asyncio.sleep(0)  # it is under way: the next ones share a transaction
            held, free = (asyncio.create_task(store.set_presence("room:1", name, {"n": 2})) for name in "ba")
            await asyncio.gather(first, free)
            assert not held.done()
            holder.rollback()
            await held
    rows = read(database, "select connection_id, state ->> 'n' from realtime.presence order by 1")
    assert rows == [("a", "2"), ("b", "2"), ("c", "1")]
