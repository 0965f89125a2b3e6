"""Ids of re-read rows, parameters from JSON to Postgres, and dependence on the clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidQueryError, PermissionDeniedError
from engine.postgres.oids import DATE_TIME_OIDS, TIME_RELATED_OIDS
from engine.postgres.statements.named_queries import query
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan, unique_ids
from engine.query.planner import plan_query
from tests.integration.query_sql.conftest import Planner


@pytest.mark.parametrize(
    ("sql", "ids"),
    [
        ("select n + 0 as m from messages where id < 4 order by id", ["1", "2", "3"]),
        ("select count(*) from messages", ["0"]),
        ("select count(*), 1 as id from messages", ["0"]),
        ("select count(*) from messages having count(*) > 1000", []),
        ("select room_id, count(*) from messages group by room_id order by 1", ["room-0", "room-1", "room-2"]),
        ("select room_id as r, count(*) from messages group by r order by 1", ["room-0", "room-1", "room-2"]),
        ("select m.room_id, count(*) from messages m group by room_id order by 1", ["room-0", "room-1", "room-2"]),
        ("select count(*), lower(room_id) from messages group by lower(room_id) order by 2", ["room-0", "room-1", "room-2"]),
        ("select ok, room_id, count(*) from messages where id < 4 group by 2, 1 order by 2",
         ['["room-0","t"]', '["room-1","f"]', '["room-2","f"]']),
        ("select n, count(*) from messages where id in (4, 5) group by n order by n", ["0", "null"]),
        ("select distinct room_id from messages order by 1", ["room-0", "room-1", "room-2"]),
        ("select m.id, u.name from messages m join users u on u.id = m.n where m.id < 4 order by 1", ["1", "2", "3"]),
        ("select u.id, m.id as m from messages m join users u on u.id = m.n % 2 where m.id < 4 order by 2", ["1", "0", "1"]),
    ],
)  # fmt: skip
async def test_ids_are_different_for_different_rows(planner: Planner, sql: str, ids: list[str]) -> None:
    plan = await planner.plan(sql)
    assert isinstance(plan, ReReadPlan)
    assert [name for name, _ in await planner.read(plan)] == ids


async def test_a_composite_key_is_a_compact_json_array_of_texts_in_both_strategies(planner: Planner) -> None:
    one = await planner.plan("select v from pairs", collection="pairs")
    other = await planner.plan("select v + 0 as v from pairs", collection="pairs")
    assert isinstance(one, IncrementalPlan)
    assert isinstance(other, ReReadPlan)
    ids = [name for name, _ in await planner.read(one)]
    assert ids[0] == '["b \\"0","1"]'
    assert [name for name, _ in await planner.read(other)] == ids


async def test_rows_without_any_key_are_known_by_their_content(planner: Planner) -> None:
    plan = await planner.plan("select a + 0 as a, b from keyless", collection="keyless")
    found = await planner.read(plan)
    assert len({name for name, _ in found}) == 2
    assert unique_ids(name for name, _ in found) == [f"{name}#2" if i and found[i - 1][0] == name else name
                                                     for i, (name, _) in enumerate(found)]  # fmt: skip


def test_repeated_ids_are_numbered_in_order_of_appearance() -> None:
    assert unique_ids(["a", "b", "a", "a"]) == ["a", "b", "a#2", "a#3"]
    assert unique_ids(["a", "a", "a#2"]) == ["a", "a#3", "a#2"]


@given(st.lists(st.sampled_from(["a", "b", "a#2", "a#3", "a#2#2", "b#2"])))
def test_ids_become_unique_and_first_ones_stay(ids: list[str]) -> None:
    unique = unique_ids(ids)
    assert len(set(unique)) == len(unique) == len(ids)
    for position, name in enumerate(ids):
        assert unique[position] == name or name in ids[:position]


VALUES: list[tuple[str, object, Any]] = [
    ("$1::int", 5, 5),
    ("$1::int", 5.0, 5),
    ("$1::int", "5", 5),
    ("$1::numeric", 0.1, 0.1),
    ("$1::numeric", 1e21, 1e21),
    ("$1::float8", 1.5, 1.5),
    ("$1::bigint", 2**53 + 1, 2**53 + 1),
    ("$1::boolean", True, True),
    ("$1::boolean", "f", False),
    ("$1::text", "it's \\ \"x\" {}, \u20ac \U0001f600", "it's \\ \"x\" {}, \u20ac \U0001f600"),
    ("$1::text", 5, "5"),
    ("$1::text", True, "true"),
    ("$1::text", "", ""),
    ("$1::text", None, None),
    ("$1", "untyped", "untyped"),
    ("$1::bpchar", "abc", "abc"),
    ("$1::text[]", ["a", "b c", 'q"', "\\", "", "null", "NULL", "{}", ",", None, "\n"],
     ["a", "b c", 'q"', "\\", "", "null", "NULL", "{}", ",", None, "\n"]),
    ("$1::int[]", [[1, 2], [3, None]], [[1, 2], [3, None]]),
    ("$1::int[]", [], []),
    ("$1::jsonb[]", [{"a": 1}, "2"], [{"a": 1}, 2]),
    ("$1::jsonb", {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
    ("$1::jsonb", [1, "two", None], [1, "two", None]),
    ("$1::jsonb", '{"text": "json"}', {"text": "json"}),
    ("$1::json", 5, 5),
    ("$1::date", "2024-02-29", "2024-02-29"),
    ("$1::box[]", ["(1,1),(0,0)"], ["(1,1),(0,0)"]),
    ("$1::app.mood", "ok", "ok"),
    ("$1::bit(3)", "101", "101"),
    ("$1::bytea", "\\x00ff", "\\x00ff"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "value", "expected"), VALUES)
async def test_a_parameter_means_its_json_value(
    planner: Planner, expression: str, value: object, expected: object
) -> None:
    plan = await planner.plan(f"select id, {expression} as x from messages where id = 1 and n + 0 = n", value)
    [(_, document)] = await planner.read(plan)
    assert document == {"id": 1, "x": expected}


@pytest.mark.parametrize(
    ("condition", "value", "message"),
    [
        ("id = $1", "abc", 'invalid input syntax for type bigint: "abc"'),
        ("id = $1", 1.5, "invalid input syntax for type bigint"),
        ("id = $1", 2**70, "out of range"),
        ("id = $1", [1], "invalid input syntax for type bigint"),
        ("id = $1", True, "invalid input syntax for type bigint"),
        ("id = $1", {"a": 1}, "invalid input syntax for type bigint"),
        ("mood = $1", "furious", "invalid input value for enum"),
        ("created_at > $1", "2024-02-30", "date/time field value out of range"),
        ("n = any($1)", "1", "malformed array literal"),
        ("n = any($1)", ["x"], "invalid input syntax for type integer"),
        ("n = any($1)", [[[[[[[1]]]]]]], "more than 6 dimensions"),
        ("note = $1::app.short", "x" * 30, "violates check constraint"),
        ("body = $1", "a\x00b", "NUL"),
        ("body = $1", "\udcff", "surrogate"),
        ("meta = $1", "{", "invalid input syntax for type json"),
        ("body = $1", "x" * 100_001, "100001 characters long"),
        ("n = 1 / $1", 0, "division by zero"),
    ],
)
async def test_a_value_that_its_type_does_not_accept_is_refused_when_subscribing(
    planner: Planner, condition: str, value: object, message: str
) -> None:
    with pytest.raises(InvalidQueryError, match=message):
        await planner.plan(f"select id, n + 0 as m from messages where {condition}", value)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("select id, now() - created_at as age from messages", []),
        ("select id from messages where created_at > current_timestamp - interval '1 day'", []),
        ("select id from messages where created_at > now()", []),
        ("select id from messages where created_at::date = current_date", []),
        ("select id, localtime as t from messages", []),
        ("select id, age(created_at) as a from messages", []),
        ("select id, statement_timestamp() as t from messages", []),
        ("select id from messages where created_at > 'today'", []),
        ("select id from messages where created_at > $1", ["yesterday"]),
        ("select id from messages where created_at > ' NOW '", []),
        ("select id from messages where created_at = any($1)", [["now"]]),
        ("select id from messages where created_at in ('tomorrow', '2024-01-01')", []),
        ("select id from messages where created_at > body::timestamptz", []),
        ("select id, ('10:00'::time::timetz) at time zone 'Europe/Berlin' as t from messages", []),
        ("select id from messages where created_at between 'yesterday 10:00' and 'infinity'", []),
        ("select id, lower(room_id::varchar)::timestamptz as t from messages", []),
        ("select id, (body::varchar)::timestamptz as t from messages", []),
        ("select id, coalesce(id::text, body)::date as t from messages", []),
        ("select id, ((id::text) || body)::date as t from messages", []),
        ('select id, (select body as "a\nb" from messages x where x.id = m.id)::timestamptz as t from messages m', []),
        ("select id, body::tstzrange[] as t from messages", []),
        ("select id, (body::appointment).at as t from messages", []),
        ("select id, body::appointment[] as t from messages", []),
        ("select id, body::moment[] as t from messages", []),
        ("select id, body::information_schema.time_stamp[] as t from messages", []),
        ("select id, body::moments as t from messages", []),
        ("select m.id, r.at from messages m, jsonb_populate_record(null::appointment, meta) r", []),
        ("select id, jsonb_populate_record(row(created_at), meta) as r from messages", []),
        ("select m.id, r.s from messages m, jsonb_to_record(meta) r (s appointment)", []),
        ("select id, '(today,1)'::appointment as t from messages", []),
        ("select id, $1::appointment as t from messages", ["(today,1)"]),
        ("select id, $1::moment as t from messages", ["today"]),
        ("select id from messages where created_at > E'n\\x6fw'", []),
        ("select id from messages where created_at > 'n'\n'ow'", []),
        ("select id from messages where created_at > 'today10:00'", []),
        ("select id from messages where created_at > $1", ["_now_"]),
        ("select id from messages where created_at > $1", [f"now{' ' * 200}"]),
        ("select id, app.read_moment(body) as t from messages", []),
        ("select id, app.this_day() as t from messages", []),
        ("select id, app.at_midnight() as t from messages", []),
        ("select id, created_at::since as t from messages", []),
    ],
)
async def test_a_query_that_depends_on_the_clock_is_marked(planner: Planner, sql: str, params: list[object]) -> None:
    plan = await planner.plan(sql, *params)
    assert isinstance(plan, ReReadPlan)
    assert plan.time_dependent
    assert plan.reason == "the query depends on the clock"


@pytest.mark.parametrize(
    "sql",
    [
        "select id, jsonb_populate_record_valid(null::appointment, meta) as t from messages",
        "select id, json_query(meta, '$' returning appointment) as t from messages",
        "select id, json_value(meta, '$.a' returning moment) as t from messages",
        "select m.id, t.* from messages m, json_table(meta, '$[*]' columns (s appointment path '$')) t",
    ],
)
async def test_times_that_functions_of_postgresql_17_read_from_json_are_seen(planner: Planner, sql: str) -> None:
    if planner.connection.info.server_version < 170_000:
        pytest.skip("these came with PostgreSQL 17")
    plan = await planner.plan(sql)
    assert isinstance(plan, ReReadPlan)
    assert plan.time_dependent


async def test_types_of_postgres_that_have_times_are_known(planner: Planner) -> None:
    own = await planner.rows("select oid from pg_type where oid < 10000 and typrelid = 0")
    every = [oid for (oid,) in own]
    found = await planner.connection.execute(
        query("catalog_timed_types"), {"types": every, "times": sorted(DATE_TIME_OIDS)}
    )
    assert {oid for (oid,) in await found.fetchall()} == TIME_RELATED_OIDS


@pytest.mark.parametrize(
    "sql",
    [
        "select id, created_at + interval '1 day' as t from messages",
        "select id, to_char(created_at, 'YYYY') as y from messages",
        "select id, date_trunc('day', created_at) as d, extract(epoch from created_at) as e from messages",
        "select id, created_at at time zone 'Europe/Berlin' as t from messages",
        "select id, age(created_at, '2024-01-01') as a from messages",
        "select id, 'now' as word from messages",
        "select id from messages where lower(body) = 'today'",
        "select id, created_at::date as d, created_at::text as t from messages",
        "select id, to_tsvector('english', body) @@ to_tsquery('english', 'body') as hit from messages",
        "select id, jsonb_build_object('a', created_at) as j, format('%s', n) as f, concat(n, body) as c from messages",
        "select id, to_date('2024', 'YYYY') as d, quote_literal(body) as q from messages",
        "select id, body::app.granted as g from messages where body is null",
        "select id, ('(1,now)'::app.granted).b as b from messages",
        "select id, jsonb_populate_record(null::app.granted, meta) as r from messages",
        "select id, body || n as c, n::text || body as t, array_to_string(tags, ',') as a from messages",
    ],
)
async def test_stable_functions_of_arguments_alone_do_not_depend_on_the_clock(planner: Planner, sql: str) -> None:
    plan = await planner.plan(f"{sql} order by id")
    assert isinstance(plan, ReReadPlan)
    assert not plan.time_dependent
    assert [document for _, document in await planner.read(plan)] == await planner.documents(f"{sql} order by id")


async def test_a_builder_query_that_cannot_be_incremental_is_reread_with_the_same_rows(planner: Planner) -> None:
    spec = {"where": [["meta", "==", {"g": 7}]], "orderBy": [["id"]]}
    plan = await plan_query("messages", spec, planner.catalog, planner.connection)
    expected = await planner.documents(
        "select id, room_id, body, created_at, n, price, score, ok, mood, tags, note, meta, code from messages "
        "where meta = '{\"g\": 7}'"
    )
    assert [document for _, document in await planner.read(plan)] == expected
    by_tags = await plan_query("messages", {"orderBy": [["meta"]]}, planner.catalog, planner.connection)
    assert isinstance(by_tags, ReReadPlan)
    assert by_tags.dependencies == {planner.catalog.by_collection["messages"].oid}
    assert not by_tags.statement.as_reader
    assert [name for name, _ in await planner.read(by_tags)] == [str(i) for i in range(1, 41)]


async def test_a_table_with_a_problem_cannot_be_subscribed_to_nor_joined(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute("alter table app.users enable row level security")
        from engine.catalog.load import load_catalog

        planner.catalog = await load_catalog(planner.connection)
        with pytest.raises(PermissionDeniedError, match='"users" cannot be subscribed to'):
            await planner.plan("select id from users", collection="users")
        with pytest.raises(PermissionDeniedError, match='"users" cannot be subscribed to'):
            await planner.plan("select m.id from messages m join users u on u.id = m.n")
