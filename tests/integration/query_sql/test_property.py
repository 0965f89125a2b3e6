"""Random single-table SELECTs: whatever strategy a query gets, its rows are those of the SQL itself, in its order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from engine.catalog.load import load_catalog
from engine.errors import InvalidQueryError
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.query_sql.conftest import Planner, connect, loads
from tests.support.examples import examples

WIDE = """
create schema app;
create type app.level as enum ('low', 'mid', 'High');
create domain app.positive as int check (value >= 0);
create table app.wide (
  id bigint primary key, small smallint, num int, "Big" bigint, price numeric(8,2), f4 real, f8 float8, ok boolean,
  name text, short varchar(6), code char(4), level app.level, day date, at timestamptz, local timestamp, pos app.positive,
  tags text[], doc jsonb, un uuid, ov interval
);
insert into app.wide
select g, nullif(g % 4, 3), (array[-1, 0, 1, 5, null, 2147483647])[1 + g % 6], (g % 5) * 3000000000,
       (array[0, 0.5, 1.5, -2.25, null])[1 + g % 5], (array[0.1, 1.5, null])[1 + g % 3],
       (array['NaN', '-0', '0.5', '1e300', '-Infinity', null]::float8[])[1 + g % 6],
       (array[true, false, null])[1 + g % 3], (array['a', 'B', 'ab', '', E'it''s', null, 'a%b', 'é'])[1 + g % 8],
       (array['a', 'abc', null, 'ABC'])[1 + g % 4], (array['a', 'ab', 'a  '])[1 + g % 3],
       (array['low', 'mid', 'High', null]::app.level[])[1 + g % 4], date '2024-01-01' + (g % 3),
       (array['infinity', '2024-01-01 00:00+00', '2024-01-01 12:30:00.000001+00', null]::timestamptz[])[1 + g % 4],
       timestamp '2024-01-01' + (g % 3) * interval '1 hour', nullif(g % 3, 2),
       (array['{a}', '{a,b}', null])[1 + g % 3]::text[], (array['{"a": 1}', '5', null]::jsonb[])[1 + g % 3],
       ('00000000-0000-0000-0000-00000000000' || g % 3)::uuid, (g % 3) * interval '12 hours'
