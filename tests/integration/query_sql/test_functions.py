"""A live query calls only functions whose result follows from exposed data and the clock."""

from __future__ import annotations

import pytest

from engine.errors import InvalidQueryError
from engine.query.ir.reread_plan import ReReadPlan
from tests.integration.query_sql.conftest import Planner, connect

FUNCTIONS = [
    ("select random() as r, id from messages", "volatile function random"),
    ("select id from messages where random() < 0.5", "volatile function random"),
    ("select id from messages order by random()", "volatile function random"),
    ("select pg_sleep(1), id from messages", "volatile function pg_sleep"),
    ("select clock_timestamp() as t, id from messages", "volatile function clock_timestamp"),
    ("select gen_random_uuid() as u, id from messages", "volatile function gen_random_uuid"),
    ("select set_config('role', 'postgres', true), id from messages", "volatile function set_config"),
    ("select pg_notify('a', 'b'), id from messages", "volatile function pg_notify"),
    ("select pg_advisory_lock(1), id from messages", "volatile function pg_advisory_lock"),
    ("select pg_read_file('/etc/passwd') as f, id from messages", "volatile function pg_read_file"),
    ("select lo_import('/etc/passwd') as f, id from messages", "volatile function lo_import"),
    ("select query_to_xml('select * from app.vault', true, true, '') as x, id from messages", "query_to_xml"),
    ("select table_to_xml('app.vault', true, true, '') as x, id from messages", "names an object|table_to_xml"),
    ("select schema_to_xml('app', true, true, '') as x, id from messages", "schema_to_xml"),
    ("select current_setting('data_directory') as s, id from messages", "current_setting"),
    ("select version() as v, id from messages", "version"),
    ("select current_user as u, id from messages", "reads the session"),
    ("select session_user as u, id from messages", "reads the session"),
    ("select current_schema as u, id from messages", "reads the session"),
    ("select current_database() as u, id from messages", "current_database"),
    ("select inet_server_addr() as a, id from messages", "inet_server_addr"),
    ("select txid_current() as t, id from messages", "txid_current"),
    ("select pg_backend_pid() as p, id from messages", "pg_backend_pid"),
    ("select pg_current_snapshot()::text as p, id from messages", "pg_current_snapshot"),
    ("select has_table_privilege('app.vault', 'select') as p, id from messages", "has_table_privilege"),
    ("select to_regclass('app.vault') is null as p, id from messages", "to_regclass|names an object"),
    ("select obj_description(1259, 'pg_class') as p, id from messages", "obj_description"),
    ("select pg_get_viewdef(1::oid) as p, id from messages", "pg_get_viewdef"),
    ("select pg_relation_size('app.vault') as p, id from messages", "names an object"),
    ("select nextval('app.counter') as p, id from messages", "names an object"),
    ("select currval('app.nowhere') as p, id from messages", "names an object"),
    ("select lastval() as p, id from messages", "volatile function lastval"),
    ("select 'vault'::regclass::text as p, id from messages", "names an object"),
    ("select 'nowhere'::regclass::text as p, id from messages", "names an object"),
    ("select regclass 'vault' as p, id from messages", "names an object"),
    ("select cast('nobody' as regrole)::text as p, id from messages", "names an object"),
    ("select '{vault}'::regclass[] as p, id from messages", "names an object"),
    ("select id::oid::regclass::text as p from messages", "names an object"),
    ("select body::regclass as p from messages", "names an object"),
    ("select 'postgres=r/postgres'::aclitem::text as p, id from messages", "names an object"),
    ("select x.r as p, id from messages, jsonb_to_record('{\"r\": \"app.vault\"}') as x(r regclass)", "names an object"),
    ("select peek() as p, id from messages", "STABLE function peek.., which may read tables"),
    ("select id from messages where peek() > 0", "STABLE function peek"),
    ("select id from messages order by peek()", "STABLE function peek"),
    ("select dice() as p, id from messages", "volatile function dice"),
    ("select dice_sum(n) as p from messages", "volatile function dice_step"),
    ("select dice_sum(n) over () as p from messages", "volatile function dice_step"),
    ("select mightier(n) as p from messages", "SECURITY DEFINER function mightier"),
    ("select body::rolled as p from messages", "volatile function roll_check"),
    ("select cast(null as rolled) as p, id from messages", "volatile function roll_check"),
    ("select id from messages where body = id", "volatile function fake_eq"),
    ("select count(*) filter (where random() > 0) as p from messages", "volatile function random"),
    ("select sum(n) over (order by random()) as p from messages", "volatile function random"),
    ("select id from messages group by id, random()", "volatile function random"),
    ("select id from messages limit (random() * 5)::int", "volatile function random"),
    ("select m.id from messages m join users u on random() > 0.5", "volatile function random"),
    ("with recursive t(i) as (select 1 union all select i + (random() * 2)::int from t where i < 3) "
     "select i, id from t, messages", "volatile function random"),
    ("values ((select random() from messages limit 1))", "volatile function random"),
]  # fmt: skip


