"""A small database per server: exposed and hidden tables, hidden columns, a view, functions that lie and that do not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog
from engine.postgres import node_tree
from engine.postgres.connections.session_settings import connection_options
from engine.postgres.node_tree import Tree, read_tree
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import plan_query
from engine.query.sql.safety import dry_run
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on

SCHEMA = """
create schema app;
create type app.mood as enum ('sad', 'ok', 'happy');
create domain app.short as text check (length(value) < 20);
create table app.messages (
  id bigint primary key, room_id text, body text, created_at timestamptz, n int, price numeric(10,2), score float8,
  ok boolean, mood app.mood, tags text[], note app.short, meta jsonb, code char(4), secret text
);
create table app.users (id int primary key, name text, password text);
create table app.pairs (a int, b text, v int, primary key (b, a));
create table app."Mixed Case" ("Id" int primary key, "from" text, lower_case text);
create table app.events (id bigint, day date, what text, primary key (id, day)) partition by range (day);
create table app.events_1 partition of app.events for values from ('2024-01-01') to ('2024-02-01');
create table app.events_2 partition of app.events for values from ('2024-02-01') to ('2024-03-01');
create table app.keyless (a int, b text);
alter table app.keyless replica identity full;
create table app.vault (id int primary key, what text);
create view app.message_view as select * from app.messages;
create materialized view app.message_copy as select id, secret from app.messages;
create sequence app.counter;
insert into app.messages
  select g, 'room-' || g % 3, case when g % 7 = 0 then null else 'body ' || g end,
         timestamptz '2024-01-01' + g * interval '7 hours', nullif(g % 5, 4), g / 4.0, g * 1.5, (g % 3 = 0),
         (array['sad', 'ok', 'happy']::app.mood[])[1 + g % 3], array['a', 'b' || g % 2], 'note ' || g % 4,
         jsonb_build_object('g', g), 'c' || g % 3, 'top secret ' || g
  from generate_series(1, 40) g;
insert into app.users select g, 'user ' || g, 'password' from generate_series(0, 4) g;
insert into app.pairs select g % 4, 'b "' || g / 4, g from generate_series(1, 15) g;
insert into app."Mixed Case" values (1, 'x', 'y'), (2, 'z', 'w');
insert into app.events select g, date '2024-01-01' + g, 'event ' || g from generate_series(1, 50) g;
insert into app.keyless values (1, 'x'), (1, 'x'), (2, null);
insert into app.vault values (1, 'gold');
create function app.peek() returns bigint language sql stable as 'select count(*) from app.vault';
create function app.pure(int) returns int language sql immutable as 'select $1 + 1';
create function app.mightier(int) returns int language sql immutable security definer as 'select $1 + 1';
create function app.dice() returns int language sql volatile as 'select 4';
create function app.now() returns text language sql immutable as $$ select 'never' $$;
create function app.fake_eq(text, bigint) returns boolean language plpgsql volatile as $$ begin return true; end $$;
create operator app.= (leftarg = text, rightarg = bigint, function = app.fake_eq);
create function app.text_less(text, text) returns boolean language sql immutable as $$ select $1 > $2 $$;
create operator app.<<< (leftarg = text, rightarg = text, function = app.text_less);
create function app.dice_step(int, int) returns int language sql volatile as 'select 4';
create aggregate app.dice_sum(int) (sfunc = app.dice_step, stype = int, initcond = '0');
create function app.roll_check(text) returns boolean language sql volatile as 'select true';
create domain app.rolled as text check (app.roll_check(value));
create function app.sesame() returns text language sql volatile security definer as 'select what from app.vault limit 1';
create function app.by_default(a text default app.sesame()) returns text language sql immutable as 'select $1';
create function app.by_clock(a timestamptz default now()) returns timestamptz language sql immutable as 'select $1';
create function app.by_body(a int) returns text language sql immutable as 'select app.sesame() || a';
create function app.by_atomic(a int) returns text language sql immutable
  begin atomic select app.by_body(a); select app.by_default('x'); end;