from generate_series(1, 60) g;
select realtime.expose('app.wide');
"""

# For each column, literals as they may stand in SQL and values as they may be given for $n.
TEXTS = ["'a'", "'B'", "''", "'it''s'", "'a%b'", "'A'", "'abc'", "'é'", "'a   '"]
LITERALS: dict[str, tuple[list[str], list[Any]]] = {
    "id": (["1", "7", "59", "'8'", "-1", "12.5"], [1, "7", 30.0]),
    "small": (["0", "1", "2", "'1'", "1.0", "40000"], [0, 1]),
    "num": (["-1", "0", "5", "0.5", "5.0", "'0'", "2147483647", "2147483648", "1e0"], [0, -1, 5]),
    '"Big"': (["0", "3000000000", "6000000000.5", "'3000000000'", "1"], [3000000000, 0]),
    "price": (["0", "0.5", "-2.25", "1.50", "'0.5'", "'NaN'", "1.505"], [0.5, -2.25, "1.5"]),
    "f4": (["0.1", "1.5", "'0.1'", "1"], [0.1, 1.5]),
    "f8": (["0", "0.5", "'NaN'", "'Infinity'", "-1", "'-0'", "1e300"], [0.5, "NaN", 0]),
    "ok": (["true", "false", "'t'", "'no'", "TRUE"], [True, False, "off"]),
    "name": (TEXTS, ["a", "B", "it's", "", "é"]),
    "short": (TEXTS, ["a", "abc", "ABC"]),
    "code": (TEXTS, ["a", "ab", "a   "]),
    "level": (["'low'", "'mid'", "'High'"], ["low", "High"]),
    "day": (["'2024-01-02'", "'2024-1-3'", "'infinity'", "'Jan 1 2024'"], ["2024-01-02", "2024-01-01"]),
    "at": (["'2024-01-01'", "'2024-01-01T12:30:00.000001Z'", "'infinity'", "'2024-01-01 02:00+02'"],
           ["2024-01-01", "infinity"]),
    "local": (["'2024-01-01 01:00'", "'2024-01-01'"], ["2024-01-01T01:00:00"]),
    "pos": (["0", "1", "'1'", "-1"], [0, 1]),
    "un": (["'00000000-0000-0000-0000-000000000001'"], ["00000000-0000-0000-0000-000000000002"]),
    "ov": (["'12 hours'", "'1 day'", "'0'"], ["12:00"]),
    "tags": (["'{a}'", "'{a,b}'"], [["a"]]),
    "doc": (["'5'", "'{\"a\":1}'"], [5, {"a": 1}]),
}  # fmt: skip
COLUMNS = list(LITERALS)


@dataclass
class Select:
    """A random SELECT: ``head`` ends where sort keys can be added; the oracle adds the primary key there."""

    head: str
    keys: list[str]
    tail: str
    params: list[Any]

    @property
    def sql(self) -> str:
        return self.head + (" order by " + ", ".join(self.keys) if self.keys else "") + self.tail

    @property
    def total(self) -> str:
        return f"{self.head} order by {', '.join([*self.keys, 'w.id'])}{self.tail}"


def value(draw: st.DrawFn, params: list[Any], column: str) -> str:
    """A literal or a parameter."""
    literals, given_values = LITERALS[column]
    if draw(st.integers(0, 3)) == 0:
        params.append(draw(st.sampled_from(given_values)))
        return f"${len(params)}"
    return draw(st.sampled_from(literals))


def condition(draw: st.DrawFn, params: list[Any], depth: int) -> str:
    """Something that SQL can ask of a row."""
    kind = draw(st.integers(0, 11 if depth else 8))
    column = draw(st.sampled_from(COLUMNS))
    name = draw(st.sampled_from([column, f"w.{column}", column.upper() if '"' not in column else column]))
    if kind <= 3:
        operator = draw(st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="]))
        flip = draw(st.booleans())
        return (
            f"{value(draw, params, column)} {operator} {name}"
            if flip
            else f"{name} {operator} {value(draw, params, column)}"
        )
    if kind == 4:
        return f"{name} is{draw(st.sampled_from(['', ' not']))} null"
    if kind == 5:
        listed = ", ".join(value(draw, params, column) for _ in range(draw(st.integers(1, 3))))
        return f"{name}{draw(st.sampled_from(['', ' not']))} in ({listed})"
    if kind == 6:
        low, high = value(draw, params, column), value(draw, params, column)
        return f"{name}{draw(st.sampled_from(['', ' not']))} between {low} and {high}"
    if kind == 7:
        column = draw(st.sampled_from(["name", "short", "code"]))
        operator = draw(st.sampled_from(["like", "not like", "ilike"]))
        pattern = draw(st.sampled_from(["'a%'", "'%b'", "'_'", "'a\\%b'", "'%'", "''"]))
        return f"{column} {operator} {pattern}"
    if kind == 8:
        if draw(st.booleans()):
            return draw(
                st.sampled_from(["ok", "not ok", "ok is true", "ok is not true", "ok is false", "ok is unknown"])
            )
        column = draw(st.sampled_from([c for c in COLUMNS if c not in ("tags", "doc")]))
        params.append([draw(st.sampled_from(LITERALS[column][1])) for _ in range(draw(st.integers(0, 3)))])
        return f"{column} = any(${len(params)})"
    if kind == 9:
        return (
            f"not {condition(draw, params, depth - 1)}"
            if draw(st.booleans())
            else f"not ({condition(draw, params, depth - 1)})"
        )
    joined = draw(st.sampled_from([" and ", " or ", " AND "]))
    parts = [condition(draw, params, depth - 1) for _ in range(draw(st.integers(2, 3)))]
    return joined.join(parts) if draw(st.booleans()) else "(" + joined.join(f"({part})" for part in parts) + ")"


@st.composite
def selects(draw: st.DrawFn) -> Select:
    params: list[Any] = []
    chosen = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True))
    names = ["out{}", "Out{}", '"Out{}"']
    outputs = [
        f"{column} as {draw(st.sampled_from(names)).format(i)}" if draw(st.booleans()) else column
        for i, column in enumerate(chosen)
    ]
    listed = ", ".join(outputs) if draw(st.booleans()) else "*"
    head = f"select {listed} from {draw(st.sampled_from(['wide w', 'app.wide as w']))}"
    if draw(st.integers(0, 5)):
        head += f" where {condition(draw, params, 2)}"
    keys = []
    for column in draw(st.lists(st.sampled_from(COLUMNS), max_size=3)):
        direction = draw(st.sampled_from(["", " asc", " desc", " DESC"]))
        keys.append(f"w.{column}{direction}{draw(st.sampled_from(['', ' nulls first', ' nulls last']))}")
    tail = ""
    if draw(st.booleans()):
        if draw(st.booleans()):
            params.append(draw(st.integers(1, 20)))
            tail = f" limit ${len(params)}"
        else:
            tail = f" limit {draw(st.integers(1, 20))}"
    return Select(head, keys, tail, params)


@dataclass
class World:
    """A planner that synchronous tests can use."""

    runner: asyncio.Runner
    planner: Planner


@pytest.fixture(scope="module", params=["pg18", "pg15"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server, WIDE) as dsn, asyncio.Runner() as runner:
        connection = runner.run(connect(dsn))
        yield World(runner, Planner(connection, runner.run(load_catalog(connection))))
        runner.run(connection.close())


async def check(planner: Planner, select: Select) -> None:
    try:
        expected = await oracle(planner, select)
    except psycopg.Error as error:
        event("refused")
        note(f"Postgres reports {error}")
        with pytest.raises(InvalidQueryError):
            await planner.plan(select.sql, *select.params, collection="wide")
        return
    plan = await planner.plan(select.sql, *select.params, collection="wide")
    event("incremental" if isinstance(plan, IncrementalPlan) else f"re-read: {plan.reason.split('(')[0][:30]}")
    assert [document for _, document in await planner.read(plan)] == expected
    if isinstance(plan, ReReadPlan):
        assert not plan.time_dependent
        return
    every = await planner.plan("select id from wide", collection="wide")
    assert isinstance(every, IncrementalPlan)
    matching = sorted(filter(plan.matches, await planner.layout_rows(every)), key=plan.sort_key)[: plan.limit]
    assert [loads(plan.encode(row)) for row in matching] == expected


async def oracle(planner: Planner, select: Select) -> list[Any]:
    """Postgres's own answer, ties broken by the primary key; parameters as JSON gives them."""
    texts = [array_text(p) if isinstance(p, list) else text(p) for p in select.params]
    return await planner.documents(select.total, *texts)


def text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else json.dumps(value)


def array_text(values: list[Any]) -> str:
    return "{" + ",".join(json.dumps(text(value), ensure_ascii=False) for value in values) + "}"


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(select=selects())
def test_a_plan_gives_the_rows_of_its_sql_in_their_order(world: World, select: Select) -> None:
    note(f"{select.sql} {select.params}")
    world.runner.run(check(world.planner, select))
