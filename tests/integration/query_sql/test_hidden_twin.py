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

ACCEPTED = [
    "select * from users order by id",
    "table users",
    "table items order by id limit 3",
    "select x.* from (table users) x order by 1",
    "select u.*, i.title, i.id as item from users u join items i on i.user_id = u.id order by i.id",
    "select id, title, name from users join items using (id) order by id",
    "select * from (select * from users) x order by id",
    "select * from users natural join (select id, title from items) i order by id",
    "select * from users natural join items order by id",
    "select id, title, label from items natural left join rooms order by id",
    "select a, b, c, d from users as u(a, b, c, d) order by a",
    "select a from items i(a) order by a",
    "select k.a, k.c from (users cross join rooms) as k(a, b, c, d, e, f) order by 1, e",
    "with k(a, b, c, d) as (select * from users) select a, b from k order by a",
    "with users as (select id, 'x' as password from items) select x.password, x.id from users as x order by id",
    "select u from users u order by u.id",
    "select users from users order by users",
    "select u::text as t from users u order by 1",
    "select row_to_json(u) as r, to_jsonb(u) as j from users u order by u.id",
    "select json_agg(u order by u.id) as r from users u",
    "select count(u) as n from users u",
    "select id from users u where u is not null order by id",
    "select id from users u where u is null",
    "select (u).name as n, (u).* from users u order by id",
    "select name(u) as n, id from users u order by id",
    "select row(u.*) as r, id from users u order by 2",
    "select u.id, x.* from users u cross join lateral (select u.*) x(a, b, c, d) order by 1",
    "select u.id from users u where row(u.*) = row(1, 'User 1', 'happy'::mood, row('s1', 'n')::place)",
    "select * from users except select * from users where id = 2 order by 1",
    "select * from users union all select * from users order by 1",
    "select 1, * from users order by 2",
    "select id, name from users group by id order by id",
    "select u.id, u.name, count(i.id) as n from users u left join items i on i.user_id = u.id group by u.id order by u.id",
    "select id, mood from users group by users.id having count(*) = 1 order by 1",
    "select app.users.id, users.name from app.users order by app.users.id",
    "select app.users.* from app.users order by 1",
    "select id from only users order by id",
    "select id from users * order by id",
    "select id from only (users) order by id",
    "select id, 'x' as x from users where mood = mood 'happy' order by id using <",
    "select mood 'happy' as m, id from users u order by id",
    "select count(*) as n from users",
    "select lower(name) as l, upper(title) as u from users join items using (id) order by 1",
    "select id::text as text, price::text as value from items order by id",
    "select sum(price) as sum from items",
    "select id, title from items where title = 'item 1' order by id",
    "select id, date '2020-01-01' as d, extract(year from date '2020-01-01') as y from users order by id",
    "select i.id, row_number() over (partition by user_id order by id rows between 1 preceding and current row) as r "
    "from items i order by 1",
    "select count(*) filter (where value > 1) as n from (select id as value from users) x",
    "select password from (select name as password from users) x order by 1",
    "select secret.id from items secret order by secret.id",
    "select id as cause, name as vault from users order by vault",
    "select (place).note as note, (place).street as street from users order by street",
    "select json_agg(id order by id) as rows from users",
    "select x.value from users u, jsonb_each_text(to_jsonb(u)) x where x.key = 'name' order by 1",
    "select string_agg(k, ',' order by k) as keys from users u, jsonb_object_keys(to_jsonb(u)) k where u.id = 1",
    "select id from users where id = any ('{1,2}') order by id",
    "select place from users where place = '(s1,n)'::place",
    "select u.id, a, b from users as u natural join items as i(id, a, b, c) order by 1",
    "select id from users/*x*/u order by id",
    'select ID from "users" U order by u.ID',
    "select k, name from users u(k) order by k",
    "select j.title, j.name from (users join items using (id)) j order by j.id",
    "select row_number() over count as n, id from users window count as (order by id)",
    "select id from users where users.id in (select users.id from items) order by 1",
    "with u as (select * from users), v as (select * from u) select v.* from v order by 1",
    "select id from users u where u in (select x from users x) order by 1",
    "select array(select u from users u order by u.id) as a from users limit 1",
    "select i as i, i is null as n, u.id from users u left join items i on i.id = u.id + 7 order by u.id",
    "select u.id, x.* from users u cross join lateral (select title from items i where user_id = u.id limit 1) x order by 1",
    "select id, (select title from items where items.id = users.id) as t from users order by id",
    "select id, count(users) as n from users group by id order by id",
    "select users.id, p.secret from users join (select 'x' as secret) p on true order by 1",
]

