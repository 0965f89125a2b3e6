"""Filters over JSON mean what PostgreSQL says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.channels.filter import compile_filter, read_json
from engine.errors import InvalidQuery

WORDS = st.sampled_from(["", "a", "b", "ab", "Ab", "ä", "a%", "a_b", "é", "z"])
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.1, 1.0, -0.5, 1e20, 12345678901234567890, 2**70, 1e-7]),
)
SCALARS = st.one_of(st.booleans(), NUMBERS, WORDS)
VALUES = st.recursive(
    st.one_of(st.none(), SCALARS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6,
)
FIELDS = st.sampled_from(["a", "b", "a.b", "a.0", "b.a", "c"])
LITERALS = VALUES.filter(lambda value: value is not None)
CONDITIONS = st.one_of(
    st.tuples(FIELDS, st.sampled_from(["==", "!=", "array-contains"]), LITERALS).map(list),
    st.tuples(FIELDS, st.sampled_from(["<", "<=", ">", ">="]), SCALARS).map(list),
    st.tuples(FIELDS, st.sampled_from(["in", "not-in", "array-contains-any"]), st.lists(LITERALS, max_size=3)).map(
        list
    ),
    st.tuples(FIELDS, st.sampled_from(["like", "ilike"]), st.sampled_from(["a%", "%b", "_", "A_", "%", "\\%"])).map(
        list
    ),
    st.tuples(FIELDS, st.sampled_from(["is-null", "is-not-null"])).map(list),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"and": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"or": items}),
        inner.map(lambda item: {"not": item}),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def sql(pg18: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(pg18.dsn, autocommit=True) as connection:
        yield connection


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def jsonb(value: object) -> str:
    return quoted(json.dumps(value)) + "::jsonb"


def as_sql(spec: Any) -> str:
    """The same filter as an SQL expression over ``data``."""
    if isinstance(spec, dict):
        ((word, inner),) = spec.items()
        if word == "not":
            return f"(not {as_sql(inner)})"
        return "(" + f" {word} ".join(map(as_sql, inner)) + ")"
    path = quoted("{" + ",".join(spec[0].split(".")) + "}")
    value = f"nullif(data #> {path}, 'null')"
    word = spec[1]
    if word in ("is-null", "is-not-null"):
        return f"({value} {word.replace('-', ' ')})"
    literal = spec[2]
    if word in ("==", "!="):
        return f"({value} {'=' if word == '==' else '<>'} {jsonb(literal)})"
    if word in ("in", "not-in"):
        items = " or ".join(f"{value} = {jsonb(item)}" for item in literal) or f"({value} is null and null)"
        return f"({'not ' if word == 'not-in' else ''}({items}))"
    if word in ("array-contains", "array-contains-any"):
        wanted = [literal] if word == "array-contains" else literal
        any_of = "array[" + ",".join(map(jsonb, wanted)) + "]::jsonb[]"
        is_array = f"jsonb_typeof({value}) = 'array'"
        elements = f"jsonb_array_elements(case when {is_array} then {value} end) e"
        return f"(case when {is_array} then exists (select from {elements} where e = any ({any_of})) end)"
    text = f"({value} #>> '{{}}')"
    if word in ("like", "ilike"):
        return f"""(case when jsonb_typeof({value}) = 'string' then {text} collate "C" {word} {quoted(literal)} end)"""
    kind = {"bool": "boolean", "str": "string"}.get(type(literal).__name__, "number")
    cast = {"boolean": "::boolean", "string": ' collate "C"', "number": "::numeric"}[kind]
    right = f"({jsonb(literal)} #>> '{{}}')"
    return f"(case when jsonb_typeof({value}) = {quoted(kind)} then {text}{cast} {word} {right}{cast} end)"


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=FILTERS, data=st.lists(st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2), min_size=1, max_size=8))
def test_a_filter_means_what_postgres_says(sql: psycopg.Connection[Any], spec: Any, data: list[Any]) -> None:
    rows = ",".join(f"({number}, {jsonb(item)})" for number, item in enumerate(data))
    statement = f"select data::text, {as_sql(spec)} from (values {rows}) v (n, data) order by n"
    test = compile_filter([spec])
    for text, truth in sql.execute(statement.encode()).fetchall():
        assert test(read_json(text.encode())) is truth, (spec, text)


@pytest.mark.parametrize(
    "where",
    [
        "x",
        [["a"]],
        [["a", "==", None]],
        [["a", "~", 1]],
        [["", "==", 1]],
        [["a..b", "==", 1]],
        [["a", "<", [1]]],
        [["a", "in", 1]],
        [["a", "like", 1]],
        [["a", "like", "x\\"]],
        [["a", "like", "%_a_a" * 5_000]],
        [["a", "like", "x" * 600], ["b", "ilike", "x" * 600]],
        [["a", "is-null", 1]],
        [{"and": []}],
        [{"xor": [["a", "==", 1]]}],
        [["a", "==", 1]] * 101,
        [["a", "in", list(range(1001))]],
    ],
)
def test_what_is_no_filter_is_refused_in_words(where: Any) -> None:
    with pytest.raises(InvalidQuery) as refused:
        compile_filter(where)
    assert len(str(refused.value)) > 10


class Counted(str):
    """A string that counts how often it is looked up or compared."""

    seen = 0

    def __hash__(self) -> int:
        Counted.seen += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        Counted.seen += 1
        return super().__eq__(other)


@pytest.mark.parametrize("operator", ["array-contains-any", "in", "not-in"])
def test_a_thousand_values_against_a_large_array_cost_one_look_per_element(operator: str) -> None:
    values = [f"wanted {number}" for number in range(1000)]
    if operator == "array-contains-any":
        data: object = {"a": [Counted(f"other {number}") for number in range(5000)]}
        test = compile_filter([["a", operator, values]])
    else:
        data = {"a": [[Counted(f"other {number}") for number in range(5000)]]}
        test = compile_filter([["a", operator, [[[value]] for value in values]]])
    Counted.seen = 0
    assert test(data) is (operator == "not-in")
    assert Counted.seen <= 2 * 5000


def test_a_value_nested_deeper_than_any_literal_equals_none() -> None:
    deep: object = 1
    for _ in range(600):
        deep = [deep]
    for operator, literal in (("==", [1]), ("in", [[1]]), ("array-contains", [[1]]), ("array-contains-any", [[1]])):
        assert compile_filter([["a", operator, literal]])({"a": deep}) is False