BY_WAY_OF_OTHERS = [
    ("select by_default() as p, id from messages", "volatile function sesame.*by way of by_default"),
    ("select by_default('x') as p, id from messages", "volatile function sesame"),
    ("select by_default(a => body) as p, id from messages", "volatile function sesame"),
    ("select by_body(n) as p, id from messages", "volatile function sesame.*by way of by_body"),
    ("select by_atomic(n) as p, id from messages", "volatile function sesame"),
    ("select by_own_path() as p, id from messages", r"settings of its own.*ALTER FUNCTION by_own_path\(\) RESET ALL"),
    ("select by_table(n) as p, id from messages", "by_table.., which reads tables"),
    ("select by_session() as p, id from messages", "by_session.., which reads the session"),
    ("select by_name(body) as p, id from messages", "by_name.., which names objects"),
    ("select by_type(n) as p, id from messages", "by_type.* does not know what it calls"),
    ("select by_block() as p, id from messages", r"GRANT EXECUTE ON FUNCTION by_block\(\) TO realtime_reader"),
    ("select by_vouched_default() as p, id from messages", "volatile function sesame.*by_vouched_default"),
    ("select body::guarded as p, id from messages", "volatile function sesame"),
    ("select cast(array[body] as guarded[]) as p, id from messages", "volatile function sesame"),
    ("select unbox(row(body)) as p, id from messages", "volatile function sesame"),
    ("select (json_populate_record(null::boxed, '{\"a\": 1}')).a as p, id from messages", "volatile function sesame"),
    ("select x.a as p, id from messages, json_to_record('{}') as x(a guarded)", "volatile function sesame"),
    ("select leaky_sum(n) as p from messages", "volatile function sesame"),
    ("select leaky_sum(n) over () as p, id from messages", "volatile function sesame"),
    ("select id from messages where body operator(app.<<~) 'x'", "volatile function sesame"),
    ("select row(body)::wrapped::text as p, id from messages", "volatile function sesame"),
    ("select 'dull'::hue as p, id from messages", "volatile function sesame"),
    ("select json_agg('dull'::hue) as p from messages", "volatile function sesame"),
    ("select id, tint from paints, messages", "volatile function sesame"),
    ("select distinct row(body)::boxed as p from messages", "volatile function sesame"),
    ("select id from messages order by row(body)::boxed", "volatile function sesame"),
    ("select count(*) as p from messages group by row(body)::boxed", "volatile function sesame"),
    ("with f as (select by_default() as p) select f.p, id from f, messages", "volatile function sesame"),
    ("select id from messages where exists (select from by_default() p where p > body)", "volatile function sesame"),
    ("select id from messages limit length(by_default())", "volatile function sesame"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "message"), BY_WAY_OF_OTHERS)
