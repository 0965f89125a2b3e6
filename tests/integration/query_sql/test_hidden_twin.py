"""A database with hidden things answers a client's SQL as one in which they do not exist: same rows, same refusals.

The two databases differ in nothing but what is not exposed: columns (their number, names, types and places), tables, types
and functions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from engine.catalog.load import load_catalog
from engine.errors import InvalidQueryError, PermissionDeniedError, QueryRejectedError
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.query_sql.conftest import Planner, connect
from tests.integration.query_sql.twin_queries import ACCEPTED, REFUSED

_SHOWN = """
create schema app;
create type app.mood as enum ('sad', 'happy');
create type app.place as (street text, note text);
create type app.holder as (r regclass, n int);
create domain app.relation as regclass;
grant usage on type app.holder, app.relation to realtime_reader;
{before}
create table app.users (id int primary key, {first} name text, mood app.mood, place app.place {last});
create table app.items (id int primary key, user_id int, title text, price numeric {last});
create table app.rooms (id int primary key, label text);
insert into app.users (id, name, mood, place)
  select g, 'User ' || g, 'happy', row('s' || g, 'n')::app.place from generate_series(1, 4) g;
insert into app.items (id, user_id, title, price) select g, 1 + g % 3, 'item ' || g % 2, g * 1.5
  from generate_series(1, 9) g;
insert into app.rooms select g, 'room ' || g from generate_series(1, 2) g;
{after}
select realtime.expose('app.users', columns => '{{id,name,mood,place}}'), realtime.expose('app.rooms'),
       realtime.expose('app.items', columns => '{{id,user_id,title,price}}');
"""
_NOTHING = {"before": "", "first": "", "last": ", other int", "after": ""}
_HIDDEN = {
    "before": """
create schema private;
create table private.safe (id int);
create function private.f(int) returns int language sql immutable as 'select 1';
create table app.vault (id int primary key, what text);
create table app.row_number (id int); create table app.json_agg (id int); create table app.partition (id int);
create table app.note (id int); create table app.rows (id int); create table app.title (id int);
create type app.cause as enum ('flood', 'fire');
create type app.span as range (subtype = int);
create function app.spring() returns boolean language sql volatile as 'select true';
create domain app.pin as int check (app.spring());
create type app.pinned as (pin app.pin);
create function app.reveal(app.vault) returns text language sql immutable as 'select ($1).what';
create function app.open() returns app.vault language sql immutable as $$ select row(1, 'x')::app.vault $$;
create function app.cause_of(int) returns app.cause language sql immutable as $$ select 'fire'::app.cause $$;
create function app.alike(app.cause, app.cause) returns boolean language sql immutable as 'select $1 = $2';
create operator app.=== (leftarg = app.cause, rightarg = app.cause, function = app.alike);
create operator app.!!! (rightarg = app.vault, function = app.reveal);
create function app.soothe(app.cause[]) returns int language sql immutable as 'select 1';
""",
    "first": 'pinned app.pinned, password text, count int, lower text, "user" text, value jsonb, text text, date date,',
    "last": ", secret text, title_2 text, sum int, upper text, v app.vault, how app.cause, label text, created app.pinned[]",
    "after": "create view app.overview as select * from app.users;",
}


@pytest.fixture(scope="module", params=["pg18", "pg15"])
def twins(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A database with hidden things and its twin in which there are others, on both servers in turn."""
    server: LocalPostgres = request.getfixturevalue(request.param)
    with (
        database_on(server, _SHOWN.format(**_HIDDEN)) as hidden,
        database_on(server, _SHOWN.format(**_NOTHING)) as nothing,
    ):
        yield hidden, nothing


@pytest.fixture
async def planners(twins: tuple[str, str]) -> AsyncIterator[tuple[Planner, Planner]]:
    """A planner on each database."""
    first, second = [await connect(dsn) for dsn in twins]
    async with first, second:
        yield Planner(first, await load_catalog(first)), Planner(second, await load_catalog(second))


async def answer(planner: Planner, sql: str) -> object:
    """The rows of a query, or its refusal."""
    try:
        plan = await planner.plan(sql, collection="users" if "with users" not in sql and "users" in sql else "items")
        return [document for _, document in await planner.read(plan)]
    except QueryRejectedError as refused:
        return refused.code, str(refused)


async def test_hidden_columns_change_no_answer(
    planners: tuple[Planner, Planner],
) -> None:
    planner, nothing = planners
    answers = {sql: await answer(planner, sql) for sql in ACCEPTED + REFUSED}
    differing = [
        (sql, found, other) for sql, found in answers.items() if found != (other := await answer(nothing, sql))
    ]
    assert not differing, "\n".join(map(str, differing))
    refused = [sql for sql, found in answers.items() if isinstance(found, tuple)]
    assert refused == REFUSED, set(refused) ^ set(REFUSED)
    for table, columns in (("users", "id, name, mood, place"), ("items", "id, user_id, title, price")):
        copy = (
            f"create temp table {table} as select {columns} from app.{table}; alter table {table} add primary key (id)"
        )
        await planner.connection.execute(copy.encode())
    for sql in ACCEPTED:
        if "app." not in sql:
            assert answers[sql] == await planner.documents(sql), sql


async def test_a_name_that_exists_in_neither_is_refused_in_the_same_words(planners: tuple[Planner, Planner]) -> None:
    planner, _ = planners
    for name in ("vault", "cause", "pin", "pinned", "span", "_vault", "note", "row_number"):
        for sql in (
            "select null::{} as x, id from users",
            "select id, x.a from users, json_to_record('{{}}') as x(a {})",
        ):
            missing = "z" * len(name)
            with pytest.raises(PermissionDeniedError) as refused:
                await planner.plan(sql.format(name), collection="users")
            with pytest.raises(PermissionDeniedError) as other:
                await planner.plan(sql.format(missing), collection="users")
            assert str(refused.value) == str(other.value).replace(missing, name)


async def test_tables_readable_by_public_are_hidden_all_the_same(pg18: LocalPostgres) -> None:
    schema = _SHOWN.format(**_HIDDEN) + "grant select on app.users to public; update app.users set password = 'x y z';"
    with database_on(pg18, schema) as dsn:
        async with await connect(dsn) as connection:
            planner = Planner(connection, await load_catalog(connection))
            for sql in ("select * from users", "select u from users u", "select u::text as t from users u"):
                assert "x y z" not in str(await answer(planner, sql))
            for sql in (
                "select password from users",
                "select u from users u group by u.id",
                "select max(password) from users",
            ):
                refused = await answer(planner, sql)
                assert isinstance(refused, tuple)
                assert "x y z" not in str(refused)


async def test_a_statement_that_would_grow_beyond_all_bounds_is_refused(pg18: LocalPostgres) -> None:
    columns = ", ".join(f"column_with_a_rather_long_name_of_its_own_{number} int" for number in range(1_000))
    shown = ", ".join(f"column_with_a_rather_long_name_of_its_own_{number}" for number in range(1_000))
    schema = (
        f"create schema app; create table app.wide (id int primary key, {columns}, hidden int);"
        f"select realtime.expose('app.wide', columns => '{{id, {shown}}}');"
    )
    with database_on(pg18, schema) as dsn:
        async with await connect(dsn) as connection:
            planner = Planner(connection, await load_catalog(connection))
            assert await planner.plan("select a.id from wide a, wide b", collection="wide")
            many = ", ".join(f"wide w{number}" for number in range(100))
            with pytest.raises(InvalidQueryError, match="names tables with many columns too often"):
                await planner.plan(f"select w0.id from {many}", collection="wide")
