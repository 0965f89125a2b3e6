"""Random queries: what a client sends, and independently written SQL for what the answer has to be.

The truth of a query returns one JSON document per row, in order. Cursors are judged by sorting a marker row that carries
the cursor's values among the rows, which has nothing in common with how the engine does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.oracle.schemas import KINDS, Column, Table

__all__ = ["Query", "queries", "whole"]


@dataclass(frozen=True)
class Query:
    """``spec`` is the subscription's query, on collection ``collection``; ``truth`` the SQL that answers it."""

    collection: str
    spec: dict[str, Any]
    truth: str


def literal(text: str | None, kind: str) -> str:
    """A typed SQL literal."""
    value = "null" if text is None else "'" + text.replace("'", "''") + "'"
    return f"{value}::{KINDS[kind].cast}"


def client_value(text: str, kind: str) -> Any:
    """The value as a client writes it in JSON."""
    how = KINDS[kind].json
    if how == "bool":
        return text == "t"
    if how == "number" and len(text) > 15:
        return text  # more digits than a double keeps
    if how == "int" or (how == "number" and text.lstrip("-").isdigit()):
        return int(text)
    if how == "number" and text not in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    return text


Condition = tuple[Any, str]  # (builder JSON, SQL)


@st.composite
def comparisons(draw: st.DrawFn, table: Table) -> Condition:
    """One condition on one column."""
    column = draw(st.sampled_from(table.columns))
    kind = column.of
    choices = ["is-null", "is-not-null"]
    if kind.equal:
        choices += ["==", "==", "!=", "in", "not-in"]
    if kind.order:
        choices += ["<", "<=", ">", ">="]
    if kind.element:
        choices += ["array-contains", "array-contains-any"] * 2
    if kind.like:
        choices += ["like", "ilike"]
    op = draw(st.sampled_from(choices))
    name = column.name
    if op in ("is-null", "is-not-null"):
        return [name, op], f"{name} {op.replace('-', ' ')}"
    if op in ("like", "ilike"):
        pattern = draw(st.sampled_from(["a%", "%b", "_", "%", "A_", "%ä%", "b\\_%", ""]))
        return [name, op, pattern], f"{name} {op} '{pattern}'"
    if op.startswith("array"):
        assert kind.element is not None
        pool = st.sampled_from(("1", "2", "9") if kind.element == "int4" else ("a", "x,y", "q"))
        if op == "array-contains":
            value = draw(pool)
            return [name, op, client_value(value, kind.element)], f"{name} @> array[{literal(value, kind.element)}]"
        values = draw(st.lists(pool, min_size=1, max_size=3))
        items = ", ".join(literal(value, kind.element) for value in values)
        return [name, op, [client_value(v, kind.element) for v in values]], f"{name} && array[{items}]"
    if op in ("in", "not-in"):
        values = draw(st.lists(st.sampled_from((*kind.pool, *kind.asked)), max_size=3))
        items = ", ".join(literal(value, column.kind) for value in values)
        test = f"= any (array[{items}]::{kind.cast}[])" if op == "in" else f"<> all (array[{items}]::{kind.cast}[])"
        return [name, op, [client_value(v, column.kind) for v in values]], f"{kind.operand(name)} {test}"
    value = draw(st.sampled_from((*kind.pool, *kind.asked)))
    sql_op = {"==": "=", "!=": "<>"}.get(op, op)
    return [name, op, client_value(value, column.kind)], f"{kind.operand(name)} {sql_op} {literal(value, column.kind)}"


def conditions(table: Table) -> st.SearchStrategy[Condition]:
    """A tree of conditions."""
    return st.recursive(
        comparisons(table),
        lambda inner: st.one_of(
            inner.map(lambda c: ({"not": c[0]}, f"not ({c[1]})")),
            st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)).map(
                lambda t: ({t[0]: [c[0] for c in t[1]]}, "(" + f" {t[0]} ".join(c[1] for c in t[1]) + ")")
            ),
        ),
        max_leaves=5,
    )


def order_sql(column: Column, how: list[str]) -> str:
    """One sort key in SQL."""
    nulls = {"nulls-first": " nulls first", "nulls-last": " nulls last"}
    return f"{column.name} {how[1]}{nulls[how[2]] if len(how) > 2 else ''}"


def key_order(table: Table) -> list[str]:
    """The primary key as the last sort keys; text bytewise."""
    text = ("text", "varchar")
    return [f'{k} collate "C"' if table.column(k).of.cast in text else k for k in table.key]


def whole(table: Table, limit: int | None = None) -> Query:
    """All rows of a table, or the first ones: every change of them is seen."""
    truth = f"select to_jsonb(q) from (select * from {table.name}) q order by {', '.join(key_order(table))}"
    if limit is None:
        return Query(table.name, {}, truth)
    return Query(table.name, {"limit": limit}, f"{truth} limit {limit}")