REFUSED = [
    "select * from users a join users b using (id)",
    "select * from users, items",
    "select id from users join items on true",
    "select name from users join items using (name)",
    "select a from users as u(a, b, c, d, e)",
    "select a from users as u(a, b, c, d, e, f, g, h, i, j, k, l, m, n)",
    "select k.a from (users cross join items) as k(a, b, c, d, e, f, g, h, i)",
    "with k(a, b, c, d, e) as (select * from users) select a from k",
    "select a from users u cross join lateral (select u.*) x(a, b, c, d, e)",
    "select * from users union select * from items",
    "select * from users union select 1",
    "select id from users u where row(u.*) = row(1)",
    "select id from users order by 12",
    "select * from users order by 5",
    "select password from users",
    "select passwor from users",
    "select u.password from users u",
    "select (u).password from users u",
    "select password(u) from users u",
    "select pasword, scret from users, items",
    "select id from users join items using (secret)",
    "select u.id from users u join items i on u.value = i.secret",
    "select secret from users",
    "select count from users",
    'select u."user" from users u',
    "select id from users where text = 'x'",
    "select id from users order by date",
    "select id from users group by id, password",
    "select title from users group by users.id",
    "select name, count(*) as n from users",
    "select u.name from users u group by u.name, u.mood having u.id = 1",
    "select password from users group by id",
    "select password from users order by id using <",
    "select a from users u(a, b, c, d, e, f, g) order by a using <",
    "select id from vault order by id using <",
    "select u.id from users u natural join vault order by u.id using <",
    "select null::vault as x, id from users order by id using <",
    "select null::users as x, id from users",
    "select (null::users).password, id from users",
    "select json_populate_record(null::users, '{}') as x, id from users",
    "select null::_users as x, id from users",
    "select id, _users('{}') as x from users",
    "select id, _vault('{}') as x from users",
    "select id, _vault('{\"(1)\"}') as x from users",
    "select vault('(1)') as x, id from users",
    "select cause('flod') as x, id from users",
    "select id, cause 'flod' as x from users",
    "select id, app.cause 'flood' as x from users",
    "select id, 'flood'::app.cause as x from users",
    "select id, (name).cause as x from users",
    "select id, cast(name as cause) as x from users",
    "select id, x.a from users, json_to_record('{}') as x(a cause)",
    "select id, x.a from users, xmltable('/a' passing xml '<a/>' columns a cause path 'b') x",
    "select id, '{}'::vault[] as x from users",
    "select id, 5::pin as x from users",
    "select id, '(5)'::pinned as x from users",
    "select id, span(1, 2) as x from users",
    "select id, span '[1,2)' as x from users",
    "select id, '{[1,2)}'::spanmultirange as x from users",
    "select id, reveal(null) as x from users",
    "select id, reveal('(1)') as x from users",
    "select id, app.reveal(row(1, 'x')) as x from users",
    "select id, open() as x from users",
    "select id, (open()).what as x from users",
    "select x.what, u.id from users u, open() x",
    "select x.* from users u, open() x(a, b, c)",
    "select id, cause_of(1) as x from users",
    "select id, cause_of('x') as x from users",
    "select id, soothe('{flod}') as x from users",
    "select id, (1).cause_of as x from users",
    "select id, 'vault'::regclass as x from users",
    "select id, regclass 'vault' as x from users",
    "select id, regclass E'vault' as x from users",
    "select id, cast($$vault$$ as regclass)::int as x from users",
    "select id, 'app.vault'::regclass::oid as x from users",
    "select id, '{vault}'::regclass[] as x from users",
    "select id, to_regclass('vault') as x from users",
    "select id, to_regtype('cause') as x from users",
    "select id, pg_typeof(password) as x from users",
    "select id, pg_typeof(u) as x from users u",
    "select id, has_table_privilege('vault', 'select') as x from users",
    "select id, has_column_privilege('users', 'password', 'select') as x from users",
    "select id, 'reveal'::regproc as x from users",
    "select id, 'cause'::regtype as x from users",
    "select id, row(name::regclass) as x from users",
    "select id, col_description('users'::regclass, 2) as x from users",
    "select id, query_to_xml('select * from vault', true, true, '') as x from users",
    "select id from users where password = 'x' and nothing = 1",
    "select place from users where place = '(s1,n)'",
    "select u.id from users u where u = '(1)'",
    "select id, '(vault,1)'::holder as x from users",
    "select id, ('(vault,1)'::holder).n as x from users",
    "select id, '{\"(vault,1)\"}'::holder[] as x from users",
    "select id, 'vault'::relation as x from users",
    "select id, x.n from users, json_populate_record(null::holder, '{\"r\": \"vault\"}') x",
    "select id, x.n from users, json_to_record('{\"r\": \"vault\"}') as x(r relation, n int)",
    "select id, 'flod' === 'flood' as x from users",
    "select id, 'flood' operator(app.===) 'fire' as x from users",
    "select id, (!!! '(1)') as x from users",
    "select id, null::private.safe as x from users",
    "select id, private.f(1) as x from users",
    "select id, 1 operator(private.+) 1 as x from users",
    "select id from private.safe, users",
    "select id, 'private.english'::regconfig as x from users",
    "select id, 'app.english'::regconfig as x from users",
    "select id, 'nosuch'::regconfig as x from users",
    "select secret from items join (select 'x' as secret, 1 as id) p using (id, secret)",
    "select id from users where exists (select secret from items)",
    "select * from users limit (select count(secret) from items)",
    "select id from users u, vault('(1)') v",
    "select id from users u, unnest('{fire}'::cause[]) v",
    "select id from users where mood = 'fire'",
    "select what from vault",
    "select u.id from users u, overview o",
    "select * from users u join vault v on v.id = u.id",
    "select vault.id from users",
    "select users.id from users u",
    "select u.password from items i",
    "select id from users tablesample system (1)",
    "select id, ctid from users",
    "select id, u.xmin as x from users u",
    "select tableoid from users group by tableoid",
]  # fmt: skip


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


async def test_what_is_hidden_changes_no_answer(planners: tuple[Planner, Planner]) -> None:
    hidden, nothing = planners
    told = {sql: (await answer(hidden, sql), await answer(nothing, sql)) for sql in ACCEPTED + REFUSED}
    differing = [(sql, *both) for sql, both in told.items() if both[0] != both[1]]
    assert not differing, "\n".join(map(str, differing))
    refused = [sql for sql, (told_first, _) in told.items() if isinstance(told_first, tuple)]
    assert refused == REFUSED, set(refused) ^ set(REFUSED)


async def test_every_query_answers_as_a_table_of_the_exposed_columns_would(planners: tuple[Planner, Planner]) -> None:
    planner, _ = planners
    answers = {sql: await answer(planner, sql) for sql in ACCEPTED if "app." not in sql}
    for table, columns in (("users", "id, name, mood, place"), ("items", "id, user_id, title, price")):
        copy = (
            f"create temp table {table} as select {columns} from app.{table}; alter table {table} add primary key (id)"
        )
        await planner.connection.execute(copy.encode())
    for sql, rows in answers.items():
        assert rows == await planner.documents(sql), sql


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


async def test_what_public_may_read_is_hidden_all_the_same(pg18: LocalPostgres) -> None:
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
