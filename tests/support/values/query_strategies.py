"""Random queries over the wide table: every operator, nesting, nulls, cursors."""

from __future__ import annotations

from hypothesis import strategies as st

from engine.catalog.model import Table
from engine.query.ir.model import And, Bound, Compare, IsNull, Not, Or, OrderBy, Predicate, Query
from engine.query.ir.sort_order import sort_keys
from tests.support.values.wide_table import POOLS, SORTABLE

_INTEGERS = ("small", "int", "big")
_PATTERNS = [
    "%",
    "",
    "a%",
    "%b",
    "a_b",
    "a\\_b",
    "a\\%b",
    "_",
    "__",
    "%a%b%",
    "\\b\\\\",
    "%a",
    "a% ",
    "A%",
    "%é%",
    "_%_",
]


def _type(table: Table, name: str) -> str:
    return table.by_name[name].type.underlying.name


def compares(table: Table) -> st.SearchStrategy[Predicate]:
    """One comparison; its literal is NULL now and then, as an SQL parameter may be."""
    name = st.sampled_from(SORTABLE)

    def literal(column: str) -> st.SearchStrategy[str | None]:
        return st.sampled_from([*POOLS[column], *POOLS[column], None])

    single = name.flatmap(
        lambda column: st.builds(
            lambda operator, value: Compare(column, operator, (value,), _type(table, column)),
            st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
            literal(column),
        )
    )
    listed = name.flatmap(
        lambda column: st.builds(
            lambda operator, values: Compare(column, operator, tuple(values), _type(table, column)),
            st.sampled_from(["in", "not-in"]),
            st.lists(literal(column), max_size=4),
        )
    )
    equal_arrays = st.sampled_from(["ints", "texts", "moods"]).flatmap(
        lambda column: st.builds(
            lambda operator, value: Compare(column, operator, (value,), _type(table, column)),
            st.sampled_from(["==", "!="]),
            literal(column),
        )
    )
    against_numeric = st.builds(
        lambda column, operator, value: Compare(column, operator, (value,), "numeric"),
        st.sampled_from(_INTEGERS),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not-in"]),
        st.sampled_from(["0.5", "1.0", "7.00", "NaN", "-Infinity", "1e30", "5", None]),
    )
    return single | single | listed | equal_arrays | against_numeric | _likes() | _contains(table)


def _likes() -> st.SearchStrategy[Predicate]:
    like = st.builds(
        lambda column, pattern: Compare(column, "like", (pattern,), "text"),
        st.sampled_from(["text_c", "text_d", "vc", "padded", "tagname"]),
        st.sampled_from([*_PATTERNS, None]),
    )
    ilike = st.builds(
        lambda column, pattern: Compare(column, "ilike", (pattern,), "text"),
        st.sampled_from(["text_c", "tagname"]),
        st.sampled_from(_PATTERNS),
    )
    return like | ilike


def _contains(table: Table) -> st.SearchStrategy[Predicate]:
    elements = {"ints": ["1", "2", "9"], "texts": ["a", "b c", "NULL", ""], "moods": ["sad", "happy"]}

    def build(column: str) -> st.SearchStrategy[Predicate]:
        element = table.by_name[column].type.element
        assert element is not None
        values = st.sampled_from([*elements[column], None])
        one = st.builds(lambda value: Compare(column, "array-contains", (value,), element.name), values)
        any_ = st.builds(
            lambda listed: Compare(column, "array-contains-any", tuple(listed), element.name),
            st.lists(values, max_size=3),
        )
        return one | any_

    return st.sampled_from(list(elements)).flatmap(build)


def predicates(table: Table) -> st.SearchStrategy[Predicate]:
    leaves = compares(table) | st.builds(IsNull, st.sampled_from([*SORTABLE, "ints"]))
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda items: And(tuple(items)))
            | st.lists(inner, max_size=3).map(lambda items: Or(tuple(items)))
            | st.builds(Not, inner)
        ),
        max_leaves=7,
    )


def orders(table: Table) -> st.SearchStrategy[tuple[OrderBy, ...]]:
    one = st.builds(OrderBy, st.sampled_from([*SORTABLE, "id"]), st.booleans(), st.booleans())
    return st.lists(one, max_size=3, unique_by=lambda order: order.column).map(tuple)


@st.composite
def queries(draw: st.DrawFn, table: Table) -> Query:
    """A whole query; cursors take values of the pools, NULL where the column may be null."""
    query = Query(
        "wide",
        where=draw(st.none() | predicates(table)),
        order_by=draw(orders(table)),
        limit=draw(st.none() | st.integers(1, 40)),
    )
    keys = sort_keys(query, table)

    def bound() -> Bound | None:
        if draw(st.integers(0, 2)):
            return None
        used = keys[: draw(st.integers(1, len(keys)))]
        values = [
            draw(st.integers(0, 249).map(str))
            if key.column.name == "id"
            else draw(st.sampled_from([*POOLS[key.column.name], *([] if key.column.not_null else [None])]))
            for key in used
        ]
        return Bound(tuple(values), draw(st.booleans()))

    names = [column.name for column in table.exposed_columns]
    shown = draw(st.none() | st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    projection = None if shown is None else tuple((name, name) for name in shown)
    return Query(query.collection, query.where, query.order_by, query.limit, bound(), bound(), projection)