@st.composite
def builder_queries(draw: st.DrawFn, table: Table) -> Query:
    """A query in the builder's form."""
    spec: dict[str, Any] = {}
    where = draw(st.lists(conditions(table), max_size=2))
    if where:
        spec["where"] = [c[0] for c in where]
    sortable = [c for c in table.columns if c.of.order]
    chosen = draw(st.lists(st.sampled_from(sortable), max_size=2, unique_by=lambda c: c.name))
    how = [
        [
            c.name,
            draw(st.sampled_from(["asc", "desc"])),
            *draw(st.sampled_from([[], [], ["nulls-first"], ["nulls-last"]])),
        ]
        for c in chosen
    ]
    if how:
        spec["orderBy"] = how
    limit = draw(st.one_of(st.none(), st.integers(1, 6)))
    if limit:
        spec["limit"] = limit
    keys = [order_sql(c, h) for c, h in zip(chosen, how, strict=True)]
    rows = f"select * from {table.name} where {' and '.join(c[1] for c in where) or 'true'}"
    for side in draw(st.sampled_from([[], [], [], ["start"], ["end"], ["start", "end"]])) if chosen else []:
        used = chosen[: draw(st.integers(1, len(chosen)))]
        values = [draw(st.sampled_from((*c.of.pool, *c.of.asked))) for c in used]
        name = draw(st.sampled_from(["startAt", "startAfter"] if side == "start" else ["endAt", "endBefore"]))
        spec[name] = [client_value(v, c.kind) for v, c in zip(values, used, strict=True)]
        rows = bounded(table, rows, name, used, values, keys[: len(used)])
    document = "to_jsonb(q)"
    names = st.sampled_from([c.name for c in table.columns])
    selected = draw(st.none() | st.lists(names, min_size=1, max_size=3, unique=True))
    if selected:
        spec["select"] = selected
        shown = ", ".join(f"q.{name}" for name in dict.fromkeys((*table.key, *selected)))
        document = f"(select to_jsonb(d) from (select {shown}) d)"
    order = ", ".join([*keys, *key_order(table)])
    truth = f"select {document} from ({rows}) q order by {order}{f' limit {limit}' if limit else ''}"
    return Query(table.name, spec, truth)


def bounded(table: Table, rows: str, name: str, used: list[Column], values: list[str], keys: list[str]) -> str:
    """``rows`` on one side of a cursor: those that sort behind (before) a marker row carrying the cursor's values."""
    mark = {"startAt": 0, "startAfter": 2, "endAt": 2, "endBefore": 0}[name]
    every = ", ".join(c.name for c in table.columns)
    nulls = ", ".join(
        literal(values[[u.name for u in used].index(c.name)], c.kind) if c in used else f"null::{c.of.cast}"
        for c in table.columns
    )
    side = ">" if name.startswith("start") else "<"
    of_rows = ", ".join(table.key)
    ranked = f"select *, row_number() over (order by {', '.join(keys)}, mark_) as rank_ from marked_"
    return (
        f"with marked_ as (select {every}, 1 as mark_ from ({rows}) r union all select {nulls}, {mark}), "
        f"ranked_ as ({ranked}) select * from {table.name} where ({of_rows}) in (select {of_rows} from ranked_ "
        f"where mark_ = 1 and rank_ {side} (select rank_ from ranked_ where mark_ <> 1))"
    )


@st.composite
def sql_queries(draw: st.DrawFn, one: Table, two: Table) -> Query:
    """A query in SQL, with parameters."""
    condition = draw(
        st.sampled_from(["grp = $1", "n > $1", "grp in ($1, 2)", "grp is distinct from $1", "not grp < $1"])
    )
    value = draw(st.sampled_from(["0", "1", "2"]))
    plain = condition.replace("$1", value)
    a, b = one.name, two.name
    a_key, b_key = ", ".join(f"a.{k}" for k in one.key), ", ".join(f"b.{k}" for k in two.key)
    key = ", ".join(one.key)
    others = ", ".join(c.name for c in one.columns if c.name.startswith("c"))
    order = ", ".join(key_order(one))
    templates = [
        f"select * from {a} where {condition} order by {order} limit 5",
        f"select {key}, grp as g, n from {a} where {condition} order by n desc, {order}",
        f"select {key}, {others} from {a} where {condition} order by {order} limit 3",
        f"select {key}, grp from {a} where {condition} order by grp nulls first, {order} limit 4 offset 1",
        f"select grp, count(*) as c, sum(n) as s, max(n) as m from {a} where {condition} group by grp order by grp",
        f"select grp, count(*) as c from {a} where {condition} group by grp having count(*) > 1 order by c desc, grp",
        f"select count(*) as c, min(n) as lo, avg(n) as mean from {a} where {condition}",
        f"select distinct grp, n from {a} where {condition} order by grp, n",
        f"select {a_key}, b.grp as bg, b.n from {a} a join {b} b on a.grp = b.grp where a.{condition.removeprefix('not ')} "
        f"order by {a_key}, {b_key}",
        f"select {a_key}, count({b_key.split(',')[0]}) as c from {a} a left join {b} b on b.n = a.n "
        f"where a.{condition.removeprefix('not ')} group by {a_key} order by {a_key}",
        f"with x as (select grp, sum(n) as s from {b} group by grp) select {a_key}, x.s from {a} a join x on x.grp = a.grp "
        f"where a.{condition.removeprefix('not ')} order by {a_key}",
        f"select {key}, row_number() over (partition by grp order by n, {order}) as r from {a} where {condition} "
        f"order by {order}",
        f"select {key} from {a} where {condition} and exists (select 1 from {b} b where b.grp = {a}.grp) order by {order}",
        f"select grp from {a} where {condition} union all select grp from {b} where {condition} order by 1",
    ]
    sql = draw(st.sampled_from(templates))
    truth = sql.replace(condition.removeprefix("not "), plain.removeprefix("not ")).replace("$1", value)
    return Query(a, {"sql": sql, "params": [int(value)]}, f"select to_jsonb(q) from ({truth}) q")


def queries(one: Table, two: Table) -> st.SearchStrategy[Query]:
    """A query over either table or both."""
    return st.one_of(
        builder_queries(one), builder_queries(one), builder_queries(two), sql_queries(one, two), sql_queries(two, one)
    )
