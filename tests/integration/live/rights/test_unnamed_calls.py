"""What the text of a policy's function calls without naming a function: casts, operators, aggregates, checks of domains."""

from __future__ import annotations

from tests.integration.live.rights.conftest import ALL, Rows, Watching
from tests.support.nodes.live_node import live_node
from tests.support.postgres.sql import read, run_each

TABLES = ("by_cast", "by_built_in_cast", "by_domain", "by_operator", "by_aggregate", '"my""team"')


def _looks(function: str, returns: str, table: str, result: str) -> str:
    """A function of a text that returns ``result`` (of ``found``: whether the text is in ``table``)."""
    return (
        f"create function {function} returns {returns} language plpgsql stable as $$ declare found_it boolean; begin "
        f"found_it := exists (select from {table} where person = $1::text); return {result}; end $$"
    )


DEFINITIONS = (
    *(f"create table {table} (person text primary key)" for table in TABLES),
    *(f"insert into {table} values ('ann'), ('bob')" for table in TABLES),
    "create type standing as (member boolean)",
    _looks("cast_function(text)", "standing", "by_cast", "row(found_it)::standing"),
    "create cast (text as standing) with function cast_function(text)",
    _looks("built_in_cast_function(text)", "point", "by_built_in_cast", "point(found_it::int, 0)"),
    "create cast (text as point) with function built_in_cast_function(text)",
    _looks("checked(text)", "boolean", "by_domain", "found_it"),
    "create domain known as text",
    "alter domain known add check (checked(value) is not null)",
    _looks("operator_function(text, text)", "boolean", "by_operator", "found_it"),
    "create operator === (function = operator_function, leftarg = text, rightarg = text)",
    "create function state_function(boolean, text) returns boolean language plpgsql stable as "
    "$$ begin return exists (select from by_aggregate where person = $2); end $$",
    "create aggregate listed(text) (sfunc = state_function, stype = boolean)",
    "create function f1() returns boolean language sql stable as $$ select (me()::standing).member $$",
    "create function f2() returns boolean language sql stable as $$ select (me()::point)[0] = 1 $$",
    "create function f3() returns boolean language sql stable as $$ select me()::known is not null $$",
    "create function f4() returns boolean language sql stable as $$ select me() === 'x' $$",
    "create function f5() returns boolean language sql stable as $$ select listed(u) from (select me()) as s (u) $$",
    "create function f6() returns boolean language sql stable as "
    '$$ select exists (select from "my""team" where person = me()) $$',
)


async def test_a_membership_read_by_a_cast_operator_aggregate_or_quoted_name_is_followed(rows: Rows) -> None:
    run_each(
        rows.dsn,
        *DEFINITIONS,
        *(f"grant select on {table} to {rows.people}" for table in TABLES),
        "drop policy own on note",
        *(f"create policy p{n} on note to {rows.people} using (id = {n} and f{n}())" for n in range(1, 7)),
        "insert into note values (5, 'x', 1, 'e'), (6, 'x', 1, 'f')",
        "select realtime.expose('note')",
    )
    found = read(rows.dsn, "select name from realtime.policy_sources('note') where kind = 'table' and published")
    assert {name for (name,) in found} >= {f"public.{name}" for name in ("note", *TABLES)}
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, ALL, "select id, owner, org, body from note order by id")
        await watching.add(rows.principal("ann"), rows.principal("bob"))
        await watching.check()
        for table in TABLES:
            run_each(rows.dsn, f"delete from {table} where person = 'bob'")
            await watching.check()