async def test_calls_in_defaults_and_bodies_of_immutable_functions_count(
    planner: Planner, sql: str, message: str
) -> None:
    with pytest.raises(InvalidQueryError, match=message) as refused:
        await planner.plan(sql)
    assert "gold" not in str(refused.value)


async def test_a_function_is_not_called_while_it_is_judged(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute(
            "create function app.trap() returns int language plpgsql volatile security definer as "
            "$$ begin raise exception 'the trap was called'; end $$;"
            "create function app.bait(a int default app.trap()) returns int language sql immutable as 'select a'"
        )
        with pytest.raises(InvalidQueryError, match=r"the query calls the volatile function trap\(\).*by way of bait"):
            await planner.plan("select app.bait() as a, id from messages")


@pytest.mark.parametrize(
    "sql",
    [
        "select id, app.twice(n) as p from messages order by id",
        "select id, app.twice(n, by => 3) as p from messages order by id",
        "select m.id, x.part, x.total from messages m, app.parts(m.n, 1, 2) x order by m.id, x.part",
        "select id, app.honest(n) as p from messages order by id",
    ],
)
async def test_functions_that_only_compute_may_be_called(planner: Planner, sql: str) -> None:
    plan = await planner.plan(sql)
    assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)


async def test_a_clock_in_a_default_makes_the_query_depend_on_the_time(planner: Planner) -> None:
    plan = await planner.plan("select id, app.by_clock() as p from messages")
    assert isinstance(plan, ReReadPlan)
    assert plan.time_dependent


@pytest.mark.parametrize(("sql", "message"), FUNCTIONS)
async def test_functions_of_more_than_exposed_data_and_the_clock_are_refused(
    planner: Planner, sql: str, message: str
) -> None:
    with pytest.raises(InvalidQueryError, match=message) as refused:
        await planner.plan(sql)
    assert "gold" not in str(refused.value)


async def test_immutable_functions_of_ones_own_may_be_called(planner: Planner) -> None:
    sql = "select id, app.pure(n) as p from messages order by id"
    plan = await planner.plan(sql)
    assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)


async def test_a_function_that_shadows_a_built_in_one_is_seen_for_what_it_is(planner: Planner, app_dsn: str) -> None:
    plan = await planner.plan("select app.now() as never, id from messages order by id limit 1")
    assert not plan.time_dependent  # type: ignore[union-attr]
    built_in = await planner.plan("select now() as now, id from messages order by id limit 1")
    assert built_in.time_dependent  # type: ignore[union-attr]
    async with await connect(app_dsn, "app, pg_catalog, public") as connection:
        other = Planner(connection, planner.catalog)
        shadowed = await other.plan("select now() as now, id from messages order by id limit 1")
        assert not shadowed.time_dependent  # type: ignore[union-attr]
        assert (await other.documents("select now() as now"))[0] == {"now": "never"}


async def test_an_operator_of_ones_own_is_left_to_postgres(planner: Planner, app_dsn: str) -> None:
    async with (
        await connect(app_dsn, "app, pg_catalog") as connection,
        connection.transaction(force_rollback=True),
    ):
        other = Planner(connection, planner.catalog)
        await connection.execute("create operator app.< (leftarg = text, rightarg = text, function = app.text_less)")
        sql = "select id, body from messages where body < 'body 2' order by id"
        plan = await other.plan(sql)
        assert getattr(plan, "reason", "") == "the query calls text_less()"
        assert [document for _, document in await other.read(plan)] == await other.documents(sql)


