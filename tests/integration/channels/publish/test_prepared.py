"""A statement that is prepared once for its connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from engine.postgres.connections.opening import Connection, connect
from engine.postgres.statements.prepared import PreparedStatement

TEXT = """
select x as name, %(number)s::int as "the number", %(number)s::int > 1 as large, null as nothing
from unnest(%(names)s::text[]) x where %(number)s::int / 1 > 0 order by x desc"""


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection[Any]]:
    opened = await connect(database, "prepared", autocommit=True)
    yield opened
    await opened.close()


async def test_rows_have_the_values_of_their_columns_by_name(connection: Connection[Any]) -> None:
    statement = PreparedStatement(connection, "ours", TEXT)
    assert await statement.rows({"names": '{a,"\u00e9\\"",NULL}', "number": "7"}) == [
        {"name": name, "the number": 7, "large": True, "nothing": None} for name in (None, '\u00e9"', "a")
    ]
    assert await statement.rows({"names": "{}", "number": "7"}) == []
    assert await statement.rows({"names": None, "number": "7"}) == []
    found = await (
        await connection.execute("select count(*) from pg_prepared_statements where name like 'ours%'")
    ).fetchone()
    assert found == (1,)


async def test_after_an_error_it_can_be_executed_again(connection: Connection[Any]) -> None:
    statement = PreparedStatement(connection, "ours", TEXT)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match='"seven"'):
        await statement.rows({"names": "{a}", "number": "seven"})
    with pytest.raises(psycopg.DataError, match="NUL"):  # which would end the text
        await statement.rows({"names": "{a\0}", "number": "7"})
    assert len(await statement.rows({"names": "{a}", "number": "7"})) == 1


async def test_what_cannot_be_prepared_is_an_error_each_time(connection: Connection[Any]) -> None:
    statement = PreparedStatement(connection, "ours", "select nowhere")
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedColumn, match="nowhere"):
            await statement.rows({})


async def test_over_a_connection_that_is_closed_it_fails_as_others_do(connection: Connection[Any]) -> None:
    statement = PreparedStatement(connection, "ours", TEXT)
    await statement.rows({"names": "{a}", "number": "7"})
    await connection.close()
    with pytest.raises(psycopg.OperationalError):
        await statement.rows({"names": "{a}", "number": "7"})


async def test_one_that_the_session_has_lost_is_prepared_again(connection: Connection[Any]) -> None:
    statement = PreparedStatement(connection, "ours", TEXT)
    for _ in range(3):
        await connection.execute("deallocate all")
        assert len(await statement.rows({"names": "{a}", "number": "7"})) == 1


async def test_one_whose_columns_are_others_now_is_prepared_again(connection: Connection[Any]) -> None:
    await connection.execute("create table public.made (n int); insert into public.made values (1)")
    statement = PreparedStatement(connection, "ours", "select * from public.made")
    assert await statement.rows({}) == [{"n": 1}]
    await connection.execute("alter table public.made add column name text default 'x'")
    assert await statement.rows({}) == [{"n": 1, "name": "x"}]


async def test_a_statement_that_misses_another_fails_as_it_is(connection: Connection[Any]) -> None:
    await connection.execute(
        "create function public.missing() returns int language plpgsql as $$ begin execute 'execute other'; return 1; end $$"
    )
    statement = PreparedStatement(connection, "ours", "select public.missing() as n")
    for _ in range(2):
        with pytest.raises(psycopg.errors.InvalidSqlStatementName, match="other"):
            await statement.rows({})


async def test_in_a_transaction_it_fails_and_is_prepared_for_the_next(connection: Connection[Any]) -> None:
    statement = PreparedStatement(connection, "ours", TEXT)
    await statement.rows({"names": "{a}", "number": "7"})
    await connection.execute("deallocate all")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        async with connection.transaction():
            await statement.rows({"names": "{a}", "number": "7"})
    assert len(await statement.rows({"names": "{a}", "number": "7"})) == 1