create function app.by_own_path() returns text language sql immutable set search_path = app as 'select sesame()';
create function app.by_table(a int) returns bigint language sql immutable as 'select count(*) from app.users where id = a';
create function app.by_session() returns text language sql immutable as 'select current_user::text';
create function app.by_name(a text) returns text language sql immutable as 'select a::regclass::text';
create function app.by_type(anyelement) returns text language sql immutable as 'select app.sesame()';
create function app.by_block() returns text language plpgsql immutable as $$ begin return app.sesame(); end $$;
create function app.by_vouched_default(a text default app.sesame()) returns text language plpgsql immutable
  as $$ begin return a; end $$;
create function app.twice(a int, by int default 1 + 1, out result int) language sql immutable as 'select a * by';
create function app.parts(variadic a int[]) returns table (part int, total bigint) language sql immutable
  as 'select p, sum(p) over () from unnest(a) p order by p;';
create function app.honest(a int) returns int language plpgsql immutable as $$ begin return a + 1; end $$;
grant execute on function app.by_vouched_default(text), app.honest(int) to realtime_reader;
create function app.checked(text) returns boolean language sql immutable as 'select app.by_default() is not null';
create domain app.guarded as text check (app.checked(value));
create type app.boxed as (a app.guarded);
create function app.unbox(app.boxed) returns text language sql immutable as 'select ($1).a::text';
create function app.final_step(int) returns text language sql immutable as 'select app.by_default()';
create aggregate app.leaky_sum(int) (sfunc = int4pl, stype = int, initcond = '0', finalfunc = app.final_step);
create function app.leaky_less(text, text) returns boolean language sql immutable as 'select app.by_default() > $1';
create operator app.<<~ (leftarg = text, rightarg = text, function = app.leaky_less);
create function app.odd_cmp(app.boxed, app.boxed) returns int language sql immutable
  as 'select length(app.by_default())';
create function app.odd_lt(app.boxed, app.boxed) returns boolean language sql immutable as 'select true';
create operator app.<# (leftarg = app.boxed, rightarg = app.boxed, function = app.odd_lt);
create operator class app.odd_ops default for type app.boxed using btree as
  operator 1 app.<# , function 1 app.odd_cmp(app.boxed, app.boxed);
create type app.wrapped as (a int);
create type app.hue as enum ('dull', 'bright');
create table app.paints (num int primary key, tint app.hue);
create function app.hue_json(app.hue) returns json language sql immutable as 'select to_json(app.by_default())';
create cast (app.hue as json) with function app.hue_json(app.hue);
create function app.unwrap(app.wrapped) returns text language sql immutable as 'select app.by_default()';
create cast (app.wrapped as text) with function app.unwrap(app.wrapped);
grant usage on type app.boxed, app.wrapped to realtime_reader;
grant usage on type app.guarded, app.rolled to realtime_reader;
create type app.cause as enum ('flood', 'fire');
create type app.crate as (first int, second app.cause);
create domain app.narrow as int check (value < 10);
create table app.tags (id int); create type app.note as enum ('x'); create table app.code (lower int);
create table app.lower (id int);
create type app.span as range (subtype = int);
create type app.granted as (a int, b text);
grant usage on type app.granted to realtime_reader;
create type app.appointment as (at timestamptz, n int);
create domain app.moment as timestamptz;
create domain app.moments as app.moment[];
create domain app.since as timestamptz check (value < current_timestamp or value is null or true);
grant usage on type app.appointment, app.moment, app.moments, app.since to realtime_reader;
create function app.read_moment(a text) returns timestamptz language sql immutable return (a::varchar)::timestamptz;
create function app.this_day() returns date language sql immutable as $$ select 'today'::date $$;
create function app.at_midnight(a timestamptz default current_timestamp) returns date language sql immutable
  return a::date;
create table app.todos (id int primary key, due_date date, secret_code text);
create table app.comments (id int primary key, text text, document text);
select realtime.expose('app.comments', columns => '{id,text}'),
       realtime.expose('app.todos', columns => '{id,due_date}', camel_case => true);