OF_THE_PLANNER = """
create type app.c1 as (a int, b text); create type app.c2 as (x int, y text);
create function app.c1_c2(app.c1) returns app.c2 language plpgsql volatile as $$ begin return row(1, 'x'); end $$;
create cast (app.c1 as app.c2) with function app.c1_c2(app.c1) as implicit;
create function app.to_box(lseg) returns box language plpgsql volatile as $$ begin return '((1,1),(2,2))'; end $$;
create cast (lseg as box) with function app.to_box(lseg) as implicit;
create function app.by_return(app.c1) returns app.c2 language sql immutable as 'select $1';
create function app.by_columns(app.c1) returns table (z app.c2) language sql immutable as 'select $1';
create function app.by_union(app.c1, app.c2) returns setof app.c2 language sql immutable as 'select $2 union all select $1';
create function app.trap_lt(point, point) returns boolean language plpgsql volatile as $$ begin return false; end $$;
create function app.trap_cmp(point, point) returns int language plpgsql volatile as $$ begin return 0; end $$;
create operator app.<@< (leftarg = point, rightarg = point, function = app.trap_lt);
create operator class app.point_ops default for type point using btree
  as operator 1 app.<@<, function 1 app.trap_cmp(point, point);
create function app.good(text, text) returns boolean language sql immutable as 'select $1 = $2';
create function app.evil(text, text) returns boolean language plpgsql volatile as $$ begin return true; end $$;
create operator app.=== (leftarg = text, rightarg = text, function = app.good, negator = operator(app.!===));
create operator app.!=== (leftarg = text, rightarg = text, function = app.evil, negator = operator(app.===));
grant usage on type app.c1, app.c2 to realtime_reader;
"""

OF_A_RANGE = """
create function app.trap_int(int, int) returns int language plpgsql volatile as $$ begin return 0; end $$;
create operator class app.trap_ints for type int using btree
  as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 app.trap_int(int, int);
create type app.ir as range (subtype = int, subtype_opclass = app.trap_ints);
grant usage on type app.ir to realtime_reader;
"""


async def test_calls_that_only_the_planner_puts_in_are_judged(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute(OF_THE_PLANNER)
        for sql, name in (
            ("select null::c2 as v from messages union all select row(1, 'a')::c1", "c1_c2"),
            ("select box(point(1, 2), point(3, 4)) as v from messages "
             "union all select lseg(point(1, 2), point(3, 4))", "to_box"),
            ("select by_return(row(1, 'a')::c1) as v, id from messages", "c1_c2.*by_return"),
            ("select x.x, id from messages, by_columns(row(1, 'a')::c1) x", "c1_c2.*by_columns"),
            ("select x.x, id from messages, by_union(row(1, 'a')::c1, row(1, 'a')::c2) x", "c1_c2.*by_union"),
            ("select array[point(n, 1)] < array[point(1, 1)] as v, id from messages", "trap_"),
            ("select greatest(row(point(n, 1)), row(point(1, 1)))::text as v, id from messages", "trap_"),
            ("select id from messages where not (body operator(app.===) 'x')", "evil"),
        ):  # fmt: skip
            with pytest.raises(InvalidQueryError, match=f"volatile function {name}"):
                await planner.plan(sql)
        assert await planner.plan("select id, body from messages union all select 1, 'x'")
        await planner.connection.execute(OF_A_RANGE)
        with pytest.raises(InvalidQueryError, match="volatile function trap_int"):
            await planner.plan("select ir(1, n) as v, id from messages")


async def test_the_domains_in_a_literal_are_judged_before_postgres_reads_it(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute(
            "create function app.spring(text) returns boolean language plpgsql volatile as "
            "$$ begin raise exception 'the spring was called'; end $$;"
            "create domain app.sprung as text check (app.spring(value)); create type app.pay as (a int, c app.sprung);"
            "create function app.takes(app.pay) returns int language sql immutable as 'select 1';"
            "grant usage on type app.sprung, app.pay to realtime_reader"
        )
        for expression in (
            "pay '(1,abc)'",
            "'{abc}'::sprung[]",
            "_sprung '{abc}'",
            "takes('(1,abc)')",
            "'(1,a)'::app.pay",
        ):
            with pytest.raises(InvalidQueryError, match=r"calls the volatile function spring\(\)"):
                await planner.plan(f"select {expression} as v, id from messages")