select realtime.expose('app.messages', columns => '{id,room_id,body,created_at,n,price,score,ok,mood,tags,note,meta,code}'),
       realtime.expose('app.users', columns => '{id,name}'), realtime.expose('app.pairs'),
       realtime.expose('app."Mixed Case"', name => 'mixed'), realtime.expose('app.events'),
       realtime.expose('app.keyless'), realtime.expose('app.paints');
"""

Plan = IncrementalPlan | ReReadPlan


def loads(text: str | bytes) -> Any:
    """A JSON value; numbers equal by value, as to_jsonb writes 1e300 with all its digits."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else float(digits))


@dataclass
class Planner:
    """A connection as the server has it, the catalog, and what a test wants to do with them."""

    connection: psycopg.AsyncConnection[Any]
    catalog: Catalog

    async def plan(self, sql: str, *params: object, collection: str = "messages") -> Plan:
        """The plan of an SQL query."""
        return await plan_query(collection, {"sql": sql, "params": list(params)}, self.catalog, self.connection)

    async def rows(self, sql: str, params: Sequence[str | None] = (), role: str | None = None) -> list[tuple[Any, ...]]:
        """Rows of a statement, text as Postgres prints it."""
        async with self.connection.transaction(), psycopg.AsyncRawCursor(self.connection) as cursor:
            if role:
                await cursor.execute(f"set local role {role}".encode())
            await cursor.execute(sql.encode(), list(params))
            return await cursor.fetchall()

    async def read(self, plan: Plan) -> list[tuple[str, Any]]:
        """(id, document) of each row that the plan stands for."""
        if isinstance(plan, ReReadPlan):
            role = "realtime_reader" if plan.statement.as_reader else None
            found = await self.rows(plan.statement.sql, plan.statement.params, role)
            return [(name, loads(document)) for name, document, *_ in found]
        return [(plan.doc_id(row), loads(plan.encode(row))) for row in await self.layout_rows(plan)]

    async def layout_rows(self, plan: IncrementalPlan) -> list[tuple[bytes | None, ...]]:
        """The rows that an incremental plan reads, in its table's layout."""
        statement = plan.read(plan.limit)
        async with self.connection.transaction(), psycopg.AsyncRawCursor(self.connection) as cursor:
            await cursor.execute(statement.sql.encode(), list(statement.params))
            result = cursor.pgresult
            assert result is not None
            return [tuple(result.get_value(r, c) for c in range(result.nfields)) for r in range(result.ntuples)]

    async def documents(self, sql: str, *params: str | None) -> list[Any]:
        """What Postgres itself reports the documents of ``sql`` are."""
        found = await self.rows(f"select to_jsonb(oracle)::text from (\n{sql}\n) oracle", params)
        return [loads(document) for (document,) in found]


async def connect(dsn: str, search_path: str = "app, public") -> psycopg.AsyncConnection[Any]:
    """A connection with the server's settings, whose role finds names in ``search_path``."""
    return await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, options=connection_options(search_path=search_path)
    )


@pytest.fixture(autouse=True, scope="session")
def each_tree_is_read_with_its_constants_too() -> Iterator[None]:
    """Nothing but their types is read of them, wherever they are."""

    def read_both(text: str, view: int) -> Tree:
        tree = read_tree(text, view)
        with pytest.MonkeyPatch.context() as whole:
            whole.setattr(node_tree, "_without_values", lambda text: text)
            assert read_tree(text, view) == tree
        return tree

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dry_run, "read_tree", read_both)
        yield


@pytest.fixture(scope="session", params=["pg18", "pg15"])
def app_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with the schema above, on both servers in turn. Tests only read it."""
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server, SCHEMA) as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def shared_planner(app_dsn: str) -> AsyncIterator[Planner]:
    """A connection and the catalog, which takes most of the time of a test to load."""
    async with await connect(app_dsn) as connection:
        yield Planner(connection, await load_catalog(connection))


@pytest.fixture
def planner(shared_planner: Planner) -> Planner:
    """A planner on the database. A test that changes anything by its connection does it in a transaction of its own."""
    return replace(shared_planner)
